"""The LVIS benchmark on a small world: what it measures must be the same evaluation."""
from __future__ import annotations

import argparse
import json
import time

import numpy as np
import pytest

from glipkit.benchmarks import evaluation
from glipkit.benchmarks.results import document, to_markdown
from glipkit.errors import UserError


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    evaluation.add_arguments(parser)
    return parser.parse_args(words)


def test_all_candidates_come_to_the_same_scores(tmp_path, monkeypatch):
    pytest.importorskip('lvis')
    monkeypatch.setattr(np, 'float', float, raising=False)  # the job sets it for its process
    evaluation.write_world(tmp_path, 20, 15, 60)
    scores = {}
    for name in evaluation.CANDIDATES:
        job = evaluation.load_job(name, str(tmp_path))
        job()
        scores[name] = evaluation._main_scores(job.details['metrics'])
    for found in scores.values():  # the peer rounds to three digits
        assert set(found) == {'AP', 'APr'} and 0 < found['AP'] < 1
        assert found == pytest.approx(scores[evaluation.PEER], abs=6e-4)


def measured(seconds):
    """As from a process, whose peer may have been given up."""
    def measure(name, folder, limit, memory_gib):
        found = dict(idle_bytes=2**30, peak_bytes=3 * 2**29, given_seconds=limit)
        took = seconds if name == evaluation.PEER else 2.
        return {**found, **(dict(gave_up=took) if isinstance(took, str) else
                            dict(seconds=took, metrics={'lvis_fixed/AP': .25}))}
    return measure


@pytest.mark.parametrize('peer, takes', [
    (50., '25x'), ('TimeoutError: gave up after 60 s', '> 30x'), ('MemoryError', None)])
def test_rows(monkeypatch, peer, takes):
    monkeypatch.setattr(evaluation, '_measure', measured(peer))
    result = evaluation.run(arguments('--images', '2', '--limit', '60'))
    rows = {row['candidate']: row for row in result['rows']}
    assert tuple(rows) == evaluation.CANDIDATES
    assert rows['glipkit fixed'].get('peer takes') == takes
    assert rows['glipkit fixed']['AP'] == .25 and rows['glipkit fixed']['peak GiB'] == 1.5
    assert rows[evaluation.PEER]['seconds'] == peer
    assert '| glipkit fixed |' in to_markdown(document('evaluation', [], result))
    alone = evaluation.run(arguments('--images', '2', '3', '--without-peer'))['rows']
    assert len(alone) == 4 and not any('peer takes' in row for row in alone)


def test_what_takes_too_long_is_given_up():
    with pytest.raises(TimeoutError, match='gave up after 0.05 s'), evaluation.time_limit(.05):
        time.sleep(5)
    with evaluation.time_limit(.05):
        pass
    time.sleep(.1)  # no alarm is left


def test_the_world_is_an_lvis_file_and_repeats(tmp_path):
    texts = []
    for name in ('a', 'b'):
        (tmp_path / name).mkdir()
        details = evaluation.write_world(tmp_path / name, 5, 20, 30)
        texts.append((tmp_path / name / 'lvis.json').read_text())
    world = json.loads(texts[0])
    assert texts[0] == texts[1]
    assert details == dict(images=5, classes=20, boxes=len(world['annotations']), detections=150)
    for image in world['images']:
        present = {a['category_id'] for a in world['annotations'] if a['image_id'] == image['id']}
        assert present and not present & set(image['neg_category_ids'])
        assert present >= set(image['not_exhaustive_category_ids'])
    with np.load(tmp_path / 'a' / 'detections.npz') as found:
        boxes = found['boxes']
        assert boxes.shape == (150, 4) and (boxes[:, 2:] > boxes[:, :2]).all()
        assert found['labels'].max() < 20 and found['first'].tolist() == [0, 30, 60, 90, 120, 150]


def test_bad_numbers():
    with pytest.raises(UserError, match='positive'):
        evaluation.run(arguments('--images', '0'))
