"""Annotations that are read when they are drawn."""
import json
import pickle

import numpy as np
import pytest
from torch.utils.data import DataLoader

from glipkit.data import DrawSampler, MixedDataset, OdvgGrounding
from glipkit.data.formats import records
from glipkit.errors import UserError

GOOD = dict(caption='a dog', regions=[dict(bbox=[1, 2, 30, 40], phrase='dog')])
EMPTY = dict(caption='a cat', regions=[])
LOSSY = dict(caption='a cow', regions=[dict(bbox=[1, 1, 1, 9], phrase='cow'),
                                       dict(bbox=[1, 1, 9, 9], phrase='horse')])
BROKEN = dict(caption=3)


@pytest.fixture
def log(monkeypatch):
    lines = []
    for module in ('glipkit.data.grounding_dataset', 'glipkit.data.formats.records'):
        monkeypatch.setattr(f'{module}.print_log', lambda text, *_: lines.append(text))
    return lines


@pytest.fixture
def build(tmp_path, monkeypatch):
    monkeypatch.setattr(records, 'CHECK_BYTES', 0)

    def make(*groundings, **kwargs):
        # Lines at both ends are read on opening; those that matter here stand between them.
        monkeypatch.setattr(records, '_PROBED', 1)
        (tmp_path / 'a.jsonl').write_text('\n'.join(
            g if isinstance(g, str) else json.dumps(dict(
                filename=f'{i}.png', height=48, width=64, grounding=g))
            for i, g in enumerate([GOOD, *groundings, GOOD])))
        return OdvgGrounding('a.jsonl', data_root=str(tmp_path), **kwargs)

    return make


def test_samples_are_those_of_a_set_that_is_read_whole(build, monkeypatch):
    content = [GOOD, EMPTY, LOSSY, '', GOOD]
    at_access = build(*content)
    monkeypatch.setattr(records, 'CHECK_BYTES', 1 << 20)
    whole = build(*content)
    assert at_access.reads_at_access and not whole.reads_at_access
    assert len(at_access) == len(whole) == 6
    for i in [*range(6), -1, -5]:
        assert at_access.get_data_info(i) == whole.get_data_info(i)


def test_nothing_is_kept_in_memory(build):
    data = build(*[GOOD] * 5000)
    stored = pickle.dumps(data)
    assert len(stored) < 4000
    assert pickle.loads(stored).get_data_info(4321) == data.get_data_info(4321)
    assert data.data_list == range(5002) and not hasattr(data, 'data_bytes')


def test_a_damaged_record_is_named_counted_and_replaced(build, log):
    data = build(BROKEN, '{"filename": ', EMPTY)
    np.random.seed(0)
    assert {data[1]['img_id'] for _ in range(20)} <= {1, 4, 5}
    assert {data[2]['img_id'] for _ in range(20)} <= {1, 4, 5}
    damaged = [line for line in log if line.startswith('Damaged record')]
    assert len(damaged) == 2
    assert 'a.jsonl:2' in damaged[0] and damaged[0].endswith('(1 such records so far)')
    assert 'a.jsonl:3' in damaged[1] and damaged[1].endswith('(2 such records so far)')


def test_a_test_set_refuses_it(build):
    data = build(BROKEN, test_mode=True)
    assert data[0]['text'] == 'a dog'
    with pytest.raises(UserError, match='a.jsonl:2'):
        data[1]


@pytest.mark.parametrize('content', [(BROKEN, GOOD), (GOOD, BROKEN)])
def test_both_ends_are_read_on_opening(build, tmp_path, content):
    (tmp_path / 'b.jsonl').write_text('\n'.join(
        json.dumps(dict(filename='a.png', grounding=g)) for g in content))
    with pytest.raises(UserError, match='b.jsonl'):
        OdvgGrounding('b.jsonl', data_root=str(tmp_path))


def test_too_many_damaged_records_stop_the_training(build, log):
    data = build(*[BROKEN] * 200, max_refetch=3)
    np.random.seed(0)
    with pytest.raises(UserError, match='4 unusable ones in a row.*a.jsonl'):
        data[5]


def test_losses_are_counted_as_they_are_drawn(build, log):
    data = build(LOSSY)
    del log[:]
    for _ in range(100):
        data.get_data_info(1)
    assert [int(line.split('left out ')[1].split()[0]) for line in log
            if 'degenerate' in line] == [1, 10, 100]
    assert sum('phrase is not in the caption' in line for line in log) == 3


def test_filters_act_on_the_draw(build, log):
    data = build(EMPTY, filter_cfg=dict(filter_empty_gt=True))
    assert len(data) == 3 and data.get_data_info(1)['text'] == 'a cat'
    np.random.seed(0)
    assert {data[1]['text'] for _ in range(10)} == {'a dog'}
    assert '1 images that filters leave out' in log[1]
    assert build(EMPTY, filter_cfg=dict(filter_empty_gt=True), test_mode=True)[1]['text'] == 'a cat'
    with pytest.raises(UserError, match='filter_cfg'):
        build(EMPTY, filter_cfg=dict(empty=True))


@pytest.mark.parametrize('indices, expected', [
    (2, [1, 2]), (-2, [4, 5]), ([4, 0], [5, 1])])
def test_subsets(build, indices, expected):
    content = GOOD, EMPTY, GOOD
    for data in (build(*content, indices=indices), build(*content).get_subset(indices)):
        assert [data.get_data_info(i)['img_id'] for i in range(len(data))] == expected
    data = build(*content)
    data.get_subset_(indices)
    assert [data.get_data_info(i)['img_id'] for i in range(len(data))] == expected


def ids(batch):
    return [sample['img_id'] for sample in batch]


def test_workers_read_for_themselves(build):
    mixed = MixedDataset([build(*[GOOD] * 20)], seed=3)
    expected = [i % 22 + 1 for i, _ in zip(iter(DrawSampler(mixed)), range(30))]
    loader = DataLoader(mixed, 5, sampler=DrawSampler(mixed), num_workers=2, collate_fn=ids)
    iterator = iter(loader)
    assert sum((next(iterator) for _ in range(6)), []) == expected
