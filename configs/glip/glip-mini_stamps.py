"""The mini model on photographs of real things.

Command:
    glipkit world stamps --out data/stamps
    glipkit train configs/glip/glip-mini_stamps.py
Hardware: one CPU thread, no GPU
Time: not measured
Memory: not measured
Result: not measured

``glipkit demo --world stamps`` runs both commands, evaluates the model and writes a report.
"""
_base_ = [
    '../_base_/models/glip_mini.py', '../_base_/datasets/stamps.py',
    '../_base_/schedules/shapes.py', '../_base_/runtime/mini.py'
]
