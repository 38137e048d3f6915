"""``glipkit bench names`` on a tiny model and a tiny world."""
from __future__ import annotations

import json

import pytest

from glipkit.apis.predictor import Predictor
from glipkit.benchmarks import names
from glipkit.benchmarks.names import Asked
from glipkit.cli.main import main
from glipkit.data.formats.coco_json import read_coco_json
from glipkit.testing.tiny_glip import write_config
from glipkit.worlds import shapes


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp('world')
    shapes.build(folder, num_train_det=1, num_train_grd=1, num_val=3, image_size=96, workers=1)
    return folder


def test_what_a_picture_is_asked_for(world):
    truth = read_coco_json(world / 'annotations/val.json')
    asked = Asked(truth, world / 'images/val', tuple(truth.images), seed=0)
    for image_id in truth.images:
        own = {row['category_id'] for row in truth.annotations if row['image_id'] == image_id}
        few, more, everything = (asked.names(image_id, number) for number in (0, 6, None))
        assert set(few) == own and few == sorted(few)
        assert len(more) == len(own) + 6 and own < set(more)
        assert set(more) < set(asked.names(image_id, 30)) and more == asked.names(image_id, 6)
        assert everything == list(truth.classes) == asked.names(image_id, 999)
    assert asked.names(1, 6) != Asked(truth, asked.images, asked.chosen, seed=1).names(1, 6)


def test_a_row_for_every_number_and_what_is_done_stays(world, tmp_path, capsys, monkeypatch):
    config = write_config(tmp_path)
    monkeypatch.setattr(names, 'CHUNK', 2)
    words = ['bench', 'names', '--model', str(config), '--checkpoint', 'random', '--data',
             str(world), '--pictures', '3', '--further', '0', '3', '--out', str(tmp_path / 'out')]
    assert main(words) == 0
    content = json.loads((tmp_path / 'out/names.json').read_text())
    assert [row['further names'] for row in content['rows']] == [0, 3]
    first, second = content['rows']
    assert second['asked, mean'] == pytest.approx(first['asked, mean'] + 3)
    assert {'best label', 'best label, seen', 'best label, unseen', 'best label, caption_only',
            'labels per object'} <= set(first)
    assert first['labels per object'] == 0  # random weights score below the threshold
    assert str(world) not in content['command']
    units = sorted((tmp_path / 'out/names/units').glob('*.json'))
    assert [path.name for path in units] == ['0-0.json', '0-2.json', '3-0.json', '3-2.json']
    assert json.loads(units[0].read_text())['detections']
    # Again: the unit that is gone alone is done.
    units[1].unlink()
    asked, call = [], Predictor.__call__
    monkeypatch.setattr(Predictor, '__call__', lambda self, image, *rest, **more: (
        asked.append(image.name), call(self, image, *rest, **more))[1])
    assert main(words) == 0
    assert asked == ['000003.jpg']
    capsys.readouterr()
    assert main([*words[:-2], '--seed', '1', *words[-2:]]) == 2
    assert 'other settings or data: seed' in capsys.readouterr().err


@pytest.mark.parametrize(('words', 'said'), [
    (['--further', '-1'], 'numbers of at least 0, or all'), (['--pictures', '0'], 'at least 1'),
    (['--data', 'nowhere'], 'glipkit world'), (['--model', 'glip-none'], 'glip-none')])
def test_wrong_input_is_one_line(world, capsys, words, said):
    assert main(['bench', 'names', '--data', str(world), *words]) == 2
    line, = capsys.readouterr().err.splitlines()
    assert said in line
