"""What a task's images are asked."""
from __future__ import annotations

import numpy as np
import pytest

from glipkit.data.transforms.ask_classes import AskClasses
from glipkit.errors import UserError
from glipkit.text.query import Query

NAMES = ('cat', 'dog', 'owl', 'eel')


def sample(labels=(0, 3, 3)):
    n = len(labels)
    return dict(text=NAMES, gt_bboxes=np.arange(4. * n).reshape(n, 4),
                gt_bboxes_labels=np.array(labels, dtype=np.int64),
                gt_ignore_flags=np.zeros(n, dtype=bool))


def test_one_prompt_leaves_all_as_it_is():
    results = AskClasses([NAMES])(sample())
    assert results['text'] == NAMES and results['gt_bboxes_labels'].tolist() == [0, 3, 3]
    assert 'caption_prompt' not in results


def test_words_go_along():
    words = {'eel': dict(name='fish')}
    assert AskClasses(caption_prompt=words)(sample())['caption_prompt'] == words
    caption = dict(text='an owl')
    assert AskClasses([['cat'], ['dog']], words)(caption) == dict(text='an owl')


def test_a_query_takes_the_place_of_the_names():
    query = Query.for_classes(['eel', 'cat'], synonyms={'eel': ['fish']}, negative_classes=['frog'])
    results = AskClasses(query=query.plain)(sample((0, 1, 3)))
    assert Query.of_sample(results) == query and results['gt_bboxes_labels'].tolist() == [1, 0]
    assert results['gt_bboxes'][:, 0].tolist() == [0., 8.]
    for wrong, said in ((dict(synonyms={}), 'no classes'), (dict(classes=[], colour=1), 'colour')):
        with pytest.raises(UserError, match=said):
            AskClasses(query=wrong)


def test_prompts_of_a_query_have_their_own_names_and_negatives():
    np.random.seed(0)
    query = Query.for_classes(NAMES, synonyms={'cat': ['puss']}, negative_classes=['frog', 'fox'])
    transform = AskClasses([['cat', 'puss', 'dog'], ['owl', 'eel', 'frog'], ['fox']],
                           query=query.plain)
    seen = {Query.of_sample(transform(sample())) for _ in range(20)}
    assert seen == {Query.for_classes(NAMES[:2], synonyms={'cat': ['puss']}),
                    Query.for_classes(NAMES[2:], negative_classes=['frog'])}


def test_one_of_several_prompts_with_its_boxes_alone():
    np.random.seed(0)
    transform = AskClasses([['cat', 'dog'], ['owl', 'eel']])
    seen = set()
    for _ in range(20):
        results = transform(sample())
        seen.add(results['text'])
        if results['text'] == ('cat', 'dog'):
            assert results['gt_bboxes_labels'].tolist() == [0]
            assert results['gt_bboxes'].tolist() == [[0., 1., 2., 3.]]
        else:
            assert results['gt_bboxes_labels'].tolist() == [1, 1]
            assert results['gt_bboxes'][:, 0].tolist() == [4., 8.]
        assert len(results['gt_ignore_flags']) == len(results['gt_bboxes'])
    assert len(seen) == 2


@pytest.mark.parametrize('labels, low, high', [((0, ), 0.6, 0.9), ((), 0.35, 0.65)])
def test_prompts_that_name_something_there_are_asked_more_often(labels, low, high):
    """With one fitting prompt of two: 1/2 + 1/2 * 1/2 = 3/4 of all draws; else 1/2."""
    np.random.seed(1)
    transform = AskClasses([['cat', 'dog'], ['owl', 'eel']])
    share = np.mean([transform(sample(labels))['text'][0] == 'cat' for _ in range(200)])
    assert low < share < high
