"""Self-training, last step: a new model on gold boxes and the teacher's (glip-mini_shapes_teacher).

GLIP section 4: the student sees both kinds of data mixed. Half of the draws are gold here, so that
the teacher's mistakes stay the smaller part of what a batch says.
"""
_base_ = './glip-mini_shapes.py'

pseudo = dict(
    type='CaptionShards',
    data_root='data/shapes/',
    ann_file='pseudo',
    data_prefix=dict(img='images/train_grd/'),
    score_thr=0.5)

train_dataloader = dict(dataset=dict(datasets=[{{_base_.detection}}, pseudo], weights=[1, 1]))
