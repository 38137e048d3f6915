import numpy as np
import pytest
from mmengine.dataset import Compose
from PIL import Image

from glipkit.data import CocoDetection, DrawSampler, MixedDataset
from glipkit.errors import UserError

LOAD = [dict(type='mmdet.LoadImageFromFile', imdecode_backend='pillow')]


@pytest.fixture
def build(tmp_path, write_image, write_json, coco):
    """build('012'): five images of which the named ones are damaged."""

    def make(damaged, backend='pillow', **kwargs):
        for i in range(5):
            write_image(f'{i}.png', seed=i)
            path = tmp_path / 'images' / f'{i}.png'
            if str(i) in damaged:
                content = {0: b'', 1: b'no image', 2: path.read_bytes()[:600], 3: None}.get(i)
                path.unlink() if content is None else path.write_bytes(content)
        write_json('det.json', coco([(i, f'{i}.png', 64, 48) for i in range(5)], [], [(1, 'dog')]))
        pipeline = [dict(LOAD[0], imdecode_backend=backend)]
        return CocoDetection('det.json', data_root=str(tmp_path), data_prefix=dict(img='images'),
                             pipeline=pipeline, **kwargs)

    return make


@pytest.fixture
def log(monkeypatch):
    lines = []
    monkeypatch.setattr('glipkit.data.grounding_dataset.print_log', lambda t, *_: lines.append(t))
    return lines


@pytest.mark.parametrize('backend', ['pillow', 'cv2'])
def test_training_goes_on_with_another_image(build, log, backend):
    data = build('013' if backend == 'cv2' else '0123', backend)
    np.random.seed(0)
    ids = {data[i]['img_id'] for _ in range(5) for i in (0, 1, 3)}
    assert ids <= ({2, 4} if backend == 'cv2' else {4})
    assert len(log) == (3 if backend == 'cv2' else 4)
    assert all('Unreadable image' in line for line in log)
    assert '0.png' in log[0] and log[2].endswith('(3 such files so far)')
    assert not any('object at' in line for line in log)


def test_the_replacement_depends_on_the_draw_alone(build, log):
    def ids():
        dataset = MixedDataset([build('01')], seed=5)
        stream = iter(DrawSampler(dataset))
        return [dataset[next(stream)]['img_id'] for _ in range(20)]

    first = ids()
    np.random.seed(123)
    assert ids() == first
    assert set(first) == {2, 3, 4}


def test_too_many_in_a_row_stop_the_training(build, log):
    with pytest.raises(UserError, match='4 unusable ones in a row') as caught:
        build('0123', max_refetch=3, indices=[0, 1, 2, 3])[0]
    assert 'images' in str(caught.value) and '.png' in str(caught.value)
    assert len(log) <= 4


def test_a_pipeline_that_drops_everything_stops_too(build):
    data = build('', max_refetch=3)
    data.pipeline.transforms.append(lambda results: None)
    with pytest.raises(UserError, match='dropped every one'):
        data[0]


@pytest.mark.parametrize('index', range(4))
def test_a_test_set_refuses(build, index):
    with pytest.raises(UserError, match=f'{index}.png') as caught:
        build('0123', test_mode=True)[index]
    assert '\n' not in str(caught.value)


def test_errors_of_transforms_are_not_taken_for_images(build):
    def broken(results):
        raise KeyError('a bug')

    data = build('')
    data.pipeline.transforms.append(broken)
    with pytest.raises(KeyError, match='a bug'):
        data[0]


@pytest.mark.parametrize('load', [dict(LOAD[0]), dict(type='glipkit.LoadImage'),
                                  dict(type='mmdet.LoadImageFromFile', imdecode_backend='cv2')])
def test_training_sees_16_bits_as_8(build, tmp_path, load):
    data = build('', test_mode=True)
    data.pipeline = Compose([load])
    grey = np.arange(64 * 48, dtype=np.uint16).reshape(48, 64) % 256
    Image.fromarray(grey * 257).save(tmp_path / 'images' / '0.png')
    np.testing.assert_array_equal(data[0]['img'], np.repeat(grey[..., None], 3, 2))
    Image.fromarray(grey.astype(np.float32)).save(tmp_path / 'images' / '0.png', 'TIFF')
    with pytest.raises(UserError, match='0.png'):
        data[0]
