"""Self-training, for comparison, on photographs of real things: as much more training as the
student's, on gold alone.

Command:
    glipkit train configs/glip/glip-photo_stamps_continued.py
Hardware: one CPU thread, no GPU
Time: not measured
Memory: not measured
Result: AP50 0.4 on vegetables, 87.5 and 8.8 on seen and unseen fruit (one seed, 400 iterations
    after the teacher's 800)

Starts from the weights of glip-photo_stamps_teacher.
"""
_base_ = [
    '../_base_/models/glip_photo.py', '../_base_/datasets/stamps.py',
    '../_base_/schedules/shapes.py', '../_base_/runtime/mini.py'
]

load_from = 'work_dirs/glip-photo_stamps_teacher/iter_1300.pth'
train_dataloader = dict(dataset=dict(datasets=[_base_.detection]))
