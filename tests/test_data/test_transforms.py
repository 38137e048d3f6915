import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.structures.bbox import HorizontalBoxes

from glipkit.data import PackGrounding, SampleClassPrompt, ShortSideResize, SwapLeftRight
from glipkit.data.transforms.resize import short_side_size
from glipkit.data.transforms.swap_left_right import swap_words
from glipkit.errors import UserError


def sample(boxes=(), labels=(), ignored=None, size=(48, 64), **extra):
    return dict(
        img=np.zeros((*size, 3), np.uint8),
        img_shape=size,
        gt_bboxes=HorizontalBoxes(np.array(boxes, np.float32).reshape(-1, 4)),
        gt_bboxes_labels=np.array(labels, np.int64),
        gt_ignore_flags=np.array([False] * len(boxes) if ignored is None else ignored),
        **extra)


# --- ShortSideResize ----------------------------------------------------------------------------


@pytest.mark.parametrize('size, scale, expected', [
    # short side 800: int(800 * 640 / 480) = int(1066.67)
    ((640, 480), (800, 1333), (1066, 800)),
    ((480, 640), (800, 1333), (800, 1066)),
    # 640 / 360 * 800 = 1422 > 1333: short = round(1333 * 360 / 640) = round(749.8), and then
    # int(750 * 640 / 360) = int(1333.3); mmdet's FixScaleResize gives 749
    ((640, 360), (800, 1333), (1333, 750)),
    # short = round(1333 * 1001 / 2000) = round(667.17); long = int(667 * 2000 / 1001) = 1332
    ((2000, 1001), (800, 1333), (1332, 667)),
    # the short side is right already
    ((1200, 800), (800, 1333), (1200, 800)),
    ((800, 800), (800, 1333), (800, 800)),
    # 668: 800 / 698 * 698 falls below 800 in floating point
    ((698, 668), (800, 1333), (835, 800)),
    ((1000, 10), (480, 1333), (1300, 13)),
    ((5000, 1), (800, 1333), (5000, 1)),
])
def test_short_side_size(size, scale, expected):
    assert short_side_size(*size, *scale) == expected


def test_resize_scales_image_and_boxes():
    results = ShortSideResize(scale=(1333, 800))(sample([[64, 36, 640, 360]], [0], size=(360, 640)))
    assert results['img'].shape == (750, 1333, 3) and results['img_shape'] == (750, 1333)
    assert results['scale_factor'] == (1333 / 640, 750 / 360)
    expected = [64 * 1333 / 640, 75, 1333, 750]
    np.testing.assert_allclose(results['gt_bboxes'].tensor[0], expected, rtol=1e-6)


def test_scale_factor_leads_from_the_original_image_after_two_resizes():
    results = ShortSideResize(scale=(1333, 800))(sample([[64, 36, 640, 360]], [0], size=(360, 640)))
    again = ShortSideResize(scale=(750, 375))(results)
    assert again['img'].shape == (375, 666, 3)
    assert again['scale_factor'] == pytest.approx((666 / 640, 375 / 360))
    np.testing.assert_allclose(again['gt_bboxes'].tensor[0], [66.6, 37.5, 666, 375], rtol=1e-6)


def test_scale_factors_multiply_with_mmdets_resize_before():
    from mmdet.datasets.transforms import Resize
    results = Resize(scale=(32, 24))(sample([[8, 8, 64, 48]], [0]))
    results = ShortSideResize(scale=(200, 96))(results)
    assert results['scale_factor'] == (2, 2)
    assert results['gt_bboxes'].tensor.tolist() == [[16, 16, 128, 96]]


def test_configs_of_version_0_1_name_the_resize_as_before():
    from glipkit.registry import TRANSFORMS
    old = TRANSFORMS.build(dict(type='GlipResize', scale=(1333, 800), backend='fast'))
    assert type(old) is ShortSideResize and old.backend == 'fast'
    choice = TRANSFORMS.build(dict(type='mmdet.RandomChoiceResize', scales=[(96, 64)],
                                   resize_type='glipkit.GlipResize'))
    assert type(choice.resize) is ShortSideResize


def test_resize_pixels_are_pillows():
    from PIL import Image
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    results = ShortSideResize(scale=(200, 30))(dict(img=image))
    expected = np.asarray(Image.fromarray(image).resize((40, 30), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(results['img'], expected)
    assert results['scale_factor'] == (.625, .625)


# --- SampleClassPrompt --------------------------------------------------------------------------

NAMES = ('red dog', 'cat', 'traffic_light', 'cow', 'sheep (animal)')


def test_prompt_relabels_boxes_by_name():
    boxes = [[1, 1, 9, 9], [2, 2, 9, 9], [3, 3, 9, 9]]
    seen = set()
    for seed in range(20):
        np.random.seed(seed)
        results = SampleClassPrompt(num_negatives=2)(sample(boxes, [3, 0, 3], text=NAMES))
        text = results['text']
        assert isinstance(text, tuple) and {'red dog', 'cow'} < set(text) <= set(NAMES)
        assert len(set(text)) == len(text) <= 4
        assert [text[i] for i in results['gt_bboxes_labels']] == ['cow', 'red dog', 'cow']
        assert results['gt_bboxes_labels'].dtype == np.int64
        seen.add(text)
    assert len(seen) > 10


def test_prompt_depends_on_numpys_state_alone():
    def draw():
        return SampleClassPrompt()(sample([[1, 1, 9, 9]], [0], text=NAMES))['text']

    np.random.seed(5)
    first = draw()
    np.random.seed(5)
    assert draw() == first


def test_boxes_of_dropped_classes_go():
    # 'red dog. ' has 3 word pieces, 'cat. ' and 'cow. ' have 2: no room for all three
    transform = SampleClassPrompt(max_tokens=5)
    kept = set()
    for seed in range(30):
        np.random.seed(seed)
        results = transform(sample([[1, 1, 9, 9], [2, 2, 9, 9], [3, 3, 9, 9]], [0, 1, 3],
                                   ignored=[True, False, False], text=NAMES))
        names = [results['text'][i] for i in results['gt_bboxes_labels']]
        first_corner = {'red dog': 1, 'cat': 2, 'cow': 3}
        assert results['gt_bboxes'].tensor[:, 0].tolist() == [first_corner[n] for n in names]
        assert results['gt_ignore_flags'].tolist() == [n == 'red dog' for n in names]
        kept.add(tuple(names))
    assert kept == {('red dog', 'cat'), ('red dog', 'cow'), ('cat', 'cow')}


def test_an_image_without_boxes_gets_negatives():
    np.random.seed(0)
    results = SampleClassPrompt(num_negatives=3, full_prob=1.)(sample(text=NAMES))
    assert len(results['text']) == 3 and len(results['gt_bboxes']) == 0
    assert results['gt_bboxes_labels'].shape == (0, )


def test_boxes_of_classes_that_are_left_out_go():
    boxes = [[1, 1, 9, 9], [2, 2, 9, 9], [3, 3, 9, 9]]
    corner, met = {'red dog': 1, 'cow': 2}, set()
    for seed in range(30):
        np.random.seed(seed)
        results = SampleClassPrompt(num_negatives=2, leave_out_prob=.5)(
            sample(boxes, [0, 3, 0], text=NAMES))
        names = [results['text'][i] for i in results['gt_bboxes_labels']]
        asked = {'red dog', 'cow'} & set(results['text'])
        assert set(names) == asked and names.count('red dog') in (0, 2)
        assert {corner[n] for n in names} <= set(results['gt_bboxes'].tensor[:, 0].tolist())
        assert len(results['gt_bboxes']) == len(results['gt_ignore_flags']) == len(names)
        met.add(frozenset(asked))
    assert met == {frozenset(), frozenset({'red dog'}), frozenset({'cow'}),
                   frozenset({'red dog', 'cow'})}


@pytest.mark.parametrize('probability', [-.1, 1.5, float('nan')])
def test_a_probability_that_is_none(probability):
    with pytest.raises(UserError, match='leave_out_prob'):
        SampleClassPrompt(leave_out_prob=probability)


def test_captions_pass():
    results = sample([[1, 1, 9, 9]], [0], text='a dog', phrases=[[(2, 5)]])
    state = np.random.get_state()[1].copy()
    assert SampleClassPrompt()(results) is results
    assert results['text'] == 'a dog' and results['gt_bboxes_labels'].tolist() == [0]
    assert (np.random.get_state()[1] == state).all()


def test_names_that_cannot_be_asked_for():
    with pytest.raises(UserError, match='again'):
        SampleClassPrompt()(sample(text=('dog', 'dog')))


# --- PackGrounding ------------------------------------------------------------------------------


def test_pack_detection():
    image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    results = sample([[1, 2, 30, 40], [5, 5, 9, 9], [7, 8, 7.5, 30]], [1, 0, 1],
                     ignored=[False, True, False], text=('a', 'b'), img_id=3, img_path='x.png',
                     ori_shape=(2, 3), flip=False, flip_direction=None, unknown=1)
    before = results['gt_bboxes'].tensor.clone()
    packed = PackGrounding()(dict(results, img=image))
    assert set(packed) == {'inputs', 'data_samples'}
    assert packed['inputs'].dtype == torch.uint8
    np.testing.assert_array_equal(packed['inputs'].numpy(), image.transpose(2, 0, 1))
    data = packed['data_samples']
    assert data.gt_instances.bboxes.tolist() == [[1, 2, 30, 40], [7, 8, 7.5, 30]]
    assert data.gt_instances.labels.tolist() == [1, 1]
    assert data.gt_instances.labels.dtype == torch.int64
    assert data.ignored_instances.bboxes.tolist() == [[5, 5, 9, 9]]
    assert 'tokens_positive' not in data.gt_instances
    assert data.text == ('a', 'b') and data.img_id == 3 and data.flip is False
    assert 'unknown' not in data and 'phrases' not in data
    data.gt_instances.bboxes += 1  # what a model does to its sample is no matter of the results
    assert torch.equal(results['gt_bboxes'].tensor, before)


def test_pack_caption():
    results = sample([[1, 2, 30, 40], [5, 5, 9, 9], [1, 1, 5, 5]], [1, 0, 1],
                     text='a dog and a cat', phrases=[[(2, 5)], [(12, 15), (0, 1)]])
    data = PackGrounding()(results)['data_samples']
    assert data.gt_instances.tokens_positive == [[[12, 15], [0, 1]], [[2, 5]], [[12, 15], [0, 1]]]
    assert data.phrases == [[(2, 5)], [(12, 15), (0, 1)]] and data.text == 'a dog and a cat'
    assert data.gt_instances[torch.tensor([False, True, False])].tokens_positive == [[[2, 5]]]


@pytest.mark.parametrize('text, extra', [(('a', ), {}), ('a dog', dict(phrases=[]))])
@pytest.mark.parametrize('loaded', [True, False])
def test_pack_without_boxes(text, extra, loaded):
    results = sample(text=text, **extra) if loaded else dict(
        img=np.zeros((4, 4, 3), np.uint8), text=text)
    data = PackGrounding()(results)['data_samples']
    for instances in (data.gt_instances, data.ignored_instances):
        assert instances.bboxes.shape == (0, 4) and instances.bboxes.dtype == torch.float32
        assert instances.labels.shape == (0, ) and instances.labels.dtype == torch.int64
        assert ('tokens_positive' in instances) == (isinstance(text, str) and 'phrases' in results)


@pytest.mark.parametrize('long, short', [(1333, 800), (30, 20)])
def test_packed_boxes_scaled_back_are_the_files(long, short):
    box = [3., 5., 17., 40.]
    results = ShortSideResize(scale=(long, short))(sample([box], [0], text=('a', )))
    data = PackGrounding()(results)['data_samples']
    original = data.gt_instances.bboxes / torch.tensor(data.scale_factor).repeat(2)
    torch.testing.assert_close(original, torch.tensor([box]))


# --- SwapLeftRight ------------------------------------------------------------------------------


@pytest.mark.parametrize('caption, expected', [
    ('man left of the dog', 'man right of the dog'),
    ('Right hand, LEFT foot, rightmost', 'Left hand, RIGHT foot, leftmost'),
    ('bright lefty copyright', 'bright lefty copyright'),
    ('leftwards the right-hand one', 'rightwards the left-hand one'),
    ('left_hand right2', 'right_hand right2'),
    ('left', 'right'),
    ('', ''),
])
def test_swapped_words(caption, expected):
    swapped, _ = swap_words(caption, [])
    assert swapped == expected
    assert swap_words(swapped, [])[0] == caption


def test_swapped_spans():
    caption = 'left dog, right cat and a fish'
    words = ['left dog', 'dog', 'right', 'right cat', 'cat', 'a fish', ', ', caption]
    phrases = [[(caption.index(w), caption.index(w) + len(w))] for w in words]
    swapped, moved = swap_words(caption, phrases + [[(0, 4), (24, 30)]])
    texts = [[swapped[b:e] for b, e in phrase] for phrase in moved]
    assert texts == [['right dog'], ['dog'], ['left'], ['left cat'], ['cat'], ['a fish'], [', '],
                     [swapped], ['right', 'a fish']]


def test_swapped_spans_of_phrases_without_a_box():
    results = dict(text='a left dog and a cat', phrases=[[(2, 10)]], ungrounded=[(15, 20)],
                   flip=True, flip_direction='horizontal')
    swapped = SwapLeftRight().transform(results)
    assert [swapped['text'][b:e] for b, e in swapped['ungrounded']] == ['a cat']
    assert [swapped['text'][b:e] for b, e in swapped['phrases'][0]] == ['right dog']


def test_spans_that_cut_a_swapped_word_are_widened():
    swapped, [[first], [second], [third]] = swap_words('right dog', [[(0, 2)], [(4, 5)], [(2, 9)]])
    assert (swapped[slice(*first)], swapped[slice(*second)]) == ('left', 'left')
    assert swapped[slice(*third)] == 'left dog'


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(['left', 'right', 'dog', 'a', 'Leftmost', 'bright', ',']),
                min_size=1, max_size=8), st.data())
def test_swapping_keeps_whole_words_and_is_its_own_inverse(words, data):
    caption = ' '.join(words)
    spans = [match.span() for match in re.finditer(r'\S+', caption)]
    chosen = data.draw(st.lists(st.sampled_from(spans), max_size=4))
    swapped, [moved] = swap_words(caption, [chosen])
    expected = dict(zip(spans, [m.span() for m in re.finditer(r'\S+', swapped)]))
    assert moved == [expected[span] for span in chosen]
    assert swap_words(swapped, [moved]) == (caption, [chosen])


@pytest.mark.parametrize('flip, direction, swaps', [
    (True, 'horizontal', True), (True, 'diagonal', True), (True, 'vertical', False),
    (False, None, False), (None, None, False)])
def test_swap_follows_the_flip(flip, direction, swaps):
    results = dict(text='left dog', phrases=[[(5, 8)]])
    if flip is not None:
        results.update(flip=flip, flip_direction=direction)
    SwapLeftRight()(results)
    assert results == dict(results, text='right dog' if swaps else 'left dog',
                           phrases=[[(6, 9)]] if swaps else [[(5, 8)]])
    names = dict(text=('left dog', ), flip=True, flip_direction='horizontal')
    assert SwapLeftRight()(names)['text'] == ('left dog', )


@pytest.mark.parametrize('size', [(40, 30), (30, 40), (64, 48)])
def test_fast_resizing_stays_within_a_level_of_pillow(size):
    """Enlarging by OpenCV, making smaller by Pillow itself."""
    image = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    for scale, most in (((99, 61), 1), ((25, 20), 0)):
        slow, fast = (ShortSideResize(scale, backend=backend)(dict(img=image.copy()))
                      for backend in ('pillow', 'fast'))
        assert fast['img'].shape == slow['img'].shape
        assert np.abs(fast['img'].astype(int) - slow['img']).max() <= most
