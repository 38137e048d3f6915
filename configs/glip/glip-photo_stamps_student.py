"""Self-training, last step, on photographs of real things: as glip-mini_shapes_student.

Command:
    glipkit train configs/glip/glip-photo_stamps_student.py
Hardware: one CPU thread, no GPU
Time: about 12 minutes for teacher, labels, student and gold-only of a seed, one busy core of an
    AMD EPYC (docs/self-training.md)
Memory: not measured
Result: AP50 22.4 ± 4.1 on vegetables, 65.3 ± 4.4 and 4.2 ± 1.0 on seen and unseen fruit
    (three seeds, 200 and 120 iterations, docs/self-training.md)

Starts from the weights and the labels of glip-photo_stamps_teacher; the commands for both stand
there.
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

pseudo = dict(
    type='glipkit.CaptionShards',
    data_root='data/stamps/',
    ann_file='pseudo',
    data_prefix=dict(img='images/train_grd/'),
    score_thr=0.05,
    packing=dict(num_captions=4, max_tokens=128))

train_dataloader = dict(dataset=dict(
    pipeline=train_pipeline, datasets=[_base_.detection, pseudo], weights=[1, 1]))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
