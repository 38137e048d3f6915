"""An ordinary mmdet detector lives its whole life on the served operators."""
import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from PIL import Image

LIFE = textwrap.dedent("""
    import sys
    import glipkit
    import mmdet.models
    from mmengine.config import Config
    from mmengine.runner import Runner

    root = sys.argv[1]
    pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True),
                dict(type='Resize', scale=(64, 64), keep_ratio=True)]
    meta = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')
    pack = [dict(type='PackDetInputs', meta_keys=meta)]

    def loader(train):
        return dict(batch_size=2, num_workers=0, dataset=dict(
            type='CocoDataset', data_root=root, ann_file='boxes.json',
            data_prefix=dict(img='images/'), metainfo=dict(classes=('dark', 'light')),
            test_mode=not train, pipeline=pipeline + pack),
            sampler=dict(type='DefaultSampler', shuffle=train))

    def config(iterations, resume):
        anchors = dict(type='AnchorGenerator', ratios=[1.0], octave_base_scale=8,
                       scales_per_octave=1, strides=[8, 16, 32])
        head = dict(
            type='ATSSHead', num_classes=2, in_channels=16, feat_channels=16, stacked_convs=1,
            norm_cfg=dict(type='GN', num_groups=4), anchor_generator=anchors,
            bbox_coder=dict(type='DeltaXYWHBBoxCoder'), loss_bbox=dict(type='GIoULoss'),
            loss_cls=dict(type='FocalLoss', use_sigmoid=True))
        model = dict(
            type='ATSS', data_preprocessor=dict(type='DetDataPreprocessor', pad_size_divisor=32),
            # A deformable stage puts the served convolution on the path of every gradient.
            backbone=dict(type='ResNet', depth=50, base_channels=4, out_indices=(1, 2, 3),
                          style='pytorch', dcn=dict(type='DCNv2', deform_groups=1),
                          stage_with_dcn=(False, False, False, True)),
            neck=dict(type='FPN', in_channels=[32, 64, 128], out_channels=16, num_outs=3),
            bbox_head=head, train_cfg=dict(allowed_border=-1, pos_weight=-1,
                           assigner=dict(type='ATSSAssigner', topk=9)),
            test_cfg=dict(nms_pre=100, score_thr=0., nms=dict(type='nms', iou_threshold=0.6),
                          max_per_img=20))
        evaluator = dict(type='CocoMetric', ann_file=root + '/boxes.json', metric='bbox')
        return Config(dict(
            default_scope='mmdet', work_dir=root + '/work', model=model,
            train_dataloader=loader(True), val_dataloader=loader(False),
            test_dataloader=loader(False), val_evaluator=evaluator, test_evaluator=evaluator,
            train_cfg=dict(type='IterBasedTrainLoop', max_iters=iterations,
                           val_interval=iterations),
            val_cfg=dict(type='ValLoop'), test_cfg=dict(type='TestLoop'),
            optim_wrapper=dict(type='OptimWrapper', optimizer=dict(
                type='SGD', lr=0.01, momentum=0.9)),
            default_hooks=dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=2),
                               logger=dict(type='LoggerHook', interval=1)),
            randomness=dict(seed=0), resume=resume, log_level='WARNING'))

    runner = Runner.from_cfg(config(2, resume=False))
    runner.train()
    weight = runner.model.backbone.layer4[0].conv2.weight
    momentum = runner.optim_wrapper.optimizer.state[weight]['momentum_buffer'].clone()
    assert momentum.any()

    again = Runner.from_cfg(config(4, resume=True))
    again.load_or_resume()
    assert again.iter == 2
    for a, b in zip(runner.model.parameters(), again.model.parameters()):
        assert a.equal(b)
    resumed = Runner.from_cfg(config(4, resume=True))
    resumed.train()
    assert resumed.iter == 4
    assert not resumed.model.backbone.layer4[0].conv2.weight.equal(weight)
    metrics = resumed.test()
    assert 'coco/bbox_mAP' in metrics and metrics['coco/bbox_mAP'] >= 0, metrics
    print('lived')
""")


def make_world(root):
    """Four pictures of squares, with a COCO json of their boxes."""
    rng = np.random.default_rng(0)
    (root / 'images').mkdir()
    images, annotations = [], []
    for i in range(4):
        picture = rng.integers(100, 130, (64, 64, 3), dtype=np.uint8)
        for label, shade in ((1, 0), (2, 255)):
            x, y = (int(v) for v in rng.integers(2, 38, 2))
            picture[y:y + 24, x:x + 24] = shade
            annotations.append(dict(id=len(annotations) + 1, image_id=i, category_id=label,
                                    bbox=[x, y, 24, 24], area=576, iscrowd=0))
        Image.fromarray(picture).save(root / 'images' / f'{i}.png')
        images.append(dict(id=i, file_name=f'{i}.png', width=64, height=64))
    categories = [dict(id=1, name='dark'), dict(id=2, name='light')]
    (root / 'boxes.json').write_text(json.dumps(
        dict(images=images, annotations=annotations, categories=categories)))


@pytest.mark.slow
def test_train_checkpoint_resume_and_evaluate(tmp_path):
    make_world(tmp_path)
    process = subprocess.run([sys.executable, '-c', LIFE, str(tmp_path)], capture_output=True,
                             text=True, timeout=300, env={**os.environ, 'OMP_NUM_THREADS': '1'})
    assert process.returncode == 0, process.stderr[-3000:]
    assert process.stdout.rstrip().endswith('lived')
    assert (tmp_path / 'work' / 'iter_4.pth').is_file()
