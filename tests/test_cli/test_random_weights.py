"""Weights of commands: random ones have to be asked for, wherever a model finds things."""
from __future__ import annotations

import json

import pytest

from glipkit.cli.main import main
from glipkit.testing.tiny_glip import TINY_CONFIG
from tests.test_cli.test_tune import QUICK, write_task

DATA = '''
test_dataloader = dict(dataset=dict(
    type='CocoDetection', data_root='{world}/', ann_file='annotations/val.json',
    data_prefix=dict(img='images/val/'), test_mode=True))
test_evaluator = dict(type='GroundingCocoMetric', ann_file='{world}/annotations/val.json')
'''


@pytest.fixture
def task(tmp_path):
    return write_task(tmp_path / 'task', [[1000, 7], [7, 90], [90], [1000]])


@pytest.fixture
def captions(tmp_path, images):
    path = tmp_path / 'captions.jsonl'
    path.write_text(''.join(json.dumps({'filename': name, 'caption': 'a red circle'}) + '\n'
                            for name in ('a.png', 'b.png')))
    return path


def words_of(command, files, task, captions, images, out):
    """A whole command line but for --checkpoint."""
    return {
        'predict': ['predict', images / 'a.png', '--config', files.config, '--classes', 'dog'],
        'tune': ['tune', task.train, '--images', task.images, '--model', files.config, '--out',
                 out, *QUICK],
        'odinw': ['odinw', task.images, '--out', out, '--model', files.config],
        'pseudo-label': ['pseudo-label', captions, '--images', images, '--model', files.config,
                         '--out', out],
    }[command]


@pytest.mark.parametrize('command', ['predict', 'tune', 'odinw', 'pseudo-label'])
def test_a_config_without_weights_is_refused(run, files, task, captions, images, tmp_path, command):
    ran = run(*words_of(command, files, task, captions, images, tmp_path / 'out'))
    assert ran.code == 2 and ran.err.count('\n') == 1 and not (tmp_path / 'out').exists()
    assert f'expected weights for {files.config}; got none' in ran.err and 'random' in ran.err


@pytest.mark.parametrize('command', ['predict', 'pseudo-label'])
def test_random_weights_may_be_asked_for(run, files, task, captions, images, tmp_path, command):
    ran = run(*words_of(command, files, task, captions, images, tmp_path / 'out'), '--checkpoint',
              'random')
    assert ran.code == 0 and 'random weights' not in ran.err, ran


@pytest.mark.slow
def test_random_weights_may_be_tuned(run, files, task, captions, images, tmp_path):
    ran = run(*words_of('tune', files, task, captions, images, tmp_path / 'out'), '--checkpoint',
              'random')
    assert ran.code == 0, ran


@pytest.mark.slow
def test_test_takes_random_weights_and_refuses_none(files, capsys, tmp_path):
    from glipkit.common.paths import config_root
    from glipkit.worlds import shapes
    from tests.test_evaluation.test_command import MODEL
    shapes.build(tmp_path, num_train_det=1, num_train_grd=1, num_val=2, image_size=96, workers=1)
    config, data = tmp_path / 'mine.py', tmp_path / 'data.py'
    config.write_text(MODEL.format(root=config_root(), model=TINY_CONFIG))
    data.write_text(DATA.format(world=tmp_path))
    words = ['test', str(config), '--work-dir', str(tmp_path / 'work')]
    assert main(words) == 2
    assert f'expected weights for {config}; got none' in capsys.readouterr().err
    assert main([*words, 'random', '--data', str(data)]) == 0
    assert 'coco/AP50' in capsys.readouterr().out
