"""Which tasks a server has, and what they are called."""
from __future__ import annotations

import pytest

from glipkit.errors import UserError
from glipkit.serve.task_files import find_tasks


@pytest.fixture
def folder(tmp_path):
    for name in ('fish/task.safetensors', 'cups/task.safetensors', 'birds.safetensors',
                 'notes.txt', 'cups/seed_3/task.safetensors', 'a=b.safetensors'):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def test_names(folder, monkeypatch):
    fish, birds = folder / 'fish/task.safetensors', folder / 'birds.safetensors'
    assert find_tasks([str(fish), f'big birds={birds}']) == {'fish': fish, 'big birds': birds}
    assert find_tasks([str(folder / 'a=b.safetensors')]) == {'a=b': folder / 'a=b.safetensors'}
    assert sorted(find_tasks([], folder)) == ['a=b', 'birds', 'cups', 'fish']
    assert sorted(find_tasks([str(fish)], folder)) == ['a=b', 'birds', 'cups', 'fish']
    monkeypatch.chdir(folder / 'fish')
    assert list(find_tasks(['task.safetensors'])) == ['fish']


@pytest.mark.parametrize('names, message', [
    (('x=fish/task.safetensors', 'x=birds.safetensors'), 'different names; got x'),
    (('=birds.safetensors', ), 'without slashes'), (('a/b=birds.safetensors', ), 'without slashes'),
])
def test_names_that_nobody_could_use(folder, monkeypatch, names, message):
    monkeypatch.chdir(folder)
    with pytest.raises(UserError, match=message):
        find_tasks(names)


def test_a_folder_without_tasks(tmp_path):
    with pytest.raises(UserError, match='a folder with task files'):
        find_tasks([], tmp_path)
