"""The detector as a whole: batches, prompts of any length, chunks, gradients."""
from __future__ import annotations

import warnings

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

import glipkit
from glipkit.errors import UserError
from glipkit.models.detectors import glip
from glipkit.text.query import Query


@pytest.fixture(scope='module')
def model():
    """The mini model with random weights that give scores above the threshold."""
    from glipkit.apis.build import build_model, find_config, read_config
    torch.manual_seed(0)
    model = build_model(read_config(find_config('glip-mini')))
    torch.nn.init.zeros_(model.bbox_head.alignment.bias0)
    for block in model.bbox_head.tower:
        torch.nn.init.normal_(block.dyconv.offset.weight, std=0.05)
    return model.eval()


def sample(text, **fields) -> DetDataSample:
    return DetDataSample(metainfo=dict(text=text, **fields))


def caption_of(words: int) -> tuple[str, list]:
    """A caption of that many one-piece words, and its first and last word as phrases."""
    text = ' '.join(['red', 'blue', 'green', 'dog', 'house'][i % 5] for i in range(words))
    return text, [[(0, 3)], [(text.rindex(' ') + 1, len(text))]]


def test_detections_do_not_depend_on_the_batch(model):
    torch.manual_seed(1)
    images = torch.randn(3, 3, 96, 128)
    texts = [caption_of(n) for n in (2, 20, 200)]
    samples = lambda: [sample(t, phrases=p) for t, p in texts]  # noqa: E731
    together = model(images, samples(), mode='predict')
    for i in range(3):
        alone, = model(images[i:i + 1], samples()[i:i + 1], mode='predict')
        a, b = together[i].pred_instances, alone.pred_instances
        assert len(a) and torch.equal(a.labels, b.labels)
        torch.testing.assert_close(a.scores, b.scores, atol=1e-5, rtol=0)
        torch.testing.assert_close(a.bboxes, b.bboxes, atol=1e-2, rtol=0)


def test_1203_classes_are_all_asked_and_the_image_is_seen_once(model, monkeypatch):
    letters = 'abcdefghij'
    names = tuple(f'{letters[i % 10]}{letters[i // 10 % 10]} thing {i}' for i in range(1203))
    seen, maps = [], []
    monkeypatch.setattr(model.backbone, 'forward',
                        lambda x, f=model.backbone.forward: (seen.append(1), f(x))[1])
    monkeypatch.setattr(glip, 'token_maps',
                        lambda *a, f=glip.token_maps: (maps.extend(made := f(*a)), made)[1])
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        model(torch.randn(1, 3, 64, 64), [sample(names)], mode='predict')
    assert len(seen) == 1
    every = [row for token_map in maps for row in token_map]
    assert len(every) == 1203 and all(row.any() for row in every)
    assert all(token_map.size(1) <= model.test_settings.max_tokens for token_map in maps)


def test_labels_of_later_chunks_index_the_whole_list(model, monkeypatch):
    names = tuple(f'thing {i}' for i in range(200))
    found, = model(torch.randn(1, 3, 64, 64), [sample(names)], mode='predict')
    assert found.pred_instances.labels.max() > 150


def test_a_batch_of_class_lists_of_different_length(model):
    images = torch.randn(2, 3, 64, 64)
    texts = [('red', 'blue'), tuple(f'thing {i}' for i in range(120))]
    together = model(images, [sample(t) for t in texts], mode='predict')
    for i, text in enumerate(texts):
        alone, = model(images[i:i + 1], [sample(text)], mode='predict')
        torch.testing.assert_close(together[i].pred_instances.scores,
                                   alone.pred_instances.scores, atol=1e-5, rtol=0)


def test_rescaling_and_the_size_of_the_unpadded_image(model):
    image = torch.randn(1, 3, 64, 96)
    plain, = model(image, [sample(('red', ), img_shape=(50, 80))], mode='predict')
    scaled, = model(image, [sample(('red', ), img_shape=(50, 80), scale_factor=(2.0, 0.5))],
                    mode='predict')
    a, b = plain.pred_instances.bboxes, scaled.pred_instances.bboxes
    assert a[:, 2].max() == 80 and a[:, 3].max() == 50
    # Less their last pixel they are equal; it is one of the image that the boxes are in.
    pixel = torch.tensor([0.0, 0.0, 1.0, 1.0])
    torch.testing.assert_close((b - pixel) * torch.tensor([2.0, 0.5, 2.0, 0.5]), a - pixel)


def test_captions_without_spans_ask_for_their_noun_phrases(model):
    found, = model(torch.randn(1, 3, 64, 64), [sample('a red dog near the blue house')],
                   mode='predict')
    assert set(found.pred_instances.labels.tolist()) == {0, 1}


def test_caption_without_phrase(model):
    with pytest.raises(UserError, match='at least one phrase'):
        model(torch.randn(1, 3, 64, 64), [sample('of and', phrases=[])], mode='predict')


def training_sample(text, boxes, **fields) -> DetDataSample:
    one = sample(text)
    one.gt_instances = InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float32).view(-1, 4), **fields)
    return one


def test_the_head_gets_inclusive_boxes(model, monkeypatch):
    """One pixel less, and it is one of the original image."""
    samples = [training_sample('a red dog', [[5, 6, 40, 50]], tokens_positive=[[(2, 5)]]),
               training_sample('a red dog', [[5, 6, 40, 50]], tokens_positive=[[(2, 5)]])]
    samples[1].set_metainfo(dict(scale_factor=(2.0, 0.5)))
    given = []
    monkeypatch.setattr(model.bbox_head, 'loss',
                        lambda outputs, mask, boxes, tokens: given.extend(boxes) or {})
    model(torch.randn(2, 3, 64, 64), samples, mode='loss')
    assert [boxes.tolist() for boxes in given] == [[[5, 6, 39, 49]], [[5, 6, 38, 49.5]]]


def test_losses_of_a_mixed_batch_with_an_empty_image(model):
    samples = [
        training_sample(('red', 'blue'), [[5, 5, 40, 40]], labels=torch.tensor([1])),
        training_sample('a red dog', [[5, 5, 40, 40], [20, 20, 60, 60]],
                        tokens_positive=[[(2, 5)], [(6, 9)]]),
        training_sample(('dog', ), [], labels=torch.zeros(0, dtype=torch.long)),
    ]
    model.train()
    losses = model(torch.randn(3, 3, 64, 64), samples, mode='loss')
    model.eval()
    assert set(losses) == {'loss_cls', 'loss_bbox', 'loss_centerness'}
    assert all(torch.isfinite(v) and v > 0 for v in losses.values())
    sum(losses.values()).backward()
    missing = [n for n, p in model.named_parameters() if p.grad is None]
    model.zero_grad(set_to_none=True)
    assert missing == []


def test_phrases_that_may_be_there_are_in_no_loss(model):
    image, masks = torch.randn(1, 3, 64, 64), []
    caption = 'a red dog and a blue house'
    handle = model.bbox_head.loss_cls.register_forward_hook(
        lambda module, arguments, output: masks.append(arguments[2]))
    model.train()
    losses = []
    for ungrounded in ([], [(14, 26)]):
        one = training_sample(caption, [[5, 5, 40, 40]], tokens_positive=[[(2, 9)]])
        one.set_metainfo(dict(ungrounded=ungrounded))
        torch.manual_seed(0)
        losses.append(model(image, [one], mode='loss')['loss_cls'])
    model.eval()
    handle.remove()
    # [CLS] a red dog and a blue house [SEP]
    assert masks[0].sum() == 9
    assert (masks[0] & ~masks[1]).nonzero()[:, 1].tolist() == [5, 6, 7]
    assert 0 < losses[1] < losses[0]


def test_a_training_class_list_is_never_cut(model):
    names = tuple(f'thing {i}' for i in range(200))
    with pytest.raises(UserError, match='SampleClassPrompt'):
        model(torch.randn(1, 3, 64, 64),
              [training_sample(names, [[5, 5, 40, 40]], labels=torch.tensor([199]))], mode='loss')


def test_class_list_and_caption_with_the_same_words_give_the_same_losses(model):
    image, boxes = torch.randn(1, 3, 64, 64), [[5, 5, 40, 40]]
    as_classes = training_sample(('red', 'blue dog'), boxes, labels=torch.tensor([1]))
    as_caption = training_sample('red. blue dog', boxes, tokens_positive=[[(5, 13)]])
    with torch.no_grad():
        a, b = (model(image, [s], mode='loss') for s in (as_classes, as_caption))
    for key in a:
        torch.testing.assert_close(a[key], b[key])


def test_gradient_checkpointing_changes_nothing(model):
    samples = [training_sample(('red', 'blue'), [[5, 5, 40, 40]], labels=torch.tensor([0]))]
    image = torch.randn(1, 3, 64, 64)
    grads = []
    for with_cp in (False, True):
        for block in model.bbox_head.tower:
            block.with_cp = with_cp
        model.train()
        torch.manual_seed(0)
        sum(model(image, samples, mode='loss').values()).backward()
        model.eval()
        grads.append([p.grad.clone() for p in model.parameters()])
        model.zero_grad(set_to_none=True)
    for block in model.bbox_head.tower:
        block.with_cp = False
    for a, b in zip(*grads):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-4)


def test_text_is_encoded_once_for_repeated_prompts(model):
    calls = []
    handle = model.text_encoder.register_forward_hook(lambda *a: calls.append(1))
    names = ('never', 'asked', 'before')
    for _ in range(3):
        model(torch.randn(1, 3, 64, 64), [sample(names)], mode='predict')
    handle.remove()
    assert len(calls) == 1


def test_public_names():
    assert callable(glipkit.load) and callable(glipkit.Predictor)


def test_caption_prompts_change_the_words_and_keep_the_label(model):
    image = torch.randn(1, 3, 64, 64)
    written = {'pothole': dict(prefix='there are some ', name='holes', suffix=' on the road')}
    with torch.no_grad():
        by_affix, by_text = (
            model(image, [s], mode='tensor')['token_logits'][0]
            for s in (sample(('car', 'pothole'), caption_prompt=written),
                      sample('car. there are some holes on the road')))
    torch.testing.assert_close(by_affix, by_text)
    found, = model(image, [sample(('car', 'pothole'), caption_prompt=written)], mode='predict')
    asked, = model(image, [sample('car. there are some holes on the road',
                                  phrases=[[(0, 3)], [(20, 25)]])], mode='predict')
    assert torch.equal(found.pred_instances.labels, asked.pred_instances.labels)
    torch.testing.assert_close(found.pred_instances.scores, asked.pred_instances.scores)


def test_templates_are_refused_not_ignored(model):
    with pytest.raises(UserError, match='1 templates.*caption_prompt'):
        model.prompts(Query.for_classes(['dog'], templates=['a photo of a {}.']))
