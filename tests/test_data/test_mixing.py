import pickle
import random

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.runner.loops import _InfiniteDataloaderIterator
from torch.utils.data import DataLoader

from glipkit.data import DrawSampler, MixedDataset, samplers
from glipkit.data.mixing import seeded
from glipkit.errors import UserError


@pytest.fixture
def mixed(two_sources, train_pipeline):
    return lambda **kwargs: MixedDataset(two_sources, pipeline=train_pipeline,
                                         **{'seed': 3, **kwargs})


def fingerprint(packed):
    """Everything that chance can change in a sample."""
    sample = packed['data_samples']
    return (sample.img_path, sample.text, sample.flip, sample.img_shape,
            packed['inputs'].sum().item(), str(sample.gt_instances.bboxes.tolist()))


def batches(dataset, count, num_workers=0, skip_iters=0, batch_size=2):
    loader = DataLoader(dataset, batch_size, sampler=DrawSampler(dataset),
                        num_workers=num_workers, collate_fn=pseudo_collate)
    iterator = _InfiniteDataloaderIterator(loader)
    iterator.skip_iter(skip_iters)
    return [[
        fingerprint(dict(inputs=i, data_samples=s))
        for i, s in zip(batch['inputs'], batch['data_samples'])
    ] for batch in (next(iterator) for _ in range(count))]


def test_one_batch_holds_classes_and_captions(mixed):
    dataset = mixed()
    loader = DataLoader(dataset, 8, sampler=DrawSampler(dataset), collate_fn=pseudo_collate)
    batch = next(iter(loader))
    samples = batch['data_samples']
    assert len(batch['inputs']) == 8 and all(i.dtype == torch.uint8 for i in batch['inputs'])
    captions = [s for s in samples if isinstance(s.text, str)]
    assert len(captions) == 3 and len({s.img_path for s in samples}) == 8
    for s in captions:
        assert s.gt_instances.tokens_positive == [[[2, 5]], [[16, 19]]]
    for s in samples:
        if not isinstance(s.text, str):
            assert set(s.text) <= {'red dog', 'cat', 'traffic_light'}
            number = int(s.img_path[-5])
            names = [s.text[i] for i in s.gt_instances.labels]
            assert names == ([] if number == 4 else [('red dog', 'cat')[number % 2]])


def test_the_stream_does_not_depend_on_workers_or_a_resume(mixed):
    # 10 batches of 2 over 8 samples: more than two passes
    expected = batches(mixed(), 10)
    # augmentations are new every pass
    assert len({f for batch in expected for f in batch}) > 16
    assert batches(mixed(), 10, num_workers=1) == expected
    assert batches(mixed(), 10, num_workers=2) == expected
    assert batches(mixed(), 4, skip_iters=6) == expected[6:]
    assert batches(mixed(), 4, num_workers=2, skip_iters=6) == expected[6:]
    assert batches(mixed(seed=4), 10) != expected


def test_ranks_share_one_global_batch(mixed, monkeypatch):
    def draws(rank, world_size, count, skip=0):
        monkeypatch.setattr(samplers, 'get_dist_info', lambda: (rank, world_size))
        sampler = DrawSampler(mixed())
        sampler.skip(skip)
        stream = iter(sampler)
        return [next(stream) for _ in range(count)]

    alone = draws(0, 1, 30)
    assert sorted(i % 8 for i in alone[:8]) == list(range(8))
    assert [i // 8 for i in alone] == list(range(30))
    for world_size in (2, 3):
        ranks = [draws(rank, world_size, 30 // world_size) for rank in range(world_size)]
        assert [i for row in zip(*ranks) for i in row] == alone
        assert draws(1, world_size, 3, skip=4) == ranks[1][4:7]


def test_weights_and_copies(mixed):
    def sources_of_a_pass(**kwargs):
        dataset = mixed(**kwargs)
        sampler = DrawSampler(dataset)
        stream = iter(sampler)
        indices = [next(stream) % len(dataset) for _ in range(len(sampler))]
        return sum(i < 5 for i in indices), sum(i >= 5 for i in indices)

    assert sources_of_a_pass() == (5, 3)
    assert sources_of_a_pass(copies=[1, 4]) == (5, 12)
    assert sources_of_a_pass(weights=[1, 3]) == (2, 6)


def test_length_of_a_pass(mixed, monkeypatch):
    monkeypatch.setattr(samplers, 'get_dist_info', lambda: (0, 3))
    assert len(DrawSampler(mixed())) == 3
    assert len(mixed()) == 8


@pytest.mark.parametrize('kwargs, message', [
    (dict(weights=[1]), '2 weights'),
    (dict(copies=[1, 2, 3]), '2 copies'),
    (dict(copies=[1, 0.5]), 'whole numbers'),
    (dict(weights=[1, 1], copies=[1, 1]), 'both'),
])
def test_bad_shares(mixed, kwargs, message):
    with pytest.raises(UserError, match=message):
        mixed(**kwargs)


def test_nothing_to_mix():
    with pytest.raises(UserError, match='at least one dataset'):
        MixedDataset([])


def test_the_sampler_hands_over_the_runners_seed(mixed):
    dataset = mixed(seed=None)
    assert DrawSampler(dataset, seed=11).plan.seed == 11 == dataset.seed
    dataset = mixed(seed=0)
    DrawSampler(dataset, seed=11)
    assert dataset.seed == 0
    with pytest.raises(UserError, match='MixedDataset'):
        DrawSampler([1, 2, 3])
    with pytest.raises(ValueError, match='negative'):
        DrawSampler(dataset).skip(-1)


def test_plain_indices_are_those_of_the_first_draw(mixed):
    dataset = mixed()
    listed = [fingerprint(sample) for sample in dataset]
    assert len(listed) == 8 and listed[3] == fingerprint(dataset[3])
    assert fingerprint(pickle.loads(pickle.dumps(dataset))[3]) == listed[3]
    assert {fingerprint(dataset[8 * draw + 3]) for draw in range(5)} > {listed[3]}
    with pytest.raises(IndexError):
        dataset[-1]


def test_metainfo(two_sources, train_pipeline):
    both = MixedDataset(two_sources).metainfo
    assert 'classes' not in both and len(both['sources']) == 2
    assert MixedDataset(two_sources[:1] * 2).metainfo['classes'] == (
        'red dog', 'cat', 'traffic_light')


def test_seeded_block_leaves_no_trace():
    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()

    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    first, second = draw(), draw()
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    assert draw() == first
    with seeded(1, 2):
        inside = draw()
    with pytest.raises(RuntimeError), seeded(1, 2):
        assert draw() == inside
        raise RuntimeError
    assert draw() == second
    with seeded(1, 3):
        assert draw() != inside


def test_built_by_mmengine(two_sources, train_pipeline):
    from mmengine.runner import Runner
    init_default_scope('glipkit')
    pipeline = [{**t, 'type': t['type'].replace('glipkit.', '')} for t in train_pipeline]
    loader = Runner.build_dataloader(
        dict(batch_size=4, num_workers=0, dataset=dict(
            type='MixedDataset', datasets=two_sources, pipeline=pipeline),
             sampler=dict(type='DrawSampler')), seed=3)
    assert loader.dataset.seed == 3 and len(loader) == 2
    batch = next(iter(loader))
    assert [fingerprint(dict(inputs=i, data_samples=s)) for i, s in zip(*batch.values())] == sum(
        batches(MixedDataset(two_sources, pipeline=pipeline, seed=3), 2), [])
