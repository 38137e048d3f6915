import numpy as np
import pytest

from glipkit.data import LvisDetection
from glipkit.data.transforms import SampleClassPrompt
from glipkit.errors import UserError
from glipkit.text.negatives import sample_classes

CLASSES = [(3, 'aerosol_can'), (5, 'bow_(weapon)'), (9, 'cup'), (11, 'dog'), (12, 'cat')]


def image(image_id, negative=(), partial=(), **content):
    url = f'http://images.cocodataset.org/val2017/{image_id:012d}.jpg'
    return dict(id=image_id, width=64, height=48, coco_url=url, neg_category_ids=list(negative),
                not_exhaustive_category_ids=list(partial), **content)


@pytest.fixture
def build(tmp_path, write_json):

    def make(images, annotations=(), **kwargs):
        write_json('lvis.json', dict(
            images=images,
            categories=[dict(id=i, name=n, frequency='f') for i, n in reversed(CLASSES)],
            annotations=[dict(id=k, image_id=i, category_id=c, bbox=[4, 4, 20, 20])
                         for k, (i, c) in enumerate(annotations)]))
        return LvisDetection('lvis.json', data_root=str(tmp_path), **kwargs)

    return make


def test_absent_and_partial_classes_are_labels(build, tmp_path):
    data = build([image(7, [9, 3, 9], [11])], [(7, 11), (7, 5)])
    sample = data.get_data_info(0)
    assert sample['text'] == tuple(name for _, name in CLASSES)
    assert sample['img_path'] == str(tmp_path / 'val2017/000000000007.jpg')
    assert sample['absent_labels'] == [0, 2] and sample['not_exhaustive_labels'] == [3]
    assert [i['bbox_label'] for i in sample['instances']] == [3, 1]


def test_a_file_name_comes_before_the_url(build, tmp_path):
    data = build([image(7, [3], file_name='val2017/x.jpg')])
    assert data.get_data_info(0)['img_path'] == str(tmp_path / 'val2017/x.jpg')


def test_a_subset_of_classes(build):
    data = build([image(7, [9, 3], [11, 12])], [(7, 11)],
                 metainfo=dict(classes=['cat', 'dog', 'cup']))
    sample = data.get_data_info(0)
    assert sample['absent_labels'] == [2] and sample['not_exhaustive_labels'] == [0, 1]


def test_images_about_which_nothing_is_known(build, monkeypatch):
    log = []
    monkeypatch.setattr('glipkit.data.formats.coco.print_log', lambda text, *_: log.append(text))
    images = [image(1, [3]), image(2, [], [9]), image(3)]
    data = build(images, [(3, 5)])
    assert [data.get_data_info(i)['img_id'] for i in range(len(data))] == [1, 3]
    assert '1 images without boxes and absent classes' in log[-1]
    assert len(build(images, test_mode=True)) == 3


@pytest.mark.parametrize('record, message', [
    (dict(id=1, coco_url='a/b.jpg', not_exhaustive_category_ids=[]), 'neg_category_ids'),
    (dict(id=1, coco_url='a/b.jpg', neg_category_ids=[], not_exhaustive_category_ids=['3']),
     'not_exhaustive'),
    (dict(id=1, neg_category_ids=[], not_exhaustive_category_ids=[]), 'file_name'),
])
def test_bad_images_are_named(build, record, message):
    with pytest.raises(UserError, match=message) as caught:
        build([record])
    assert 'lvis.json' in str(caught.value)


def prompt(sample, **kwargs):
    transform = SampleClassPrompt(**kwargs)
    labels = np.array([i['bbox_label'] for i in sample['instances']], dtype=np.int64)
    return transform(dict(sample, gt_bboxes_labels=labels))


def test_negatives_are_verified_ones(build):
    data = build([image(7, [9, 3, 11], [11]), image(8, [], [9]), image(9, [12, 5])],
                 [(7, 5), (8, 3)])
    np.random.seed(0)
    first = [prompt(data.get_data_info(0)) for _ in range(60)]
    # the weapon is there; the dog is said to be absent, but not everywhere
    assert {frozenset(p['text']) for p in first} == {
        frozenset({'bow_(weapon)', 'cup'}), frozenset({'bow_(weapon)', 'aerosol_can'}),
        frozenset({'bow_(weapon)', 'cup', 'aerosol_can'})}
    assert all(p['text'][p['gt_bboxes_labels'][0]] == 'bow_(weapon)' for p in first)
    assert not {'absent_labels', 'not_exhaustive_labels'} & first[0].keys()
    assert {prompt(data.get_data_info(1))['text'] for _ in range(9)} == {('aerosol_can', )}
    third = {frozenset(prompt(data.get_data_info(2))['text']) for _ in range(30)}
    assert third == {frozenset({'cat'}), frozenset({'bow_(weapon)'}),
                     frozenset({'cat', 'bow_(weapon)'})}


def test_nothing_left_to_ask_about(build):
    sample = dict(text=('dog', 'cat'), instances=[], absent_labels=[1], not_exhaustive_labels=[1])
    assert prompt(sample) is None


def test_partial_classes_without_a_list_of_absent_ones():
    sample = dict(text=('dog', 'cat', 'cow'), instances=[], not_exhaustive_labels=[1])
    np.random.seed(0)
    assert set().union(*(prompt(sample)['text'] for _ in range(20))) == {'dog', 'cow'}


def test_candidates_of_the_sampler():
    names, lengths = ['__background__', 'a', 'b', 'c', 'd'], [2] * 5
    draw = lambda **kw: sorted(sample_classes(  # noqa: E731
        names=names, lengths=lengths, rng=np.random.default_rng(1), full_prob=1, **kw))
    assert draw(positives=[1], candidates=[0, 1, 3, 3]) == [1, 3]
    assert draw(positives=[1], candidates=[]) == [1]
    assert draw(positives=[], candidates={2, 4}) == [2, 4]
    with pytest.raises(UserError, match='labels from 0 to 4'):
        draw(positives=[1], candidates=[5])
