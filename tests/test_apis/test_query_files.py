"""Questions from command lines and files."""
from __future__ import annotations

import json

import pytest

from glipkit.apis.asking import as_query, check_query, make_query
from glipkit.apis.query_files import read_query
from glipkit.errors import UserError
from glipkit.text.query import Query

YAML = '''classes:
  cup: [mug, coffee cup]
  person: []
  no:
negative_classes: [bowl]
exclusive: [[cup, person]]
combine: mean
'''
WANTED = Query.for_classes(['cup', 'person', 'no'], synonyms={'cup': ['mug', 'coffee cup']},
                           negative_classes=['bowl'], exclusive=[['cup', 'person']], combine='mean')


@pytest.mark.parametrize('name, content, query', [
    ('q.yaml', YAML, WANTED),
    ('q.json', json.dumps(dict(classes={'cup': ['mug', 'coffee cup'], 'person': [], 'no': None},
                               negative_classes=['bowl'], exclusive=[['cup', 'person']],
                               combine='mean')), WANTED),
    ('q.yml', 'classes: [cup, person]', Query.for_classes(['cup', 'person'])),
    ('data.yaml', 'names: [cup, person]', Query.for_classes(['cup', 'person'])),
    ('names.txt', 'cup\nperson\n', Query.for_classes(['cup', 'person']))])
def test_files(tmp_path, monkeypatch, name, content, query):
    (tmp_path / name).write_text(content, encoding='utf-8')
    monkeypatch.chdir(tmp_path)
    assert read_query(name) == read_query(f'@{name}') == query
    more = read_query(name, 'fox, "salt, pepper"', ['cup, person'])
    assert more.negatives == (*query.negatives, 'fox', 'salt, pepper')
    assert more.exclusive == (('cup', 'person'), )


@pytest.mark.parametrize('content, said', [
    ('classes: cup', 'classes as a list'), ('classes: [[a]]', 'classes as a list'),
    ('classes: {cup: mug}', "other names of 'cup'.*in .*q.yaml"),
    ('classes: [a, b]\nsynonyms: {a: [c]}', "'synonyms'.*negative_classes"),
    ('classes: [a, b]\nexclusive: [[a, c]]', "'c', which is no class, in .*q.yaml"),
    ('classes: [a, b]\ncombine: sum', "'max' or 'mean'"), ('classes: [', 'q.yaml'),
    ('classes: [a]\nnegative_classes: a', 'negative_classes as a list')])
def test_a_file_that_cannot_be_asked_is_one_clear_error(tmp_path, content, said):
    (tmp_path / 'q.yaml').write_text(content, encoding='utf-8')
    with pytest.raises(UserError, match=said):
        read_query(str(tmp_path / 'q.yaml'))


@pytest.mark.parametrize('name', ['q.yaml', 'q.json'])
def test_a_class_that_stands_there_twice_is_not_lost(tmp_path, name):
    (tmp_path / name).write_text('{"classes": {"cup": ["mug"], "cup": ["beaker"]}}')
    with pytest.raises(UserError, match="a query: .*'cup' stands there twice"):
        read_query(str(tmp_path / name))


def test_calls_take_names_other_names_and_whole_queries():
    query = Query.for_classes(['cup', 'dog'], synonyms={'cup': ['mug']})
    assert make_query({'cup': ['mug'], 'dog': None}, None, None) == query
    assert make_query(query, None, None) is query
    assert make_query(query, None, None, negative_classes=['fox']).negatives == ('fox', )
    assert as_query(['a', 'b']) == Query.for_classes(['a', 'b'])
    with pytest.raises(UserError, match='hand-written prompts in the query'):
        as_query(query, {'cup': dict(suffix=' on a table')})
    with pytest.raises(UserError, match='only with classes; got a caption'):
        make_query(None, 'a dog', None, negative_classes=['fox'])
    with pytest.raises(UserError, match=r"'\?\?'"):
        check_query(Query.for_classes(['cup'], synonyms={'cup': ['??']}))
