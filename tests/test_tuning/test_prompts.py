"""Hand-written prompts: reading, refusing, searching."""
from __future__ import annotations

import pytest

from glipkit.errors import UserError
from glipkit.tuning.prompts import best_prompts, one_prompt, read_prompts, search_prompts
from glipkit.tuning.settings import read_recipe

CLASSES = ['CoW', 'chanterelle', '1']


def write(tmp_path, text):
    path = tmp_path / 'words.yaml'
    path.write_text(text, encoding='utf-8')
    return path


def test_all_ways_to_write_a_class(tmp_path):
    path = write(tmp_path, '''
- CoW: flat mushroom
  "1": {prefix: "a ", name: one, suffix: " on a die"}
- chanterelle: [yellow mushroom, {name: girolle}]
''')
    assert read_prompts(path, CLASSES) == [
        {'CoW': [{'name': 'flat mushroom'}],
         '1': [{'prefix': 'a ', 'name': 'one', 'suffix': ' on a die'}]},
        {'chanterelle': [{'name': 'yellow mushroom'}, {'name': 'girolle'}]}]


@pytest.mark.parametrize(('text', 'said'), [
    ('CoW: [', 'YAML'), ('hello', 'mapping'), ('[]', 'mapping'), ('cow: a', "'cow'"),
    ('1: one', 'quote'), ('CoW: {colour: red}', 'prefix'), ('CoW: "..."', 'letter'),
    ('CoW: 7', 'quote'), ('CoW: {name: a, prefix: 3}', 'quote')])
def test_what_cannot_be_a_prompt_is_refused(tmp_path, text, said):
    with pytest.raises(UserError, match=said):
        read_prompts(write(tmp_path, text), CLASSES)


def test_one_prompt_is_one(tmp_path):
    path = write(tmp_path, 'CoW: flat mushroom')
    assert one_prompt(read_prompts(path, CLASSES), path) == {'CoW': {'name': 'flat mushroom'}}
    for text in ('CoW: [a, b]', '[{CoW: a}, {CoW: b}]'):
        with pytest.raises(UserError, match='manual'):
            one_prompt(read_prompts(write(tmp_path, text), CLASSES), path)


def test_the_search_goes_class_by_class(tmp_path):
    """Names 0.5; 'a' for CoW alone 0.1; then 'b' is better; with it 'd' loses to 'c'."""
    path = write(tmp_path, '{CoW: [a, b], chanterelle: [c, d]}')
    worth = {'a': 0.1, 'b': 0.4, 'c': 0.2, 'd': 0.15}
    tried = search_prompts(read_prompts(path, CLASSES), lambda prompts: sum(
        worth[way['name']] for way in prompts.values()) if prompts else 0.5)
    assert [{k: v['name'] for k, v in one.prompts.items()} for one in tried] == [
        {}, {'CoW': 'a', 'chanterelle': 'c'}, {'CoW': 'b', 'chanterelle': 'c'},
        {'CoW': 'b', 'chanterelle': 'd'}]
    best = best_prompts(tried)
    assert best.score == pytest.approx(0.6) and best.prompts['CoW']['name'] == 'b'


def test_the_class_names_win_where_nothing_is_better(tmp_path):
    path = write(tmp_path, 'CoW: a')
    assert best_prompts(search_prompts(read_prompts(path, CLASSES), lambda _: 0.3)).prompts == {}


# -- recipes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(('name', 'lr', 'decay'), [
    ('full', 1e-4, 0.05), ('head', 1e-4, 0.05), ('text', 1e-5, 0.05), ('prompt', 0.05, 0.25)])
def test_official_numbers(name, lr, decay):
    recipe = read_recipe(name)
    assert recipe.strategy['lr'] == lr and recipe.strategy['weight_decay'] == decay
    assert recipe.schedule['max_epochs'] == 200 and recipe.schedule['batch_size'] == 4
    assert [recipe.copies(s) for s in (1, 2, 3, 5, 10, 20, None)] == [8, 4, 4, 2, 1, 1, 1]
    assert recipe.patience(5) == dict(step_patience=3, stop_patience=8)
    assert recipe.patience(None) == dict(step_patience=2, stop_patience=4)


def test_a_recipe_of_ones_own(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text("strategy = dict(name='lora', rank=2)\n"
                    'schedule = dict(max_epochs=1, batch_size=1, clip_norm=1., copies=[],\n'
                    '                few_shot=dict(), all_data=dict())\n')
    recipe = read_recipe(str(path), {'strategy.rank': 4})
    assert recipe.strategy == dict(name='lora', rank=4) and recipe.copies(1) == 1
    path.write_text("strategy = dict(name='lora', rank=2)\n")
    with pytest.raises(UserError, match='schedule'):
        read_recipe(str(path))
