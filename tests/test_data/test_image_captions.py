"""Image-text pairs from shards and tsv tables."""
import base64
import json
import pickle
from collections import Counter

import numpy as np
import pytest
import torch
from mmdet.structures.bbox import HorizontalBoxes

from glipkit.data import DrawSampler, ImageCaptions, MixedDataset, WithProposals
from glipkit.errors import UserError
from tests.test_data.test_caption_shards import line, png, write_tar

LOAD = [dict(type='glipkit.LoadImage')]
RECORDS = [dict(captions=['a dog', 'two dogs']), dict(caption='a cat'),
           dict(captions=['a bus'], proposals=[[0, 0, 20, 30], [5, 5, 60, 40]])]


@pytest.fixture
def build(tmp_path):
    def make(name, **kwargs):
        return ImageCaptions(name, data_root=str(tmp_path), **kwargs)

    return make


def write_table(path, rows):
    path.write_text(''.join('\t'.join(row) + '\n' for row in rows))


def write_pairs(folder, texts, stem='train'):
    write_table(folder / f'{stem}.text.tsv', [(f'k{i}', text) for i, text in enumerate(texts)])
    write_table(folder / f'{stem}.img.tsv', [(f'k{i}', base64.b64encode(png(i)).decode())
                                             for i in range(len(texts))])


def drawn(data, idx, count=60):
    np.random.seed(0)
    return Counter(data[idx]['text'] for _ in range(count))


@pytest.fixture(params=['jsonl', 'tar', 'tsv'])
def pairs(request, tmp_path, build):
    """The same three records in every format."""
    if request.param == 'tar':
        write_tar(tmp_path / 'a.tar', RECORDS)
        return build('a.tar', pipeline=LOAD)
    if request.param == 'tsv':
        write_pairs(tmp_path, [json.dumps(RECORDS[0]), 'a cat', json.dumps(RECORDS[2])])
        return build('train.text.tsv', img_file='train.img.tsv', pipeline=LOAD)
    for i in range(3):
        (tmp_path / f'{i}.png').write_bytes(png(i))
    (tmp_path / 'a.jsonl').write_text('\n'.join(
        json.dumps({**record, 'filename': f'{i}.png'}) for i, record in enumerate(RECORDS)))
    return build('a.jsonl', pipeline=LOAD)


def test_every_format_gives_the_same_pairs(pairs):
    assert len(pairs) == 3
    assert [pairs[i]['captions'] for i in range(3)] == [('a dog', 'two dogs'), ('a cat', ),
                                                        ('a bus', )]
    assert [pairs[i]['img'][0, 0].tolist() for i in range(3)] == [[255, 0, i] for i in range(3)]
    assert pairs[2]['proposals'].tensor.tolist() == RECORDS[2]['proposals']
    assert 'proposals' not in pairs[0] and pairs[0]['instances'] == []


def test_one_caption_is_drawn_per_access(pairs):
    counts = drawn(pairs, 0)
    assert set(counts) == {'a dog', 'two dogs'} and min(counts.values()) > 15
    assert drawn(pairs, 0) == counts and set(drawn(pairs, 1)) == {'a cat'}


def test_a_copy_for_a_worker_reads_the_same(pairs):
    copy = pickle.loads(pickle.dumps(pairs))
    assert copy[2]['text'] == 'a bus' and copy[2]['img'].shape == (48, 64, 3)


def test_a_mixture_draws_the_same_captions_after_a_resume(tmp_path, build):
    write_tar(tmp_path / 'a.tar', [dict(captions=[f'{i} {j}' for j in range(5)])
                                   for i in range(6)])
    mixed = MixedDataset([build('a.tar', pipeline=LOAD)], seed=3)
    order = [index for index, _ in zip(iter(DrawSampler(mixed, seed=3)), range(18))]
    whole = [mixed[index]['text'] for index in order]
    np.random.seed(99)
    assert [mixed[index]['text'] for index in order[7:]] == whole[7:]
    assert len(set(whole)) > 8


def test_tests_take_the_first_caption(tmp_path, build):
    write_tar(tmp_path / 'a.tar', [*RECORDS, dict(captions=[])])
    data = build('a.tar', test_mode=True)
    assert [data[i]['text'] for i in range(4)] == ['a dog', 'a cat', 'a bus', '']


def test_a_number_of_captions_from_the_first(tmp_path, build):
    write_tar(tmp_path / 'a.tar', [dict(captions=list('abcdefg'))])
    assert set(drawn(build('a.tar', max_captions=2), 0)) == {'a', 'b'}


def test_images_without_text_are_left_out_of_a_training(tmp_path, build):
    write_tar(tmp_path / 'a.tar', [*RECORDS, dict(captions=[]), dict(caption='  '), {}])
    assert len(build('a.tar')) == 3
    write_tar(tmp_path / 'b.tar', [dict(caption='')])
    with pytest.raises(UserError, match='at least one image'):
        build('b.tar')


def test_grounding_lines_have_captions_too(tmp_path, build):
    write_tar(tmp_path / 'a.tar', [line(caption='a man')])
    assert build('a.tar')[0]['text'] == 'a man'


def test_tags_are_shuffled_into_a_template_in_every_second_draw(tmp_path, build):
    write_pairs(tmp_path, [json.dumps(dict(captions=['a dog'], tags='dog grass')),
                           json.dumps(dict(tags='cat'))])
    data = build('train.text.tsv', img_file='train.img.tsv', tag_templates='imagenet')
    counts = drawn(data, 0, 200)
    assert 70 < counts['a dog'] < 130
    tagged = [text for text in counts if text != 'a dog']
    assert len(tagged) > 40 and {'dog grass' in text for text in tagged} == {True, False}
    assert all('cat' in text and text != 'cat' for text in drawn(data, 1))
    assert build('train.text.tsv', img_file='train.img.tsv', test_mode=True)[1]['text'] == 'cat'


def test_lists_of_tables(tmp_path, build):
    write_pairs(tmp_path, ['a', 'b'], 'x')
    write_pairs(tmp_path, ['c'], 'y')
    (tmp_path / 'texts.txt').write_text('x.text.tsv\ny.text.tsv\n')
    (tmp_path / 'images.txt').write_text('x.img.tsv\n\ny.img.tsv')
    data = build('texts.txt', img_file='images.txt', pipeline=LOAD)
    assert [data[i]['text'] for i in range(3)] == ['a', 'b', 'c']
    assert data[2]['img'][0, 0].tolist() == [255, 0, 0]
    (tmp_path / 'images.txt').write_text('x.img.tsv')
    with pytest.raises(UserError, match='as many tables of images as of captions, 2'):
        build('texts.txt', img_file='images.txt')


@pytest.mark.parametrize('record, message', [
    (dict(captions=7), 'a caption as a string'), (dict(captions=['a', 3]), 'a caption as a string'),
    (dict(captions=['a'], tags=['b']), 'tags as one string'),
    (dict(captions=['a'], proposals=[[1, 2, 3]]), 'a box as'),
    (dict(captions=['a'], proposals=3), 'proposals as a list'),
    (dict(captions=['a'], width=-1), 'width')])
def test_damaged_records(tmp_path, build, record, message):
    write_tar(tmp_path / 'a.tar', [record])
    with pytest.raises(UserError, match=f'{message}.*0000.json'):
        build('a.tar')


def test_tables_that_do_not_belong_together(tmp_path, build):
    write_pairs(tmp_path, ['a', 'b'])
    with pytest.raises(UserError, match='without img_file'):
        build('train.text.tsv')
    images = (tmp_path / 'train.img.tsv').read_text().splitlines()
    (tmp_path / 'train.img.tsv').write_text(images[0])
    with pytest.raises(UserError, match='as many rows'):
        build('train.text.tsv', img_file='train.img.tsv')
    (tmp_path / 'train.img.tsv').write_text('\n'.join(images[::-1]))
    data = build('train.text.tsv', img_file='train.img.tsv', pipeline=LOAD, max_refetch=2)
    with pytest.raises(UserError, match="the row of 'k"):
        data[0]
    write_table(tmp_path / 'one.tsv', [('only', )])
    with pytest.raises(UserError, match='columns key and text'):
        build('one.tsv', img_file='one.tsv')


MOVES = [dict(type='glipkit.ShortSideResize', scale=(999, 96)),
         dict(type='mmdet.RandomFlip', prob=1.)]


def test_proposals_move_with_the_image(tmp_path, build):
    write_tar(tmp_path / 'a.tar', [dict(caption='a', proposals=[[0, 0, 20, 30]]),
                                   dict(caption='b')])
    data = build('a.tar', pipeline=[*LOAD, dict(type='glipkit.WithProposals', transforms=MOVES),
                                    dict(type='glipkit.PackGrounding')])
    packed = data[0]
    assert packed['inputs'].shape == (3, 96, 128)
    assert packed['data_samples'].proposals.bboxes.tolist() == [[88, 0, 128, 60]]
    assert len(packed['data_samples'].gt_instances) == 0
    assert data[1]['inputs'].shape == (3, 96, 128) and 'proposals' not in data[1]['data_samples']


def test_proposals_move_beside_annotated_boxes():
    boxes = [HorizontalBoxes(torch.tensor([box])) for box in ([0., 0, 10, 20], [0., 0, 20, 30])]
    sample = dict(img=np.zeros((48, 64, 3), np.uint8), img_shape=(48, 64), gt_bboxes=boxes[0],
                  gt_bboxes_labels=np.zeros(1, np.int64), proposals=boxes[1])
    moved = WithProposals(MOVES)(dict(sample))
    assert moved['gt_bboxes'].tensor.tolist() == [[108, 0, 128, 40]]
    assert moved['proposals'].tensor.tolist() == [[88, 0, 128, 60]]
    crop = [dict(type='mmdet.RandomCrop', crop_size=(4, 4), allow_negative_crop=True)]
    np.random.seed(0)
    sample['proposals'] = HorizontalBoxes(torch.tensor([[60., 44, 64, 48]]))
    del sample['gt_bboxes_labels']
    with pytest.raises(UserError, match='keep every box in WithProposals; got 2 boxes before'):
        WithProposals(crop)(sample)
