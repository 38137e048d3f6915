"""The text encoder (official language_prompt_v1).

Command:
    glipkit tune fish.json --images photos/ --strategy text --out work_dirs/fish
Hardware: not measured
Time: not measured
Memory: not measured
Result: not measured
"""
_base_ = '../_base_/transfer/odinw.py'
strategy = dict(name='text', lr=1e-5, weight_decay=0.05)
