"""Self-training, for comparison, on photographs of real things: as much more training as the
student's, on gold alone.

Command:
    glipkit train configs/glip/glip-photo_stamps_continued.py
Hardware: one CPU thread, no GPU
Time: about 12 minutes for teacher, labels, student and gold-only of a seed, one busy core of an
    AMD EPYC (docs/self-training.md)
Memory: not measured
Result: AP50 13.5 ± 0.4 on vegetables, 79.8 ± 1.1 and 5.7 ± 1.0 on seen and unseen fruit
    (three seeds, 200 and 120 iterations, docs/self-training.md)

Starts from the weights of glip-photo_stamps_teacher.
"""
_base_ = [
    '../_base_/models/glip_photo.py', '../_base_/datasets/stamps.py',
    '../_base_/schedules/shapes.py', '../_base_/runtime/mini.py'
]

# The size of the pictures themselves, for speed.
resize = dict(type='glipkit.ShortSideResize', scale=(427, 256))
loading = [resize if step['type'] == resize['type'] else step for step in _base_.loading]
class_prompt = dict(leave_out_prob=0.25, **_base_.class_prompt)
train_pipeline = [*loading, class_prompt, _base_.packing]
test_pipeline = [
    resize if step['type'] == resize['type'] else step for step in _base_.test_pipeline]

load_from = 'work_dirs/glip-photo_stamps_teacher/iter_1300.pth'
train_dataloader = dict(dataset=dict(pipeline=train_pipeline, datasets=[_base_.detection]))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
