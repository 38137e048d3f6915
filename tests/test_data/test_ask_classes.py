"""What a task's images are asked."""
from __future__ import annotations

import numpy as np
import pytest

from glipkit.data.transforms.ask_classes import AskClasses

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
