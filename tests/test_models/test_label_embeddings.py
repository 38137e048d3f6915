"""Labels to a matrix: averages, memory, bank and gradients."""
from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from glipkit.errors import UserError
from glipkit.models.alignment.label_embeddings import LabelEmbeddings
from glipkit.text.encoders.bert import BertEncoder
from glipkit.text.encoders.clip_text import ClipTextEncoder
from glipkit.text.templates import TEMPLATES
from tests.region_clip_golden import case, official_state

NAMES = ['cat', 'a very long label with words', 'dog', 'cat', 'red, round+ball', 'cup', 'bed',
         'lamp', 'tree', 'old house']
TEMPLATE_LIST = ['{}.', 'a photo of {article} {}.', 'the {} on a road']


class CountingEncoder(ClipTextEncoder):
    texts = 0

    def forward(self, tokens):
        self.texts += len(tokens)
        return super().forward(tokens)


@pytest.fixture
def encoder() -> CountingEncoder:
    torch.manual_seed(0)
    return CountingEncoder(width=16, heads=2, layers=2, embed_dim=8).eval()


def read(encoder, *texts):
    return torch.stack([encoder(encoder.tokenizer([text])).hidden[0, 0] for text in texts])


@pytest.mark.slow
@torch.no_grad()
def test_embeddings_equal_the_official_ones():
    encoder = ClipTextEncoder().eval()
    encoder.load_state_dict(official_state('pretrain_rn50', 'lang_encoder.'))
    meta, arrays = case('text_rn50')
    found = LabelEmbeddings()(encoder, meta['concepts'], 'imagenet_and_name')
    torch.testing.assert_close(found, arrays['concept_embeddings'], atol=1e-4, rtol=0)


@pytest.mark.parametrize('names', [NAMES, NAMES[:2]])
@torch.no_grad()
def test_a_row_is_the_mean_of_its_sentences(encoder, names):
    sentences = read(encoder, 'cat.', 'a photo of a cat.', 'the cat on a road')
    before = LabelEmbeddings(texts_at_once=3)(encoder, names, TEMPLATE_LIST)
    torch.testing.assert_close(before[0], sentences.mean(0), atol=1e-5, rtol=0)
    after = LabelEmbeddings('after')(encoder, names, TEMPLATE_LIST)
    torch.testing.assert_close(after[0], F.normalize(sentences, dim=1).mean(0), atol=1e-5, rtol=0)
    assert before.shape == (len(names), 8)
    torch.testing.assert_close(before, LabelEmbeddings()(encoder, names, TEMPLATE_LIST))


@torch.no_grad()
def test_texts_without_templates_are_read_as_they_are(encoder):
    plain = LabelEmbeddings()(encoder, NAMES)
    torch.testing.assert_close(plain, read(encoder, *NAMES), atol=1e-5, rtol=0)
    assert torch.equal(plain[0], plain[3])
    named = LabelEmbeddings()(encoder, NAMES, 'name')
    torch.testing.assert_close(named[4], read(encoder, 'red round ball')[0], atol=1e-5, rtol=0)
    assert LabelEmbeddings()(encoder, []).shape == (0, 8)


@torch.no_grad()
def test_each_label_is_read_once_until_a_weight_changes(encoder):
    embeddings = LabelEmbeddings()
    first = embeddings(encoder, NAMES, TEMPLATE_LIST)
    assert encoder.texts == 9 * 3
    assert embeddings(encoder, NAMES, TEMPLATE_LIST) is first
    torch.testing.assert_close(embeddings(encoder, NAMES[2:4], TEMPLATE_LIST), first[2:4])
    assert encoder.texts == 9 * 3
    embeddings(encoder, NAMES[:1], 'name')  # other sentences are others
    embeddings(encoder, ['new'], TEMPLATE_LIST)
    assert encoder.texts == 9 * 3 + 1 + 3
    again = copy.deepcopy(embeddings)
    again(encoder, NAMES[:1], 'name')
    assert encoder.texts == 9 * 3 + 1 + 3 + 1
    encoder.text_projection.mul_(2)
    torch.testing.assert_close(embeddings(encoder, NAMES, TEMPLATE_LIST), 2 * first)


@torch.no_grad()
def test_memory_has_a_limit(encoder):
    embeddings = LabelEmbeddings(max_rows=2)
    found = embeddings(encoder, NAMES)
    torch.testing.assert_close(embeddings(encoder, NAMES[::-1]), found.flip(0))
    assert len(embeddings._rows) == 2


def test_gradients_reach_an_encoder_that_trains(encoder):
    embeddings = LabelEmbeddings()
    matrix = embeddings(encoder, NAMES, TEMPLATE_LIST)
    matrix.sum().backward()
    assert encoder.text_projection.grad.any()
    encoder.requires_grad_(False)
    with torch.inference_mode():
        embeddings(encoder, NAMES, TEMPLATE_LIST)
    fixed = embeddings(encoder, NAMES, TEMPLATE_LIST)  # remembered, and fit for a loss
    assert not fixed.requires_grad
    torch.testing.assert_close(fixed, matrix.detach(), atol=1e-5, rtol=0)
    weight = torch.ones(8, requires_grad=True)
    (fixed @ weight).sum().backward()
    torch.testing.assert_close(weight.grad, fixed.sum(0))


@torch.no_grad()
def test_rows_of_a_bank_need_no_encoder(encoder):
    embeddings, rows = LabelEmbeddings(), torch.randn(2, 8).half()
    embeddings.set_bank(['cat', 'cow'], rows)
    found = embeddings(encoder, ['cow', 'cat', 'cow'], 'imagenet')
    assert torch.equal(found, rows[[1, 0, 1]].float()) and encoder.texts == 0
    mixed = embeddings(encoder, ['dog', 'cat'], TEMPLATE_LIST)
    assert torch.equal(mixed[1], rows[0].float()) and encoder.texts == 3
    assert not torch.equal(embeddings(encoder, ['cat'])[0], rows[0].float())
    embeddings.set_bank([], None)
    assert not torch.equal(embeddings(encoder, ['cat'], TEMPLATE_LIST)[0], rows[0].float())
    with pytest.raises(UserError):
        embeddings.set_bank(['cat'], rows)
    embeddings.set_bank(['cat'], torch.zeros(1, 5))
    with pytest.raises(UserError, match='5 channels'):
        embeddings(encoder, ['cat'], 'name')


def test_wrong_arguments_are_refused(encoder):
    with pytest.raises(UserError):
        LabelEmbeddings('between')
    with pytest.raises(UserError):
        LabelEmbeddings()(encoder, ['cat'], 'unknown')
    with pytest.raises(UserError, match='77'):
        LabelEmbeddings()(encoder, ['word ' * 80])
    # Cut, as by the official code: without an end to read at, all such texts are the same.
    long = LabelEmbeddings()(encoder, ['word ' * 80, 'other ' * 90], truncate=True)
    assert torch.allclose(long[0], long[1])
    tokens = BertEncoder(hidden_size=16, num_layers=1, num_heads=2, intermediate_size=16)
    with pytest.raises(UserError, match='sentence'):
        LabelEmbeddings()(tokens, ['cat'])
    assert len(TEMPLATES['imagenet']) == 80
