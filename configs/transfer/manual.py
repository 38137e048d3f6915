"""Hand-written prompts; nothing trains.

Command:
    glipkit tune fish.json --images photos/ --strategy manual --prompts words.yaml --out fish
Hardware: one CPU thread, no GPU (figures below)
Time: about four hours for all comparisons of docs/transfer.md; a single tuning was not
    measured
Memory: not measured
Result: glip-mini, AP50 of an unknown word 66.4 ± 13.0 by its name, 98.0 ± 1.4 described by hand
"""
_base_ = '../_base_/transfer/odinw.py'
strategy = dict(name='manual')
