"""The mini model, on the shapes world.

Command:
    glipkit world shapes --out data/shapes
    glipkit train configs/glip/glip-mini_shapes.py
Hardware: one CPU thread, no GPU
Time: 1,300 iterations of 8 pictures, 0.7 s each (40 of them on one thread of a
    busy AMD EPYC)
Memory: 1.7 GiB at the peak of the process
Result: AP50 0.34 on unseen combinations after 1,300 iterations (one run)

glip-mini_shapes_words.py, on the same schedule, reads names better.
"""
_base_ = [
    '../_base_/models/glip_mini.py', '../_base_/datasets/shapes.py',
    '../_base_/schedules/shapes.py', '../_base_/runtime/mini.py'
]

# The lowest score that a person is shown: on validation pictures the weights that come with glipkit
# give an object few labels above it, and hardly lose a right one.
shown_above = 0.6
val_evaluator = dict(shown_above=shown_above)
test_evaluator = dict(shown_above=shown_above)
