"""Self-training, last step, on photographs of real things: as glip-mini_shapes_student."""
_base_ = './glip-mini_stamps_continued.py'

pseudo = dict(
    type='CaptionShards',
    data_root='data/stamps/',
    ann_file='pseudo',
    data_prefix=dict(img='images/train_grd/'),
    score_thr=0.4,
    packing=dict(num_captions=4, max_tokens=128))

train_dataloader = dict(dataset=dict(datasets=[{{_base_.detection}}, pseudo], weights=[1, 1]))
