"""Settings that every user of mmengine and mmdet has in their configs."""
from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import mmcv
import numpy as np
import pytest
from mmdet.apis import DetInferencer
from mmengine.hooks import CheckpointHook, EarlyStoppingHook

import glipkit
from glipkit.apis.training import RUNNER_KEYS, load_config, train
from glipkit.checkpoints import save_checkpoint
from glipkit.common.paths import config_root
from glipkit.engine.hooks.best import check_monitored, check_names, with_rules
from glipkit.errors import UserError
from glipkit.evaluation.metrics.coco import GroundingCocoMetric

pytestmark = pytest.mark.slow

OPTIONS = {'train_cfg.max_iters': 2, 'train_cfg.val_interval': 1, 'train_dataloader.batch_size': 1,
           'val_dataloader.dataset.indices': 1}


def test_best_checkpoint_early_stopping_and_pictures(config, tmp_path):
    """One training with all three; the picture has the annotated boxes left, the found right."""
    config.write_text(config.read_text() + '''
custom_hooks.append(dict(type='EarlyStoppingHook', monitor='coco/AP50', patience=1,
                         min_delta=2.))
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='mmdet.DetLocalVisualizer', name='pictures', vis_backends=vis_backends)
''')
    cfg = load_config(str(config), {
        **OPTIONS, 'train_cfg.max_iters': 4, 'default_hooks.checkpoint.save_best': 'auto',
        'default_hooks.visualization.draw': True, 'default_hooks.visualization.interval': 1,
    }, str(tmp_path / 'work'))
    train(cfg)
    assert list((tmp_path / 'work').glob('best_coco_AP_iter_*.pth'))
    log = next((tmp_path / 'work').glob('*/*.log')).read_text()
    assert 'did not improve' in log and 'Iter(train) [4/4]' not in log
    picture = mmcv.imread(sorted((tmp_path / 'work').rglob('val_img_*.png'))[0])
    data = cfg.val_dataloader.dataset
    annotations = json.loads((Path(data.data_root) / data.ann_file).read_text())
    first = annotations['images'][0]
    image = mmcv.imread(f'{data.data_root}{data.data_prefix.img}{first["file_name"]}')
    left = picture[:, :picture.shape[1] // 2].astype(int)
    assert left.shape == image.shape
    changed = np.abs(left - image).max(-1) > 8
    for annotation in annotations['annotations']:
        if annotation['image_id'] == first['id']:
            x, y, w, h = map(round, annotation['bbox'])
            frame = changed[max(y - 2, 0):y + h + 3, max(x - 2, 0):x + w + 3]
            assert frame.any(0).mean() > 0.8 and frame.any(1).mean() > 0.8


@pytest.mark.parametrize('name, rule', [
    ('coco/AP', 'greater'), ('coco/unseen_AP50', 'greater'), ('lvis_fixed/APr', 'greater'),
    ('flickr_any/R@1', 'greater'), ('flickr_merged/people_R@10', 'greater'),
    ('mine/AP75', 'greater'), ('false_positives/per_image@0.3', 'less'), ('loss_cls', 'less'),
    ('coco/bbox_mAP', 'greater'), ('mine/accuracy', 'greater'),
])
def test_which_scores_are_better(name, rule):
    hook = CheckpointHook(**without_type(with_rules(
        dict(type='CheckpointHook', save_best=name))))
    assert hook.rules == [rule]
    stopping = dict(type='EarlyStoppingHook', monitor=name)
    if not name.startswith('mine/acc'):
        assert EarlyStoppingHook(**without_type(with_rules(stopping))).rule == rule


def without_type(settings: dict) -> dict:
    return {key: value for key, value in settings.items() if key != 'type'}


def test_the_users_own_rule_stays():
    hook = dict(type='mmengine.EarlyStoppingHook', monitor='coco/AP', rule='less')
    assert with_rules(hook) == hook
    hook = dict(type='CheckpointHook', save_best='coco/AP', greater_keys=['x'])
    assert with_rules(hook)['greater_keys'] == ['x']
    assert with_rules(None) is None
    assert with_rules(dict(type='CheckpointHook')) == dict(type='CheckpointHook')


def test_a_score_that_nobody_gives():
    hooks = [CheckpointHook(save_best='coco/bbox_mAP', rule='greater')]
    with pytest.raises(UserError, match="coco/AP, coco/AP50; got 'coco/bbox_mAP'"):
        check_monitored(hooks, {'coco/AP': .5, 'coco/AP50': .6})
    check_monitored(hooks, {'coco/bbox_mAP': .5})
    check_monitored([CheckpointHook(save_best='auto')], {'coco/AP': .5})
    with pytest.raises(UserError, match="EarlyStoppingHook.*'AP'"):
        check_monitored([EarlyStoppingHook('AP', rule='greater', strict=True)], {'coco/AP': .5})


@pytest.mark.parametrize('name', ['coco/bbox_mAP', 'bbox_mAP', 'AP', 'lvis/AP', 'coco/AP51'])
def test_a_score_that_no_metric_can_give_is_told_before_the_training(name):
    hooks = [CheckpointHook(save_best=name, rule='greater')]
    metrics = [SimpleNamespace(prefix='coco', score_pattern=GroundingCocoMetric.score_pattern),
               SimpleNamespace(prefix='mine')]
    with pytest.raises(UserError, match=f"scores coco/AP, mine/...; got '{name}'"):
        check_names(hooks, metrics)
    check_names(hooks, [*metrics, SimpleNamespace(prefix=None)])
    check_names(hooks, [])


@pytest.mark.parametrize('name', ['coco/AP', 'coco/AP50', 'coco/rare ones_AP75', 'mine/x', 'auto'])
def test_scores_that_metrics_may_give(name):
    check_names([CheckpointHook(save_best=name, rule='greater')],
                [SimpleNamespace(prefix='coco', score_pattern=GroundingCocoMetric.score_pattern),
                 SimpleNamespace(prefix='mine')])


@pytest.mark.parametrize('options, message', [
    ({'default_hooks.checkpoint.save_best': 'mine/sharpness'},
     "for the score mine/sharpness a rule, 'greater' or 'less'"),
    ({'default_hooks.checkpoint.save_best': 'coco/bbox_mAP'}, "'coco/bbox_mAP'"),
])
def test_scores_without_a_rule_or_a_metric_are_one_line(config, tmp_path, options, message):
    with pytest.raises(UserError) as caught:
        train(load_config(str(config), {**OPTIONS, **options}, str(tmp_path / 'work')))
    assert message in str(caught.value)
    logs = ''.join(path.read_text() for path in (tmp_path / 'work').rglob('*.log'))
    assert 'Iter(train)' not in logs and not list((tmp_path / 'work').glob('*.pth'))


def test_a_backend_that_is_not_installed_is_one_line(config, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'tensorboard', None)
    monkeypatch.setitem(sys.modules, 'torch.utils.tensorboard', None)
    config.write_text(config.read_text() + '''
vis_backends = [dict(type='TensorboardVisBackend')]
visualizer = dict(type='mmdet.DetLocalVisualizer', name='board', vis_backends=vis_backends)
''')
    with pytest.raises(UserError, match='visualisation backend .* tensorboard'):
        train(load_config(str(config), OPTIONS, str(tmp_path / 'work')))


@pytest.mark.parametrize('line', [
    "tta_pipeline = [dict(type='LoadImageFromFile')]", "train_pipeline_2 = []",
    "train_pipeline_stage2 = []", 'model2 = dict()', 'strong_train_pipeline = []',
    'sync_bn = "torch"',
    'compile = True', "activation_checkpointing = ['backbone']", 'tta_model = dict()',
    "efficient_conv_bn_eval = ['backbone']", 'val_pipeline = []', 'data_root_2 = "x"',
    'train_pipelines = []\ntrain_dataloader = dict(dataset=dict(pipeline=train_pipelines))',
])
def test_names_that_are_read_or_the_users_own(config, line):
    config.write_text(f'{config.read_text()}\n{line}\n')
    assert line.partition(' ')[0] in load_config(str(config))


@pytest.mark.parametrize('name', ['optim_wraper', 'train_pipelines', 'custom_hook', 'load_form',
                                  'sync_bm', 'tta_pipline'])
def test_misspelt_names_are_told(config, name):
    config.write_text(f'{config.read_text()}\n{name} = dict()\n')
    with pytest.raises(UserError, match=name):
        load_config(str(config))


@pytest.mark.parametrize('name', ['sync_bn', 'compile', 'activation_checkpointing',
                                  'efficient_conv_bn_eval'])
def test_keys_of_mmengine_may_be_set_on_the_command_line(name):
    assert name in RUNNER_KEYS
    assert load_config('glip-mini', {name: ['backbone']})[name] == ['backbone']


@pytest.mark.parametrize('scope', ['mmdet', 'glipkit'])
def test_tools_of_mmdet_build_our_model(tmp_path, scope):
    """In their own scope, where some of our names are taken."""
    model = glipkit.load('glip-mini')
    save_checkpoint(model, tmp_path / 'mini.pth')
    (tmp_path / 'c.py').write_text(
        f"_base_ = ['{config_root()}/glip/glip-mini_shapes.py']\n"
        "visualizer = dict(type='mmdet.DetLocalVisualizer', name='visualizer')\n")
    image = np.full((64, 64, 3), 40, np.uint8)
    image[10:40, 10:40] = (30, 30, 220)
    inferencer = DetInferencer(str(tmp_path / 'c.py'), str(tmp_path / 'mini.pth'), device='cpu',
                               scope=scope, show_progress=False)
    assert type(inferencer.model) is type(model)
    found = inferencer(image, texts='red square', custom_entities=True)['predictions'][0]
    expected = glipkit.Predictor(model, per_object='all')(image, classes=['red square'])[0]
    np.testing.assert_allclose(found['scores'][:len(expected)], expected.scores, atol=1e-5)
    np.testing.assert_allclose(found['bboxes'][0], expected.boxes[0], atol=0.01)
