"""Class lists and captions to prompts: nothing lost, nothing renamed, nothing over budget."""
from __future__ import annotations

import json
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glipkit.errors import UserError
from glipkit.text.prompts import class_prompt, clean_name, phrase_prompt, split_class_prompt
from glipkit.text.spans import token_map
from glipkit.text.structures import Prompt
from glipkit.text.tokenizers import BertTokenizer

TOKENIZER = BertTokenizer()


def texts(prompt: Prompt) -> list[str]:
    """What the spans cover, one string per entity."""
    return [' '.join(prompt.caption[a:b] for a, b in spans) for spans in prompt.spans]


def tokens_per_entity(prompt: Prompt) -> list[int]:
    tokens = TOKENIZER([prompt.caption])
    return token_map(tokens.offsets[0], prompt.spans, tokens.ids.shape[1]).sum(1).tolist()


@pytest.mark.parametrize('name, expected', [
    ('person', 'person'), ('Traffic Light', 'Traffic Light'), ('traffic_light', 'traffic light'),
    ('cup (drink)', 'cup'), ('flag(a) of (b) it', 'flag it'), ('a__b', 'a b'), ('  x \n y ', 'x y'),
    ('half (open', 'half (open'), ('(gone)', ''), ('C++', 'C++'), ('café', 'café')])
def test_clean_name(name, expected):
    assert clean_name(name) == expected


def test_class_prompt():
    names = ['person', 'bicycle', 'traffic_light', 'toothbrush', 'hair drier', 'stop sign (red)']
    prompt = class_prompt(names)
    assert prompt.caption == 'person. bicycle. traffic light. toothbrush. hair drier. stop sign'
    assert prompt.spans == (((0, 6), ), ((8, 15), ), ((17, 30), ), ((32, 42), ), ((44, 54), ),
                            ((56, 65), ))
    assert prompt.names == tuple(names) and prompt.start == 0 and len(prompt) == 6


def test_names_that_contain_each_other():
    prompt = class_prompt(['container number', 'container', 'number', 'a', 'containernumber'])
    assert texts(prompt) == ['container number', 'container', 'number', 'a', 'containernumber']
    assert len(set(prompt.spans)) == 5


def test_separator_and_start():
    prompt = class_prompt(['a', 'b'], separator=' . ', start=7)
    assert (prompt.caption, prompt.start) == ('a . b', 7)


def test_hand_written_prompts_are_written_as_given_and_not_covered():
    caption_prompt = {
        'pothole': dict(prefix='there are some ', name='holes', suffix=' on the road'),
        'dog': dict(suffix=', barking'), 'unused': dict(name='x')}
    prompt = class_prompt(['pothole', 'cat', 'dog'], caption_prompt=caption_prompt)
    assert prompt.caption == 'there are some holes on the road. cat. dog, barking'
    assert texts(prompt) == ['holes', 'cat', 'dog']
    assert prompt.names == ('pothole', 'cat', 'dog')


def test_hand_written_prompts_can_name_a_class_without_letters():
    assert texts(class_prompt(['?!', 'b'], caption_prompt={'?!': dict(name='unknown')})) == [
        'unknown', 'b']


@pytest.mark.parametrize('names, caption_prompt', [
    ([], None), ('person, dog', None), (['a', 'b', 'a'], None), (['a', ''], None),
    (['a', '  '], None), (['a', '...'], None), (['🚗'], None), (['(dog)'], None),
    (['a', 3], None), ([None], None), (['a'], {'a': dict(name='!')}),
    (['a'], {'a': dict(text='x')}), (['a'], {'a': 'x'})])
def test_bad_class_lists(names, caption_prompt):
    with pytest.raises(UserError):
        class_prompt(names, caption_prompt=caption_prompt)
    with pytest.raises(UserError):
        split_class_prompt(names, TOKENIZER, caption_prompt=caption_prompt)


@pytest.mark.parametrize('separator', ['', 'and', ' x', '🚗'])
def test_separator_must_keep_words_apart(separator):
    with pytest.raises(UserError, match='separator'):
        class_prompt(['a', 'b'], separator=separator)


def test_names_in_other_scripts_and_with_emoji_get_tokens():
    prompt = class_prompt(['犬', 'crème brûlée', 'собака', '🚗 car', 'คน', '한국어'])
    assert min(tokens_per_entity(prompt)) >= 1


def test_dropped_characters_at_the_ends_do_not_lose_a_class():
    zalgo = 'dog' + '\u0301' * 8
    prompt = class_prompt([zalgo, '\u200b' * 6 + 'cat' + '\u200b' * 6, 'a'])
    assert tokens_per_entity(prompt) == [1, 1, 1]
    assert prompt.names[0] == zalgo


def made_up_names(count: int) -> list[str]:
    """Names like those of a large vocabulary: rare words, '_', remarks in parentheses."""
    rng = random.Random(0)
    syllables = 'ka ro min tel su ba lop der in ges fa wil ton ar che pu'.split()

    def word() -> str:
        return ''.join(rng.choice(syllables) for _ in range(rng.randint(1, 4)))

    names: dict[str, None] = {}
    while len(names) < count:
        name = '_'.join(word() for _ in range(rng.choice([1, 1, 1, 2, 2, 3])))
        names[name + (f'_({word()})' if rng.random() < .1 else '')] = None
    return list(names)


@pytest.mark.parametrize('max_tokens', [256, 48])
def test_1203_names(max_tokens):
    names = made_up_names(1203)
    prompts = split_class_prompt(names, TOKENIZER, max_tokens)
    assert [name for prompt in prompts for name in prompt.names] == names
    assert [prompt.start for prompt in prompts] == [
        sum(len(p) for p in prompts[:i]) for i in range(len(prompts))]
    for prompt in prompts:
        assert TOKENIZER([prompt.caption]).ids.shape[1] <= max_tokens
        assert min(tokens_per_entity(prompt)) >= 1
    # no prompt could have taken the next one's first class too
    for prompt, following in zip(prompts, prompts[1:]):
        longer = class_prompt([*prompt.names, following.names[0]])
        assert TOKENIZER.length(longer.caption) > max_tokens


def test_short_list_stays_whole():
    assert split_class_prompt(['a', 'b'], TOKENIZER) == [class_prompt(['a', 'b'])]


def test_exact_budget():
    names = ['one', 'two', 'three']  # 3 words, 2 separators, 2 special tokens
    assert len(split_class_prompt(names, TOKENIZER, max_tokens=7)) == 1
    assert [p.names for p in split_class_prompt(names, TOKENIZER, max_tokens=6)] == [
        ('one', 'two'), ('three', )]
    assert len(split_class_prompt(names, TOKENIZER, max_tokens=3)) == 3
    with pytest.raises(UserError, match="at most 0 tokens.*'one'"):
        split_class_prompt(names, TOKENIZER, max_tokens=2)


def test_a_name_over_budget_is_refused_by_name():
    with pytest.raises(UserError, match='tokens.*9 in'):
        split_class_prompt(['ok', 'a b c d e f g h i'], TOKENIZER, max_tokens=10)


def test_hand_written_prompts_count_for_the_budget():
    caption_prompt = {'b': dict(prefix='one two three ', suffix=' four five')}
    prompts = split_class_prompt(['a', 'b', 'c'], TOKENIZER, 10, caption_prompt=caption_prompt)
    assert [p.names for p in prompts] == [('a', 'b'), ('c', )]  # 2 + 1 + 1 + 6 tokens
    assert [len(p) for p in split_class_prompt(['a', 'b', 'c'], TOKENIZER, 9,
                                               caption_prompt=caption_prompt)] == [1, 1, 1]


NAMES = st.lists(
    st.text(max_size=12) | st.from_regex(r'[a-z]{1,9}([ _-][a-z]{1,9}){0,3}', fullmatch=True),
    min_size=1, max_size=40, unique=True)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(NAMES, st.integers(20, 60), st.sampled_from(['. ', ', ', ' ', ' . ']))
def test_any_valid_list_keeps_every_class(names, max_tokens, separator):
    names = [n for n in names if any(c.isalnum() for c in clean_name(n))]
    if not names:
        return
    try:
        prompts = split_class_prompt(names, TOKENIZER, max_tokens, separator)
    except UserError:
        assert any(TOKENIZER.length(clean_name(n)) > max_tokens for n in names)
        return
    assert [name for prompt in prompts for name in prompt.names] == names
    for prompt in prompts:
        assert TOKENIZER([prompt.caption]).ids.shape[1] <= max_tokens
        assert min(tokens_per_entity(prompt)) >= 1


CAPTION = 'a man in a red shirt holds two umbrellas'


def test_phrase_prompt():
    prompt = phrase_prompt(CAPTION, [(0, 5), [(9, 20), (27, 40)]])
    assert prompt == Prompt(CAPTION, (((0, 5), ), ((9, 20), (27, 40))),
                            ('a man', 'a red shirt two umbrellas'))
    assert phrase_prompt(CAPTION, [(0, 5)], names=['him']).names == ('him', )


def test_phrases_from_json_and_numpy():
    from_json = json.loads('[[[0, 5]], [9, 20]]')
    prompt = phrase_prompt(CAPTION, from_json)
    assert prompt.spans == (((0, 5), ), ((9, 20), ))
    assert phrase_prompt(CAPTION, np.array([[0, 5], [9, 20]])).spans == prompt.spans


def test_blanks_at_span_ends_are_trimmed():
    prompt = phrase_prompt('a      man    runs', [(1, 14)])
    assert prompt.spans == (((7, 10), ), ) and tokens_per_entity(prompt) == [1]


@pytest.mark.parametrize('phrases', [
    [], [(5, 5)], [(5, 2)], [(-3, 4)], [(0, 41)], [(1, 2)], [(0, 5), (50, 60)], [[]], [(0, )],
    [(0., 5.)], ['ab'], [None], [[(0, 5), (7, 3)]], [(0, 5, 9)]])
def test_bad_phrases(phrases):
    with pytest.raises(UserError):
        phrase_prompt(CAPTION, phrases)


def test_span_over_punctuation_alone():
    with pytest.raises(UserError, match='letter or a digit'):
        phrase_prompt('a man. a dog', [(5, 7)])


def test_wrong_number_of_names():
    with pytest.raises(UserError, match='1 names'):
        phrase_prompt(CAPTION, [(0, 5)], names=['a', 'b'])
