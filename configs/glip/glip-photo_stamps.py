"""A GLIP for photographs, on towers that come as packages: the demo's recipe.

Command:
    glipkit world stamps --out data/stamps
    glipkit train configs/glip/glip-photo_stamps.py
Hardware: two CPU threads, no GPU
Time: the demo's 7 minutes held 337 and 409 iterations of 8 pictures (two runs, AMD EPYC)
Memory: not measured
Result: all 274 names asked, of these two runs: AP50 0.34 and 0.41 on seen things, 0.16 and 0.16 on
    things never shown nor named, 0.43 and 0.47 on those in captions only; best label right 0.34
    and 0.41, 0.12 and 0.12, 0.36 and 0.40

``glipkit demo`` runs both commands in a bounded time, evaluates the model and writes a report.
"""
_base_ = [
    '../_base_/models/glip_photo.py', '../_base_/datasets/stamps.py',
    '../_base_/schedules/shapes.py', '../_base_/runtime/mini.py'
]

# Towers that have read and seen can learn from the start that a thing may not be asked for.
class_prompt = dict(leave_out_prob=0.25, **_base_.class_prompt)
train_pipeline = [*_base_.loading, class_prompt, _base_.packing]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

# The lowest score that a person is shown: on validation pictures the weights that come with glipkit
# give an object few labels above it, and hardly lose a right one.
shown_above = 0.45
val_evaluator = dict(shown_above=shown_above)
test_evaluator = dict(shown_above=shown_above)
