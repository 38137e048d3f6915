"""The same from boxes without labels, whose crops show half as much again.

Command:
    glipkit world things --out data/things
    glipkit train configs/clipself/clip-vit-mini_things.py
    glipkit train configs/clipself/clipself-mini_things_distil-proposals.py
Hardware: one CPU thread, no GPU
Time: not measured
Memory: not measured
Result: not measured

The boxes are those of the annotations here; a file of detections takes their place.
"""
_base_ = 'clipself-mini_things_distil.py'

train_dataloader = dict(
    dataset=dict(datasets=[
        dict(
            proposals='annotations/det_train.json',
            **{
                **_base_.pictures, 'pipeline': _base_.proposal_pipeline
            })
    ]))
