"""Model, sampler and packer count with one tokenizer, and to budgets that agree."""
from __future__ import annotations

from types import SimpleNamespace

import pytest

from glipkit.apis.build import build_model
from glipkit.apis.training import build_runner, load_config
from glipkit.data.transforms.caption_packing import CaptionPacker
from glipkit.data.transforms.class_prompt import SampleClassPrompt
from glipkit.engine.token_budgets import prompt_makers, share_tokenizer
from glipkit.errors import UserError
from glipkit.text.tokenizers import UNCASED_VOCABULARY
from glipkit.text.tokenizers.contract import build_tokenizer


@pytest.fixture
def cfg(config, tmp_path):
    return load_config(str(config), work_dir=str(tmp_path / 'out'))


@pytest.fixture
def model(cfg):
    return build_model(cfg)  # reads 128 tokens in training


def dataset(*transforms, packer=None):
    """Two sets in a third, as `MixedDataset` and mmengine's wrappers hold them."""
    one = SimpleNamespace(pipeline=SimpleNamespace(transforms=list(transforms)))
    other = SimpleNamespace(dataset=SimpleNamespace(packer=packer))
    return SimpleNamespace(datasets=[one, other])


def test_all_that_make_prompts_get_the_encoders_tokenizer(model):
    sampler, packer = SampleClassPrompt(max_tokens=126), CaptionPacker(max_tokens=128)
    found = dataset(object(), sampler, packer=packer)
    assert list(prompt_makers(found)) == [sampler, packer]
    share_tokenizer(model, found)
    assert sampler.tokenizer is packer.tokenizer is model.text_encoder.tokenizer


@pytest.mark.parametrize('part', [SampleClassPrompt(max_tokens=127), CaptionPacker(max_tokens=129)])
def test_prompts_that_the_model_would_cut_are_refused(model, part):
    with pytest.raises(UserError, match=f'at most 128 tokens.*{type(part).__name__}.*129'):
        share_tokenizer(model, dataset(part))


@pytest.mark.parametrize('make', [SampleClassPrompt, CaptionPacker])
def test_another_tokenizer_is_refused(model, make):
    part = make(max_tokens=100, tokenizer=dict(lowercase=False))
    with pytest.raises(UserError, match="tokenizer in .*'lowercase': True.*'lowercase': False"):
        share_tokenizer(model, dataset(part))


def test_a_run_compares_before_it_trains(cfg):
    runner = build_runner(cfg)
    loop = runner.build_train_loop(cfg.train_cfg)
    tokenizer = runner.model.text_encoder.tokenizer
    made = list(prompt_makers(loop.dataloader.dataset))
    assert made and all(part.tokenizer is tokenizer for part in made)


def test_a_run_with_a_mismatch_does_not_begin(cfg, tmp_path):
    cfg.model.max_tokens = 64
    cfg.work_dir = str(tmp_path / 'other')
    with pytest.raises(UserError, match='SampleClassPrompt with a budget of 128'):
        build_runner(cfg).train()


@pytest.mark.parametrize('config, complaint', [
    (dict(type='Nobody'), 'BertTokenizer'), (dict(lower=True), 'remove the unknown')])
def test_tokenizers_that_there_are_not(config, complaint):
    with pytest.raises(UserError, match=complaint):
        build_tokenizer(config)


def test_a_config_may_name_the_vocabulary():
    named = build_tokenizer(dict(vocab_file=str(UNCASED_VOCABULARY)))
    assert named.config['vocab_file'] == str(UNCASED_VOCABULARY)
    assert named.count('a red circle') == build_tokenizer().count('a red circle')
