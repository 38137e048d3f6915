"""The benchmark of exported models: what it compares, and its table."""
from __future__ import annotations

import argparse
import json

import numpy as np
import pytest

from glipkit.benchmarks import export
from glipkit.testing import tiny_glip

RULES = dict(kind='regions', edge=0, nms_iou=.5, max_per_image=9, keep_ties=False)


def outputs(shift=0., other=0.):
    boxes = np.array([[0, 0, 20, 20], [30, 30, 60, 60]], np.float32)
    return dict(boxes=boxes + np.float32(shift),
                scores=np.array([[.9, 0], [other, .8 - other]], np.float32))


def test_differences_by_hand():
    found = export.differences(outputs(), outputs(.001), RULES, (0, ), (90, 90))
    assert found['scores differ'] == '0.0e+00' and found['same boxes'] == '100.0 %'
    assert float(found['boxes differ']) == pytest.approx(1e-3, rel=.02)
    far = export.differences(outputs(), outputs(10.), RULES, (0, ), (90, 90))
    assert far['same boxes'] == '0.0 %'
    other = export.differences(outputs(), outputs(0., .7), RULES, (0, ), (90, 90))
    assert other['same boxes'] == '66.7 %'  # two of its three


@pytest.mark.slow
def test_the_table(tmp_path):
    pytest.importorskip('onnxscript')
    parser = argparse.ArgumentParser()
    export.add_arguments(parser)
    args = parser.parse_args(['--config', str(tiny_glip.write_config(tmp_path)), '--image',
                              '64x96', '--rounds', '2', '--candidates', 'onnxruntime'])
    result = json.loads(json.dumps(export.run(args)))
    plain, ours = result['rows']
    assert (plain['candidate'], ours['candidate']) == (export.TORCH, 'onnxruntime')
    assert float(ours['scores differ']) < 1e-4 and ours['peak GiB'] < plain['peak GiB'] / 2
    assert ours['MiB'] > 0
