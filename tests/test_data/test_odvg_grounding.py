import pytest

from glipkit.data import OdvgGrounding
from glipkit.data.formats.phrase_spans import find_phrase
from glipkit.errors import UserError

CAPTION = 'A man and a woman; the man holds a red cup.'


@pytest.fixture
def build(tmp_path, write_lines, write_json):
    (tmp_path / 'images').mkdir(exist_ok=True)

    def make(*lines, label_map=None, **kwargs):
        write_lines('ann.jsonl', lines)
        if label_map is not None:
            write_json('labels.json', label_map)
            kwargs['label_map_file'] = 'labels.json'
        return OdvgGrounding('ann.jsonl', data_root=str(tmp_path), data_prefix=dict(img='images'),
                             **kwargs)

    return make


def line(**content):
    return dict(filename='a.png', height=80, width=100, **content)


def grounding(*regions, caption=CAPTION):
    return line(grounding=dict(caption=caption, regions=list(regions)))


def detection(*instances):
    return line(detection=dict(instances=list(instances)))


@pytest.mark.parametrize('caption, phrase, spans', [
    (CAPTION, 'man', [(2, 5), (23, 26)]),
    (CAPTION, 'a  RED', [(33, 38)]),
    (CAPTION, 'a red CUP', [(33, 42)]),
    (CAPTION, 'cup.', [(39, 43)]),
    ('two cars, a car_park', 'car', []),
    ('C++ (really)', '(really)', [(4, 12)]),
    ('red\n cup', 'red cup', [(0, 8)]),
    ('naïve café', 'café', [(6, 10)]),
    ('anything', '  ', []),
    ('a.b axb', 'a.b', [(0, 3)]),
    ('manman man', 'man', [(7, 10)]),
    ('aaa a a', 'a a', [(4, 7)]),
    ('一只猫和一只白猫在桌子上', '猫', [(2, 3), (7, 8)]),
    ('穿红色T恤的人', 'T恤', [(3, 5)]),
    ('いぬとねこ', 'ねこ', [(3, 5)]),
    ('แมวบนโต๊ะ', 'โต๊ะ', [(5, 9)]),
    ('แมวบนโต๊ะ', 'โต', []),  # a mark belongs to its letter
    ('cafe\u0301', 'cafe', []),
    ('고양이가 있다', '고양이', []),  # Korean has blanks
])
def test_find_phrase(caption, phrase, spans):
    assert find_phrase(caption, phrase) == spans


def test_grounding_line(build, tmp_path):
    data = build(
        grounding(
            dict(bbox=[1, 2, 30, 40], phrase='man', tokens_positive=[[2, 5]]),
            dict(bbox=[[5, 5, 20, 20], [50, 5, 120, 20]], phrase='woman'),
            dict(bbox=[60, 60, 70, 70], phrase='him', tokens_positive=[[23, 26], [2, 5], [2, 5]]),
            dict(bbox=[2, 2, 9, 9], phrase='a man', tokens_positive=[[2, 5]])))
    sample = data.get_data_info(0)
    assert sample['text'] == CAPTION and sample['img_id'] == 1
    assert sample['img_path'] == str(tmp_path / 'images' / 'a.png')
    assert (sample['height'], sample['width']) == (80, 100)
    assert sample['phrases'] == [[(2, 5)], [(12, 17)], [(2, 5), (23, 26)]]
    assert [(i['bbox'], i['bbox_label']) for i in sample['instances']] == [
        ([1, 2, 30, 40], 0), ([5, 5, 20, 20], 1), ([50, 5, 100, 20], 1), ([60, 60, 70, 70], 2),
        ([2, 2, 9, 9], 0)]


def test_a_caption_without_regions_and_a_phrase_that_is_not_there(build, monkeypatch):
    log = []
    monkeypatch.setattr('glipkit.data.formats.records.print_log', lambda text, *_: log.append(text))
    data = build(grounding(), '', grounding(dict(bbox=[1, 1, 9, 9], phrase='cow'),
                                            dict(bbox=[1, 1, 2, 9], phrase='man'),
                                            dict(bbox=[1, 1, 9, 9], phrase='x',
                                                 tokens_positive=[[17, 18]])))
    assert len(data) == 2
    assert data.get_data_info(0)['phrases'] == [] == data.get_data_info(0)['instances']
    second = data.get_data_info(1)
    assert second['img_id'] == 3  # the number of its line
    assert second['instances'] == [] and second['phrases'] == [[(2, 5), (23, 26)]]
    assert log[0].endswith('2 images, 2 captions, 0 boxes; dropped: 1 degenerate boxes, '
                           '2 regions whose phrase is not in the caption')


def test_detection_line(build):
    data = build(
        detection(dict(bbox=[1, 2, 30, 40], label=7, category='dog'),
                  dict(bbox=[-5, 0, 30, 90], label='2')),
        detection(), label_map={'7': 'dog', '10': 'cow', '2': 'cat'})
    sample = data.get_data_info(0)
    assert sample['text'] == ('cat', 'dog', 'cow') == data.metainfo['classes']
    assert 'phrases' not in sample
    assert [(i['bbox'], i['bbox_label']) for i in sample['instances']] == [
        ([1, 2, 30, 40], 1), ([0, 0, 30, 80], 0)]
    assert data.get_data_info(1)['instances'] == []


def test_one_file_may_hold_both(build):
    data = build(detection(dict(bbox=[1, 2, 3, 4], label=0)), grounding(), label_map={'0': 'dog'})
    assert data.get_data_info(0)['text'] == ('dog', ) and data.get_data_info(1)['text'] == CAPTION


REGION = dict(bbox=[1, 1, 9, 9], phrase='man')
DOG = dict(bbox=[1, 1, 9, 9], label=0)


@pytest.mark.parametrize('bad, message', [
    ('{"filename": "a.png", ', 'JSON object'),
    ('[1]', 'JSON object'),
    (dict(height=3, width=4, grounding={}), 'filename'),
    (line(), '0 of them'),
    (line(grounding=dict(caption='x', regions=[]), detection={}), '2 of them'),
    (line(grounding=dict(regions=[])), 'caption'),
    (dict(filename='a.png', height=-3, width=4, grounding=dict(caption='x')), 'height'),
    (grounding(dict(REGION, bbox=[1, 2, 3])), 'box'),
    (grounding(dict(REGION, bbox=[[1, 2, 3, 4], [1, 2]])), 'box'),
    (grounding(dict(REGION, bbox=[1, 2, 3, 1e999])), 'finite'),
    (grounding(dict(REGION, tokens_positive=[[0, 99]])), r'\[0, 99\]'),
    (grounding(dict(REGION, tokens_positive=[[5, 2]])), r'\[5, 2\]'),
    (grounding(dict(REGION, tokens_positive=[[2, 2]])), r'\[2, 2\]'),
    (grounding(dict(REGION, tokens_positive=[2, 5])), 'tokens_positive'),
    (grounding(dict(REGION, tokens_positive=[[2.0, 5.0]])), 'tokens_positive'),
    (grounding(dict(bbox=[1, 1, 9, 9])), 'phrase'),
    (grounding('man'), 'regions'),
    (detection(dict(DOG, label=1)), 'label 1'),
    (detection(dict(DOG, label=0.7)), 'label 0.7'),
    (detection(dict(bbox=[1, 1, 9, 9])), 'label None'),
    (detection(dict(DOG, category='cat')), "category 'cat'"),
    (detection(dict(DOG, bbox='all')), 'box'),
])
def test_damage_is_named_with_file_and_line(build, bad, message):
    with pytest.raises(UserError, match=message) as caught:
        build(grounding(REGION), '', bad, label_map={'0': 'dog'})
    assert 'ann.jsonl:3' in str(caught.value)


@pytest.mark.parametrize('label_map, message', [
    ({'a': 'dog'}, 'label map'), (['dog'], 'label map'), ({'0': 'dog', '1': 'dog'}, 'again'),
    ({}, 'at least one'), ('{', 'labels.json:1'), ({'0': 3}, 'strings'),
])
def test_damaged_label_maps(build, label_map, message):
    with pytest.raises(UserError, match=message) as caught:
        build(detection(DOG), label_map=label_map)
    assert 'labels.json' in str(caught.value)


def test_what_is_missing_is_named(build, tmp_path):
    with pytest.raises(UserError, match='label_map_file'):
        build(detection(DOG))
    with pytest.raises(UserError, match='nowhere.jsonl'):
        OdvgGrounding('nowhere.jsonl', data_root=str(tmp_path))
    with pytest.raises(UserError, match='none.json'):
        build(detection(DOG), label_map_file='none.json')
    with pytest.raises(UserError, match='at least one image'):
        build('')
    (tmp_path / 'latin.jsonl').write_bytes('{"filename": "é"}'.encode('latin-1'))
    with pytest.raises(UserError, match='UTF-8'):
        OdvgGrounding('latin.jsonl', data_root=str(tmp_path))
