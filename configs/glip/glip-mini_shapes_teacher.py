"""Self-training, first step: the mini model on detection data alone, with base words alone.

Commands:
    glipkit train configs/glip/glip-mini_shapes_teacher.py
    glipkit pseudo-label data/shapes/annotations/grd_train.jsonl \\
        --images data/shapes/images/train_grd \\
        --teacher glip-mini --checkpoint work_dirs/glip-mini_shapes_teacher/iter_1300.pth \\
        --threshold 0.4 --out data/shapes/pseudo
    glipkit train configs/glip/glip-mini_shapes_student.py
"""
_base_ = [
    '../_base_/models/glip_mini.py', '../_base_/datasets/shapes.py',
    '../_base_/schedules/shapes.py', '../_base_/runtime/mini.py'
]

train_dataloader = dict(dataset=dict(datasets=[{{_base_.detection}}]))
