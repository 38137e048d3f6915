"""Self-training, first step: the mini model on detection data alone, with base words alone.

Command:
    glipkit world shapes --out data/shapes
    glipkit train configs/glip/glip-mini_shapes_teacher.py
    glipkit pseudo-label data/shapes/annotations/grd_train.jsonl \\
        --images data/shapes/images/train_grd \\
        --teacher glip-mini --checkpoint work_dirs/glip-mini_shapes_teacher/iter_1300.pth \\
        --threshold 0.4 --out data/shapes/pseudo
    glipkit train configs/glip/glip-mini_shapes_student.py
Hardware: one CPU thread, no GPU
Time: about two hours for teacher, student and gold-only of three seeds (docs/self-training.md)
Memory: 1.7 GiB at the peak of the process, measured with glip-mini_shapes_classes
Result: AP50 10.9 ± 6.1 on held-out words, 32.7 ± 6.4 and 46.9 ± 10.0 on seen and unseen base
    words (three seeds)
"""
_base_ = [
    '../_base_/models/glip_mini.py', '../_base_/datasets/shapes.py',
    '../_base_/schedules/shapes.py', '../_base_/runtime/mini.py'
]

train_dataloader = dict(dataset=dict(datasets=[{{_base_.detection}}]))
