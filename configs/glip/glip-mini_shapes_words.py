"""The mini model of the demo, on the shapes world: as glip-mini_shapes, and it learns words.

Command:
    glipkit world shapes --out data/shapes
    glipkit train configs/glip/glip-mini_shapes_words.py
Hardware: one CPU thread, no GPU
Time: 1,300 iterations of 8 pictures, 0.7 s each (40 of them on one thread of a
    busy AMD EPYC)
Memory: 1.7 GiB at the peak of the process
Result: all 252 names asked, after 1,300 iterations (one run): AP50 0.62, best label right 0.35,
    on 24 pictures; without the word loss and near names in prompts 0.31 and 0.17

``glipkit demo --world shapes`` runs both commands, evaluates the model and writes a report.
"""
_base_ = [
    '../_base_/models/glip_mini.py', '../_base_/datasets/shapes.py',
    '../_base_/schedules/shapes.py', '../_base_/runtime/mini.py'
]

model = dict(loss_words=dict(type='glipkit.WordLoss', strides=(8, 16, 32), loss_weight=3.))
class_prompt = dict(leave_out_prob=0.2, similar_share=0.5, **_base_.class_prompt)
train_pipeline = [*_base_.loading, class_prompt, _base_.packing]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
