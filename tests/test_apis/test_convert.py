"""Conversions of files, and what they report."""
from __future__ import annotations

import pytest
import torch

from glipkit.apis.convert import convert_checkpoint
from glipkit.checkpoints import save_checkpoint
from glipkit.common.digests import file_sha256
from glipkit.errors import UserError


@pytest.fixture
def own(predictor, tmp_path):
    save_checkpoint(predictor.model, tmp_path / 'own.safetensors')
    return tmp_path / 'own.safetensors'


def official(own):
    """An official file with something beside the model, and an optimiser."""
    path = own.with_name('official.pth')
    convert_checkpoint(own, path, 'official')
    content = torch.load(path, weights_only=True)
    content['model']['module.rpn.head.cls_logits.bias'] = torch.ones(80)
    content['optimizer'] = {'state': {}}
    torch.save(content, path)
    return path


def test_there_and_back(own, tmp_path):
    source = official(own)
    report = convert_checkpoint(source, tmp_path / 'a.safetensors')
    assert report.layouts == ('official', 'glipkit')
    assert report.sha256 == (file_sha256(source), file_sha256(tmp_path / 'a.safetensors'))
    assert report.kept == 1 and report.ignored == ('optimizer', ) and not report.left
    assert report.written == report.read + 1
    back = convert_checkpoint(tmp_path / 'a.safetensors', tmp_path / 'b.pth', 'official')
    assert back.written == report.written
    one, two = (torch.load(path, weights_only=True)['model']
                for path in (source, tmp_path / 'b.pth'))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_what_cannot_travel_is_said(own, tmp_path):
    report = convert_checkpoint(official(own), tmp_path / 'm.pth', 'mmdet')
    assert report.left == ('rpn.head.cls_logits.bias', )
    assert 'left out rpn.head.cls_logits.bias' in str(report)
    assert 'skipped  optimizer' in str(report)
    # 2 patch mergings of 3 tensors each, and 3 scales that lose their axis. The norms of a model
    # that was never trained are all ones and zeros: no order to change.
    assert report.changed == 2 * 1 + 3


@pytest.mark.parametrize('damage', ['missing', 'unknown'])
def test_a_refused_conversion_writes_nothing(own, tmp_path, damage):
    source = official(own)
    content = torch.load(source, weights_only=True)
    if damage == 'missing':
        del content['model']['module.rpn.head.bias0']
    else:
        content['model']['module.rpn.head.bias1'] = torch.ones(1)
    torch.save(content, source)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UserError, match='bias0' if damage == 'missing' else 'bias1'):
        convert_checkpoint(source, tmp_path / 'a.safetensors')
    assert sorted(tmp_path.iterdir()) == before


def test_our_own_incomplete_files_are_refused_too(own, tmp_path):
    torch.save({'state_dict': {'bbox_head.tower.0.dyconv.offset.bias': torch.ones(27)}},
               tmp_path / 'part.pth')
    with pytest.raises(UserError, match='part.pth without backbone'):
        convert_checkpoint(tmp_path / 'part.pth', tmp_path / 'a.safetensors')


def test_targets_are_checked_before_anything_is_read(own, tmp_path):
    with pytest.raises(UserError, match='--force'):
        convert_checkpoint(tmp_path / 'none.pth', own)
    convert_checkpoint(own, own, force=True)
    with pytest.raises(UserError, match='one of openai, timm, .*official'):
        convert_checkpoint(own, tmp_path / 'x.pth', 'onnx')
