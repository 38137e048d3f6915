"""Between the official, mmdet's and our layout, both ways."""
from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import mmdet
import pytest
import torch
from safetensors import safe_open

from glipkit.checkpoints import Checkpoint, layouts, read, to_layout, write
from glipkit.checkpoints.files import read_file
from glipkit.checkpoints.glip import Structure, check_complete
from glipkit.errors import UserError

from .tiny import TINY, UNFUSED, hollow, listed, official_state, random_state


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(
        left[key].dtype == right[key].dtype and left[key].shape == right[key].shape
        and torch.equal(left[key], right[key]) for key in left)


@pytest.mark.parametrize('suffix', ['.safetensors', '.pth'])
@pytest.mark.parametrize('prefix', ['module.', ''])
def test_official_survives_the_way_through_glipkit_bit_for_bit(tmp_path, structure, prefix,
                                                               suffix):
    original = official_state(structure, prefix)
    original[prefix + 'rpn.head.centerness.weight'] = torch.randn(1, 16, 1, 1).half()
    torch.save({'model': original, 'optimizer': {}, 'iteration': 3}, tmp_path / 'a.pth')
    write(read(tmp_path / 'a.pth'), tmp_path / f'b{suffix}')
    write(read(tmp_path / f'b{suffix}'), tmp_path / 'c.pth', 'official')
    back = torch.load(tmp_path / 'c.pth', weights_only=True)
    assert list(back) == ['model']
    assert same(back['model'], original)


def test_mmdet_files_survive_the_way_through_glipkit(tmp_path, structure):
    state, _, left = to_layout(Checkpoint(random_state(structure)), 'mmdet')
    assert not left
    # As published: the scales keep their official axis, and old transformers left its buffer.
    state = {key: tensor.reshape(1) if '.scales.' in key else tensor
             for key, tensor in state.items()}
    state['language_model.language_backbone.body.model.embeddings.position_ids'] = \
        torch.arange(10)[None]
    torch.save({'state_dict': state, 'meta': {}}, tmp_path / 'a.pth')
    write(read(tmp_path / 'a.pth'), tmp_path / 'b.safetensors')
    write(read(tmp_path / 'b.safetensors'), tmp_path / 'c.pth', 'mmdet')
    assert same(torch.load(tmp_path / 'c.pth', weights_only=True)['state_dict'], state)


@pytest.mark.parametrize('variant', ['a', 'c'])
def test_real_official_keys_give_the_ports_whole_list(variant):
    official = hollow(f'official_{variant}.json')
    checkpoint = _translate(official)
    port, _, left = to_layout(checkpoint, 'mmdet')
    assert {key: tuple(tensor.shape) for key, tensor in port.items()} == \
        listed(f'mmdet_port_{variant}.json')
    assert left == ('rpn.head.cls_logits.weight', 'rpn.head.cls_logits.bias')


@pytest.mark.parametrize('variant', ['a', 'c', 'l'])
def test_the_ports_whole_list_is_understood(variant):
    port = hollow(f'mmdet_port_{variant}.json')
    checkpoint = _translate(port)
    check_complete(checkpoint, 'file')
    assert {key: tuple(tensor.shape) for key, tensor in checkpoint.state.items()} == \
        Structure.from_state(checkpoint.state).shapes()
    back, _, _ = to_layout(checkpoint, 'mmdet')
    assert {key: tuple(tensor.shape) for key, tensor in back.items()} == \
        listed(f'mmdet_port_{variant}.json')


@pytest.mark.parametrize(('name', 'variant'), [('official_a', 'glip-t-a'), ('official_c', 'glip-t'),
                                               ('mmdet_port_l', 'glip-l')])
def test_the_variant_is_read_off_the_keys(name, variant):
    assert Structure.from_state(_translate(hollow(f'{name}.json')).state).variant == variant


def _translate(state):
    return layouts.from_raw(layouts.RawFile(state), 'file')


def test_tower_places_follow_the_fusion(structure):
    official = to_layout(Checkpoint(random_state(structure)), 'official')[0]
    places = {key.split('.')[4] for key in official if '.dyhead_tower.' in key and 'DyConv' in key}
    assert places == ({'2', '5'} if structure.fused else {'0', '1', '2', '3'})
    checkpoint = _translate(official)
    assert same(checkpoint.state, random_state(structure))


def test_official_scales_have_an_axis_and_ours_have_none():
    official = to_layout(Checkpoint(random_state(TINY)), 'official')[0]
    assert official['module.rpn.head.scales.3.scale'].shape == (1, )
    assert _translate(official).state['bbox_head.scales.3.scale'].shape == ()
    assert to_layout(Checkpoint(random_state(TINY)),
                     'mmdet')[0]['bbox_head.head.scales.3.scale'].shape == ()


def test_what_the_port_cannot_take_is_named(tmp_path):
    torch.save({'model': official_state(TINY)}, tmp_path / 'a.pth')
    count, _, left = write(read(tmp_path / 'a.pth'), tmp_path / 'b.pth', 'mmdet')
    assert count == len(TINY.shapes())
    assert 'rpn.tunable_linear.weight' in left and len(left) == 7


def test_our_file_says_what_it_is(tmp_path):
    torch.save({'model': official_state(TINY)}, tmp_path / 'a.pth')
    write(read(tmp_path / 'a.pth'), tmp_path / 'b.safetensors')
    with safe_open(tmp_path / 'b.safetensors', 'pt') as file:
        metadata = file.metadata()
    assert (metadata['format'], metadata['version'], metadata['variant']) == \
        ('glipkit', '1', 'custom')
    assert json.loads(metadata['source']) == \
        {'layout': 'official', 'prefix': 'module.', 'scale_axes': 1}


def test_our_pickle_keeps_what_is_aside_out_of_the_state_dict(tmp_path):
    torch.save({'model': official_state(TINY)}, tmp_path / 'a.pth')
    write(read(tmp_path / 'a.pth'), tmp_path / 'b.pth')
    content = torch.load(tmp_path / 'b.pth', weights_only=True)
    assert same(content['state_dict'], random_state(TINY))
    assert len(content['aside']) == 7


def test_a_newer_version_is_refused(tmp_path):
    torch.save({'state_dict': random_state(TINY), 'meta': {'format': 'glipkit', 'version': '2'}},
               tmp_path / 'a.pth')
    with pytest.raises(UserError, match='version 2'):
        read(tmp_path / 'a.pth')


@pytest.mark.parametrize(('key', 'expected'), [
    ('module.rpn.head.dyhead_tower.4.attention.self.query.bias',
     '1 missing: bbox_head.tower.1.text_layer.attention.self.query.bias'),
    ('module.backbone.body.layers.1.downsample.norm.bias',
     '1 missing: backbone.stages.1.downsample.norm.bias'),
    ('module.rpn.head.scales.4.scale', '1 missing: bbox_head.scales.4.scale'),
    ('module.backbone.fpn.top_blocks.p6.bias', '1 missing: neck.fpn_convs.3.conv.bias'),
    ('module.language_backbone.body.model.embeddings.LayerNorm.weight',
     '1 missing: text_encoder.embeddings.LayerNorm.weight'),
])
def test_a_missing_tensor_is_named_and_refused(tmp_path, key, expected):
    state = official_state(TINY)
    del state[key]
    torch.save({'model': state}, tmp_path / 'a.pth')
    with pytest.raises(UserError, match=expected):
        read(tmp_path / 'a.pth')


@pytest.mark.parametrize('key', ['module.rpn.head.extra.weight', 'module.roi_heads.box.weight',
                                 'module.rpn.head.dyhead_tower.2.DyConv.0.extra.weight',
                                 'module.language_backbone.body.model.encoder.extra'])
def test_an_unknown_tensor_is_named_and_refused(tmp_path, key):
    torch.save({'model': {**official_state(TINY), key: torch.zeros(1)}}, tmp_path / 'a.pth')
    with pytest.raises(UserError, match='1 unexpected: .*extra|1 unexpected: roi_heads'):
        read(tmp_path / 'a.pth')


@pytest.mark.parametrize('key', ['module.rpn.head.bias_lang',
                                 'module.backbone.body.layers.0.downsample.norm.weight',
                                 'module.rpn.head.scales.1.scale'])
def test_another_shape_is_named_and_refused(tmp_path, key):
    torch.save({'model': {**official_state(TINY), key: torch.zeros(7)}}, tmp_path / 'a.pth')
    with pytest.raises(UserError, match=r'1 of another shape: .* \[7\] instead of'):
        read(tmp_path / 'a.pth')


def test_another_model_is_refused(tmp_path):
    torch.save({'state_dict': {'backbone.conv1.weight': torch.zeros(3)}}, tmp_path / 'a.pth')
    with pytest.raises(UserError, match='backbone.conv1.weight'):
        read(tmp_path / 'a.pth')


def test_many_missing_keys_are_folded_to_one_line(tmp_path):
    state = {key: tensor for key, tensor in official_state(TINY).items() if '.DyConv.' not in key}
    torch.save({'model': state}, tmp_path / 'a.pth')
    with pytest.raises(UserError) as caught:
        read(tmp_path / 'a.pth')
    assert 'bbox_head.tower.*.dyconv.convs.*.conv.bias (6)' in str(caught.value)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('structure', [TINY, UNFUSED])
def test_a_structure_is_what_its_tensors_say(structure):
    assert Structure.from_state(random_state(structure)) == structure


def test_tied_tensors_can_be_written(tmp_path):
    state = random_state(TINY)
    tied = 'bbox_head.tower.0.dyconv.convs.0.norm.weight'
    state['bbox_head.tower.0.dyconv.convs.0.norm.bias'] = state[tied]
    write(Checkpoint(state), tmp_path / 'a.safetensors')
    assert same(read_file(tmp_path / 'a.safetensors').state, state)


def test_the_port_gets_what_mmdets_own_converter_makes():
    script = Path(mmdet.__file__).parent / '.mim/tools/model_converters/glip_to_mmdet.py'
    if not script.is_file():
        pytest.skip('this mmdet comes without its tools')
    spec = importlib.util.spec_from_file_location('glip_to_mmdet', script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    official = official_state(TINY)
    # It copies these, to a model that has no place for them.
    strange = [key for key in official if re.search('mlm_head|tunable|position_ids', key)]
    theirs = module.convert({k: v for k, v in official.items() if k not in strange})
    theirs = {key: tensor.reshape(()) if '.scales.' in key else tensor
              for key, tensor in theirs.items()}
    ours = to_layout(_translate(official), 'mmdet').state
    ours = {key: tensor for key, tensor in ours.items() if 'position_index' not in key}
    assert same(ours, theirs)
