"""CLIP's tokenizer and text transformer beside the official ones."""
from __future__ import annotations

import copy
import hashlib
import json
import pickle

import pytest
import torch

from glipkit.errors import UserError
from glipkit.text.encoders.clip_text import ClipTextEncoder, read_places
from glipkit.text.tokenizers import CLIP_VOCABULARY, ClipBpeTokenizer, build_tokenizer
from glipkit.text.tokenizers.cleaning import clean
from tests.region_clip_golden import FOLDER, case, official_keys, official_state

ROWS = json.loads((FOLDER / 'tokens.json').read_text())['rows']
MINI = dict(width=16, heads=2, layers=2, embed_dim=8)


@pytest.fixture(scope='module')
def tokenizer() -> ClipBpeTokenizer:
    return ClipBpeTokenizer()


def test_the_vocabulary_is_the_published_file(tokenizer):
    assert hashlib.sha256(CLIP_VOCABULARY.read_bytes()).hexdigest() == (
        '924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a')
    assert 'CLIP' in (CLIP_VOCABULARY.parent / 'NOTICE.md').read_text()
    assert tokenizer.vocab_size == 49408


@pytest.mark.parametrize('row', ROWS, ids=[ascii(row['text'])[:30] for row in ROWS])
def test_ids_equal_the_official_ones(tokenizer, row):
    assert tokenizer.encode(row['text']) == row['encoded']
    tokens = tokenizer([row['text']], 77, truncate=True)
    assert tokens.ids[0].tolist() == row['padded'] and tokens.mask.all()
    assert read_places(tokens).tolist() == [row['read_at']]
    assert len(tokens.offsets[0]) == len(row['padded'])
    assert tokenizer.count(row['text']) == len(tokenizer.pieces(row['text'])) == len(
        row['encoded'])


def test_texts_are_padded_at_the_right(tokenizer):
    tokens = tokenizer(['cat', 'a photo of a cat.'])
    assert tokens.ids[0].tolist() == [49406, 2368, 49407, 0, 0, 0, 0, 0]
    assert tokens.mask.sum(1).tolist() == [3, 8]
    assert tokens.offsets[1][1:4] == [(0, 1), (2, 7), (8, 10)] and tokens.offsets[1][0] == (0, 0)
    assert tokenizer.pieces('A Cat') == ['a</w>', 'cat</w>']


@pytest.mark.parametrize('text, expected', [
    ('caf\u00c3\u00a9', 'caf\u00e9'), ('\u00abCAF\u00c9\u00bb', '\u00abCAF\u00c9\u00bb'),
    ('it\u2019s', "it's"), ('\ufb01ne', 'fine'), ('a\x00b\x07', 'ab'), ('e\u0301', '\u00e9'),
    ('&amp;lt;', '<'), (' a\n\tb ', 'a b'), ('\x1b[31mred\x1b[0m', 'red'), ('½ ²', '½ ²')])
def test_cleaning(text, expected):
    assert clean(text) == expected


@pytest.mark.parametrize('call', [
    lambda t: t('cat'), lambda t: t([]), lambda t: t([7]), lambda t: t(['word ' * 80], 77),
    lambda t: t(['cat'], 1), lambda t: t(['\ud800'])])
def test_wrong_texts_are_refused(tokenizer, call):
    with pytest.raises(UserError):
        call(tokenizer)


def test_a_copy_of_the_tokenizer(tokenizer):
    for other in (pickle.loads(pickle.dumps(tokenizer)), copy.deepcopy(tokenizer),
                  build_tokenizer(tokenizer.config)):
        assert other.encode('a red cat') == tokenizer.encode('a red cat')
    with pytest.raises(UserError):
        build_tokenizer(dict(type='ClipBpeTokenizer', colour='red'))


@pytest.mark.slow
@torch.no_grad()
def test_features_equal_the_official_ones():
    encoder = ClipTextEncoder().eval()
    encoder.load_state_dict(official_state('pretrain_rn50', 'lang_encoder.'))
    meta, arrays = case('text_rn50')
    tokens = encoder.tokenizer(meta['texts'], 77, truncate=True)
    width = tokens.ids.shape[1]
    assert torch.equal(tokens.ids, arrays['ids'][:, :width].long())
    assert not arrays['ids'][:, width:].any()
    features = encoder(tokens)
    assert features.mask.shape == (len(tokens), 1) and features.mask.all()
    torch.testing.assert_close(features.hidden[:, 0], arrays['features'], atol=1e-4, rtol=0)
    every = encoder.project(encoder.encode(arrays['ids'][:2].long()))
    torch.testing.assert_close(every[..., ::16], arrays['all_tokens'], atol=1e-4, rtol=0)


def test_keys_are_the_official_ones():
    for name, sizes in (('rn50', {}), ('rn50x4', dict(width=640, heads=10, embed_dim=640))):
        official = {key.removeprefix('lang_encoder.'): shape
                    for key, shape in official_keys(f'pretrain_{name}').items()
                    if key.startswith('lang_encoder.')}
        with torch.device('meta'):
            own = ClipTextEncoder(**sizes).state_dict()
        assert {key: list(value.shape) for key, value in own.items()} == official


def test_a_common_beginning_is_computed_once_and_exactly():
    torch.manual_seed(0)
    encoder = ClipTextEncoder(**MINI)
    texts = ['a photo of a cat.', 'a photo of a dog on a very long road', 'a photo of a',
             'a photo of a cat.']
    tokens = encoder.tokenizer(texts)
    results = []
    for shared in (False, True):
        if shared:
            found = encoder(tokens).hidden[:, 0]
        else:
            found = torch.stack([encoder(encoder.tokenizer([text])).hidden[0, 0]
                                 for text in texts])
        results.append((found, *torch.autograd.grad(found.square().sum(),
                                                    list(encoder.parameters()))))
    for a, b in zip(*results):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(results[0][0], results[1][0], atol=1e-5, rtol=1e-5)


def test_a_text_without_end_is_read_at_its_start():
    torch.manual_seed(0)
    encoder = ClipTextEncoder(**MINI, context=5).eval()
    tokens = encoder.tokenizer(['one two three four five', 'red blue green black white'], 5, True)
    with torch.no_grad():
        one, other = encoder(tokens).hidden[:, 0]
    torch.testing.assert_close(one, other)
    with pytest.raises(UserError):
        encoder(encoder.tokenizer(['one two three four five']))


@pytest.mark.parametrize('arguments', [dict(heads=3), dict(activation='relu')])
def test_wrong_arguments_are_refused(arguments):
    with pytest.raises(UserError):
        ClipTextEncoder(**{**MINI, **arguments})


def test_both_activations_differ():
    torch.manual_seed(0)
    quick, exact = (ClipTextEncoder(**MINI, activation=name) for name in ('quick_gelu', 'gelu'))
    exact.load_state_dict(quick.state_dict())
    tokens = quick.tokenizer(['a cat'])
    assert not torch.equal(quick(tokens).hidden, exact(tokens).hidden)


def test_a_dialect_has_its_own_markers_and_keeps_the_end():
    theirs = ClipBpeTokenizer('open_clip')
    start, end = theirs.start_id, theirs.end_id
    assert theirs.encode('<start_of_text><end_of_text>') == [start, end]
    assert ClipBpeTokenizer().encode('<|startoftext|><|endoftext|>') == [start, end]
    cut = theirs(['cat ' * 20], 8, truncate=True).ids[0].tolist()
    assert len(cut) == 8 and cut[-1] == end
    assert ClipBpeTokenizer()(['cat ' * 20], 8, truncate=True).ids[0, -1] != end
    assert theirs.config == dict(type='ClipBpeTokenizer', dialect='open_clip')
    assert pickle.loads(pickle.dumps(theirs)).dialect == 'open_clip'
    assert build_tokenizer(theirs.config).keep_end
    with pytest.raises(UserError, match='a dialect'):
        ClipBpeTokenizer('other')
