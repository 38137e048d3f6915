"""BERT's word pieces: the shipped vocabulary, offsets, lengths, and what is said about them."""
from __future__ import annotations

import hashlib
import pickle

import pytest
import torch
from transformers import BertTokenizerFast

from glipkit.errors import UserError
from glipkit.text.tokenizers import UNCASED_VOCABULARY, BertTokenizer, wordpiece

COCO = (
    'person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, '
    'fire hydrant, stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, '
    'bear, zebra, giraffe, backpack, umbrella, handbag, tie, suitcase, frisbee, skis, snowboard, '
    'sports ball, kite, baseball bat, baseball glove, skateboard, surfboard, tennis racket, '
    'bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, '
    'broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, '
    'dining table, toilet, tv, laptop, mouse, remote, keyboard, cell phone, microwave, oven, '
    'toaster, sink, refrigerator, book, clock, vase, scissors, teddy bear, hair drier, '
    'toothbrush').split(', ')


@pytest.fixture(scope='module')
def tokenizer() -> BertTokenizer:
    return BertTokenizer()


@pytest.fixture
def warnings(monkeypatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(wordpiece, 'print_log', lambda message, *_: said.append(message))
    return said


def test_vocabulary_is_bert_base_uncased():
    content = UNCASED_VOCABULARY.read_bytes()
    assert hashlib.sha256(content).hexdigest() == (
        '07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3')
    assert len(content.decode().splitlines()) == BertTokenizer().vocab_size == 30522
    assert (UNCASED_VOCABULARY.parent / 'NOTICE.md').is_file()


@pytest.mark.parametrize('caption', [
    '. '.join(COCO), 'A café, crème brûlée & piñatas!', "the dog's t-shirt (red_ball)", '',
    'blanks  between\tand\nbreaks ', '中文 mixed 字', 'x' * 120 + ' end',
    'e\u0301te\u0301 \u200bzero',
    'naïve ﬁne ½ Ⅷ', '🚗 emoji 👨‍👩‍👧', '\x00control\x07'])
def test_equals_hugging_face(tokenizer, caption):
    reference = BertTokenizerFast(str(UNCASED_VOCABULARY))
    expected = reference(caption, return_offsets_mapping=True)
    tokens = tokenizer([caption])
    assert tokens.ids[0].tolist() == expected['input_ids']
    assert tokens.offsets[0] == [tuple(pair) for pair in expected['offset_mapping']]


def test_coco_prompt_has_194_tokens(tokenizer):
    assert len(COCO) == 80
    assert tokenizer(['. '.join(COCO)]).ids.shape == (1, 194)
    assert tokenizer.count('. '.join(COCO)) == 192


def test_pads_to_the_longest(tokenizer):
    tokens = tokenizer(['a man', 'traffic light near a man', ''])
    assert tokens.ids.shape == tokens.mask.shape == (3, 7)
    assert tokens.ids.dtype == torch.long and tokens.mask.dtype == torch.bool
    assert tokens.mask.sum(1).tolist() == [4, 7, 2] == [len(row) for row in tokens.offsets]
    assert (tokens.ids[~tokens.mask] == tokenizer.pad_id).all()
    assert tokens.ids[0].tolist() == [101, 1037, 2158, 102, 0, 0, 0]
    assert tokens.offsets[0] == [(0, 0), (0, 1), (2, 5), (0, 0)]


def test_special_tokens_in_a_caption_are_plain_text(tokenizer):
    ids = tokenizer(['a [SEP] b [MASK] [CLS]']).ids[0].tolist()
    assert ids.count(tokenizer.sep_id) == 1 and ids.count(tokenizer.cls_id) == 1
    assert 103 not in ids


def test_too_long_is_refused(tokenizer):
    with pytest.raises(UserError, match='at most 6 tokens.*7 tokens'):
        tokenizer(['one two three four five'], max_tokens=6)
    assert tokenizer(['one two three four five'], max_tokens=7).ids.shape == (1, 7)


def test_truncation_keeps_sep_and_warns_once_per_caption(warnings):
    tokenizer = BertTokenizer()
    for _ in range(3):
        tokens = tokenizer(['one two three four five', 'one two'], max_tokens=5, truncate=True)
    assert tokens.ids[0].tolist()[-1] == tokenizer.sep_id
    assert tokens.offsets[0] == [(0, 0), (0, 3), (4, 7), (8, 13), (0, 0)]
    assert len(warnings) == 1 and '7 tokens' in warnings[0]
    tokenizer(['five four three two one'], max_tokens=5, truncate=True)
    assert len(warnings) == 2


def test_unknown_words_are_tokens_and_warn_once(warnings):
    tokenizer = BertTokenizer()
    for _ in range(2):
        tokens = tokenizer(['a 🚗 car'])
    assert tokens.ids[0].tolist()[2] == tokenizer.unk_id and tokenizer.count('🚗') == 1
    assert len(warnings) == 1 and '🚗' in warnings[0]


def test_unknown_words_do_not_flood(warnings):
    tokenizer = BertTokenizer()
    tokenizer([' '.join(chr(0x1F300 + i) for i in range(300))])
    assert len(warnings) == 100


def test_cased_vocabulary_file(tmp_path):
    path = tmp_path / 'vocab.txt'
    path.write_text('[PAD]\n[UNK]\n[CLS]\n[SEP]\nDog\ndog\n')
    tokens = BertTokenizer(path, lowercase=False)(['Dog dog'])
    assert tokens.ids[0].tolist() == [2, 4, 5, 3]


@pytest.mark.parametrize('content', [None, 'dog\ncat\n'])
def test_bad_vocabulary(tmp_path, content):
    path = tmp_path / 'vocab.txt'
    if content:
        path.write_text(content)
    with pytest.raises(UserError):
        BertTokenizer(path)


@pytest.mark.parametrize('captions', ['a string', [], [None], [3], ['\ud800']])
def test_bad_captions(tokenizer, captions):
    with pytest.raises(UserError):
        tokenizer(captions)


def test_survives_pickling(tokenizer):
    copy = pickle.loads(pickle.dumps(tokenizer))
    assert copy(['a man']).ids.tolist() == tokenizer(['a man']).ids.tolist()
