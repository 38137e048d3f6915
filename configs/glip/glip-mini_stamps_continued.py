"""Self-training, to compare, on photographs of real things: as much more training
as the student's, on gold alone.

Command: glipkit train configs/glip/glip-mini_stamps_continued.py (after glip-mini_stamps_teacher)
"""
_base_ = [
    '../_base_/models/glip_mini.py', '../_base_/datasets/stamps.py',
    '../_base_/schedules/shapes.py', '../_base_/runtime/mini.py'
]

load_from = 'work_dirs/glip-mini_stamps_teacher/iter_1300.pth'
class_prompt = dict(leave_out_prob=0.5, **_base_.class_prompt)
train_pipeline = [*_base_.loading, class_prompt, _base_.packing]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline, datasets=[_base_.detection]))
