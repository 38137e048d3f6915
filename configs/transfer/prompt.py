"""A learned prompt (official language_prompt_v2).

Command:
    glipkit tune fish.json --images photos/ --strategy prompt --out work_dirs/fish
Hardware: one CPU thread, no GPU (figures below)
Time: about four hours for all comparisons of docs/transfer.md; a single tuning was not
    measured
Memory: not measured
Result: glip-mini, AP 88.4 ± 0.2 on invented words (9.0 before), 88.0 ± 0.2 on new combinations
    (87.7 before); on other categories 81.5, as before
"""
_base_ = '../_base_/transfer/odinw.py'
strategy = dict(name='prompt', lr=0.05, weight_decay=0.25, rows=1000)
