"""Low-rank adapters on attention and projections; not part of the paper.

Command:
    glipkit tune fish.json --images photos/ --strategy lora --out work_dirs/fish
Hardware: one CPU thread, no GPU (figures below)
Time: about four hours for all comparisons of docs/transfer.md; a single tuning was not
    measured
Memory: not measured
Result: glip-mini, AP 88.6 ± 0.2 on invented words (9.0 before), 88.0 ± 0.1 on new combinations
    (87.7 before); on other categories 79.4 ± 0.2 (81.5 before)
"""
_base_ = '../_base_/transfer/odinw.py'
strategy = dict(name='lora', rank=8, alpha=16., lr=1e-3, weight_decay=0.)
