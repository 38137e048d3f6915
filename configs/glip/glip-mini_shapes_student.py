"""Self-training, last step: glip-mini_shapes_teacher learns from gold boxes and from its own.

Command:
    glipkit train configs/glip/glip-mini_shapes_student.py
Hardware: one CPU thread, no GPU
Time: about two hours for teacher, student and gold-only of three seeds (docs/self-training.md)
Memory: not measured
Result: AP50 19.8 ± 2.6 on held-out words, 40.7 ± 1.7 and 58.2 ± 1.6 on seen and unseen base
    words (three seeds, 650 iterations after the teacher's)

Starts from the weights and the labels of glip-mini_shapes_teacher; the commands for both stand
there.

GLIP section 4: the student sees both kinds of data mixed. Half of the draws are gold here, so that
the teacher's mistakes are the smaller part of a batch. Captions of other pictures join a caption:
otherwise no prompt would have a word without gold boxes whose thing is absent from the picture.
"""
_base_ = [
    '../_base_/models/glip_mini.py', '../_base_/datasets/shapes.py',
    '../_base_/schedules/shapes.py', '../_base_/runtime/mini.py'
]

load_from = 'work_dirs/glip-mini_shapes_teacher/iter_1300.pth'
class_prompt = dict(leave_out_prob=0.5, **_base_.class_prompt)
train_pipeline = [*_base_.loading, class_prompt, _base_.packing]

pseudo = dict(
    type='glipkit.CaptionShards',
    data_root='data/shapes/',
    ann_file='pseudo',
    data_prefix=dict(img='images/train_grd/'),
    score_thr=0.4,
    packing=dict(num_captions=4, max_tokens=128))

train_dataloader = dict(
    dataset=dict(
        pipeline=train_pipeline, datasets=[_base_.detection, pseudo], weights=[1, 1]))
