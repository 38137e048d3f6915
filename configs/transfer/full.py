"""All but the stem and the first stage of the backbone; the text encoder at a tenth of the rate.

Command:
    glipkit tune fish.json --images photos/ --strategy full --out work_dirs/fish
Hardware: one CPU thread, no GPU (figures below)
Time: about four hours for all comparisons of docs/transfer.md; a single tuning was not
    measured
Memory: not measured
Result: glip-mini, AP 89.0 ± 0.3 on invented words (9.0 before), 87.9 ± 0.2 on new combinations
    (87.7 before); on other categories 76.4 ± 0.3 (81.5 before)
"""
_base_ = '../_base_/transfer/odinw.py'
strategy = dict(name='full', lr=1e-4, text_lr=1e-5, weight_decay=0.05, frozen_stages=2)
