"""Cached text features equal fresh ones, and are forgotten when they would not."""
from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor

from glipkit.errors import UserError
from glipkit.text.cache import TextFeatureCache
from glipkit.text.encoders import BertEncoder
from glipkit.text.structures import TextFeatures, TextTokens
from glipkit.text.tokenizers import BertTokenizer

TOKENIZER = BertTokenizer()
CAPTIONS = ['a man in a red shirt', 'traffic light', 'two umbrellas near it']


class CountingEncoder(BertEncoder):
    """Counts the captions that it reads."""

    def __init__(self) -> None:
        super().__init__(hidden_size=16, num_layers=2, num_heads=2, intermediate_size=32)
        self.read = 0

    def forward(self, tokens: TextTokens) -> TextFeatures:
        self.read += len(tokens)
        return super().forward(tokens)


@pytest.fixture
def encoder() -> CountingEncoder:
    torch.manual_seed(0)
    encoder = CountingEncoder().eval()
    with torch.no_grad():
        for p in encoder.parameters():
            p.mul_(10)
    return encoder


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


def real_rows(features: TextFeatures) -> Tensor:
    return features.hidden[features.mask]


def assert_equal_but_for_rounding(a: Tensor, b: Tensor) -> None:
    """Products of other shapes add up in another order, which processors do differently.

    Each of the some hundred additions behind a value may be off by half a unit in the last place
    of the largest term.
    """
    unit = torch.finfo(torch.float32).eps * b.abs().max().item()
    torch.testing.assert_close(a, b, atol=100 * unit, rtol=0)


def assert_fresh(cache: TextFeatureCache, encoder: BertEncoder, captions: list[str]) -> None:
    tokens = TOKENIZER(captions)
    cached, fresh = cache.encode(encoder, tokens), encoder(tokens)
    assert torch.equal(cached.mask, fresh.mask) and cached.hidden.shape == fresh.hidden.shape
    assert_equal_but_for_rounding(real_rows(cached), real_rows(fresh))
    assert (cached.hidden[~cached.mask] == 0).all()


def test_cached_equals_fresh_in_any_company(encoder):
    cache = TextFeatureCache()
    for captions in (CAPTIONS, CAPTIONS[::-1], [CAPTIONS[1]], [CAPTIONS[1], 'a new one'],
                     [CAPTIONS[0]] * 3):
        assert_fresh(cache, encoder, captions)


def test_a_caption_is_read_once(encoder):
    cache = TextFeatureCache()
    first = cache.encode(encoder, TOKENIZER(CAPTIONS))
    assert encoder.read == 3
    second = cache.encode(encoder, TOKENIZER(CAPTIONS))
    assert encoder.read == 3 and torch.equal(first.hidden, second.hidden)
    cache.encode(encoder, TOKENIZER([CAPTIONS[2], 'new', 'new']))
    assert encoder.read == 4  # one new caption, though it came twice
    assert len(cache) == 8 + 4 + 7 + 3  # with [CLS] and [SEP]; 'umbrellas' is two pieces


def test_the_caller_may_write_into_the_result(encoder):
    cache = TextFeatureCache()
    for _ in range(2):
        cache.encode(encoder, TOKENIZER(CAPTIONS)).hidden.zero_()
    assert_fresh(cache, encoder, CAPTIONS)


def swap_through_data(encoder: BertEncoder) -> None:
    for p in encoder.parameters():
        p.data.copy_(p.data.clone() * 1.1)


def optimiser_step(encoder: BertEncoder) -> None:
    weight = encoder.encoder['layer'][1].output.dense.weight
    weight.grad = torch.ones_like(weight)
    torch.optim.SGD([weight], lr=1e-3).step()


@pytest.mark.parametrize('change', [
    lambda e: e.encoder['layer'][1].output.dense.bias[:2].add_(.5),
    lambda e: e.load_state_dict({k: v * 1.1 for k, v in e.state_dict().items()}),
    lambda e: setattr(e.embeddings.word_embeddings, 'weight',
                      torch.nn.Parameter(e.embeddings.word_embeddings.weight * 1.1)),
    swap_through_data, optimiser_step, lambda e: e.double()],
    ids=['in place', 'load_state_dict', 'new tensor', 'data', 'optimiser', 'double'])
def test_changed_weights_are_noticed(encoder, change):
    cache = TextFeatureCache()
    before = cache.encode(encoder, TOKENIZER(CAPTIONS))
    change(encoder)
    assert_fresh(cache, encoder, CAPTIONS)
    after = cache.encode(encoder, TOKENIZER(CAPTIONS))
    assert not torch.equal(before.hidden.double(), after.hidden.double())
    assert after.hidden.dtype == encoder.embeddings.LayerNorm.weight.dtype


def test_another_encoder_is_noticed(encoder):
    cache = TextFeatureCache()
    cache.encode(encoder, TOKENIZER(CAPTIONS))
    other = copy.deepcopy(encoder)
    for p in other.parameters():
        p.mul_(1.1)
    assert_fresh(cache, other, CAPTIONS)
    assert_fresh(cache, encoder, CAPTIONS)


def test_another_encoder_on_the_same_weights_is_noticed(encoder):
    other = CountingEncoder().eval()
    other.embeddings, other.encoder = encoder.embeddings, encoder.encoder
    cache = TextFeatureCache()
    cache.encode(encoder, TOKENIZER(CAPTIONS))
    cache.encode(other, TOKENIZER(CAPTIONS))
    assert encoder.read == other.read == 3


def test_autocast_states_do_not_mix(encoder):
    cache = TextFeatureCache()
    tokens = TOKENIZER(CAPTIONS)
    full = cache.encode(encoder, tokens).hidden
    for _ in range(2):
        with torch.autocast('cpu', torch.bfloat16):
            half = cache.encode(encoder, tokens).hidden
            torch.testing.assert_close(half[tokens.mask], encoder(tokens).hidden[tokens.mask],
                                       atol=.05, rtol=.05)
    assert not torch.equal(half.float(), full)
    read = encoder.read
    assert torch.equal(cache.encode(encoder, tokens).hidden, full) and encoder.read == read


def test_the_oldest_goes_first(encoder):
    cache = TextFeatureCache(max_tokens=10)

    def reads(caption: str) -> bool:
        before = encoder.read
        cache.encode(encoder, TOKENIZER([caption]))
        assert len(cache) <= 10
        return encoder.read > before

    assert reads('one') and reads('two') and reads('three')  # three tokens each
    assert not reads('one')  # now 'two' is the oldest
    assert reads('four')
    assert not reads('one') and not reads('three') and reads('two')


@pytest.mark.parametrize('max_tokens', [0, 3])
def test_a_batch_larger_than_the_memory(encoder, max_tokens):
    cache = TextFeatureCache(max_tokens)
    for _ in range(2):
        assert_fresh(cache, encoder, CAPTIONS)
        assert len(cache) <= max_tokens


def test_gradients_bypass_the_memory(encoder):
    cache = TextFeatureCache()
    cache.encode(encoder, TOKENIZER(CAPTIONS))
    with torch.enable_grad():
        hidden = cache.encode(encoder, TOKENIZER(CAPTIONS)).hidden
    assert hidden.requires_grad and encoder.read == 6


def test_training_bypasses_and_empties_the_memory(encoder):
    cache = TextFeatureCache()
    cache.encode(encoder, TOKENIZER(CAPTIONS))
    encoder.train()
    first, second = (cache.encode(encoder, TOKENIZER(CAPTIONS)).hidden for _ in range(2))
    assert not torch.equal(first, second)  # dropout
    assert len(cache) == 0


def test_rows_made_in_inference_mode_serve_elsewhere(encoder):
    cache = TextFeatureCache()
    with torch.inference_mode():
        cache.encode(encoder, TOKENIZER(CAPTIONS))
    read = encoder.read
    hidden = cache.encode(encoder, TOKENIZER(CAPTIONS)).hidden
    assert encoder.read == read and not hidden.is_inference()


def test_copies_begin_empty(encoder):
    cache = TextFeatureCache(99)
    cache.encode(encoder, TOKENIZER(CAPTIONS))
    for twin in (copy.deepcopy(cache), pickle.loads(pickle.dumps(cache))):
        assert len(twin) == 0 and twin.max_tokens == 99
        assert_fresh(twin, encoder, CAPTIONS)


def test_padding_on_the_left_is_kept(encoder):
    tokens = TOKENIZER(CAPTIONS)
    flipped = TextTokens(tokens.ids.flip(1), tokens.mask.flip(1), tokens.offsets)
    cached = TextFeatureCache().encode(encoder, flipped)
    assert_equal_but_for_rounding(real_rows(cached), real_rows(encoder(flipped)))


def test_negative_bound():
    with pytest.raises(UserError):
        TextFeatureCache(-1)
