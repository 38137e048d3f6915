"""Self-training, last step: glip-mini_shapes_teacher goes on, on gold boxes and on its own.

GLIP section 4: the student sees both kinds of data mixed. Half of the draws are gold here, so that
the teacher's mistakes stay the smaller part of what a batch says. Captions of other pictures join
a caption, or words that no gold category has would never be asked for where they are absent.
"""
_base_ = './glip-mini_shapes_continued.py'

pseudo = dict(
    type='CaptionShards',
    data_root='data/shapes/',
    ann_file='pseudo',
    data_prefix=dict(img='images/train_grd/'),
    score_thr=0.4,
    packing=dict(num_captions=4, max_tokens=128))

train_dataloader = dict(dataset=dict(datasets=[{{_base_.detection}}, pseudo], weights=[1, 1]))
