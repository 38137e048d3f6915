"""Noun phrases by a spaCy pipeline: a trained one, or one whose tags come from a shipped lexicon.

``'pattern'`` needs no download: spaCy's rule-made tokens, tagged by the lexicon and suffix rules of
the Pattern tagger that the package TextBlob carries. ``'spacy:NAME'`` takes any installed English
pipeline; one with a parser gives its noun chunks, one with a tagger alone is chunked by its tags.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from glipkit.errors import UserError
from glipkit.text.structures import Span

Extractor = Callable[[str], 'list[Span]']

# Penn tags. The shape of a chunk is the official demo's (an optional determiner, adjectives, nouns;
# maskrcnn_benchmark/engine/predictor_glip.py), widened by counts, possessives and participles.
_DETERMINERS = {'DT', 'PDT', 'PRP$', 'WP$', 'CD'}
_MODIFIERS = {'JJ', 'JJR', 'JJS', 'VBN', 'VBG', 'CD', 'HYPH', ':'}
_NOUNS = {'NN', 'NNS', 'NNP', 'NNPS'}


@lru_cache(maxsize=4)
def pipeline_extractor(backend: str) -> Extractor:
    """The extractor of ``'pattern'``, ``'spacy'`` (en_core_web_sm) or ``'spacy:NAME'``.

    Raises:
        UserError: An unknown back end, or one whose package is not installed.
    """
    if backend == 'pattern':
        nlp = _pattern_pipeline()
    else:
        nlp = _trained_pipeline(backend.partition(':')[2] or 'en_core_web_sm')
    return lambda caption: list(_spans(nlp(caption)))


def _spans(doc: Any) -> Iterator[Span]:
    """Spans of a parsed or tagged document, before they are cleaned."""
    if doc.has_annotation('DEP'):
        for chunk in doc.noun_chunks:
            if chunk.root.pos_ != 'PRON':
                yield chunk.start_char, chunk.end_char
        return
    tags = [token.tag_ for token in doc]
    i = 0
    while i < len(tags):
        end = _chunk_end(tags, i)
        if end is None:
            i += 1
            continue
        yield doc[i].idx, doc[end - 1].idx + len(doc[end - 1])
        i = end


def _chunk_end(tags: list[str], i: int) -> int | None:
    """End of the chunk that begins at token ``i``, or None.

    >>> _chunk_end(['DT', 'JJ', 'NN', 'VBZ'], 0)
    3
    """
    j = i
    while j < len(tags) and tags[j] in _DETERMINERS:
        j += 1
    determined = j > i
    while j < len(tags) and tags[j] in _MODIFIERS:
        j += 1
    if j > i and not determined and tags[i] in ('VBN', 'VBG', 'HYPH', ':'):
        return None  # 'riding horses' is an action and a thing
    end = j
    while end < len(tags) and tags[end] in _NOUNS:
        end += 1
    if end == j:
        return None
    if tags[end:end + 1] == ['POS']:  # "a man's hat" is one thing
        after = _chunk_end(tags, end + 1)
        return after or end
    return end


def _pattern_pipeline() -> Any:
    spacy = _import('spacy')
    tag = _import('textblob.en').tag
    nlp = spacy.blank('en')

    def tagged(text: str) -> Any:
        doc = nlp(text)
        # The tagger splits at blanks, so every token goes in as one word and comes back as one.
        words = [token.text if token.text.strip() else '_' for token in doc]
        found = tag(' '.join(words), tokenize=False) if words else []
        if len(found) == len(words):
            for token, (_, penn) in zip(doc, found):
                token.tag_ = penn
        return doc

    return tagged


def _trained_pipeline(name: str) -> Any:
    spacy = _import('spacy')
    try:
        nlp = spacy.load(name, exclude=['ner', 'lemmatizer'])
    except OSError as error:
        raise UserError('an installed spaCy pipeline', f'no {name}',
                        f'install it (python -m spacy download {name}), name another one, or use '
                        "the back end 'rules', which needs none") from error
    if not {'tagger', 'parser'} & set(nlp.pipe_names):
        raise UserError('a spaCy pipeline with a tagger or a parser', f'{name}: {nlp.pipe_names}',
                        'name another one')
    return nlp


def _import(name: str) -> Any:
    from importlib import import_module
    try:
        return import_module(name)
    except ImportError as error:
        raise UserError(f'the package {name.split(".")[0]}', 'it is not installed',
                        "pip install 'glipkit[phrases]', or use the back end 'rules'") from error
