"""Templates as published, and files of embeddings."""
from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from glipkit.errors import UserError
from glipkit.text.bank import TextBank, read_names
from glipkit.text.templates import (
    TEMPLATES,
    clean_name,
    fill,
    find_templates,
    write_detection_sentences,
)
from glipkit.text.tokenizers import ClipBpeTokenizer
from tests.region_clip_golden import case


def test_the_sets_have_their_published_sizes():
    assert {name: len(set(found)) for name, found in TEMPLATES.items()} == {
        'name': 1, 'imagenet': 80, 'imagenet_and_name': 81, 'detection': 63}
    assert all(len(set(found)) == len(found) for found in TEMPLATES.values())
    assert all(find_templates(list(found)) == found for found in TEMPLATES.values())


def test_sentences_are_the_official_ones():
    meta, arrays = case('text_rn50')
    tokenizer = ClipBpeTokenizer()
    for name, ids in zip(meta['concepts'], arrays['prompt_ids']):
        texts = fill(TEMPLATES['imagenet_and_name'], clean_name(name))
        own = {tuple(tokenizer([text]).ids[0].tolist()) for text in texts}
        assert own == {tuple(row[:int(row.nonzero().max()) + 1].tolist()) for row in ids}


def test_articles():
    assert fill(['a photo of {article} {}.', 'the {}'], 'Apple') == [
        'a photo of an Apple.', 'the Apple']
    assert fill(TEMPLATES['detection'], 'dog')[0] == 'There is a dog in the scene.'
    assert 'This is an embroidered dog.' in fill(TEMPLATES['detection'], 'dog')
    assert fill(TEMPLATES['name'], 'a {strange} name') == ['a {strange} name']


@pytest.mark.parametrize('wrong', ['imagenets', [], ['a photo'], ['{} and {}'], ['{name}'],
                                   ['{} {'], ['{0}'], [7]])
def test_wrong_templates_are_refused(wrong):
    with pytest.raises(UserError):
        find_templates(wrong)


def test_names_are_cleaned():
    assert clean_name('hot dog, with mustard+ketchup') == 'hot dog with mustard ketchup'
    assert clean_name('dog,123') == 'dog123'
    assert clean_name('flip-flop_(sandal)', identifier=True) == 'flip-flop sandal'
    assert clean_name('flip-flop_(sandal)') == 'flip-flop_(sandal)'


BANK = TextBank(('cat', 'naïve dog'), torch.tensor([[1., 2, 3], [4, 5, 6]]), (7, 8),
                ('a {}.', ), 'abc')


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
def test_a_bank_comes_back_as_it_was(tmp_path, dtype):
    bank = TextBank(BANK.names, BANK.embeddings.to(dtype), BANK.counts, BANK.templates, 'abc')
    bank.write(tmp_path / 'bank.safetensors')
    found = TextBank.read(tmp_path / 'bank.safetensors')
    assert torch.equal(found.embeddings, bank.embeddings) and found.embeddings.dtype == dtype
    assert (found.names, found.counts, found.templates, found.encoder) == (
        bank.names, bank.counts, bank.templates, 'abc')
    assert (len(found), found.width) == (2, 3)
    assert [p.name for p in tmp_path.iterdir()] == ['bank.safetensors']


def test_published_matrices_come_with_a_list_of_names(tmp_path):
    torch.save(BANK.embeddings, tmp_path / 'two_emb.pth')
    (tmp_path / 'names.txt').write_text('cat,120\nhot dog,30\n')
    found = TextBank.read(tmp_path / 'two_emb.pth', tmp_path / 'names.txt')
    assert found.names == ('cat', 'hot dog') and found.counts == (120, 30)
    assert TextBank.read(tmp_path / 'two_emb.pth', ['a', 'b']).counts is None
    (tmp_path / 'names.txt').write_text('cat\ncup, blue\n')
    assert read_names(tmp_path / 'names.txt') == (('cat', 'cup, blue'), None)


def test_rows_by_name():
    chosen = BANK.select(['naïve dog'])
    assert chosen.embeddings.tolist() == [[4, 5, 6]] and chosen.counts == (8, )
    with pytest.raises(UserError):
        BANK.select(['cow'])
    BANK.check_width(3)
    with pytest.raises(UserError, match='1024'):
        BANK.check_width(1024)


@pytest.mark.parametrize('arguments', [
    ((), torch.zeros(0, 3)), (('a', ), torch.zeros(2, 3)), (('a', 'a'), torch.zeros(2, 3)),
    (('a', ), torch.zeros(3)), (('a', ), torch.full((1, 3), torch.nan)),
    (('a', ), torch.zeros(1, 3), (1, 2)), (('a', ), torch.zeros(1, 3, dtype=torch.long))])
def test_wrong_banks_are_refused(arguments):
    with pytest.raises(UserError):
        TextBank(*arguments)


def test_wrong_files_are_refused(tmp_path):
    torch.save(BANK.embeddings, tmp_path / 'bare.pth')
    torch.save(dict(a=BANK.embeddings, b=BANK.embeddings), tmp_path / 'two.pth')
    torch.save([TextBank], tmp_path / 'code.pth')
    (tmp_path / 'empty.pth').touch()
    (tmp_path / 'cut.safetensors').write_bytes(b'\x10\0\0\0\0\0\0\0{"a":')
    save_file({'embeddings': BANK.embeddings}, tmp_path / 'no.safetensors',
              dict(names=json.dumps(['only one'])))
    save_file({'embeddings': BANK.embeddings}, tmp_path / 'broken.safetensors', dict(names='['))
    (tmp_path / 'names.txt').write_text('\n')
    for name in ('bare.pth', 'two.pth', 'code.pth', 'empty.pth', 'cut.safetensors',
                 'no.safetensors', 'broken.safetensors', 'missing.pth'):
        with pytest.raises(UserError):
            TextBank.read(tmp_path / name)
    for names in ('names.txt', 'missing.txt', 'bare.pth'):
        with pytest.raises(UserError):
            TextBank.read(tmp_path / 'bare.pth', tmp_path / names)
    with pytest.raises(UserError):
        BANK.write(tmp_path / 'nowhere' / 'bank.safetensors')


@pytest.mark.parametrize('name, sentence', [
    ('cat', 'There is a cat in the scene.'), ('orange', 'There is an orange in the scene.'),
    ('Umbrella', 'There is a umbrella in the scene.'),  # the letter before it becomes small
    ('Egg roll...', 'There is a egg roll in the scene.'), ('hour', 'There is a hour in the scene.'),
    ('person/people', 'There is a person or people in the scene.'),
    ('bottle_cap', 'There is a bottle cap in the scene.'),
    ('floor-other-merged', 'There is a floor-other-merged in the scene.')])
def test_names_as_the_code_of_detection_writes_them(name, sentence):
    assert write_detection_sentences(TEMPLATES['detection'], name)[0] == sentence
    assert len(write_detection_sentences(TEMPLATES['detection'], name)) == 63
