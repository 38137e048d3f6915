from __future__ import annotations

import json

import numpy as np
import pytest

from glipkit.evaluation.functional import FederatedTruth, lvis_ap, make_spool
from glipkit.evaluation.functional.lvis_ap import SCORE_NAMES

from .lvis_world import random_world


@pytest.fixture
def lvis(monkeypatch):
    """The package, which writes np.float for float."""
    monkeypatch.setattr(np, 'float', float, raising=False)
    return pytest.importorskip('lvis')


def fill(spool, truth, detections):
    """All images of the truth, with and without detections."""
    for i, image_id in enumerate(truth.image_ids):
        own = detections['image_id'] == image_id
        category = np.searchsorted(truth.category_ids, detections['category_id'][own])
        spool.add(i, category, detections['boxes'][own], detections['scores'][own])
    return spool


def ours(world, detections, protocol, **bounds):
    truth = FederatedTruth.from_records(**world)
    spool = make_spool(len(truth.category_ids), protocol)
    for name, value in bounds.items():
        setattr(spool, name, value)
    return lvis_ap(truth, fill(spool, truth, detections))


def records(detections):
    rows = zip(*(detections[k].tolist() for k in ('image_id', 'category_id', 'boxes', 'scores')))
    return [dict(image_id=i, category_id=c, bbox=b, score=s) for i, c, b, s in rows]


def package(lvis, path, world, found, max_dets):
    """Scores of the package itself, overall and per class."""
    path.write_text(json.dumps(world))
    truth = lvis.LVIS(str(path))
    evaluation = lvis.LVISEval(truth, lvis.LVISResults(truth, found, max_dets=max_dets), 'bbox')
    evaluation.params.max_dets = max_dets
    evaluation.run()
    precision = evaluation.eval['precision'][..., 0]
    per_class = {}
    for k, category_id in enumerate(evaluation.params.cat_ids):
        values = precision[:, :, k][precision[:, :, k] > -1]
        per_class[category_id] = values.mean() if values.size else -1
    return {name: evaluation.results[name] for name in SCORE_NAMES}, per_class


def best_per_class(world, found, limit):
    """At most ``limit`` records a class; of equal scores those of lower image ids."""
    order = {i: k for k, i in enumerate(sorted(image['id'] for image in world['images']))}
    kept = []
    for category in world['categories']:
        own = [f for f in found if f['category_id'] == category['id']]
        kept += sorted(own, key=lambda f: (-f['score'], order[f['image_id']]))[:limit]
    return kept


@pytest.mark.parametrize('seed', range(4))
def test_fixed_ap_is_the_packages_without_its_cap(lvis, tmp_path, seed):
    world, detections = random_world(seed)
    found = best_per_class(world, records(detections), 40)
    assert len(found) < len(detections['scores'])
    expected, per_class = package(lvis, tmp_path / 'lvis.json', world, found, -1)
    scores = ours(world, detections, 'fixed', per_class=40)
    assert 0 < expected['AP'] < .9 and 'fixed' in scores.protocol
    assert scores.overall == pytest.approx(expected, abs=1e-9)
    assert {c: s['AP'] for c, s in scores.per_class.items()} == pytest.approx(per_class, abs=1e-9)


@pytest.mark.parametrize('seed', range(4))
def test_capped_ap_is_the_packages(lvis, tmp_path, seed):
    world, detections = random_world(seed, per_image=20)
    assert np.unique(detections['image_id'], return_counts=True)[1].max() > 30
    expected, per_class = package(lvis, tmp_path / 'lvis.json', world, records(detections), 30)
    scores = ours(world, detections, 'capped', per_image=30)
    assert scores.overall == pytest.approx(expected, abs=1e-9)
    assert {c: s['AP'] for c, s in scores.per_class.items()} == pytest.approx(per_class, abs=1e-9)


@pytest.mark.parametrize('protocol, num_images, num_classes, max_dets', [
    pytest.param('fixed', 300, 200, -1, marks=pytest.mark.slow), ('capped', 60, 60, 300)])
def test_with_the_bounds_of_the_protocols(lvis, tmp_path, protocol, num_images, num_classes,
                                          max_dets):
    world, detections = random_world(9, num_images, num_classes, per_image=3, junk=400)
    assert np.unique(detections['image_id'], return_counts=True)[1].max() > 300
    found = records(detections)
    if protocol == 'fixed':
        found = best_per_class(world, found, 10_000)
    expected, _ = package(lvis, tmp_path / 'lvis.json', world, found, max_dets)
    assert ours(world, detections, protocol).overall == pytest.approx(expected, abs=1e-9)


def test_a_reporter_hears_of_each_class():
    from glipkit.common.reporter import Bar, Reporter, reporting

    class Listener(Reporter):

        def bar(self, title, total=None, unit='item', done=0, scale=False):
            self.heard, self.shown = (title, total, unit), Bar(done)
            return self.shown

    world, detections = random_world(0)
    with reporting(Listener()) as listener:
        ours(world, detections, 'fixed')
    assert listener.heard == ('LVIS AP', len(world['categories']), 'class')
    assert listener.shown.done == len(world['categories'])
