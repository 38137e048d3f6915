"""Results as tables, files and pages."""
from __future__ import annotations

import json

import pytest

from glipkit.benchmarks.results import (
    BEGIN,
    END,
    document,
    load,
    machine,
    save,
    table,
    to_markdown,
    write_page,
)
from glipkit.errors import UserError


@pytest.fixture(scope='module')
def result():
    return document('predict', ['--prompt', 'red, blue'], {
        'rows': [{'candidate': 'a', 'seconds': 1.5}, {'candidate': 'b|c', 'note': 'slow'}],
        'notes': ['Read this.'], 'setting': {'config': 'glip-t-c', 'threads': 2}})


def test_a_table_by_hand():
    assert table([{'name': 'x', 's': 1.25, 'n': 12345.6, 'all': [1.5]},
                  {'name': 'y|z', 's': 2.00001, 'more': 'm'}]) \
        == ('| name | s | n | more |\n'
            '|---|---:|---:|---|\n'
            '| x | 1.25 | 12346 |  |\n'
            '| y\\|z | 2 |  | m |')


def test_markdown_has_all_that_it_takes_to_repeat(result):
    text = to_markdown(result)
    assert text.startswith('# predict: glip-t-c\n')
    assert "`glipkit bench predict --prompt 'red, blue'`" in text
    assert '| a | 1.5 |  |' in text
    assert '- Read this.' in text
    assert 'Setting: config glip-t-c, threads 2.' in text
    assert f"cpu {result['machine']['cpu']}" in text and 'torch 2' in text


def test_the_machine_names_no_path():
    import glipkit
    assert not any(glipkit.__path__[0].rsplit('/', 1)[0] in value for value in machine().values())


def test_files(result, tmp_path):
    path = save(result, tmp_path / 'new', 'one')
    assert load(path) == result
    assert (tmp_path / 'new' / 'one.md').read_text() == to_markdown(result)


def test_a_page_keeps_what_is_written_by_hand(result, tmp_path):
    folder, page = tmp_path / 'results', tmp_path / 'page.md'
    page.write_text(f'# By hand\n{BEGIN}\nold\n{END}\nThe end.\n')
    write_page(page, folder)
    assert 'No results yet.' in page.read_text()
    save(result, folder, 'b')
    save({**result, 'benchmark': 'another'}, folder, 'a')
    write_page(page, folder)
    once = page.read_text()
    assert once.startswith(f'# By hand\n{BEGIN}\n') and once.endswith(f'{END}\nThe end.\n')
    assert 'old' not in once and 'No results' not in once
    assert once.index('### another') < once.index('### predict')
    write_page(page, folder)
    assert page.read_text() == once


@pytest.mark.parametrize('text', ['no marks', f'{BEGIN} only one', f'{BEGIN}{BEGIN}{END}', None])
def test_a_page_without_its_part_is_left_alone(text, tmp_path):
    page = tmp_path / 'page.md'
    if text is not None:
        page.write_text(text)
    with pytest.raises(UserError, match='marks'):
        write_page(page, tmp_path)
    assert not page.exists() or page.read_text() == text


@pytest.mark.parametrize('text', ['{', '[]', '3', json.dumps({'benchmark': 'predict'})])
def test_a_file_that_is_no_result(text, tmp_path):
    path = tmp_path / 'a.json'
    path.write_text(text)
    with pytest.raises(UserError, match='a result of glipkit bench'):
        load(path)
