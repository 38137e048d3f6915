"""The same annotations, whichever file carried them, give the same samples."""
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glipkit.data import CocoDetection, OdvgGrounding

NAMES = ['dog', 'red cat', 'bird', 'traffic_light']
W, H = 100, 80
boxes = st.tuples(st.integers(-20, 110), st.integers(-20, 90), st.integers(-1, 130),
                  st.integers(-1, 100))
objects = st.lists(st.tuples(boxes, st.integers(0, 3)), max_size=6)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('formats')


@settings(max_examples=60, deadline=None)
@given(st.lists(objects, min_size=1, max_size=3), st.sampled_from([0, 1, 7]))
def test_detection(folder, images, first_id):
    content = dict(
        images=[dict(id=i, file_name=f'{i}.png', width=W, height=H) for i in range(len(images))],
        categories=[dict(id=first_id + 2 * i, name=n) for i, n in enumerate(NAMES)],
        annotations=[
            dict(id=n, image_id=i, category_id=first_id + 2 * label, bbox=box)
            for i, image in enumerate(images) for n, (box, label) in enumerate(image)])
    (folder / 'a.json').write_text(json.dumps(content))
    (folder / 'labels.json').write_text(json.dumps(dict(enumerate(NAMES))))
    (folder / 'a.jsonl').write_text('\n'.join(
        json.dumps(dict(filename=f'{i}.png', width=W, height=H, detection=dict(instances=[
            dict(bbox=[x, y, x + w, y + h], label=label, category=NAMES[label])
            for (x, y, w, h), label in image]))) for i, image in enumerate(images)))
    assert samples(CocoDetection('a.json', **at(folder))) == samples(
        OdvgGrounding('a.jsonl', label_map_file='labels.json', **at(folder)))


@settings(max_examples=60, deadline=None)
@given(st.lists(objects, min_size=1, max_size=3))
def test_captions_with_and_without_spans(folder, images):
    caption = 'A dog, a red cat; the Dog and one bird (a birdie) at the traffic_light'
    spans = [[[2, 5], [22, 25]], [[9, 16]], [[34, 38]], [[57, 70]]]

    def write(name, region_of):
        (folder / name).write_text('\n'.join(
            json.dumps(dict(filename=f'{i}.png', width=W, height=H, grounding=dict(
                caption=caption, regions=region_of(image)))) for i, image in enumerate(images)))
        return samples(OdvgGrounding(name, **at(folder)))

    def corners(box):
        return [box[0], box[1], box[0] + box[2], box[1] + box[3]]

    def grouped(image):
        labels = list(dict.fromkeys(label for _, label in image))
        return [dict(phrase=NAMES[k], bbox=[corners(b) for b, label in image if label == k])
                for k in labels]

    by_span = write('s.jsonl', lambda image: [
        dict(bbox=corners(b), phrase='?', tokens_positive=spans[k]) for b, k in image])
    by_phrase = write('p.jsonl', lambda image: [
        dict(bbox=corners(b), phrase=NAMES[k]) for b, k in image])
    assert by_span == by_phrase
    for one, other in zip(by_phrase, write('g.jsonl', grouped)):
        assert one['phrases'] == other['phrases']
        key = lambda i: (i['bbox_label'], i['bbox'])  # noqa: E731
        assert sorted(one['instances'], key=key) == sorted(other['instances'], key=key)


def at(folder):
    # mmengine collects garbage when it serialises, which takes longer than the test
    return dict(data_root=str(folder), serialize_data=False)


def samples(dataset):
    listed = [dataset.get_data_info(i) for i in range(len(dataset))]
    for sample in listed:
        del sample['img_id']
    return listed
