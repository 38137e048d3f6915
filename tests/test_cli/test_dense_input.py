"""Bad input for maps, masks and pixels: exit code 2 and one line that says what to do."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glipkit.cli.main import main
from glipkit.common.paths import config_root
from glipkit.testing import tiny_dense_clip, tiny_fvit, tiny_glip
from glipkit.testing.tiny_pretraining import write_crops_training
from tests.test_evaluation.test_segmentation_recipes import SMALL, write_released

RECIPE = str(config_root() / 'clipself/clipself-b16_segment.py')
LABELS = 'ADEChallengeData2016/annotations/validation/1.png'
SEGMENTS = 'coco/annotations/panoptic_val2017/1.png'


@pytest.fixture
def refused(capsys):
    def check(words: list[str], said: str, code: int = 2) -> None:
        """One line of a command with the exit code 2, which says this."""
        assert main(words) == code
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith(f'glipkit {words[0]}: error: expected ') and said in error, error
        assert error.count('; got ') == 1

    return check


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    write_released(tmp_path / 'data')
    monkeypatch.chdir(tmp_path)
    return tmp_path / 'data'


@pytest.mark.slow
@pytest.mark.parametrize(('data', 'file', 'pixels', 'said', 'workers'), [
    ('ade20k_semantic', LABELS, np.zeros((48, 63), np.uint8), 'labels of 64 x 48 pixels', 0),
    ('ade20k_semantic', LABELS, np.full((48, 64), 151, np.uint8), 'values of 150 classes', 1),
    ('coco_panoptic_segments', SEGMENTS, np.zeros((47, 64, 3), np.uint8), '64 x 48 pixels', 1),
    ('coco_panoptic_segments', SEGMENTS, np.full((48, 64, 3), 7, np.uint8),
     'ids of the segments that the json lists', 0)])
def test_pictures_of_labels(place, refused, data, file, pixels, said, workers):
    """Those of another size than their image, and with values that nobody knows."""
    Image.fromarray(pixels).save(place / file)
    refused(['test', RECIPE, 'random', '--data', data, '--cfg-options', *SMALL,
             f'test_dataloader.num_workers={workers}'], said)


@pytest.mark.slow
def test_masks_of_a_segmenter_of_another_size(place, refused):
    (place / 'coco/sam').mkdir()
    for number in (1, 2):
        Image.new('RGB', (64, 40), (5, 0, 0)).save(place / f'coco/sam/{number}.png')
    refused(['test', RECIPE, 'random', '--data', 'coco_panoptic_segments', '--cfg-options', *SMALL,
             'test_dataloader.dataset.masks.ann_file=sam.json',
             'test_dataloader.dataset.masks.seg=sam/'], '64 x 48 pixels')


def test_towers_and_models_without_a_map(tmp_path, refused):
    photo = tmp_path / 'a.png'
    Image.fromarray(tiny_glip.picture()).save(photo)
    config = tiny_dense_clip.write_config(tmp_path)
    config.write_text(config.read_text().replace(
        "backbone=dict(type='EvaViT', image_size=64, width=32, layers=2, heads=2, embed_dim=64)",
        "backbone=dict(type='ClipResNet', layers=(1, 1, 1, 1), width=8, embed_dim=64, heads=4, "
        "image_size=64)"))
    words = ['predict', str(photo), '--checkpoint', 'random', '--classes', 'dog, sky', '--out',
             str(tmp_path / 'out'), '--config']
    refused([*words, str(config)], 'a tower with a dense map')
    refused([*words, str(tiny_glip.write_config(tmp_path)), '--segment'],
            'a model with a dense map')
    assert not (tmp_path / 'out').exists()


def test_shares_outside_of_0_to_1(tmp_path, refused):
    """Of the detector's two classifiers, and of a distillation's mixed weights."""
    photo = tmp_path / 'a.png'
    Image.fromarray(tiny_glip.picture()).save(photo)
    config = tiny_fvit.write_config(tmp_path)
    config.write_text(config.read_text() + "model['test_cfg']['alpha'] = 1.5\n")
    refused(['predict', str(photo), '--checkpoint', 'random', '--classes', 'dog', '--out',
             str(tmp_path / 'out'), '--config', str(config)], 'alpha from 0 to 1; got 1.5')
    training = write_crops_training(tmp_path, tmp_path / 'images.json', tmp_path)
    training.write_text(training.read_text().replace('alpha=0.7', 'alpha=-0.7'))
    refused(['train', str(training), '--work-dir', str(tmp_path / 'run')],
            'alpha from 0 to 1; got -0.7')
    assert not list((tmp_path / 'run').glob('*.pth'))
