"""The linear probe: alignment, box and centerness layers.

Command:
    glipkit tune fish.json --images photos/ --strategy head --out work_dirs/fish
Hardware: one CPU thread, no GPU (figures below)
Time: about four hours for all comparisons of docs/transfer.md; a single tuning was not
    measured
Memory: not measured
Result: glip-mini, AP 18.6 ± 0.3 on invented words (9.0 before), 88.7 ± 0.1 on new combinations
    (87.7 before)
"""
_base_ = '../_base_/transfer/odinw.py'
strategy = dict(name='head', lr=1e-4, weight_decay=0.05)
