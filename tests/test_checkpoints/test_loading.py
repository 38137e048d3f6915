"""Loading into models, whole or not at all, and the parts that have files of their own."""
from __future__ import annotations

import dataclasses
import time

import pytest
import torch
from mmdet.models.backbones.swin import SwinTransformer
from safetensors.torch import save_file

from glipkit.checkpoints import (
    Checkpoint,
    check_target,
    hub,
    load_backbone,
    load_checkpoint,
    load_text_encoder,
    read_training_checkpoint,
    save_checkpoint,
    to_layout,
    write,
)
from glipkit.checkpoints.glip.tensors import relative_position_index
from glipkit.common.digests import file_sha256
from glipkit.errors import UserError
from glipkit.text.encoders.bert import BertEncoder

from .tiny import TINY, UNFUSED, module_of, official_state, random_state


def holds(model, state) -> bool:
    own = model.state_dict()
    return all(torch.equal(own[key], tensor) for key, tensor in state.items())


@pytest.fixture(params=['official', 'mmdet', 'glipkit', 'safetensors', 'training'])
def file(request, tmp_path):
    state = random_state(TINY)
    path = tmp_path / 'a.pth'
    if request.param == 'official':
        torch.save({'model': official_state(TINY)}, path)
    elif request.param == 'mmdet':
        write(Checkpoint(state), path, 'mmdet')
    elif request.param == 'glipkit':
        write(Checkpoint(state), path)
    elif request.param == 'safetensors':
        path = tmp_path / 'a.safetensors'
        write(Checkpoint(state), path)
    else:
        torch.save({'state_dict': state, 'meta': {'epoch': 1}, 'message_hub': {},
                    'ema_state_dict': {k: v + 1 for k, v in state.items()}}, path)
    return path


def test_every_layout_is_recognised_and_loads_the_same_weights(file):
    model = module_of(TINY.shapes())
    report = load_checkpoint(model, file)
    assert holds(model, random_state(TINY))
    assert report.sha256 == file_sha256(file)
    assert report.path == file
    assert report.loaded == len(random_state(TINY)) + (12 // 2 if report.layout == 'mmdet' else 0)


def test_every_layout_can_start_a_training(file):
    content = read_training_checkpoint(file)
    for key, tensor in random_state(TINY).items():
        assert torch.equal(content['state_dict'][key], tensor)
    if content['meta']:
        assert content['meta'] == {'epoch': 1}  # a checkpoint of a training comes back as it is
    else:
        index = content['state_dict'][
            'backbone.stages.0.blocks.0.attn.w_msa.relative_position_index']
        assert torch.equal(index, relative_position_index(3))


def test_a_wrapped_model_is_loaded_too(tmp_path):
    write(Checkpoint(random_state(TINY)), tmp_path / 'a.pth')
    model = module_of(TINY.shapes())
    load_checkpoint(torch.nn.DataParallel(model), tmp_path / 'a.pth')
    assert holds(model, random_state(TINY))


@pytest.mark.parametrize('layout', ['official', 'mmdet', 'glipkit'])
@pytest.mark.parametrize(('wanted', 'given'), [(TINY, UNFUSED), (UNFUSED, TINY),
                                               (TINY, dataclasses.replace(TINY, channels=32))])
def test_a_checkpoint_of_another_model_is_refused_and_changes_nothing(tmp_path, wanted, given,
                                                                      layout):
    write(Checkpoint(random_state(given)), tmp_path / 'a.pth', layout)
    model = module_of(wanted.shapes())
    with pytest.raises(UserError, match='missing|unexpected|another shape') as caught:
        load_checkpoint(model, tmp_path / 'a.pth')
    assert str(wanted) in str(caught.value) and str(given) in str(caught.value)
    assert '\n' not in str(caught.value)
    assert not any(tensor.any() for tensor in model.state_dict().values())


def test_save_and_load(tmp_path):
    model = module_of(TINY.shapes())
    model.load_state_dict(random_state(TINY), strict=False)
    digest = save_checkpoint(model, tmp_path / 'a.safetensors', dtype=torch.float16)
    other = module_of(TINY.shapes())
    report = load_checkpoint(other, tmp_path / 'a.safetensors')
    assert report.sha256 == digest
    assert holds(other, {k: v.half().float() for k, v in random_state(TINY).items()})
    with pytest.raises(UserError, match='--force'):
        save_checkpoint(model, tmp_path / 'a.safetensors')


SWIN = dict(embed_dims=8, depths=(2, 1, 1), num_heads=(1, 2, 4), window_size=3, mlp_ratio=2,
            out_indices=(0, 1, 2), strides=(4, 2, 2))


def official_swin() -> dict[str, torch.Tensor]:
    """The tensors of a Swin as its authors publish it."""
    state = {}
    for key, tensor in SwinTransformer(**SWIN).state_dict().items():
        key = 'backbone.' + key
        if not key.startswith('backbone.norm') and 'position_index' not in key:
            state[key] = torch.randn(tensor.shape)
    # Through the tested table: a whole checkpoint whose other parts are left out again.
    structure = dataclasses.replace(TINY, depths=(2, 1, 1))
    whole = to_layout(Checkpoint({**random_state(structure), **state}), 'official')[0]
    stem = 'module.backbone.body.'
    swin = {key.removeprefix(stem): value for key, value in whole.items() if key.startswith(stem)
            and not key.startswith(stem + 'norm')}
    return {**swin, 'norm.weight': torch.rand(32), 'norm.bias': torch.rand(32),
            'head.weight': torch.rand(10, 32), 'head.bias': torch.rand(10),
            'layers.0.blocks.1.attn_mask': torch.rand(4, 9, 9)}


def _as_timm(state):
    moved = {}
    for key, tensor in state.items():
        if '.downsample.' in key:
            _, stage, tail = key.split('.', 2)
            key = f'layers.{int(stage) + 1}.{tail}'
        moved[key.replace('head.', 'head.fc.')] = tensor
    return moved


@pytest.mark.parametrize('form', ['official', 'timm', 'mmdet'])
def test_imagenet_swin(tmp_path, form):
    source = official_swin()
    reference = SwinTransformer(**SWIN)
    torch.save({'model': source}, tmp_path / 'reference.pth')
    load_backbone(reference, tmp_path / 'reference.pth')
    if form == 'timm':
        save_file({k: v.clone() for k, v in _as_timm(source).items()}, tmp_path / 'a.safetensors')
        path = tmp_path / 'a.safetensors'
    elif form == 'mmdet':
        path = tmp_path / 'a.pth'
        torch.save({'state_dict': {f'backbone.{k}': v for k, v in reference.state_dict().items()}},
                   path)
    else:
        path = tmp_path / 'reference.pth'
    backbone = SwinTransformer(**SWIN)
    report = load_backbone(backbone, path)
    assert holds(backbone, {k: v for k, v in reference.state_dict().items() if 'norm0' not in k})
    qkv = 'layers.1.blocks.0.attn.qkv.weight'
    assert torch.equal(backbone.stages[1].blocks[0].attn.w_msa.qkv.weight, source[qkv])
    if form != 'mmdet':
        assert set(report.untouched) == {f'norm{i}.{p}' for i in range(3)
                                         for p in ('weight', 'bias')}
        assert len(report.aside) == 5


def test_backbone_of_a_whole_checkpoint(tmp_path):
    structure = dataclasses.replace(TINY, depths=(2, 1, 1))
    write(Checkpoint(random_state(structure)), tmp_path / 'a.pth', 'official')
    backbone = SwinTransformer(**SWIN)
    report = load_backbone(backbone, tmp_path / 'a.pth')
    assert report.layout == 'official' and not report.untouched
    state = random_state(structure)
    assert holds(backbone, {k[9:]: v for k, v in state.items() if k.startswith('backbone.')})


@pytest.mark.parametrize('change', ['missing', 'extra', 'shape'])
def test_a_backbone_file_that_does_not_fit_is_refused(tmp_path, change):
    source = official_swin()
    if change == 'missing':
        del source['layers.0.blocks.0.norm1.weight']
    elif change == 'extra':
        source['layers.3.blocks.0.norm1.weight'] = torch.ones(8)
    else:
        source['layers.0.blocks.0.attn.relative_position_bias_table'] = torch.ones(49, 1)
    torch.save({'model': source}, tmp_path / 'a.pth')
    backbone = SwinTransformer(**SWIN)
    before = {key: tensor.clone() for key, tensor in backbone.state_dict().items()}
    with pytest.raises(UserError, match='weights of this backbone'):
        load_backbone(backbone, tmp_path / 'a.pth')
    assert holds(backbone, before)


def bert() -> BertEncoder:
    return BertEncoder(vocab_size=30, hidden_size=12, num_layers=2, num_heads=2,
                       intermediate_size=20, max_positions=10)


@pytest.mark.parametrize('prefix', ['', 'bert.'])
@pytest.mark.parametrize('old', [False, True])
def test_hugging_face_bert(tmp_path, prefix, old):
    wanted = {key: torch.randn(tensor.shape) for key, tensor in bert().state_dict().items()
              if tensor.is_floating_point()}
    state = {prefix + key: tensor for key, tensor in wanted.items()}
    if old:
        state = {k.replace('LayerNorm.weight', 'LayerNorm.gamma')
                 .replace('LayerNorm.bias', 'LayerNorm.beta'): v for k, v in state.items()}
    state |= {prefix + 'pooler.dense.weight': torch.ones(12, 12),
              'cls.predictions.bias': torch.ones(30),
              prefix + 'embeddings.position_ids': torch.arange(10)[None]}
    torch.save(state, tmp_path / 'pytorch_model.bin')
    encoder = bert()
    report = load_text_encoder(encoder, tmp_path / 'pytorch_model.bin')
    assert holds(encoder, wanted)
    assert len(report.aside) == 3 and report.loaded == len(wanted)


def test_text_encoder_of_a_whole_checkpoint(tmp_path):
    torch.save({'model': official_state(TINY)}, tmp_path / 'a.pth')
    encoder = bert()
    assert load_text_encoder(encoder, tmp_path / 'a.pth').layout == 'official'
    state = random_state(TINY)
    assert holds(encoder, {k[13:]: v for k, v in state.items() if k.startswith('text_encoder.')})


def test_a_text_encoder_file_that_does_not_fit_is_refused(tmp_path):
    torch.save({'roberta.embeddings.word_embeddings.weight': torch.ones(3, 3)}, tmp_path / 'a.bin')
    with pytest.raises(UserError, match='roberta'):
        load_text_encoder(bert(), tmp_path / 'a.bin')


@pytest.mark.parametrize(('name', 'repository', 'file'), [
    ('hf:owner/repo/weights/a.safetensors', 'owner/repo', 'weights/a.safetensors'),
    ('google-bert/bert-base-uncased:model.safetensors', 'google-bert/bert-base-uncased',
     'model.safetensors'),
])
def test_hub_names(monkeypatch, tmp_path, name, repository, file):
    import huggingface_hub
    asked = []
    monkeypatch.setattr(hub, 'no_connection', lambda: None)
    monkeypatch.setattr(huggingface_hub, 'hf_hub_download',
                        lambda *args, **_: asked.append(args) or str(tmp_path / 'x'))
    assert hub.resolve(name) == tmp_path / 'x'
    assert asked == [(repository, file)]


def test_an_unreachable_hub_is_one_clear_error(monkeypatch):
    import huggingface_hub

    def fail(*args, **_):
        raise ConnectionError('no network\nand more lines')

    monkeypatch.setattr(hub, 'no_connection', lambda: None)
    monkeypatch.setattr(huggingface_hub, 'hf_hub_download', fail)
    with pytest.raises(UserError, match='ConnectionError: no network; check the name') as caught:
        hub.resolve('owner/repo:a.pth')
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('name', ['owner/repo:a.pth', 'hf:owner/repo/a'])
def test_without_a_network_the_hub_is_not_asked_again_and_again(monkeypatch, tmp_path, name):
    """One attempt to connect; what was downloaded before is found."""
    import huggingface_hub
    monkeypatch.setenv('NO_PROXY', 'localhost')
    for proxy in ('http_proxy', 'https_proxy', 'all_proxy'):
        monkeypatch.delenv(proxy, raising=False)
        monkeypatch.delenv(proxy.upper(), raising=False)
    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_OFFLINE', False)
    monkeypatch.setattr(huggingface_hub.constants, 'ENDPOINT', 'http://127.0.0.1:1')
    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_CACHE', str(tmp_path))
    started = time.perf_counter()
    with pytest.raises(UserError, match=r'no connection to 127.0.0.1 \(Connection refused\)'):
        hub.resolve(name)
    assert time.perf_counter() - started < 5
    monkeypatch.setattr(huggingface_hub, 'hf_hub_download',
                        lambda *_, local_files_only, **__: tmp_path / str(local_files_only))
    assert hub.resolve(name) == tmp_path / 'True'
    for proxied in ('http://127.0.0.1:2', 'http:///nothing'):
        monkeypatch.setenv('https_proxy', proxied)
        assert hub.resolve(name) == tmp_path / 'False'


def test_local_files_and_other_names(tmp_path):
    path = check_target(tmp_path / 'a.pth')
    path.touch()
    assert hub.resolve(path) == path
    with pytest.raises(UserError, match='curl'):
        hub.resolve('https://example.com/a.pth')
    with pytest.raises(UserError, match='pass the path alone'):
        hub.resolve('file:///a.pth')
    with pytest.raises(UserError, match='no such file'):
        hub.resolve(str(tmp_path / 'b.pth'))


@pytest.mark.parametrize('name', ['work_dirs/mini:iter_3.pth', '../runs:1.pth', './a/b:c.pth',
                                  '-a/b:c.pth', 'owner/x:y', 'owner/x:1'])
def test_a_path_with_a_colon_is_not_asked_of_the_hub(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hub, '_download', lambda *_: pytest.fail('asked the hub'))
    (tmp_path / 'work_dirs').mkdir()
    with pytest.raises(UserError, match=f'no such file at {name}'):
        hub.resolve(name)
    (tmp_path / 'work_dirs' / 'x:y.pth').touch()
    assert str(hub.resolve('work_dirs/x:y.pth')) == 'work_dirs/x:y.pth'
