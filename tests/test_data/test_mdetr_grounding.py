import pytest

from glipkit.data import FlickrGrounding, MdetrGrounding
from glipkit.errors import UserError

CAPTION = 'a man left of a red cup. the man sits.'
MAN, CUP, HE = [2, 5], [16, 23], [29, 32]


def image(image_id=1, **content):
    return {**dict(id=image_id, file_name=f'{image_id}.jpg', height=80, width=100, caption=CAPTION,
                   tokens_negative=[[0, len(CAPTION)]], dataset_name='mixed'), **content}


def box(spans, bbox=(10, 20, 30, 40), image_id=1, **content):
    return {**dict(id=0, image_id=image_id, category_id=1, bbox=list(bbox), area=1, iscrowd=0,
                   tokens_positive=spans), **content}


@pytest.fixture
def build(tmp_path, write_json):

    def make(images, annotations, reader=MdetrGrounding, **kwargs):
        write_json('a.json', dict(images=images, annotations=annotations, categories=[], info={}))
        return reader('a.json', data_root=str(tmp_path), **kwargs)

    return make


def boxes(sample):
    return [(i['bbox'], i['bbox_label']) for i in sample['instances']]


def test_boxes_with_the_same_spans_are_one_phrase(build, tmp_path):
    data = build([image()], [box([CUP], (80, 10, 30, 40)), box([HE, MAN]), box([CUP]),
                             box([MAN, HE, MAN], (0, 0, 5, 5))])
    sample = data.get_data_info(0)
    assert sample['text'] == CAPTION and sample['img_path'] == str(tmp_path / '1.jpg')
    assert sample['phrases'] == [[(16, 23)], [(2, 5), (29, 32)]]
    assert boxes(sample) == [([80, 10, 100, 50], 0), ([10, 20, 40, 60], 1), ([10, 20, 40, 60], 0),
                             ([0, 0, 5, 5], 1)]


def test_one_picture_may_have_several_captions(build):
    data = build([image(4), image(2, file_name='4.jpg', caption='it')],
                 [box([[0, 2]], image_id=2), box([CUP], image_id=4)])
    assert [data.get_data_info(i)['img_id'] for i in range(2)] == [4, 2]
    assert [data.get_data_info(i)['text'] for i in range(2)] == [CAPTION, 'it']
    assert [data.get_data_info(i)['phrases'] for i in range(2)] == [[[(16, 23)]], [[(0, 2)]]]


def test_folders_of_sources(build, tmp_path):
    images = [image(1, data_source='vg'), image(2, data_source='coco')]
    data = build(images, [], source_prefix=dict(vg='gqa/images', coco='coco/train2014'))
    assert [data.get_data_info(i)['img_path'] for i in range(2)] == [
        str(tmp_path / 'gqa/images/1.jpg'), str(tmp_path / 'coco/train2014/2.jpg')]
    with pytest.raises(UserError, match="image 2: 'coco'"):
        build(images, [], source_prefix=dict(vg='gqa/images'))


def test_what_is_dropped_is_counted(build, monkeypatch):
    log = []
    monkeypatch.setattr('glipkit.data.formats.mdetr.print_log', lambda text, *_: log.append(text))
    build([image()], [box([CUP], (99, 0, 9, 9)), box([[5, 6]]), box([CUP], image_id=9),
                      box([CUP], iscrowd=1), box([])])
    assert log[-1].endswith(
        '1 captions, 0 boxes; dropped: 1 boxes of images that are not listed, 1 crowd boxes, '
        '1 degenerate boxes, 2 regions whose phrase is not in the caption')


@pytest.mark.parametrize('images, annotations, message', [
    ([image()], [box([[2, 99]])], r'annotations\[0\].*\[2, 99\]'),
    ([image()], [box([MAN]), box([[5, 2]])], r'annotations\[1\].*\[5, 2\]'),
    ([image()], [box(None)], r'annotations\[0\]: None'),
    ([image()], [box([MAN], (1, 2, 3))], r'annotations\[0\].*\[1, 2, 3\]'),
    ([image()], [dict(bbox=[1, 2, 3, 4], tokens_positive=[])], 'image_id'),
    ([image()], ['box'], 'image_id'),
    ([image(caption=None)], [], 'image 1: None'),
    ([image(), image()], [], 'id 1 again'),
    ([image(height='tall')], [], 'height'),
    ([dict(id=1, caption='')], [], 'file_name'),
    (None, [], "without images"),
    ([image()], {}, 'without annotations'),
])
@pytest.mark.parametrize('reader', [MdetrGrounding, FlickrGrounding])
def test_damage_is_named(build, images, annotations, message, reader):
    with pytest.raises(UserError, match=message) as caught:
        build(images, annotations, reader)
    assert 'a.json' in str(caught.value)


def test_flickr_sizes_may_be_strings(build):
    data = build([image(height='80', width='100', sentence_id=0)], [box([CUP], (80, 60, 30, 40))],
                 FlickrGrounding)
    sample = data.get_data_info(0)
    assert (sample['height'], sample['width']) == (80, 100)
    assert boxes(sample) == [([80, 60, 100, 80], 0)]


def test_flickr_test_sets_ask_for_the_phrases_to_evaluate(build):
    # one box stands for two phrases: separateGT joins boxes that are nearly the same
    record = image(tokens_positive_eval=[[HE], [MAN], [CUP]])
    annotations = [box([MAN, HE]), box([CUP], (0, 0, 9, 9)), box([CUP], (5, 5, 9, 9))]
    training = build([record], annotations, FlickrGrounding).get_data_info(0)
    assert training['phrases'] == [[(2, 5), (29, 32)], [(16, 23)]]
    sample = build([record], annotations, FlickrGrounding, test_mode=True).get_data_info(0)
    assert sample['phrases'] == [[(29, 32)], [(2, 5)], [(16, 23)]]
    assert boxes(sample) == [([10, 20, 40, 60], 0), ([10, 20, 40, 60], 1), ([0, 0, 9, 9], 2),
                             ([5, 5, 14, 14], 2)]


@pytest.mark.parametrize('phrases', [None, [[[2, 99]]], ['man']])
def test_flickr_test_sets_need_these_phrases(build, phrases):
    with pytest.raises(UserError, match='tokens_positive_eval'):
        build([image(tokens_positive_eval=phrases)], [], FlickrGrounding, test_mode=True)


def test_flickr_sentences_without_a_phrase_are_not_asked(build):
    images = [image(1, tokens_positive_eval=[]), image(2, tokens_positive_eval=[[CUP]])]
    assert [s['img_id'] for s in build(images, [], FlickrGrounding, test_mode=True)] == [2]


def test_an_odd_data_source_is_refused(tmp_path, write_json):
    image = dict(id=1, file_name='0.png', width=64, height=48, caption='a dog', data_source=['vg'])
    write_json('mixed.json', dict(images=[image], annotations=[]))
    with pytest.raises(UserError, match=r"data_source among \['vg'\]"):
        MdetrGrounding('mixed.json', data_root=str(tmp_path), source_prefix={'vg': ''})
