"""Exported files find what the predictor finds, where PyTorch is not installed."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import glipkit
from glipkit.apis.tasks import fingerprint
from glipkit.benchmarks.runtimes import keep_torch_away
from glipkit.errors import UserError
from glipkit.export import ExportSettings, export_model
from glipkit.export.description import describe
from glipkit.export.graph import make_graph
from glipkit.export.onnx_file import onnx_program, write_onnx
from glipkit.export.question import make_question
from glipkit.runtime import load
from glipkit.testing import tiny_clip_rcnn, tiny_glip

pytest.importorskip('onnxscript')
pytest.importorskip('onnxruntime')
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
#: As many names as two prompts of glip-mini take.
SHAPES = ('red circle', 'blue star', 'green square', 'yellow triangle', 'purple ring',
          'orange cross', 'small striped red star', 'large dotted blue circle',
          'small plain green ring', 'large striped yellow square', 'black diamond',
          'dotted orange triangle', 'striped purple square', 'plain blue triangle', 'white cross')
#: Runs in a process without PyTorch: a file, pictures and thresholds in, detections out.
WORKER = '''
import json, sys
import numpy as np
import glipkit, glipkit.runtime
path, pictures = json.loads(sys.argv[1])
detect = glipkit.runtime.load(path, threads=1)
found = []
for picture in pictures:
    one = detect(picture, score_threshold=0.06, per_object='all')
    found.append([one.boxes.tolist(), one.scores.tolist(), one.labels.tolist(), one.names])
    one.to_coco(), one.to_yolo(), len(detect(picture)), one.one_per_object()
try:
    glipkit.load('glip-mini')
except ImportError as error:
    told = str(error)
loaded = sorted({name.partition('.')[0] for name in sys.modules})
print('RESULT', json.dumps([found, told, loaded]))
'''


@pytest.fixture(scope='module')
def shapes(tmp_path_factory):
    """glip-mini, its files by their endings, and raw outputs of the detector."""
    folder = tmp_path_factory.mktemp('mini')
    model = glipkit.load('glip-mini')
    question = make_question(model, SHAPES, None)
    settings = ExportSettings(size=(192, 320))
    form = model.tensor_form(question.query)
    text = describe(question, form, settings, ()).to_json()
    program = onnx_program(make_graph(form, settings), form.divisor)
    write_onnx(program, folder / 'mini.onnx', text)
    try:
        from glipkit.export.openvino_file import write_openvino
        write_openvino(program, folder / 'mini.xml', text, 'float32')
    except UserError:  # it is not installed
        pass
    image = torch.randn(1, 3, 192, 320, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        raw = dict(zip(form.outputs, form(image, *form.words.values())))
    return model, folder, image.numpy(), raw


@pytest.fixture(scope='module')
def drawn(tmp_path_factory):
    """Pictures of shapes in the proportions of the graph, so that nothing is padded."""
    from glipkit.worlds import shapes as world
    folder = tmp_path_factory.mktemp('world')
    world.build(folder, num_train_det=1, num_train_grd=1, num_val=3, image_size=320, workers=1)
    found = []
    for path in sorted((folder / 'images/val').iterdir()):
        with Image.open(path) as picture:
            picture.convert('RGB').resize((320, 192)).save(folder / path.with_suffix('.png').name)
        found.append(folder / path.with_suffix('.png').name)
    return found


def suffixes():
    return ['.onnx', pytest.param('.xml', marks=pytest.mark.skipif(
        not _there('openvino'), reason='OpenVINO is not installed'))]


def _there(name):
    from importlib.util import find_spec
    return find_spec(name) is not None


@pytest.mark.parametrize('suffix', suffixes())
def test_raw_outputs(shapes, suffix):
    _, folder, image, raw = shapes
    found = load(folder / f'mini{suffix}', threads=1).raw(image)
    assert sorted(found) == sorted(raw)
    for name in ('scores', 'centerness'):
        assert np.abs(found[name] - raw[name].numpy()).max() < 1e-4
    # Boxes in parts of the image, as float32 has no more digits.
    assert np.abs(found['boxes'] - raw['boxes'].numpy()).max() / 320 < 1e-4


@pytest.mark.parametrize('suffix', suffixes())
def test_without_torch(shapes, drawn, suffix, tmp_path):
    model, folder, _, _ = shapes
    first = keep_torch_away(tmp_path)
    done = subprocess.run(
        [sys.executable, '-c', WORKER,
         json.dumps([str(folder / f'mini{suffix}'), [str(path) for path in drawn]])],
        capture_output=True, text=True, timeout=120, cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join([str(first), str(ROOT)])})
    assert done.returncode == 0, done.stderr[-2000:]
    found, told, loaded = json.loads(done.stdout.split('RESULT ')[1])
    assert 'needs PyTorch' in told
    assert not {'torch', 'torchvision', 'mmdet', 'mmengine', 'mmcv', 'timm'} & set(loaded)
    predict = glipkit.Predictor(model, score_threshold=0.06, per_object='all')
    expected = predict(drawn, classes=SHAPES)
    assert sum(map(len, expected)) > 3
    for (boxes, scores, labels, names), one in zip(found, expected, strict=True):
        assert labels == one.labels.tolist() and names == one.names
        np.testing.assert_allclose(scores, one.scores, atol=1e-4)
        np.testing.assert_allclose(np.reshape(boxes, (-1, 4)), one.boxes, atol=1e-2)


def test_what_a_file_says_of_itself(shapes):
    model, folder, _, _ = shapes
    about = load(folder / 'mini.onnx').about
    assert about.classes == SHAPES and len(about.starts) > 1
    assert about.weights == fingerprint(model) and about.version == glipkit.__version__
    assert about.image['divisor'] == 32 and about.image['channels'] == 'bgr'
    np.testing.assert_allclose(about.image['mean'], [103.53, 116.28, 123.675])
    assert about.size == (192, 320) and about.score_threshold == 0.6  # of its config


@pytest.fixture(scope='module')
def open_words(tmp_path_factory):
    """A tiny detector whose words are an input and whose graph suppresses."""
    folder = tmp_path_factory.mktemp('open')
    torch.manual_seed(0)
    model = glipkit.load(tiny_glip.write_config(folder), 'random')
    settings = ExportSettings(size=(64, 96), text_input=True, nms=True)
    export_model(model, folder / 'open.onnx', ('dog', 'white cat', 'a tree'), settings=settings)
    return model, folder


def test_words_as_an_input(open_words):
    model, folder = open_words
    others = ('red circle', 'blue star', 'green ring', 'a house', 'some long name of a thing',
              'one more of them', 'and another one', 'the last')
    export_model(model, folder / 'others.npz', others, settings=ExportSettings(format='words'))
    predict = glipkit.Predictor(model, score_threshold=0., per_object='all')
    picture = tiny_glip.picture(0, (64, 96))
    for words, classes in ((None, ('dog', 'white cat', 'a tree')),
                           (folder / 'others.npz', others)):
        detect = load(folder / 'open.onnx', words, threads=1)
        found, = predict(picture, classes=classes)
        one = detect(picture, 0., per_object='all')
        assert one.names == found.names and len(one)
        np.testing.assert_allclose(one.scores, found.scores, atol=1e-5)
        np.testing.assert_allclose(one.boxes, found.boxes, atol=1e-2)


def test_words_of_another_model(open_words, tmp_path):
    _, folder = open_words
    config = tiny_glip.write_config(tmp_path)
    torch.manual_seed(1)
    export_model(glipkit.load(config, 'random'), tmp_path / 'w.npz', ('dog', ),
                 settings=ExportSettings(format='words'))
    with pytest.raises(UserError, match='expected words of this model'):
        load(folder / 'open.onnx', tmp_path / 'w.npz')


def test_regions_of_images_of_any_size(tmp_path):
    torch.manual_seed(0)
    model = glipkit.load(tiny_clip_rcnn.write_config(tmp_path), 'random')
    classes = ('dog', 'white cat', 'a tree')
    export_model(model, tmp_path / 'regions.onnx', classes)
    detect = load(tmp_path / 'regions.onnx', threads=1)
    predict = glipkit.Predictor(model, score_threshold=0., per_object='all')
    for seed, size in enumerate([(64, 96), (70, 50), (200, 300)]):
        picture = tiny_glip.picture(seed, size)
        found, = predict(picture, classes=classes)
        one = detect(picture, 0., per_object='all')
        assert len(one) == len(found) > 3
        np.testing.assert_allclose(one.scores, found.scores, atol=1e-4)
    boxes = [[5, 5, 40, 40], [0, 0, 50, 60]]
    given = detect(picture, 0., boxes=boxes, per_object='all')
    assert len(given) <= 6 and not len(detect(picture, 0., boxes=[]))
    with pytest.raises(UserError, match='boxes of finite numbers'):
        detect(picture, boxes=[[0, 0, np.nan, 5]])
