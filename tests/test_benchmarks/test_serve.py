"""``glipkit bench serve`` on a tiny model."""
from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from glipkit.apis.detections import Detections
from glipkit.benchmarks.serve import Answer, is_wrong
from glipkit.benchmarks.serve_load import QUESTIONS, SIZES, make_calls
from glipkit.cli.main import main
from glipkit.testing.tiny_glip import write_config


def test_calls_have_all_sizes_and_questions_and_bad_ones_among_them():
    calls = make_calls(200, 0)
    bad = [call for call in calls if call.status != 200]
    assert len(bad) == 25 and {call.status for call in bad} == {400, 413, 422}
    assert len({call.key for call in calls}) == 1 + len(SIZES) * len(QUESTIONS)
    assert {call.image.size for call in calls} == set(SIZES)


def test_what_counts_as_wrong():
    call = make_calls(1, 0)[0]
    found = Detections(np.float32([[1, 2, 5, 9]]), np.float32([.5]), np.array([0]), ('dog', ),
                       (60, 90))
    row = {'category_name': 'dog', 'bbox': [1, 2, 4, 7], 'score': .5}
    alone = {call.key: (found, .1)}

    def wrong(status=200, **changes):
        answer = Answer(call, 1., status, {'annotations': [{**row, **changes}]})
        return is_wrong(answer, alone)

    assert not wrong() and not wrong(bbox=[1.005, 2, 4, 7])
    assert wrong(503) and wrong(category_name='cat') and wrong(bbox=[1.1, 2, 4, 7])
    assert wrong(score=.51)
    assert is_wrong(Answer(call, 1., 200, {'annotations': []}), alone)
    bad = replace(call, status=422)
    assert is_wrong(Answer(bad, 1., 200, {}), alone)
    assert is_wrong(Answer(bad, 1., 422, {}), alone)  # without a word
    assert not is_wrong(Answer(bad, 1., 422, {'error': 'expected b; got c; d'}), alone)


@pytest.mark.slow
def test_a_small_load_has_no_wrong_answer(tmp_path, capsys):
    config = write_config(tmp_path)
    assert main(['bench', 'serve', '--model', str(config), '--checkpoint', 'random', '--threshold',
                 '0', '--clients', '4', '--requests', '40', '--batch-size', '2', '--out',
                 str(tmp_path)]) == 0
    content = json.loads((tmp_path / 'serve.json').read_text())
    whole = content['rows'][-1]
    assert content['wrong'] == [] and whole['wrong'] == whole['status 5xx'] == 0
    assert whole['count'] == 40 and {row['request'] for row in content['rows']} == {
        'all', 'bad input', *QUESTIONS}
    memory = [mib for count, mib in content['memory'] if count >= 10]
    assert memory[-1] < 1.2 * memory[0] + 20
