"""The commands of README.md, run one after the other on a few small stand-ins."""
from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from glipkit.apis.build import load
from glipkit.checkpoints import save_checkpoint
from glipkit.cli.main import main
from glipkit.testing.tiny_glip import write_config
from glipkit.worlds import shapes
from tests.test_documents import ROOT, command_lines

pytestmark = pytest.mark.slow

#: Beginning of a command -> what is added to it here, so that it ends soon.
SHORTER = {
    'glipkit predict photos/ --model glip-photo': '',
    'glipkit models  ': '',
    'glipkit convert': '',
    'glipkit env': '',
    'glipkit check-data': '',
    'glipkit tune': '--set schedule.max_epochs=1',
    'glipkit predict photos/ --task': '',
    'glipkit prepare objects365': '',
    'glipkit world shapes': '--train-det 8 --train-grd 8 --val 2',
    'glipkit train glip-mini': '--cfg-options train_cfg.max_iters=2',
    'glipkit test glip-mini': '',
    'glipkit pseudo-label': '',
    'glipkit browse': '',
}
#: Beginning of a command -> why it is only parsed (in test_documents).
NOT_RUN = {
    'make': 'makes an environment',
    'pip': 'downloads',
    'torchrun': 'tests/test_engine has two processes',
    'glipkit models fetch': 'downloads',
    'glipkit predict photos/ --model glip-t ': 'downloads',
    'glipkit odinw': 'takes the thirteen data sets',
    'glipkit test glip-t-c': 'takes the weights and images of LVIS',
    'glipkit bench': 'takes minutes',
    'glipkit serve': 'ends when it is told to: tests/test_serve',
}
#: Stand-ins for files that come from elsewhere or from a long run: made before this command.
BEFORE = {
    'glipkit test glip-mini':
        lambda: shutil.copy('work_dirs/mini/iter_2.pth', 'work_dirs/mini/iter_1300.pth'),
}
CLASSES = ('large red plain circle', 'large blue dotted star')


def make_photos(folder: Path) -> None:
    """Pictures of two classes, their COCO json, and a caption for each."""
    images, annotations, captions = [], [], []
    (folder / 'photos').mkdir()
    (folder / 'captions').mkdir()
    for number in range(8):
        picture, things = shapes.draw_scene(CLASSES, 192, np.random.default_rng(number))
        picture.save(folder / f'photos/{number}.jpg')
        images.append(dict(id=number, file_name=f'{number}.jpg', width=192, height=192))
        for thing in things:
            x1, y1, x2, y2 = thing.box
            annotations.append(dict(id=len(annotations), image_id=number, iscrowd=0,
                                    category_id=CLASSES.index(thing.name), area=(x2-x1) * (y2-y1),
                                    bbox=[x1, y1, x2 - x1, y2 - y1]))
        captions.append(dict(filename=f'{number}.jpg', width=192, height=192,
                             caption='a large red circle and a blue star'))
    categories = [dict(id=i, name=name) for i, name in enumerate(CLASSES)]
    (folder / 'train.json').write_text(json.dumps(
        dict(images=images, annotations=annotations, categories=categories)))
    # A source of its own, as its owners name the images.
    for image in images:
        image['file_name'] = f'images/v2/patch16/{image["file_name"]}'
    (folder / 'zhiyuan_objv2_train.json').write_text(json.dumps(
        dict(images=images, annotations=annotations, categories=categories)))
    (folder / 'captions/00000.jsonl').write_text(
        ''.join(json.dumps(line) + '\n' for line in captions[:2]))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_photos(tmp_path)
    torch.manual_seed(0)
    (tmp_path / 'tiny').mkdir()
    save_checkpoint(load(write_config(tmp_path / 'tiny')), tmp_path / 'tiny.safetensors')
    monkeypatch.chdir(tmp_path)
    assert main(['convert', 'tiny.safetensors', 'glip_tiny_model_o365_goldg.pth', '--to',
                 'official']) == 0
    return tmp_path


@pytest.mark.filterwarnings('ignore')
def test_commands_of_the_readme(folder):
    ran = []
    for line in command_lines((ROOT / 'README.md').read_text(encoding='utf-8')):
        if line.startswith(tuple(NOT_RUN)):
            continue
        start = next((start for start in SHORTER if line.startswith(start)), None)
        assert start is not None, f'{line}: add it to SHORTER or to NOT_RUN'
        BEFORE.get(start, bool)()
        words = shlex.split(line, comments=True)[1:] + shlex.split(SHORTER[start])
        assert main(words) == 0, line
        ran.append(start)
    assert set(ran) == set(SHORTER), 'SHORTER has commands that README.md lacks'
    for name in ('results/predictions.csv', 'glip-t-c.safetensors', 'tuned/task.safetensors',
                 'tuned/report.md', 'data/objects365/annotations/objects365_train.jsonl',
                 'results/metrics.json', 'pseudo/manifest.json', 'browse.html'):
        assert (folder / name).is_file(), name
