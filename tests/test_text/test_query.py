"""What a sample is asked, as one value."""
from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from glipkit.errors import UserError
from glipkit.text.prompt_cache import PromptCache
from glipkit.text.query import Query
from glipkit.text.structures import Prompt

NAMES = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=4, unique=True)
SPAN = st.tuples(st.integers(0, 9), st.integers(0, 9))
WRITTEN = st.dictionaries(st.sampled_from(['prefix', 'name', 'suffix']), st.text(max_size=5))
CLASS_QUERIES = st.builds(Query.for_classes, NAMES,
                          st.none() | st.dictionaries(st.text(max_size=3), WRITTEN, max_size=2))
CAPTION_QUERIES = st.builds(Query.for_caption, st.text(max_size=20),
                            st.none() | st.lists(st.lists(SPAN, max_size=2), max_size=3),
                            st.lists(SPAN, max_size=2))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(CLASS_QUERIES | CAPTION_QUERIES)
def test_a_sample_gives_back_what_it_was_given(query):
    fields = query.as_fields()
    assert Query.of_sample(fields) is query
    sample = DetDataSample(metainfo=fields)
    assert Query.of_sample(sample) is query  # mmengine's copies of metainfo too
    del fields['query']
    again = Query.of_sample(fields)
    assert again == query and hash(again) == hash(query)
    assert copy.deepcopy(query) is query and pickle.loads(pickle.dumps(query)) == query


def test_samples_spell_it_in_several_ways():
    spans = (((2, 5), ), ((8, 11), ))
    want = Query.for_caption('a dog, a cat', spans, [(0, 1)])
    listed = [[[2, 5]], [[8, 11]]]
    assert Query.of_sample(dict(text='a dog, a cat', phrases=listed, ungrounded=[[0, 1]])) == want
    sample = DetDataSample(metainfo=dict(text='a dog, a cat', ungrounded=[(0, 1)]))
    assert Query.of_sample(sample).phrases is None
    sample.gt_instances = InstanceData(tokens_positive=listed)
    assert Query.of_sample(sample) == want
    sample.set_metainfo(dict(phrases=[(2, 5)]))  # one span may stand for itself
    assert Query.of_sample(sample).phrases == (((2, 5), ), )
    assert Query.of_sample(dict(text=np.array(['dog', 'cat']))).classes == ('dog', 'cat')


def test_another_text_is_another_query():
    fields = Query.for_classes(['dog']).as_fields()
    fields['text'] = ('cat', )  # as a transform of a user may do
    assert Query.of_sample(fields) == Query.for_classes(['cat'])


def test_changes_keep_the_rest():
    query = Query.for_classes(['dog', 'cat'], {'dog': dict(suffix=' outside')})
    assert query.with_classes(['cat']).caption_prompt == {'dog': {'suffix': ' outside'}}
    assert query.with_caption_prompt(None) == Query.for_classes(['dog', 'cat'])
    assert query.text == ('dog', 'cat') and not query.is_caption
    assert Query.for_caption('a dog').text == 'a dog'


FULL = dict(synonyms={'cup': ['mug', 'coffee cup'], 'dog': []}, combine='mean',
            negative_classes=['bowl'], exclusive=[['cup', 'dog']])


def test_the_names_of_a_class_have_its_label_and_negatives_follow():
    query = Query.for_classes(['cup', 'dog'], **FULL)
    assert query.asked == (('cup', 0), ('mug', 0), ('coffee cup', 0), ('dog', 1), ('bowl', 2))
    assert query.text == ('cup', 'dog')
    assert Query.for_classes(['a', 'b']).asked == (('a', 0), ('b', 1))
    assert Query.for_caption('a dog').asked == ()


def test_parts_are_plain_values_that_make_the_query_again():
    query = Query.for_classes(['cup', 'dog'], **FULL)
    assert Query.for_classes(['cup', 'dog'], **json.loads(json.dumps(query.parts))) == query
    assert Query.for_classes(['cup', 'dog']).parts == {}
    assert Query.of_sample(DetDataSample(metainfo=query.as_fields())) is query


def test_other_classes_take_along_what_still_means_something():
    query = Query.for_classes(['cup', 'dog', 'cat'], exclusive=[['cup', 'dog'], ['dog', 'cat']],
                              synonyms={'cup': ['mug', 'beaker']}, negative_classes=['bowl', 'fox'])
    fewer = query.with_classes(['cat', 'dog', 'fox'])
    assert fewer == Query.for_classes(['cat', 'dog', 'fox'], negative_classes=['bowl'],
                                      exclusive=[['dog', 'cat']])
    assert query.with_classes(['cup', 'mug']).synonyms == (('cup', ('beaker', )), )


@pytest.mark.parametrize('make, complaint', [
    (dict(synonyms={'cat': ['dog']}), "'dog' as a class and as another name of 'cat'"),
    (dict(synonyms={'cat': ['puss'], 'dog': ['puss']}), "'puss' as another name of 'cat'"),
    (dict(synonyms={'cat': ['puss', 'puss']}), "'puss' as another name of 'cat'"),
    (dict(synonyms={'fox': ['reynard']}), "'fox', which is no class"),
    (dict(synonyms={'cat': 'puss'}), "other names of 'cat' as a list"),
    (dict(synonyms=['cat']), 'class name -> its other names'),
    (dict(negative_classes=['dog']), "'dog' as a class and as a negative"),
    (dict(negative_classes='fox'), 'negative_classes as a list'),
    (dict(negative_classes=[3]), 'negative_classes as a list'),
    (dict(exclusive=[['cat', 'fox']]), "'fox', which is no class"),
    (dict(exclusive=[['cat']]), 'two or more'), (dict(exclusive=[['cat', 'cat']]), 'different'),
    (dict(exclusive='cat'), 'groups'), (dict(exclusive=['cat']), 'a group of exclusive'),
    (dict(combine='sum'), "'max' or 'mean'")])
def test_names_that_would_mean_two_things_or_nothing(make, complaint):
    with pytest.raises(UserError, match=complaint):
        Query.for_classes(['cat', 'dog'], **make)


def test_entities_of_a_prompt_have_labels():
    spans = (((0, 1), ), ((2, 3), ))
    assert Prompt('a b', spans, ('a', 'b'), 3).labels == (3, 4)
    assert Prompt('a b', spans, ('a', 'b'), labels=(5, 5)).labels == (5, 5)
    assert Prompt('a b', (), ()).labels == ()
    with pytest.raises(ValueError, match='2 entities and 1 labels'):
        Prompt('a b', spans, ('a', 'b'), labels=(1, ))


@pytest.mark.parametrize('make, complaint', [
    (lambda: Query.for_classes('dog'), r"pass \['dog'\]"), (lambda: Query.for_classes(3), 'int 3'),
    (lambda: Query.for_classes(['a'], {'a': 'b'}), "'prefix', 'name' and 'suffix'"),
    (lambda: Query.for_classes(['a'], {'a': dict(colour='red')}), 'colour'),
    (lambda: Query.for_caption('a dog', [(0, 'x')]), 'count characters'),
    (lambda: Query.for_caption('a dog', [3]), 'pairs')])
def test_what_cannot_be_asked(make, complaint):
    with pytest.raises(UserError, match=complaint):
        make()


def test_prompts_are_kept_by_content_and_the_oldest_goes():
    cache, built = PromptCache(2), []

    def ask(*names):
        query = Query.for_classes(list(names))
        return cache.get(query, lambda: built.append(names) or [Prompt(names[0], (), names)])

    assert ask('a') is ask('a') and built == [('a', )]
    ask('b'), ask('a'), ask('c')  # 'b' was used longest ago
    ask('a')
    assert built == [('a', ), ('b', ), ('c', )]
    ask('b')
    assert built[-1] == ('b', ) and len(built) == 4
    with pytest.raises(ZeroDivisionError):
        cache.get('bad', lambda: 1 / 0)
    assert len(copy.deepcopy(cache)._prompts) == 0


def test_what_is_asked_for_again_is_asked_once():
    query = Query.for_classes(['a', 'b'], negative_classes=['c'], exclusive=[['a', 'b']])
    assert query.with_more(['c'], [['a', 'b']]) == query
    assert query.with_more(['d', 'c']).negatives == ('c', 'd')


@pytest.mark.parametrize('wrong', [
    dict(classes=(['a'], )), dict(classes=(5, )), dict(classes=('a', ), combine='min'),
    dict(classes=('a', 'b'), exclusive=(('a', 'z'), )), dict(classes=('a', ), negatives=('a', ))])
def test_a_query_is_right_however_it_is_made(wrong):
    with pytest.raises(UserError):
        Query(**wrong)
