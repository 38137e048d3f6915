"""The back ends of noun phrase extraction: how well, and on what they must not stumble."""
from __future__ import annotations

import random
from pathlib import Path

import pytest
import spacy

from glipkit.errors import UserError
from glipkit.text.phrases import clean_spans, extract_phrases
from glipkit.text.phrases.pipelines import pipeline_extractor
from tests.test_text.test_phrases import CAPTIONS

TABLE = Path(__file__).with_name('data') / 'captions.txt'


def read_table():
    lines = TABLE.read_text(encoding='utf-8').splitlines()
    rows = [line.split(' => ') for line in lines if line and not line.startswith('#')]
    return {caption: phrases.strip().split(' | ') for caption, phrases in rows}


def precision_recall(backend):
    """Exact matches over both hand-written tables."""
    table = {**read_table(), **{c: [p for p in e.split('|') if p] for c, e in CAPTIONS.items()}}
    assert len(table) >= 150
    hits = found = wanted = 0
    for caption, expected in table.items():
        phrases = [caption[a:b] for a, b in extract_phrases(caption, backend)]
        hits += sum(phrase in expected for phrase in phrases)
        found, wanted = found + len(phrases), wanted + len(expected)
    return hits / found, hits / wanted


def test_rules_on_the_hand_written_captions():
    precision, recall = precision_recall('rules')
    assert precision >= 0.96 and recall >= 0.97, (precision, recall)


def test_pattern_on_the_hand_written_captions():
    precision, recall = precision_recall('pattern')
    assert precision >= 0.75 and recall >= 0.78, (precision, recall)


def hostile_captions(count=1000, seed=3):
    rng = random.Random(seed)
    scraps = [
        '😀', '👩\u200d👩\u200d👧', 'مرحبا بالعالم', 'שלום', '\u202eabc\u202c', '漢字', '🇩🇪', 'ﬁre',
        'İstanbul', 'ｆｕｌｌ ｗｉｄｔｈ', 'ß', 'e\u0301', '<b>a dog</b>', '&nbsp;', '&lt;cat&gt;',
        '<img src="x.jpg" alt="a red car">', '...', '!!!', '—', "''", '\t', '\n', '\x00', '\u200b',
        'a man', 'two dogs', 'http://x.y/z?a=b', '#tag', '@user', '%s', '{}', '\\n', 'A' * 50,
        '3.14', '-', "o'clock", '\ud7ff', '\ufeff']
    captions = [''.join(rng.choice((' ', '', ' ')) + rng.choice(scraps)
                        for _ in range(rng.randrange(0, 30))) for _ in range(count - 5)]
    return [*captions, '', '.' * 10000, 'a dog and ' * 1000, 'x' * 10000, '😀' * 3000]


@pytest.mark.parametrize('backend', ['rules', 'pattern'])
def test_hostile_captions(backend):
    for caption in hostile_captions(1000 if backend == 'rules' else 200):
        last = 0
        for begin, end in extract_phrases(caption, backend):
            phrase = caption[begin:end]
            assert last <= begin < end <= len(caption)
            assert any(c.isalnum() or c == '_' for c in phrase) and phrase == phrase.strip()
            assert begin == 0 or not (caption[begin - 1] + caption[begin]).isalnum()
            assert end == len(caption) or not (caption[end - 1] + caption[end]).isalnum()
            last = end


def test_picture_words_can_be_left_out():
    caption = 'A black and white photo of a dog beside a picture frame'
    assert [caption[a:b] for a, b in extract_phrases(caption, picture_words=False)] == [
        'a dog', 'a picture frame']


def test_spans_are_cleaned():
    assert clean_spans('a "red ball", he', [(2, 12), (7, 11), (12, 13)]) == [(3, 11)]
    assert clean_spans('containers', [(0, 9)]) == [(0, 10)]  # an edge inside a word moves out
    # Where there are no blanks between words, no edge is inside one.
    assert clean_spans('一只猫在桌子上', [(2, 3), (4, 6)]) == [(2, 3), (4, 6)]
    assert clean_spans('แมวบนโต๊ะ', [(0, 3), (5, 7)]) == [(0, 3), (5, 8)]
    assert clean_spans('he saw it', [(0, 2), (7, 9)]) == []
    assert clean_spans('a b', [(0, 1), (0, 3), (2, 3)]) == [(0, 3)]


def test_noun_chunks_of_a_parser(monkeypatch):
    """A pipeline that parses: its chunks are taken, pronouns are not."""

    def parse(text):
        words = text.split()
        return spacy.tokens.Doc(
            spacy.blank('en').vocab, words=words, spaces=[True] * (len(words) - 1) + [False],
            pos=['PRON', 'VERB', 'DET', 'ADJ', 'NOUN'], heads=[1, 1, 4, 4, 1],
            deps=['nsubj', 'ROOT', 'det', 'amod', 'dobj'])

    parse.pipe_names = ['parser']
    monkeypatch.setattr(spacy, 'load', lambda name, **kwargs: parse)
    pipeline_extractor.cache_clear()
    assert extract_phrases('she holds the red kite', 'spacy:made_up') == [(10, 22)]
    pipeline_extractor.cache_clear()


@pytest.mark.parametrize('backend, words', [
    ('nltk', 'rules'), ('spacy:no_such_pipeline', 'no_such_pipeline'), ('', 'rules')])
def test_unknown_backends(backend, words):
    with pytest.raises(UserError, match=words):
        extract_phrases('a dog', backend)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'textblob.en', None)
    pipeline_extractor.cache_clear()
    with pytest.raises(UserError, match=r'glipkit\[phrases\]'):
        extract_phrases('a dog', 'pattern')
    pipeline_extractor.cache_clear()
