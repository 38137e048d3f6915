from functools import lru_cache

import numpy as np
import pytest

from glipkit.data.transforms.caption_packing import CaptionPacker
from glipkit.errors import UserError
from glipkit.text.tokenizers import BertTokenizer

packer = lru_cache(CaptionPacker)


def pack(caption, phrases, others, seed=0, **kwargs):
    rng = np.random.RandomState(seed)
    return packer(**{'none_prob': 0, 'full_prob': 1, **kwargs})(
        caption, phrases, lambda: others[rng.randint(len(others))], rng)


def test_spans_move_with_their_caption():
    others = ['two cats', 'it rains. ', 'a blue bus?']
    seen = set()
    for seed in range(40):
        text, phrases = pack('a dog ', [[(2, 5)], [(0, 1), (2, 6)]], others, seed, num_captions=2)
        assert [[text[b:e] for b, e in spans] for spans in phrases] == [['dog'], ['a', 'dog ']]
        assert text.count('.') == 3
        seen.add(text)
    assert 'two cats. a dog . a blue bus?.' in seen
    assert any(text.startswith('a dog .') for text in seen)
    assert any(text.endswith('a dog .') for text in seen)


@pytest.mark.parametrize('none_prob, full_prob, counts', [
    (1, 0.5, {0}), (0, 1, {3}), (0, 0, {0, 1, 2}), (0.5, 1, {0, 3})])
def test_how_many_are_drawn(none_prob, full_prob, counts):
    found = {pack('a dog', [], ['cats'], seed, num_captions=3, none_prob=none_prob,
                  full_prob=full_prob)[0].count('cats') for seed in range(60)}
    assert found == counts


def test_shares_of_the_numbers():
    # 0.4 none, 0.3 all 20, 0.3 uniform from 0 to 19; tolerances are over 5 standard deviations
    rng = np.random.RandomState(0)
    drawn = np.array([packer()._draws(rng) for _ in range(20000)])
    assert abs((drawn == 20).mean() - 0.3) < 0.02
    assert abs((drawn == 0).mean() - (0.4 + 0.3 / 20)) < 0.02
    assert abs((drawn == 7).mean() - 0.3 / 20) < 0.006


@pytest.mark.parametrize('max_tokens', [8, 12, 20, 64])
def test_the_budget_holds(max_tokens):
    count = BertTokenizer().count
    others = ['one', 'two small dogs on a long bench.', 'three cats']
    for seed in range(20):
        text, _ = pack('a red dog', [[(2, 5)]], others, seed, max_tokens=max_tokens)
        assert count(text) + 2 <= max_tokens
    # what fits is taken even after something that did not fit
    assert any('one' in pack('a red dog', [], others, seed, max_tokens=8)[0]
               for seed in range(20))


def test_a_caption_over_the_budget_stays_alone_and_whole():
    text, phrases = pack('dog ' * 300, [[(0, 3)]], ['cat'])
    assert text == 'dog ' * 300 + '.' and phrases == [[(0, 3)]]


def test_captions_that_are_no_negatives():
    assert pack('a dog', [], [None, '', '  ', 'a dog'])[0] == 'a dog.'


@pytest.mark.parametrize('kwargs', [dict(num_captions=0), dict(num_captions=1.5),
                                    dict(none_prob=1.5), dict(full_prob=-1)])
def test_bad_arguments(kwargs):
    with pytest.raises(UserError, match='packing'):
        CaptionPacker(**kwargs)
