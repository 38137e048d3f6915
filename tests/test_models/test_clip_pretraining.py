"""CLIP's pre-training: two towers from nothing."""
from __future__ import annotations

import math

import pytest
import torch
from mmdet.structures import DetDataSample

from glipkit.errors import UserError
from glipkit.models.pretrainers.clip import ClipPretrainer
from glipkit.models.pretrainers.contract import sentence_features
from tests.test_models.test_region_clip_pretraining import TEXT, TOWER

CAPTIONS = ['red', 'green', 'blue', 'black']


def build(**changes):
    torch.manual_seed(0)
    return ClipPretrainer(**{**dict(
        backbone={**TOWER, 'frozen_stages': 0, 'frozen_norm': False}, text_encoder=TEXT,
        data_preprocessor=dict(type='mmdet.DetDataPreprocessor')), **changes})


def batch():
    colours = torch.tensor([[1., 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]])[..., None, None]
    samples = [DetDataSample(metainfo=dict(text=caption)) for caption in CAPTIONS]
    noise = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    return colours.expand(4, 3, 64, 64) + 0.1 * noise, samples


def test_every_parameter_learns_and_captions_are_told_apart():
    model = build().train()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(14):
        loss = model(*batch(), mode='loss')['loss_caption']
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is not None for p in model.parameters())
        optimizer.step()
    assert loss < 0.3 < math.log(4)


def test_keys_and_temperature():
    model = build(temperature=0.5)
    assert {name.partition('.')[0] for name in model.state_dict()} == {
        'backbone', 'text_encoder', 'logit_scale'}
    assert model.loss(*batch())['temperature'].item() == pytest.approx(0.5)
    fixed = build(learn_temperature=False, temperature=0.5)
    assert 'logit_scale' not in fixed.state_dict()
    torch.testing.assert_close(fixed.loss(*batch()), model.loss(*batch()))


def test_the_temperature_has_a_bound_and_can_leave_it():
    model = build(lowest_temperature=0.05)
    with torch.no_grad():
        model.logit_scale.fill_(9.)
    losses = model.loss(*batch())
    losses['loss_caption'].backward()
    assert losses['temperature'].item() == pytest.approx(0.05)
    assert model.logit_scale.item() == pytest.approx(math.log(20)) and model.logit_scale.grad != 0


def test_a_long_caption_loses_its_last_words():
    encoder = build().text_encoder
    long = ' '.join(['dog'] * 75)  # with both markers exactly what the encoder reads
    longer, cut = sentence_features(encoder, [f'{long} cat tree', f'dog cat {"tree " * 900}'])
    torch.testing.assert_close(longer, sentence_features(encoder, [long])[0])
    assert not torch.allclose(cut, longer)


def test_prediction_is_refused():
    with pytest.raises(UserError, match='a detector for prediction'):
        build()(*batch(), mode='predict')
    with pytest.raises(UserError, match='temperatures above 0'):
        build(temperature=0)
