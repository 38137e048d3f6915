"""Self-training, to compare, on photographs of real things: as much more training
as the student's, on gold alone.

Command: glipkit train configs/glip/glip-mini_stamps_continued.py (after glip-mini_stamps_teacher)
"""
_base_ = './glip-mini_stamps_teacher.py'

load_from = 'work_dirs/glip-mini_stamps_teacher/iter_1300.pth'
train_pipeline = _base_.train_pipeline
train_pipeline[5].update(leave_out_prob=0.5)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
