"""The same annotations, whichever file carried them, give the same samples."""
import base64
import io
import json
import tarfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from glipkit.data import (
    CaptionShards,
    CocoDetection,
    FlickrGrounding,
    LvisDetection,
    MdetrGrounding,
    MixedDataset,
    OdvgGrounding,
    TsvDetection,
)

NAMES = ['dog', 'red cat', 'bird', 'traffic_light']
W, H = 100, 80
CAPTION = 'A dog, a red cat; the Dog and one bird (a birdie) at the traffic_light'
SPANS = [[[2, 5], [22, 25]], [[9, 16]], [[34, 38]], [[57, 70]]]
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
    def write(name, region_of):
        (folder / name).write_text('\n'.join(
            json.dumps(dict(filename=f'{i}.png', width=W, height=H, grounding=dict(
                caption=CAPTION, regions=region_of(image)))) for i, image in enumerate(images)))
        return samples(OdvgGrounding(name, **at(folder)))

    def grouped(image):
        labels = list(dict.fromkeys(label for _, label in image))
        return [dict(phrase=NAMES[k], bbox=[corners(b) for b, label in image if label == k])
                for k in labels]

    by_span = write('s.jsonl', lambda image: [
        dict(bbox=corners(b), phrase='?', tokens_positive=SPANS[k]) for b, k in image])
    by_phrase = write('p.jsonl', lambda image: [
        dict(bbox=corners(b), phrase=NAMES[k]) for b, k in image])
    assert by_span == by_phrase
    for one, other in zip(by_phrase, write('g.jsonl', grouped)):
        assert one['phrases'] == other['phrases']
        key = lambda i: (i['bbox_label'], i['bbox'])  # noqa: E731
        assert sorted(one['instances'], key=key) == sorted(other['instances'], key=key)


def picture(i):
    """A PNG of one colour, which tells images apart."""
    buffer = io.BytesIO()
    Image.new('RGB', (W, H), (10 * i, 200, 7)).save(buffer, 'png')
    return buffer.getvalue()


def corners(box):
    return [box[0], box[1], box[0] + box[2], box[1] + box[3]]


def write_caption_files(folder, images):
    """All formats that hold captions; every box stands in a region of its own."""
    lines = [
        dict(filename=f'{i}.png', width=W, height=H, grounding=dict(caption=CAPTION, regions=[
            dict(bbox=corners(b), tokens_positive=SPANS[k], score=0.9) for b, k in image]))
        for i, image in enumerate(images)]
    (folder / 'c.jsonl').write_text('\n'.join(map(json.dumps, lines)))
    for name, sides in (('mdetr', (H, W)), ('flickr', (str(H), str(W)))):
        (folder / f'{name}.json').write_text(json.dumps(dict(
            images=[dict(id=i, file_name=f'{i}.png', height=sides[0], width=sides[1],
                         caption=CAPTION) for i in range(len(images))],
            annotations=[dict(image_id=i, bbox=box, tokens_positive=SPANS[k])
                         for i, image in enumerate(images) for box, k in image])))
    with tarfile.open(folder / 'c.tar', 'w') as tar:
        for i, line in enumerate(lines):
            for ending, content in (('png', picture(i)), ('json', json.dumps(line).encode())):
                info = tarfile.TarInfo(f'{i}.{ending}')
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            (folder / f'{i}.png').write_bytes(picture(i))


def write_class_files(folder, images):
    """All formats that hold classes."""
    content = dict(
        images=[dict(id=i, file_name=f'{i}.png', width=W, height=H, neg_category_ids=[1],
                     not_exhaustive_category_ids=[]) for i in range(len(images))],
        categories=[dict(id=1 + i, name=n) for i, n in enumerate(NAMES)],
        annotations=[dict(id=0, image_id=i, category_id=1 + k, bbox=box)
                     for i, image in enumerate(images) for box, k in image])
    (folder / 'd.json').write_text(json.dumps(content))
    (folder / 'labels.json').write_text(json.dumps(dict(enumerate(NAMES))))
    (folder / 'map.json').write_text(json.dumps({n: i + 1 for i, n in enumerate(NAMES)}))
    tables = {'d.jsonl': [], 'd.tsv': [], 'i.tsv': [], 'h.tsv': []}
    for i, image in enumerate(images):
        tables['d.jsonl'].append(json.dumps(dict(
            filename=f'{i}.png', width=W, height=H, detection=dict(instances=[
                dict(bbox=corners(b), label=k) for b, k in image]))))
        tables['d.tsv'].append(f'{i}\t' + json.dumps([
            {'class': NAMES[k], 'rect': corners(b)} for b, k in image]))
        tables['i.tsv'].append(f'{i}\t' + base64.b64encode(picture(i)).decode())
        tables['h.tsv'].append(f'{i}\t{H} {W}')
        (folder / f'{i}.png').write_bytes(picture(i))
    for name, rows in tables.items():
        (folder / name).write_text('\n'.join(rows))


PIPELINE = [
    dict(type='glipkit.LoadImage'), dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='glipkit.ShortSideResize', scale=(60, 40)), dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='glipkit.SampleClassPrompt', num_negatives=2), dict(type='glipkit.PackGrounding')]


def packed(readers):
    """Everything that each reader's samples are after the pipeline, under equal draws."""
    results = []
    for read in readers:
        mixed = MixedDataset([read(pipeline=PIPELINE)], seed=3)
        results.append([])
        for index in range(len(mixed), 2 * len(mixed)):
            sample, image = (lambda p: (p['data_samples'], p['inputs']))(mixed[index])
            boxes = sample.gt_instances
            results[-1].append((
                sample.text, boxes.bboxes.tolist(), boxes.labels.tolist(),
                boxes.get('tokens_positive'), sample.flip, sample.img_shape,
                np.asarray(image).tobytes()))
    return results


@settings(max_examples=12, deadline=None)
@given(st.lists(objects, min_size=1, max_size=3))
def test_all_caption_formats_through_one_pipeline(folder, images):
    write_caption_files(folder, images)
    first, *others = packed([
        lambda **kw: OdvgGrounding('c.jsonl', **at(folder), **kw),
        lambda **kw: MdetrGrounding('mdetr.json', **at(folder), **kw),
        lambda **kw: FlickrGrounding('flickr.json', **at(folder), **kw),
        lambda **kw: CaptionShards('c.jsonl', min_boxes=0, **at(folder), **kw),
        lambda **kw: CaptionShards('c.tar', min_boxes=0, **at(folder), **kw)])
    for other in others:
        assert other == first


@settings(max_examples=12, deadline=None)
@given(st.lists(objects, min_size=1, max_size=3))
def test_all_class_formats_through_one_pipeline(folder, images):
    write_class_files(folder, images)
    first, *others = packed([
        lambda **kw: CocoDetection('d.json', **at(folder), **kw),
        lambda **kw: OdvgGrounding('d.jsonl', label_map_file='labels.json', **at(folder), **kw),
        lambda **kw: TsvDetection('d.tsv', 'i.tsv', 'map.json', 'h.tsv', **at(folder), **kw)])
    for other in others:
        assert other == first
    lvis = samples(LvisDetection('d.json', **at(folder)))
    for sample in lvis:
        assert sample.pop('absent_labels') == [0] and sample.pop('not_exhaustive_labels') == []
    assert lvis == samples(CocoDetection('d.json', **at(folder)))


def at(folder):
    # mmengine collects garbage when it serialises, which takes longer than the test
    return dict(data_root=str(folder), serialize_data=False)


def samples(dataset):
    listed = [dataset.get_data_info(i) for i in range(len(dataset))]
    for sample in listed:
        del sample['img_id']
    return listed
