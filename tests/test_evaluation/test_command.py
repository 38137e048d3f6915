"""``glipkit test --data``: a tiny model on a tiny world, scored by every metric at once."""
from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from mmengine.registry import DefaultScope

from glipkit.apis.build import build_model, load
from glipkit.apis.training import load_config
from glipkit.checkpoints import save_checkpoint
from glipkit.cli.main import main
from glipkit.common.paths import config_root
from glipkit.errors import UserError
from glipkit.models.contract import GroundingDetector
from glipkit.registry import DATASETS, METRICS
from glipkit.testing.tiny_glip import TINY_CONFIG
from glipkit.text.query import Query
from glipkit.worlds import shapes

MODEL = '''
_base_ = ['{root}/_base_/datasets/shapes.py', '{root}/_base_/schedules/shapes.py',
          '{root}/_base_/runtime/default.py']
{model}
model['max_tokens'] = 128
'''
DATA = '''
test_dataloader = dict(dataset=dict(
    type='LvisDetection', data_root='{world}/', ann_file='lvis.json',
    data_prefix=dict(img='images/val/'), test_mode=True))
test_evaluator = [dict(type='LvisMetric', ann_file='{world}/lvis.json'),
                  dict(type='LvisMetric', ann_file='{world}/lvis.json', bound='capped'),
                  dict(type='FalsePositiveMetric', ann_file='{world}/lvis.json')]
test_settings = dict(max_per_image=7)
'''


@pytest.fixture(scope='module')
def files(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp('files')
    shapes.build(folder, num_train_det=1, num_train_grd=1, num_val=3, image_size=96, workers=1)
    world = json.loads((folder / 'annotations' / 'val.json').read_text())
    used = {a['category_id'] for a in world['annotations']}
    others = [c for c in world['categories'] if c['id'] not in used]
    world['categories'] = [c for c in world['categories'] if c['id'] in used] + others[:5]
    ids = [category['id'] for category in world['categories']]
    for image in world['images']:
        present = {a['category_id'] for a in world['annotations'] if a['image_id'] == image['id']}
        image.update(neg_category_ids=[i for i in ids if i not in present][:5],
                     not_exhaustive_category_ids=[])
    for k, category in enumerate(world['categories']):
        category['frequency'] = 'rcf'[k % 3]
    (folder / 'lvis.json').write_text(json.dumps(world))
    paths = dict(config=folder / 'tiny_model.py', data=folder / 'data.py',
                 checkpoint=folder / 'tiny.safetensors')
    paths['config'].write_text(MODEL.format(root=config_root(), model=TINY_CONFIG))
    paths['data'].write_text(DATA.format(world=folder))
    torch.manual_seed(0)
    with pytest.warns(UserWarning, match='random weights'):
        save_checkpoint(load(str(paths['config'])), paths['checkpoint'])
    return paths


def test_every_metric_in_one_result(files, tmp_path, capsys):
    out = tmp_path / 'out'
    assert main(['test', str(files['config']), str(files['checkpoint']), '--data',
                 str(files['data']), '--out', str(out), '--work-dir', str(tmp_path / 'w')]) == 0
    content = json.loads((out / 'metrics.json').read_text())
    assert {'lvis_fixed/AP', 'lvis_capped/APr', 'false_positives/per_image@0.5'} <= set(
        content['metrics'])
    protocols = content['protocol'].split('\n')
    assert len(protocols) == 3 and 'LVIS fixed AP' in protocols[0] and '3 of 3' in protocols[0]
    assert content['dataset'] == dict(type='LvisDetection', data_root=f'{files["data"].parent}/',
                                      ann_file='lvis.json', images=3)
    assert content['config'] == str(files['config'])
    assert content['checkpoint'] == str(files['checkpoint']) and 'torch' in content['versions']
    assert 'lvis_fixed/APr' in capsys.readouterr().out
    assert '| lvis_fixed/AP |' in (out / 'metrics.md').read_text()


def test_a_query_is_asked_in_the_place_of_all_names(files, tmp_path, monkeypatch):
    names = [category['name'] for category in json.loads(
        (files['data'].parent / 'lvis.json').read_text())['categories']]
    query = Query.for_classes(names[:2], synonyms={names[0]: ['round thing']},
                              negative_classes=['dot'], exclusive=[names[:2]])
    (tmp_path / 'query.json').write_text(json.dumps(dict(
        classes={names[0]: ['round thing'], names[1]: []}, negative_classes=['dot'])))
    words = ['test', str(files['config']), str(files['checkpoint']), '--data', str(files['data']),
             '--work-dir', str(tmp_path / 'w')]
    asked, prompts = set(), GroundingDetector.prompts
    monkeypatch.setattr(GroundingDetector, 'prompts',
                        lambda self, one: asked.add(one) or prompts(self, one))
    assert main([*words, '--classes', str(tmp_path / 'query.json'), '--exclusive',
                 ', '.join(names[:2]), '--out', str(tmp_path / 'out.json')]) == 0
    protocol = json.loads((tmp_path / 'out.json').read_text())['protocol']
    assert f'2 of {len(names)} classes' in protocol
    assert asked == {query}
    content = json.loads((tmp_path / 'out.json').read_text())
    assert content['dataset']['asked'] == query.plain


@pytest.mark.parametrize('words, said', [
    (['--exclusive', 'a, b'], '--classes with'), (['--classes', 'a', '--exclusive', 'a, b'], "'b'"),
    (['--out', 'x.txt'], 'x.txt'), (['--data', 'lvis'], 'lvis_minival'),
    (['--data', 'no.py'], 'no.py')])
def test_a_bad_name_is_refused_before_anything_runs(files, tmp_path, capsys, monkeypatch, words,
                                                    said):
    monkeypatch.chdir(tmp_path)
    assert main(['test', str(files['config']), str(files['checkpoint']), *words]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('name', [
    'coco_val2017', 'lvis_minival', 'lvis_val', 'flickr30k_val', 'flickr30k_test', 'refcoco_val',
    'refcocoplus_testA', 'refcocog_test', 'd3', 'd3_inter', 'omnilabel_val'])
def test_data_sets_that_come_along(name):
    cfg = load_config('glip-mini', {'test_dataloader.dataset.data_root': 'mine/'}, test_data=name)
    dataset = cfg.test_dataloader.dataset
    assert dataset.data_root == 'mine/' and dataset.test_mode
    assert dataset.pipeline == load_config('glip-mini').test_dataloader.dataset.pipeline
    with DefaultScope.overwrite_default_scope('glipkit'):
        assert DATASETS.get(dataset.type)
        assert all(METRICS.get(metric.type) for metric in cfg.test_evaluator)
    assert all(metric.ann_file.endswith(dataset.ann_file) for metric in cfg.test_evaluator)
    limit = build_model(cfg).test_settings.max_per_image
    assert limit == (9300 if 'lvis' in name else 100)


@pytest.mark.parametrize('text, said', [
    ('x = 1', 'test_evaluator'), ('x = 1 / 0', 'ZeroDivisionError')])
def test_a_file_that_is_no_data_set(tmp_path, text, said):
    path = tmp_path / 'other.py'
    path.write_text(text)
    with pytest.raises(UserError, match=said):
        load_config('glip-mini', test_data=str(path))
