"""Self-training, first step, on photographs of real things: detection data alone.

Commands:
    glipkit train configs/glip/glip-mini_stamps_teacher.py
    glipkit pseudo-label data/stamps/annotations/grd_train.jsonl \\
        --images data/stamps/images/train_grd --teacher glip-mini \\
        --checkpoint work_dirs/glip-mini_stamps_teacher/iter_1300.pth \\
        --threshold 0.4 --out data/stamps/pseudo
    glipkit train configs/glip/glip-mini_stamps_student.py
"""
_base_ = './glip-mini_stamps.py'

train_dataloader = dict(dataset=dict(datasets=[{{_base_.detection}}]))
