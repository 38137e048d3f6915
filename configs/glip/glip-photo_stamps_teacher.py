"""Self-training, first step, on photographs of real things: detection data alone.

Command:
    glipkit world stamps --out data/stamps --grouping food
    glipkit train configs/glip/glip-photo_stamps_teacher.py
    glipkit pseudo-label data/stamps/annotations/grd_train.jsonl \\
        --images data/stamps/images/train_grd \\
        --teacher glip-photo --checkpoint work_dirs/glip-photo_stamps_teacher/iter_1300.pth \\
        --threshold 0.4 --leftover 0.05 --cross-nms 0.5 --out data/stamps/pseudo
    glipkit train configs/glip/glip-photo_stamps_student.py
Hardware: one CPU thread, no GPU
Time: about 12 minutes for teacher, labels, student and gold-only of a seed, one busy core of an
    AMD EPYC (docs/self-training.md)
Memory: not measured
Result: AP50 12.6 ± 1.0 on vegetables, 64.6 ± 5.6 and 4.6 ± 0.6 on seen and unseen fruit
    (three seeds, 200 and 120 iterations, docs/self-training.md)
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

train_dataloader = dict(dataset=dict(pipeline=train_pipeline, datasets=[_base_.detection]))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
