"""The commands of README.md and docs/, run one after the other on a few small stand-ins.

tests/test_documents.py reads all of them by the parser that they are meant for.
"""
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
    'glipkit tune train.json': '--set schedule.max_epochs=1 --track tensorboard',
    'glipkit predict photos/ --task': '',
    'glipkit push anna/fish --task tuned/task.safetensors --license mit --dry-run': '',
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
    'glipkit serve': 'ends when it is stopped: tests/test_serve',
    'glipkit export': 'tests/test_export',
    'glipkit predict clip.mp4': 'takes a video: tests/test_cli/test_predict_video.py',
    'glipkit models fetch': 'downloads',
    'glipkit predict photos/ --model glip-t ': 'downloads',
    'glipkit odinw': 'takes the thirteen data sets',
    'glipkit test glip-t-c': 'takes the weights and images of LVIS',
    'glipkit bench': 'takes minutes',
}
#: As SHORTER, of commands that only docs/ has; they run after those of README.md.
SHORTER_IN_DOCS = {
    'glipkit world things': '--train-det 4 --train-grd 4 --val 2',
    'glipkit predict new.jpg --task': '',
    'glipkit predict aerial/': '',
    'glipkit predict photos/ --classes query.yaml': '',
    'glipkit predict photos/ --classes "cup, plate"': '',
    'glipkit predict photos/ --classes "with helmet': '',
}
#: As NOT_RUN, of commands that only docs/ has.
NOT_RUN_IN_DOCS = {
    'glipkit demo': 'takes minutes; tests/test_cli/test_demo.py has a short one',
    'glipkit world stamps': 'takes a package of Debian; tests/test_worlds draws stamps of its own',
    'glipkit prepare flickr30k': 'takes published files; tests/test_data/test_preparation',
    'glipkit prepare odinw': 'takes published files; tests/test_data/test_preparation',
    'glipkit test glip-mini --classes query.yaml': 'tests/test_evaluation/test_command.py',
    'glipkit tune train.json --images photos/ --query': 'tests/test_tuning',
    'glipkit convert RELEASED.pth': 'takes released weights; tests/test_checkpoints',
    'glipkit convert regionclip': 'takes released weights; tests/test_checkpoints',
    'glipkit convert detector.safetensors': 'takes released weights; tests/test_checkpoints',
    'glipkit test configs/': 'takes released weights, and a world of the size of the card',
    'glipkit test clipself': 'takes released weights and data',
    'glipkit test glip-t ': 'takes released weights and data',
    'glipkit pseudo-label captions/ --images photos/ --teacher glip-t': 'takes released weights',
    'glipkit pseudo-label captions/ --images photos/ --model glip-t': 'downloads',
    'glipkit models where glip-t': 'downloads',
    'glipkit tune fish.json': 'another file than in README.md, the same command',
    'glipkit tune train.json --images photos/ --model glip-t': 'downloads',
    'glipkit tune train.json --images photos/ --out tuned --track': 'as in README.md',
    'glipkit train glip-mini --work-dir work_dirs/mini --track': 'tests/test_engine',
    'glipkit tune fish/': 'takes a folder of another layout; tests/test_cli/test_layouts.py',
    'glipkit predict photos/ --classes fish/data.yaml': 'as above; tests/test_cli/test_layouts.py',
    'glipkit predict photos/ --classes dog --device auto --dtype bf16':
        'some processors are slower at bfloat16, and refuse it; tests/test_apis',
    'glipkit predict "clips/*.mp4"': 'takes videos: tests/test_cli/test_predict_video.py',
    'glipkit predict camera:0': 'takes a camera',
    'glipkit predict rtsp': 'takes a stream: tests/test_cli/test_predict_video.py',
    'glipkit push anna': 'asks the hub; tests/test_cli/test_push.py has one',
    'glipkit predict photo.jpg --task anna/fish': 'asks the hub; tests/test_cli/test_push.py',
    'glipkit predict photo.jpg --model glip-mini --checkpoint anna': 'the same',
}
#: Stand-ins for files that come from elsewhere or from a long run: made before this command.
BEFORE = {
    'glipkit test glip-mini':
        lambda: shutil.copy('work_dirs/mini/iter_2.pth', 'work_dirs/mini/iter_1300.pth'),
    'glipkit predict aerial/': lambda: shutil.copytree('photos', 'aerial'),
    'glipkit predict photos/ --classes query.yaml': lambda: Path('query.yaml').write_text(
        'classes: {cup: [mug], plate: []}\nnegative_classes: [bowl]\nexclusive: [[cup, plate]]\n'),
    'glipkit predict new.jpg --task': lambda: (
        shutil.copy('photos/0.jpg', 'new.jpg'), Path('work_dirs/fish').mkdir(),
        shutil.copy('tuned/task.safetensors', 'work_dirs/fish/task.safetensors')),
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


def beginning(line: str, *known: dict[str, str]) -> str | None:
    """The longest known beginning of a command; None where there is none."""
    found = [start for starts in known for start in starts if line.startswith(start)]
    return max(found, key=len, default=None)


def run_line(line: str, start: str, more: str) -> None:
    BEFORE.get(start, bool)()
    assert main(shlex.split(line, comments=True)[1:] + shlex.split(more)) == 0, line


@pytest.mark.filterwarnings('ignore')
def test_commands_of_the_readme_and_of_docs(folder):
    ran = []
    for line in command_lines((ROOT / 'README.md').read_text(encoding='utf-8')):
        start = beginning(line, SHORTER, NOT_RUN)
        assert start is not None, f'{line}: add it to SHORTER or to NOT_RUN'
        if start in SHORTER:
            run_line(line, start, SHORTER[start])
            ran.append(start)
    assert set(ran) == set(SHORTER), 'SHORTER has commands that README.md lacks'
    for line in lines_of_docs():
        start = beginning(line, SHORTER, NOT_RUN, SHORTER_IN_DOCS, NOT_RUN_IN_DOCS)
        if start in SHORTER_IN_DOCS:
            run_line(line, start, SHORTER_IN_DOCS[start])
    for name in ('results/predictions.csv', 'glip-t-c.safetensors', 'tuned/task.safetensors',
                 'tuned/report.md', 'data/objects365/annotations/objects365_train.jsonl',
                 'results/metrics.json', 'pseudo/manifest.json', 'browse.html'):
        assert (folder / name).is_file(), name


def lines_of_docs() -> list[str]:
    """The commands of all documents but README.md; others begin with glipkit/ or make."""
    return [line for path in sorted((ROOT / 'docs').glob('*.md'))
            for line in command_lines(path.read_text(encoding='utf-8'))]


def test_every_command_of_docs_is_run_or_has_a_reason():
    lists = (SHORTER, NOT_RUN, SHORTER_IN_DOCS, NOT_RUN_IN_DOCS)
    starts = [beginning(line, *lists) for line in lines_of_docs()]
    lost = [line for line, start in zip(lines_of_docs(), starts) if start is None]
    assert not lost, f'{lost}: add them to SHORTER_IN_DOCS or to NOT_RUN_IN_DOCS'
    assert {*SHORTER_IN_DOCS, *NOT_RUN_IN_DOCS} <= set(starts), 'lists have commands that docs lack'
