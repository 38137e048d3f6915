"""What every detector answers, asked of every detector: those of the index, a tiny and a toy."""
from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData
from torch import nn

from glipkit.apis.build import build_model, find_config, known_models, read_config
from glipkit.errors import UserError
from glipkit.models.contract import GroundingDetector
from glipkit.testing import tiny_clip_rcnn, tiny_dense_clip, tiny_fvit, tiny_glip
from glipkit.text.query import Query
from tests.toys import two_stage

NAMES = ('red circle', 'a blue star', 'striped square')
TOY = dict(type='TwoStage', text_encoder=dict(type='SentenceEncoder'), data_preprocessor=dict(
    type='mmdet.DetDataPreprocessor', mean=[0., 0, 0], std=[255., 255, 255], pad_size_divisor=8))


def build(name: str) -> GroundingDetector:
    if name == 'toy':
        return build_model(Config(dict(model=TOY)))
    tiny = {'tiny': tiny_glip.TINY_CONFIG, 'tiny-regions': tiny_clip_rcnn.TINY_CONFIG,
            'tiny-dense': tiny_dense_clip.TINY_CONFIG, 'tiny-fvit': tiny_fvit.TINY_CONFIG}
    cfg = (Config.fromstring(tiny[name], '.py') if name in tiny
           else read_config(find_config(name)))
    cfg.model.test_cfg.score_threshold = 0.  # random weights find nothing that is sure
    return build_model(cfg)


@pytest.fixture(scope='module', params=['toy', 'tiny', 'tiny-regions', 'tiny-dense', 'tiny-fvit',
                                        'glip-mini'])
def model(request) -> GroundingDetector:
    """Detectors that are small enough to run."""
    torch.manual_seed(0)
    return build(request.param).eval()


@pytest.fixture(scope='module',
                params=['toy', 'tiny', 'tiny-regions', 'tiny-dense', 'tiny-fvit', *known_models()])
def described(request) -> GroundingDetector:
    """All detectors, with whatever the memory of their weights holds."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ('constant_', 'kaiming_normal_', 'kaiming_uniform_', 'normal_', 'ones_',
                     'trunc_normal_', 'uniform_', 'xavier_uniform_', 'zeros_'):
            patch.setattr(nn.init, name, lambda tensor, *_, **__: tensor)
        return build(request.param)


def sample(text=NAMES, boxes=((8, 8, 40, 40), ), labels=(1, ), **fields) -> DetDataSample:
    made = DetDataSample(metainfo=dict(text=text, img_shape=(64, 96), **fields))
    made.gt_instances = InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor(labels, dtype=torch.int64))
    return made


def found(model, images, samples, **kwargs):
    with torch.no_grad():
        return [one.pred_instances for one in model.predict(images, samples, **kwargs)]


def test_layer_groups_hold_every_parameter_once(described):
    groups = described.layer_groups()
    assert {'backbone', 'text_encoder', *described.probe_groups} <= set(groups)
    held = [id(p) for parts in groups.values() for part in parts for p in part.parameters()]
    assert len(held) == len(set(held))
    assert set(held) == {id(p) for p in described.parameters()}
    assert any(list(part.parameters()) for name in described.probe_groups
               for part in groups[name])


def test_the_backbone_has_its_stem_and_stages_apart(described):
    assert len(described.layer_groups()['backbone']) >= 3


def test_low_rank_layers_are_linear_and_named(described):
    modules = dict(described.named_modules())
    layers = list(described.low_rank_layers())
    assert all(modules[name] is layer and isinstance(layer, nn.Linear)
               for _, name, layer in layers)
    assert len({name for _, name, _ in layers}) == len(layers)
    assert {group for group, _, _ in layers} <= set(described.layer_groups())


def test_the_tokenizer_belongs_to_the_text_encoder(described):
    encoder = described.text_encoder
    text = 'a red, striped circle'
    tokens = encoder.tokenizer([text])
    assert tokens.ids.shape[1] == encoder.tokenizer.length(text)
    assert encoder.tokenizer.length(text) == (
        encoder.tokenizer.count(text) + encoder.tokenizer.special_tokens)
    assert len(encoder.tokenizer.pieces(text)) == encoder.tokenizer.count(text)
    assert encoder.max_positions >= described.max_tokens >= described.prompt_budget > 0
    described.check_tokenizer()


def test_prompts_hold_every_class_once_in_order(described):
    names = [f'thing number {i}' for i in range(200)]
    prompts = described.prompts(Query.for_classes(names))
    assert [name for prompt in prompts for name in prompt.names] == names
    starts = [prompt.start for prompt in prompts]
    assert starts == [sum(map(len, prompts[:i])) for i in range(len(prompts))]
    assert all(described.text_encoder.tokenizer.length(prompt.caption) <= described.prompt_budget
               for prompt in prompts)
    assert described.prompts(Query.for_classes(tuple(names))) is prompts
    for wrong in ([], ['dog', 'dog'], [7]):
        with pytest.raises(UserError):
            described.prompts(Query.for_classes(wrong))


def test_prompts_hold_every_name_with_its_label_or_it_is_refused(described):
    names = [f'thing number {i}' for i in range(40)]
    query = Query.for_classes(names, synonyms={names[3]: ['a part'], names[20]: ['b', 'c']},
                              negative_classes=['what is not meant'])
    try:
        prompts = described.prompts(query)
    except UserError as error:
        assert 'class names alone' in str(error)
        return
    pairs = [pair for prompt in prompts for pair in zip(prompt.names, prompt.labels)]
    assert pairs == list(query.asked) and described.label_names(query) == tuple(names)
    if described.text_encoder.token_features:  # names of a class are read together
        held = [set(prompt.labels) for prompt in prompts]
        assert sum(map(len, held)) == len(names) + 1


def test_predictions_are_boxes_of_the_original_image(model):
    images = torch.randn(2, 3, 64, 96)
    plain = found(model, images, [sample(), sample()])
    for instances in plain:
        assert instances.bboxes.shape == (len(instances.scores), 4) and len(instances.scores)
        assert ((instances.labels >= 0) & (instances.labels < len(NAMES))).all()
        assert (instances.scores.diff() <= 0).all() and (instances.scores <= 1).all()
    scaled = found(model, images, [sample(scale_factor=(2., 2.)) for _ in images])
    # To one pixel, whose size in the resized image is a matter of the method.
    torch.testing.assert_close(2 * scaled[0].bboxes, plain[0].bboxes, atol=1.01, rtol=0)
    unscaled = found(model, images, [sample(scale_factor=(2., 2.)) for _ in images],
                     rescale=False)
    torch.testing.assert_close(unscaled[0].bboxes, plain[0].bboxes, atol=1.01, rtol=0)


def test_an_image_and_a_query_do_not_see_their_neighbours(model):
    torch.manual_seed(1)
    images = torch.randn(2, 3, 64, 96)
    alone, = found(model, images[:1], [sample()])
    beside, _ = found(model, images, [sample(), sample(('one other name', ))])
    torch.testing.assert_close(beside.scores, alone.scores, atol=1e-5, rtol=0)
    torch.testing.assert_close(beside.bboxes, alone.bboxes, atol=1e-3, rtol=0)
    assert torch.equal(beside.labels, alone.labels)


def test_a_query_may_stand_for_the_text(model):
    images = torch.randn(1, 3, 64, 96)
    asked = sample()
    asked.set_metainfo(dict(query=Query.for_classes(NAMES)))
    for a, b in zip(found(model, images, [asked]), found(model, images, [sample()])):
        assert torch.equal(a.bboxes, b.bboxes) and torch.equal(a.labels, b.labels)


@pytest.mark.parametrize('boxes, labels', [([(8, 8, 40, 40), (0, 0, 20, 30)], [1, 2]), ([], [])])
def test_losses_reach_what_trains(model, boxes, labels):
    model.train()
    try:
        losses = model.loss(torch.randn(1, 3, 64, 96), [sample(boxes=boxes, labels=labels)])
        total = sum(value for name, value in losses.items() if 'loss' in name)
        assert torch.isfinite(total)
        total.backward()
        trained = {name for name, parts in model.layer_groups().items()
                   for part in parts for p in part.parameters()
                   if p.grad is not None and p.grad.abs().sum() > 0}
        if boxes:
            wanted = {'backbone', 'text_encoder', *model.probe_groups} - set(model.fixed_groups)
            assert wanted <= trained and not set(model.fixed_groups) & trained
    finally:
        model.zero_grad()
        model.eval()


def test_frozen_parts_stay_in_evaluation_mode(model):
    model.frozen_parts = [model.backbone]
    try:
        model.train()
        assert not any(part.training for part in model.backbone.modules()) and model.training
    finally:
        model.frozen_parts = []
        model.eval()


def test_the_toy_is_small():
    lines = [line for line in Path(two_stage.__file__).read_text(encoding='utf-8').splitlines()
             if line.strip() and not line.strip().startswith(('"""', 'import ', 'from '))]
    assert len(lines) <= 65
