"""The report of a run: what is read from logs, and the files that are written."""
import json

import numpy as np
import pytest
from PIL import Image

from glipkit.apis.detections import Detections
from glipkit.reports.pictures import plot_curves, plot_grid, read_scalars, write_markdown


@pytest.fixture
def run_folder(tmp_path):
    """A run that was cut off after step 2 and resumed from step 1."""
    for name, entries in (
        ('20260101_000000', [dict(step=1, loss=4.0), dict(step=2, loss=3.0)]),
        ('20260101_000500', [dict(step=2, loss=2.5), dict(step=3, loss=2.0),
                             {'step': 3, 'coco/AP50': 0.25}])):
        folder = tmp_path / name / 'vis_data'
        folder.mkdir(parents=True)
        (folder / 'scalars.json').write_text('\n'.join(map(json.dumps, entries)) + '\n')
    return tmp_path


def test_resumed_runs_are_one_curve(run_folder):
    scalars = read_scalars(run_folder)
    assert [(e['step'], e['loss']) for e in scalars.training] == [(1, 4.0), (2, 2.5), (3, 2.0)]
    assert [e['coco/AP50'] for e in scalars.evaluations] == [0.25]


def test_curves_are_drawn_with_and_without_evaluations(run_folder, tmp_path):
    plot_curves(read_scalars(run_folder), tmp_path / 'curves.png', ['coco/AP50'])
    with Image.open(tmp_path / 'curves.png') as image:
        assert image.width > 500
    plot_curves(read_scalars(tmp_path / 'nothing'), tmp_path / 'empty.png', ['coco/AP50'])


def test_grid_holds_two_rows_per_four_images(tmp_path):
    path = tmp_path / 'image.png'
    Image.new('RGB', (40, 20), (200, 0, 0)).save(path)
    boxes = np.array([[5, 5, 25, 15]], np.float32)
    some = Detections(boxes, np.array([0.9], np.float32), np.array([0]), ('red', ), (20, 40), path)
    none = some[np.array([False])]
    plot_grid([(some, none)] * 5, tmp_path / 'grid.png', cell=80)
    with Image.open(tmp_path / 'grid.png') as image:
        assert image.size == (4 * 80, 4 * 80)
        assert image.getpixel((40, 100)) == (200, 0, 0)  # a prediction row, nothing drawn
        first = np.asarray(image.crop((0, 0, 80, 40)))
    assert (first != np.array([200, 0, 0])).any()


def test_markdown(tmp_path):
    write_markdown(tmp_path / 'r.md', 'Run', dict(world='shapes'), dict(AP50=0.25),
                   {'Curves': 'curves.png'})
    text = (tmp_path / 'r.md').read_text()
    assert '# Run' in text and '| AP50 | 0.250 |' in text and '![Curves](curves.png)' in text


def test_lines_that_a_kill_has_cut_off_are_passed_over(tmp_path):
    folder = tmp_path / '20260101_000000/vis_data'
    folder.mkdir(parents=True)
    (folder / 'scalars.json').write_bytes(
        b'{"loss": 1.0, "step": 1}\n{"coco/AP": 0.5, "step": 1}\n17\n\0\0\0\n\xe9\n'
        b'{"loss": 0.5, "st')
    found = read_scalars(tmp_path)
    assert [entry['loss'] for entry in found.training] == [1.0]
    assert [entry['coco/AP'] for entry in found.evaluations] == [0.5]
