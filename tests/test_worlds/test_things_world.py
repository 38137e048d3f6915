"""The things world: names without a size, each half in every colour and shape."""
import json

import numpy as np

from glipkit.worlds import things


def test_names_and_halves():
    assert len(things.NAMES) == 42 == len(set(things.NAMES))
    assert len(things.BASE) == len(things.NOVEL) == 21
    for half in (things.BASE, things.NOVEL):
        colours, shapes = ({name.split()[i] for name in half} for i in (0, 1))
        assert len(colours) == 7 and len(shapes) == 6


def test_a_small_world(tmp_path):
    things.build(tmp_path, num_train_det=6, num_train_grd=4, num_val=5, image_size=96, workers=1)
    content = json.loads((tmp_path / 'annotations/val.json').read_text())
    assert [c['name'] for c in content['categories']] == list(things.NAMES)
    sides = np.array([max(a['bbox'][2:]) for a in content['annotations']]) / 96
    assert (sides < things.SMALL).any() and (sides > things.SMALL).any()
    line = json.loads((tmp_path / 'annotations/grd_train.jsonl').read_text().splitlines()[0])
    assert line['grounding']['regions'] and 'large' not in line['grounding']['caption']
    assert len(json.loads((tmp_path / 'annotations/det_train.json').read_text())['images']) == 6
