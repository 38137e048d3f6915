"""What cannot be exported is one line, and nothing is written."""
from __future__ import annotations

import pytest

from glipkit.apis.build import load
from glipkit.apis.tasks import make_task, save_task
from glipkit.errors import UserError
from glipkit.export import ExportSettings, export_model
from glipkit.testing import tiny_clip_rcnn, tiny_dense_clip, tiny_glip


@pytest.fixture(scope='module')
def configs(tmp_path_factory):
    folder = tmp_path_factory.mktemp('configs')
    return {module.__name__.rpartition('_')[2]: module.write_config(folder)
            for module in (tiny_glip, tiny_clip_rcnn, tiny_dense_clip)}


def refused(message, tmp_path, *args, **kwargs):
    before = sorted(tmp_path.rglob('*'))
    with pytest.raises(UserError, match=message) as caught:
        export_model(*args, **kwargs)
    assert '\n' not in str(caught.value) and sorted(tmp_path.rglob('*')) == before


@pytest.mark.parametrize('fields, message', [
    (dict(format='tflite'), r"expected a format \(onnx, openvino, words\); got 'tflite'"),
    (dict(dtype='float16'), 'got .float16.; onnxruntime computes in float32'),
    (dict(format='openvino', dtype='int8'), 'eight bits do not pay here'),
    (dict(dtype='float8'), "expected for onnx a dtype of float32; got 'float8'")])
def test_forms_that_are_none(fields, message):
    with pytest.raises(UserError, match=message):
        ExportSettings(**fields)


@pytest.mark.parametrize('name, message', [
    ('model.pt', 'a name that ends in .onnx'), ('there.onnx', 'there.onnx, which exists'),
    ('none/model.onnx', 'none, which does not; make it first')])
def test_places(tmp_path, configs, name, message):
    (tmp_path / 'there.onnx').touch()
    refused(message, tmp_path, configs['glip'], tmp_path / name, ['dog'], checkpoint='random')


def test_what_would_be_written_too(tmp_path, configs):
    (tmp_path / 'a.npz').touch()
    refused('a.npz, which would be written too', tmp_path, configs['glip'], tmp_path / 'a.onnx',
            ['dog'], settings=ExportSettings(text_input=True), checkpoint='random')


@pytest.mark.parametrize('classes, message', [
    (None, 'expected class names or a task file; got neither'),
    ([], 'expected at least one class name'), (['dog', ''], 'expected')])
def test_words(tmp_path, configs, classes, message):
    refused(message, tmp_path, configs['glip'], tmp_path / 'a.onnx', classes, checkpoint='random')


def test_classes_and_a_task(tmp_path, configs):
    refused('got both', tmp_path, configs['glip'], tmp_path / 'a.onnx', ['dog'], 'a.safetensors')


def test_a_task_of_another_model(tmp_path, configs):
    model = load(configs['glip'], 'random')
    task = make_task(model, dict(name='manual'), {}, {1: 'dog'}, 'another', 'other')
    save_task(task, tmp_path / 't.safetensors')
    refused('expected a task of this model', tmp_path, model, tmp_path / 'a.onnx', None,
            tmp_path / 't.safetensors')


def test_sizes(tmp_path, configs):
    refused('expected a size of multiples of 32 pixels; got 100x64; pass --size 128x64', tmp_path,
            configs['glip'], tmp_path / 'a.onnx', ['dog'], settings=ExportSettings(size=(64, 100)),
            checkpoint='random')
    refused('expected a size for a model that needs one', tmp_path, configs['clip'],
            tmp_path / 'a.onnx', ['dog'], checkpoint='random')


def test_no_weights(tmp_path, configs):
    refused('expected weights', tmp_path, configs['glip'], tmp_path / 'a.onnx', ['dog'])
