"""The function for CVAT, against a server of its own, with a stand-in for CVAT's library."""
from __future__ import annotations

import io
import sys
import threading
from types import ModuleType, SimpleNamespace

import pytest
import uvicorn
from PIL import Image

from glipkit.serve.api import create_app
from glipkit.serve.cvat import create
from glipkit.serve.running import address_of, bind
from tests.test_serve.conftest import CUPS, encoded, shot


@pytest.fixture(autouse=True)
def cvat(monkeypatch):
    """What the function uses of cvat_sdk 2.80."""
    package, module = ModuleType('cvat_sdk'), ModuleType('cvat_sdk.auto_annotation')
    module.DetectionFunctionSpec = lambda labels: SimpleNamespace(labels=labels)
    module.label_spec = lambda name, id, **more: SimpleNamespace(name=name, id=id, **more)
    module.rectangle = lambda label, points: (label, points)
    package.auto_annotation = module
    monkeypatch.setitem(sys.modules, 'cvat_sdk', package)
    monkeypatch.setitem(sys.modules, 'cvat_sdk.auto_annotation', module)


@pytest.fixture(scope='module')
def address(shared):
    """A server with the token 'secret'; its end leaves the shared service open."""
    app = create_app(shared, page=False, token='secret')
    server = uvicorn.Server(uvicorn.Config(app, log_level='error', lifespan='off', ws='none'))
    with bind('127.0.0.1', 0) as listening:
        thread = threading.Thread(target=server.run, kwargs={'sockets': [listening]})
        thread.start()
        yield address_of(listening)
        server.should_exit = True
        thread.join(20)


def context(threshold=None):
    return SimpleNamespace(conf_threshold=threshold, frame_name='a.jpg', conv_mask_to_poly=False)


def test_rectangles_of_a_frame(address, predict):
    function = create('red circle, "salt, pepper"', url=address + '/', token='secret')
    assert [(label.id, label.name, label.type) for label in function.spec.labels] == [
        (0, 'red circle', 'rectangle'), (1, 'salt, pepper', 'rectangle')]
    # As the function sends the frame.
    sent = Image.open(io.BytesIO(encoded(shot(), 'JPEG', quality=95, subsampling=0)))
    found = predict(sent, classes=['red circle', 'salt, pepper'])[0]
    rectangles = function.detect(context(), shot())
    assert [label for label, _ in rectangles] == list(found.labels) and rectangles
    for (_, points), box in zip(rectangles, found.boxes):
        assert points == pytest.approx(list(box), abs=2e-3)
    assert function.detect(context(1.), shot()) == []
    silent = create('red circle', url=address, token='secret', threshold=1.)
    assert silent.detect(context(), shot()) == [] != silent.detect(context(0.), shot())


def test_a_task_brings_its_labels(address, monkeypatch):
    monkeypatch.setenv('GLIPKIT_TOKEN', 'secret')
    function = create(task='cups', url=address)
    assert [label.name for label in function.spec.labels] == list(CUPS.values())
    assert function.detect(context(), shot(1))
    with pytest.raises(RuntimeError, match=r'a task of the server \(fish, cups\)'):
        create(task='birds', url=address)


def test_what_cannot_be_asked(address, monkeypatch):
    monkeypatch.delenv('GLIPKIT_TOKEN', raising=False)
    for arguments in ({}, {'classes': ' , '}, {'classes': 'a', 'task': 'cups'}):
        with pytest.raises(RuntimeError, match='classes or a task'):
            create(**arguments)
    with pytest.raises(RuntimeError, match='the token of this server'):
        create('dog', url=address).detect(context(), shot())
    with pytest.raises(RuntimeError, match='start it'):
        create('dog', url='http://127.0.0.1:9').detect(context(), shot())
