"""The benchmark of a distillation's step: equal losses, and a table."""
from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from glipkit.benchmarks import distil_step
from glipkit.testing.tiny_pretraining import write_crops_training


@pytest.fixture
def work(tmp_path):
    config = write_crops_training(tmp_path, Path('images.json'), Path('images'))
    return dict(config=str(config), batch=2, side=64, crops=5, dtype='float32', threads=1,
                device='cpu', seed=0)


def test_both_ways_learn_the_same(work):
    steps = [make(**work) for make in (distil_step.ours, distil_step.plain)]
    for step in steps:
        step()
        step()
    one, other = (step.details['losses'] for step in steps)
    assert one == pytest.approx(other, abs=1e-5) and one[1] < one[0]
    assert steps[0].text is None and steps[1].text is not None
    assert steps[0].model.backbone.with_cp and not steps[1].model.backbone.with_cp


@pytest.mark.slow
def test_the_table(work):
    parser = argparse.ArgumentParser()
    distil_step.add_arguments(parser)
    args = parser.parse_args(['--config', work['config'], '--image', '64', '--crops', '5',
                              '--threads', '1', '--dtype', 'float32', '--warmup', '0'])
    result = json.loads(json.dumps(distil_step.run(args)))
    assert [row['candidate'] for row in result['rows']] == [distil_step.OURS, distil_step.PLAIN]
    assert all(row['CPU s'] > 0 and row['peak GiB'] > 0 for row in result['rows'])
    assert float(result['setting']['difference of the first losses']) < 1e-5
    assert result['setting']['memory / the plain way'] < 1
