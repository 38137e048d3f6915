"""What surrounds a graph: descriptions, words, and files that are none."""
from __future__ import annotations

import json

import numpy as np
import pytest

import glipkit.runtime
from glipkit.errors import UserError
from glipkit.runtime import model
from glipkit.runtime.description import Description
from glipkit.runtime.words import Words

ABOUT = Description(
    model='m', version='1', weights='ab', classes=('a', 'b, c'), starts=(0, ), score_threshold=.3,
    image=dict(channels='bgr'), size=(64, 96), rules=dict(kind='regions'), category_ids=(7, 9))


def test_a_description_comes_back():
    assert Description.from_json(ABOUT.to_json(), 'x') == ABOUT
    assert Description.from_json(
        json.dumps({**json.loads(ABOUT.to_json()), 'new': 1}), 'x') == ABOUT


@pytest.mark.parametrize('text', [None, '', '[]', '{}', '{"format": "glipkit-export-9"}',
                                  '{"format": "glipkit-export-1"}'])
def test_a_description_of_something_else(text):
    with pytest.raises(UserError, match='got some.onnx .*; export it again'):
        Description.from_json(text, 'some.onnx')


def test_words_come_back(tmp_path):
    words = Words(('a', 'é'), (0, 1), 'ab', dict(hidden=np.ones((2, 3), np.float32)))
    words.write(tmp_path / 'w.npz')
    found = Words.read(tmp_path / 'w.npz')
    assert (found.classes, found.starts, found.weights) == (('a', 'é'), (0, 1), 'ab')
    np.testing.assert_array_equal(found.tensors['hidden'], words.tensors['hidden'])


@pytest.mark.parametrize('content', [b'', b'no zip', b'PK\x03\x04 cut off'])
def test_words_that_are_none(tmp_path, content):
    (tmp_path / 'w.npz').write_bytes(content)
    with pytest.raises(UserError, match='expected words that glipkit export wrote'):
        Words.read(tmp_path / 'w.npz')


def test_words_with_objects_are_not_run(tmp_path):
    np.savez(tmp_path / 'w.npz', about=np.array({'format': print}, dtype=object))
    with pytest.raises(UserError, match='expected words'):
        Words.read(tmp_path / 'w.npz')


@pytest.mark.parametrize('name, message', [
    ('model.pt', r'expected an exported model \(.onnx, .xml\)'), ('none.onnx', 'got no file at'),
    ('broken.onnx', 'expected a model that can be read')])
def test_models_that_are_none(tmp_path, name, message):
    if name.startswith('broken'):
        pytest.importorskip('onnxruntime')
        (tmp_path / name).write_bytes(b'nothing')
    with pytest.raises(UserError, match=message):
        glipkit.runtime.load(tmp_path / name)


@pytest.mark.parametrize('arguments, message', [
    (dict(score_threshold=float('nan')), 'a score threshold between 0 and 1'),
    (dict(score_threshold='0.3'), 'a score threshold between 0 and 1'),
    (dict(score_threshold=-1), 'a score threshold between 0 and 1'),
    (dict(per_object='best'), "'one' or 'all' as per_object"),
    (dict(channel_order='hsv'), "'bgr' or 'rgb' as channel_order"),
    (dict(boxes=[[0, 0, 5]]), r'boxes as an array \(N, 4\)'),
    (dict(boxes=[0, 0, 5, 5]), r'boxes as an array \(N, 4\)'),
    (dict(boxes=[[5, 5, 1, 1]]), 'boxes as x1 < x2 and y1 < y2'),
    (dict(boxes=[[20, 20, 30, 30]]), 'boxes inside the image of 10 x 8 pixels')])
def test_arguments_are_those_of_the_predictor(monkeypatch, arguments, message):
    class Silent:
        metadata = ABOUT.to_json()

    monkeypatch.setattr(model, 'open_engine', lambda path, threads: Silent())
    detect = model.load('m.onnx')
    monkeypatch.setattr(model, 'prepare', lambda *args: None)
    with pytest.raises(UserError, match=message):
        detect(np.zeros((8, 10, 3), np.uint8), **arguments)
