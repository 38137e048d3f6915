"""Checkpoints in several files."""
from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from glipkit.checkpoints import load_checkpoint, read_training_checkpoint
from glipkit.errors import UserError

from .tiny import TINY, module_of, official_state, random_state


@pytest.fixture(params=['safetensors', 'bin'])
def index(request, tmp_path):
    """The index of a checkpoint in three shards, as Hugging Face's libraries write them."""
    state = random_state(TINY) if request.param == 'safetensors' else official_state(TINY)
    stem = 'model' if request.param == 'safetensors' else 'pytorch_model'
    names = [f'{stem}-{i:05d}-of-00003.{request.param}' for i in (1, 2, 3)]
    weight_map = {key: names[place % 3] for place, key in enumerate(state)}
    for name in names:
        part = {key: state[key] for key, home in weight_map.items() if home == name}
        (save_file if request.param == 'safetensors' else torch.save)(part, tmp_path / name)
    path = tmp_path / f'{stem}.{request.param}.index.json'
    path.write_text(json.dumps({'metadata': {'total_size': 1}, 'weight_map': weight_map}))
    return path


def test_all_shards_are_loaded(index):
    model = module_of(TINY.shapes())
    load_checkpoint(model, index)
    own = model.state_dict()
    assert all(torch.equal(own[key], value) for key, value in random_state(TINY).items())
    assert random_state(TINY).keys() <= read_training_checkpoint(index)['state_dict'].keys()


def test_a_missing_shard_is_named(index):
    shard = sorted(index.parent.glob('*-00002-*'))[0]
    shard.unlink()
    with pytest.raises(UserError, match=f'no {shard.name} in'):
        load_checkpoint(module_of(TINY.shapes()), index)


def test_shards_of_another_checkpoint_are_named(index):
    content = json.loads(index.read_text())
    content['weight_map']['one.more'] = next(iter(content['weight_map'].values()))
    index.write_text(json.dumps(content))
    with pytest.raises(UserError, match='differ in one.more'):
        load_checkpoint(module_of(TINY.shapes()), index)


@pytest.mark.parametrize('text', [
    '', '{', '[]', '{"weight_map": 1}', '{"weight_map": {}}', '{"weight_map": {"a": 1}}',
    '{"weight_map": {"a": "../a.pth"}}', '{"weight_map": {"a": "/a.pth"}}', '{"weight_map": null}',
])
def test_what_is_no_index_is_one_line(tmp_path, text):
    path = tmp_path / 'model.safetensors.index.json'
    path.write_text(text)
    with pytest.raises(UserError, match='an index of shards'):
        load_checkpoint(module_of(TINY.shapes()), path)
