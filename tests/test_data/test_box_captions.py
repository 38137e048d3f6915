"""Boxes as pictures with captions."""
import numpy as np
import pytest

from glipkit.data import BoxCaptions, CropToBox
from glipkit.errors import UserError

PIPELINE = [dict(type='LoadImageFromFile', imdecode_backend='pillow'),
            dict(type='glipkit.CropToBox', margin=(0., 0.), fixed=True),
            dict(type='Resize', scale=(8, 8)), dict(type='glipkit.PackGrounding')]


@pytest.fixture
def build(tmp_path, write_image, write_json, coco):
    write_image('a.png', 64, 48)
    write_json('det.json', coco(
        [(1, 'a.png', 64, 48)],
        [(1, 5, [10, 20, 8, 8]), (1, 6, [0, 0, 8, 8], 1), (1, 6, [70, 60, 9, 9]),
         (1, 6, [30, 4, 6, 12])], [(5, 'large red circle'), (6, 'small star')]))

    def make(**kwargs):
        return BoxCaptions('det.json', data_root=str(tmp_path), data_prefix=dict(img='images'),
                           **kwargs)

    return make


def test_a_sample_per_box_without_crowds_and_boxes_outside(build, write_image):
    data = build(pipeline=PIPELINE, test_mode=True, leave_out=['large', 'small'])
    assert [data[i]['data_samples'].text for i in range(len(data))] == ['a red circle', 'a star']
    pixels = write_image('a.png', 64, 48)[20:28, 10:18, ::-1]
    assert np.array_equal(data[0]['inputs'].numpy(), pixels.transpose(2, 0, 1))
    assert len(data[0]['data_samples'].gt_instances.bboxes) == 0


def test_phrases_of_grounding_lines(tmp_path, write_image, write_lines):
    write_image('a.png', 64, 48)
    write_lines('grd.jsonl', [dict(filename='a.png', width=64, height=48, grounding=dict(
        caption='a red dog and two cats', regions=[
            dict(bbox=[1, 2, 11, 12], phrase='red dog', tokens_positive=[[2, 9]]),
            dict(bbox=[[20, 2, 31, 32], [40, 2, 50, 30]], phrase='cats')]))])
    data = BoxCaptions('grd.jsonl', data_root=str(tmp_path), data_prefix=dict(img='images'))
    assert [(s['name'], s['crop_box']) for s in map(data.get_data_info, range(len(data)))] == [
        ('red dog', [1, 2, 11, 12])]
    write_lines('bad.jsonl', [dict(filename='a.png', detection={})])
    with pytest.raises(UserError, match='bad.jsonl:1'):
        BoxCaptions('bad.jsonl', data_root=str(tmp_path), data_prefix=dict(img='images'))


def test_captions_are_drawn_from_templates_in_training(build):
    data = build(templates=['a {}', 'some {}'])
    np.random.seed(0)
    found = {data.draw_sample(0)['text'] for _ in range(20)}
    assert found == {'a large red circle', 'some large red circle'}
    assert build(templates=['a {}', 'b {}'], test_mode=True).draw_sample(1)['text'] == \
        'a small star'
    assert 'text' not in data.get_data_info(0), 'the stored sample keeps its name'


@pytest.mark.parametrize('templates', [[], 'a {}', ['a thing']])
def test_templates_without_a_place_are_refused(build, templates):
    with pytest.raises(UserError, match='templates'):
        build(templates=templates)


def test_the_square_repeats_the_edge_outside_the_image():
    image = np.arange(4 * 6).reshape(4, 6, 1).repeat(3, 2).astype(np.uint8)
    step = CropToBox(margin=(0., 1.), fixed=True)
    found = step.transform(dict(img=image, crop_box=[0, 0, 2, 2]))
    # side 2 * (1 + 2 * 0.5) = 4 around the centre (1, 1): one row and column outside
    assert found['img'][..., 0].tolist() == [[0, 0, 1, 2], [0, 0, 1, 2], [6, 6, 7, 8],
                                             [12, 12, 13, 14]]
    assert found['img_shape'] == (4, 4) and 'crop_box' not in found


def test_the_whole_thing_stays_in_a_moved_crop():
    image = np.zeros((60, 60, 3), np.uint8)
    image[20:30, 20:40] = 255
    step = CropToBox(margin=(.1, .5))
    np.random.seed(1)
    for _ in range(20):
        found = step.transform(dict(img=image, crop_box=[20, 20, 40, 30]))['img']
        assert (found[..., 0] > 0).sum() == 200
        assert found.shape[0] == found.shape[1]


def test_impossible_margins_are_refused():
    with pytest.raises(UserError, match='margin'):
        CropToBox(margin=(.5, .1))
