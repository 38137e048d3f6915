import io
import json
import pickle
import tarfile

import numpy as np
import pytest
from PIL import Image

from glipkit.data import CaptionShards, DrawSampler, MixedDataset
from glipkit.data.formats import caption_shards, records
from glipkit.data.formats.tar_shards import TarShard
from glipkit.errors import UserError

CAPTION = 'a man and a red cup'
LOAD = [dict(type='glipkit.LoadImage')]


def line(*regions, caption=CAPTION, **content):
    return dict(height=48, width=64, grounding=dict(caption=caption, regions=list(regions)),
                **content)


def region(score, spans=((2, 5), ), bbox=(1, 2, 30, 40)):
    return dict(bbox=list(bbox), score=score, tokens_positive=[list(s) for s in spans])


CUP = ((12, 19), )


def png(value):
    buffer = io.BytesIO()
    Image.new('RGB', (64, 48), (value, 0, 255)).save(buffer, 'png')
    return buffer.getvalue()


def write_tar(path, records, first=0, extra=()):
    with tarfile.open(path, 'w') as tar:
        for i, record in enumerate(records, start=first):
            members = [(f'd/{i:04d}.png', png(i)), (f'd/{i:04d}.json', json.dumps(record).encode())]
            for name, content in [*members, *extra]:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))


@pytest.fixture
def build(tmp_path):
    (tmp_path / 'images').mkdir()

    def make(name='shards', **kwargs):
        return CaptionShards(name, data_root=str(tmp_path), data_prefix=dict(img='images'),
                             **kwargs)

    return make


@pytest.fixture
def shards(tmp_path):
    """Two tars of two samples each and a jsonl of one, in one folder."""
    folder = tmp_path / 'shards'
    folder.mkdir()
    write_tar(folder / '0.tar', [line(region(0.9)), line(region(0.8, CUP))])
    write_tar(folder / '1.tar', [line(region(0.7)), line(region(0.6, CUP))], first=2)
    (folder / '2.jsonl').write_text(json.dumps(line(region(0.95), filename='x.png')))
    return folder


def test_samples_of_all_shards_in_a_row(build, shards, tmp_path):
    data = build(pipeline=LOAD)
    assert len(data) == 5
    samples = [data.get_data_info(i) for i in range(5)]
    assert [s['img_id'] for s in samples] == [1, 2, 3, 4, 5]
    assert [s['phrases'] for s in samples] == [[[(2, 5)]], [[(12, 19)]]] * 2 + [[[(2, 5)]]]
    assert samples[3]['img_path'] == f'{shards / "1.tar"}/d/0003.png'
    assert samples[4]['img_path'] == str(tmp_path / 'images' / 'x.png')
    assert [data[i]['img'][0, 0].tolist() for i in range(4)] == [[255, 0, i] for i in range(4)]


def test_scores_choose_boxes_and_phrases(build, tmp_path):
    (tmp_path / 'a.jsonl').write_text(json.dumps(line(
        region(0.5), region(0.51, CUP),
        dict(bbox=[[0, 0, 9, 9], [1, 1, 9, 9], [2, 2, 9, 9]], phrase='man', score=[0.9, 0.4, 0.6]),
        dict(bbox=[[0, 0, 9, 9], [1, 1, 9, 9]], phrase='red', score=0.3), filename='x.png')))

    def read(**kwargs):
        sample = build('a.jsonl', **kwargs).get_data_info(0)
        return sample['phrases'], [(i['bbox'][0], i['bbox_label']) for i in sample['instances']]

    assert read() == ([[(12, 19)], [(2, 5)]], [(1, 0), (0, 1), (2, 1)])
    assert read(score_thr=0.6) == ([[(2, 5)]], [(0, 0)])
    assert read(score_thr=None) == ([[(2, 5)], [(12, 19)], [(12, 15)]], [
        (1, 0), (1, 1), (0, 0), (1, 0), (2, 0), (0, 2), (1, 2)])
    # Whose boxes are all too uncertain is not absent; 'red' is a part of a phrase that has a box.
    assert build('a.jsonl', score_thr=0.6).get_data_info(0)['ungrounded'] == [(12, 15), (12, 19)]
    assert 'ungrounded' not in build('a.jsonl').get_data_info(0)
    with pytest.raises(UserError, match='at least one image'):
        build('a.jsonl', score_thr=0.9)
    assert len(build('a.jsonl', score_thr=0.9, min_boxes=0)) == 1
    assert len(build('a.jsonl', score_thr=0.9, test_mode=True)) == 1


def test_phrases_that_the_teacher_did_not_find(build, tmp_path):
    record = line(region(0.9, CUP), filename='x.png')
    record['grounding']['ungrounded'] = [[2, 5], [12, 19]]
    (tmp_path / 'a.jsonl').write_text(json.dumps(record))
    assert build('a.jsonl').get_data_info(0)['ungrounded'] == [(2, 5)]
    packed = build('a.jsonl', packing=dict(none_prob=0.0)).draw_sample(0)
    assert [packed['text'][b:e] for b, e in packed['ungrounded']] == ['man']
    record['grounding']['ungrounded'] = [[2, 500]]
    (tmp_path / 'a.jsonl').write_text(json.dumps(record))
    with pytest.raises(UserError, match='within'):
        build('a.jsonl')


def test_the_manifest_tells_which_shards(build, shards):
    entries = [dict(name=f'{i}.tar', count=2) for i in (1, 0)]
    (shards / 'manifest.json').write_text(json.dumps(dict(shards=entries, settings={})))
    data = build()
    assert [data.get_data_info(i)['img_path'][-8:-4] for i in range(4)] == [
        '0002', '0003', '0000', '0001']
    assert len(build('shards/manifest.json')) == 4
    (shards / '0.tar').rename(shards / 'gone')
    with pytest.raises(UserError, match='1 missing: 0.tar'):
        build()


@pytest.mark.parametrize('content, message', [
    ({'shards': [{'name': '0.tar', 'count': 3}]}, '3 samples in 0.tar.*got 2'),
    ({'shards': []}, 'another structure'), ({'shards': [{'name': '0.tar'}]}, 'another structure'),
    ([], 'another structure'), ('{', 'manifest.json:1'),
])
def test_bad_manifests(build, shards, content, message):
    (shards / 'manifest.json').write_text(
        content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(UserError, match=message):
        build()


def test_shards_that_are_not_listed_are_mentioned(build, shards, monkeypatch):
    log = []
    monkeypatch.setattr(caption_shards, 'print_log', lambda t, *_: log.append(t))
    (shards / 'manifest.json').write_text('{"shards": [{"name": "0.tar", "count": 2}]}')
    assert len(build()) == 2
    assert '2 shards beside it' in log[0]


def test_half_written_tars(shards):
    whole = (shards / '0.tar').read_bytes()
    end = TarShard(shards / '0.tar', 'a shard').image(1)[1].end
    path = shards / 'cut.tar'
    for size in (0, 100, 512, 700, 2048, end - 1, end, end + 300, end + 512):
        path.write_bytes(whole[:size])
        with pytest.raises(UserError, match='cut.tar') as caught:
            TarShard(path, 'a shard')
        assert '\n' not in str(caught.value)
    path.write_bytes(whole)
    assert len(TarShard(path, 'a shard')) == 2


@pytest.mark.parametrize('members, message', [
    (['a.json'], 'a has no image'), (['a.jpg'], 'a has no json'),
    (['a.jpg', 'a.json', 'b.json'], 'b has no image'),
    (['a.jpg', 'a.png', 'a.json'], 'a second image for a'),
    (['a.jpg', 'a.json', 'a.json'], 'a second json for a'),
])
def test_half_samples(tmp_path, members, message):
    with tarfile.open(tmp_path / 'a.tar', 'w') as tar:
        for name in members:
            tar.addfile(tarfile.TarInfo(name))
    with pytest.raises(UserError, match=message):
        TarShard(tmp_path / 'a.tar', 'a shard')


@pytest.mark.parametrize('form', [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
@pytest.mark.parametrize('key', ['0', 'a/b.c/0', 'ü', 'x' * 90, 'é' * 200])
def test_names_of_members(tmp_path, form, key):
    if form == tarfile.USTAR_FORMAT and len(key) > 100:
        return
    with tarfile.open(tmp_path / 'a.tar', 'w', format=form) as tar:
        tar.addfile(tarfile.TarInfo('a/b.c'))
        for ending, content in (('txt', b'-'), ('JPG', b'image'), ('json', b'{"n": 1}')):
            info = tarfile.TarInfo(f'{key}.{ending}')
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    shard = pickle.loads(pickle.dumps(TarShard(tmp_path / 'a.tar', 'a shard')))
    assert len(shard) == 1 and shard[0] == {'n': 1} and shard.num_bytes == 8
    name, content = shard.image(0)
    assert name == f'{tmp_path / "a.tar"}/{key}.JPG' and content.read() == b'image'
    assert shard.where(0) == f'{tmp_path / "a.tar"}/{key}.json'


@pytest.mark.parametrize('record, message', [
    (dict(filename='x.png'), "'grounding'"),
    (line(region(0.9)), 'filename'),
    (line(dict(bbox=[1, 2, 3, 4], phrase='man'), filename='x'), 'score'),
    (line(region('0.9'), filename='x'), 'score'),
    (line(region(1.5), filename='x'), 'score'),
    (line(region([0.9, 0.8]), filename='x'), 'score'),
    (line(region(0.9, ((2, 99), )), filename='x'), '99'),
    (line(region(0.9, bbox=(1, 2)), filename='x'), 'box'),
])
def test_damaged_records_are_named(build, tmp_path, record, message):
    good = line(region(0.9), filename='x')
    (tmp_path / 'a.jsonl').write_text(json.dumps(good) + '\n' + json.dumps(record))
    with pytest.raises(UserError, match=message) as caught:
        build('a.jsonl')
    assert 'a.jsonl:2' in str(caught.value)


def test_damaged_members_are_named(build, tmp_path):
    write_tar(tmp_path / 'a.tar', [line(region(0.9)), line(region(0.9, ((0, 99), )))])
    with pytest.raises(UserError, match='a.tar/d/0001.json'):
        build('a.tar')


@pytest.mark.parametrize('name', ['none', 'none.tar', 'none.jsonl', 'images'])
def test_nothing_there(build, name):
    with pytest.raises(UserError, match=name):
        build(name)


@pytest.mark.parametrize('at_access', [False, True])
def test_a_damaged_image_in_a_tar_is_replaced(build, shards, monkeypatch, at_access):
    monkeypatch.setattr(records, 'CHECK_BYTES', 0 if at_access else 1 << 20)
    log = []
    monkeypatch.setattr('glipkit.data.grounding_dataset.print_log', lambda t, *_: log.append(t))
    place = TarShard(shards / '1.tar', 'a shard').image(0)[1]
    content = bytearray((shards / '1.tar').read_bytes())
    content[place.begin:place.end] = b'?' * (place.end - place.begin)
    (shards / '1.tar').write_bytes(content)
    (shards / '2.jsonl').unlink()
    data = build(pipeline=LOAD)
    np.random.seed(0)
    assert data[2]['img_id'] in (1, 2, 4)
    assert len(log) == 1 and '1.tar/d/0002.png' in log[0]
    with pytest.raises(UserError, match='0002.png'):
        build(pipeline=LOAD, test_mode=True)[2]


def test_few_shards_are_open_at_a_time(build, shards, monkeypatch):
    monkeypatch.setattr(caption_shards, '_OPEN_SHARDS', 1)
    monkeypatch.setattr(records, 'CHECK_BYTES', 0)
    data = pickle.loads(pickle.dumps(build()))
    assert [data.get_data_info(i)['img_id'] for i in (4, 0, 2, 1, 3)] == [5, 1, 3, 2, 4]


@pytest.mark.parametrize('at_access', [False, True])
def test_packing_depends_on_the_draw_alone(build, shards, monkeypatch, at_access):
    monkeypatch.setattr(records, 'CHECK_BYTES', 0 if at_access else 1 << 20)
    (shards / '2.jsonl').unlink()
    write_tar(shards / '3.tar', [line(region(0.9, ((0, 3), )), caption='two dogs')], first=9)

    def texts():
        mixed = MixedDataset([build(packing=dict(num_captions=3), pipeline=[])], seed=1)
        stream = iter(DrawSampler(mixed))
        return [(s['text'], s['phrases'], s['img_id']) for s in (
            mixed[next(stream)] for _ in range(20))]

    first = texts()
    np.random.seed(99)
    assert texts() == first
    assert len({text for text, _, _ in first}) > 2
    for text, phrases, number in first:
        assert [text[b:e] for spans in phrases for b, e in spans] == [
            {5: 'two', 2: 'red cup', 4: 'red cup'}.get(number, 'man')]
    plain = build(packing=dict(num_captions=3), test_mode=True, pipeline=[])
    assert {plain[i]['text'] for i in range(5)} == {CAPTION, 'two dogs'}


def add(path, **members):
    """Writes a tar of members with a name each, dots written as '__'."""
    with tarfile.open(path, 'w') as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name.replace('__', '.'))
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def test_a_sample_with_dots_in_its_name_is_not_passed_over(tmp_path):
    sample = json.dumps(line(region(.9))).encode()
    whole = dict(a__png=png(1), a__json=sample)
    add(tmp_path / 'columns.tar', **whole, a__seg__png=png(2))
    assert len(TarShard(tmp_path / 'columns.tar', 'a shard')) == 1
    add(tmp_path / 'dotted.tar', **whole, photo__v2__png=png(2), photo__v2__json=sample)
    with pytest.raises(UserError, match=r'photo\.v2\.png, whose key photo has no photo\.json'):
        TarShard(tmp_path / 'dotted.tar', 'a shard')


def test_a_byte_order_mark_is_no_part_of_a_line(tmp_path):
    lines = json.dumps(line(region(.9), filename='a.png')).encode() + b'\r\n'
    (tmp_path / 'bom.jsonl').write_bytes(b'\xef\xbb\xbf' + lines * 2)
    data = CaptionShards(str(tmp_path / 'bom.jsonl'))
    assert len(data) == 2 and data.get_data_info(0)['text'] == CAPTION
