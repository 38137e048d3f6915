"""The plan of the house: which room imports which, and what no module may contain.

Every room stands on a floor and imports rooms of lower floors only. Some arrows that the floors
alone would allow are closed as well.
"""
import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / 'glipkit'

#: Floor of each room; a room may import rooms of lower floors.
FLOORS = {
    'errors': 0, 'version': 0, 'moved': 1, 'files': 1, 'registry': 1, 'common': 2, 'compat': 3,
    'runs': 4,
    'checkpoints': 5, 'text': 6, 'models': 7, 'data': 8, 'evaluation': 9, 'engine': 10,
    'apis': 11, '__init__': 12, 'worlds': 12, 'runtime': 12, 'export': 13, 'reports': 13,
    'tuning': 14, 'labelling': 14, 'calibration': 14, 'serve': 14, 'odinw': 15, 'distil': 15,
    'benchmarks': 16, 'claims': 17, 'cli': 18, '__main__': 19, 'testing': 19
}
#: Arrows that the floors alone would allow: models and data meet only in what samples carry.
CLOSED = {
    'data': {'models', 'checkpoints'}, 'evaluation': {'models', 'checkpoints'},
    'worlds': {'models', 'checkpoints', 'evaluation', 'engine', 'apis'},
}
#: Rooms in which no method has a name: what differs between methods comes to them from outside.
GENERAL = ('text', 'data', 'evaluation', 'engine', 'apis', 'tuning', 'labelling', 'distil', 'runs')
METHOD = re.compile(r'glip(?!kit)|region_?clip|clip_?self|(?<![a-z])f_?vit', re.IGNORECASE)
#: File -> the names that may still stand there. Each entry has to be needed.
NAMED = {
    # The registered name that configs of version 0.1 have.
    'glipkit/data/transforms/resize.py': {'GlipResize'},
}
OUTSIDE = {'tools', 'data_prep', 'tests', 'conftest'}
DEBUGGERS = {'pdb', 'ipdb', 'pudb', 'code'}

FILES = sorted(PACKAGE.rglob('*.py'))
SCRIPTS = sorted(p for folder in ('tools', 'data_prep') for p in (ROOT / folder).rglob('*.py'))


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


MODULES = {module_name(p): p for p in FILES}


def room(module):
    parts = module.split('.')
    return parts[1] if len(parts) > 1 else '__init__'


def imported(tree, path, modules=MODULES):
    """Dotted names that a syntax tree imports, with relative ones made absolute.

    ``from a import b`` is the module a.b if there is one, and a otherwise.
    """
    parents = list(path.relative_to(ROOT).parent.parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ''
            if node.level:
                above = parents[:len(parents) - node.level + 1]
                base = '.'.join([*above, base] if base else above)
            for alias in node.names:
                full = f'{base}.{alias.name}'
                yield (full if full in modules else base), node.lineno


def parse(path):
    return ast.parse(path.read_text(encoding='utf-8'), str(path))


def identity(path):
    return str(path.relative_to(ROOT))


def allowed(here, there):
    """Whether one room may import another."""
    below = FLOORS[there] < FLOORS[here] and there not in CLOSED.get(here, set())
    return here == there or below


def problems_of(tree, path):
    """Everything in a file that the plan does not allow."""
    here = room(module_name(path))
    for name, line in imported(tree, path):
        top = name.split('.')[0]
        if top in OUTSIDE:
            yield f'{line}: imports {name}, which is not part of the package'
        if top == 'glipkit' and name != 'glipkit' and not allowed(here, room(name)):
            yield f'{line}: {here} may not import {name}'
    yield from leftovers_of(tree, path)


def leftovers_of(tree, path):
    """Traces of debugging, and handlers that swallow everything."""
    for name, line in imported(tree, path):
        if name.split('.')[0] in DEBUGGERS:
            yield f'{line}: imports the debugger {name}'
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            yield f'{node.lineno}: bare except'
        if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'breakpoint':
            yield f'{node.lineno}: breakpoint()'


def test_modules_keep_to_the_plan():
    assert not [f'{identity(path)}:{problem}' for path in FILES
                for problem in problems_of(parse(path), path)]


def method_names_of(tree):
    """Identifiers, imported modules and strings that name a method; docstrings may."""
    docstrings = {id(node.body[0].value) for node in ast.walk(tree)
                  if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef,
                                       ast.AsyncFunctionDef))
                  and node.body and isinstance(node.body[0], ast.Expr)}
    for node in ast.walk(tree):
        if id(node) in docstrings:
            continue
        # Whatever kind of node: every name in it, and the value of a constant, is a string.
        for _, value in ast.iter_fields(node):
            for text in value if isinstance(value, list) else [value]:
                if isinstance(text, str) and METHOD.search(text):
                    yield text


def test_general_rooms_know_no_method():
    found = {identity(path): set(method_names_of(parse(path)))
             for path in FILES if room(module_name(path)) in GENERAL}
    assert {path: names for path, names in found.items() if names} == NAMED


@pytest.mark.parametrize('code, found', [
    ('from glipkit.models.heads import glip_head', ['glip_head']),
    ('from glipkit.checkpoints.glip.official import split', ['glipkit.checkpoints.glip.official']),
    ("if x.GLIP: y = f'clipself-{z}'", ['GLIP', 'clipself-']),
    ('def build_fvit(region_clip=None): pass', ['build_fvit', 'region_clip']),
    ('"""As in GLIP."""\ndef f():\n    "GLIP"\n    import glipkit', []),
    ("clip(boxes)\nscope = 'glipkit'\nleave_it = clip_gradients", []),
])
def test_the_check_for_method_names(code, found):
    assert sorted(method_names_of(ast.parse(code))) == sorted(found)


def test_every_exception_is_about_a_file_of_a_general_room():
    assert {room(module_name(ROOT / name)) for name in NAMED} <= set(GENERAL)
    assert all((ROOT / name).is_file() for name in NAMED)


def test_scripts_have_no_leftovers():
    assert not [f'{identity(path)}:{problem}' for path in SCRIPTS
                for problem in leftovers_of(parse(path), path)]


def test_every_room_has_a_rule():
    found = {room(name) for name in MODULES}
    assert found <= set(FLOORS), 'a new room needs its floor in FLOORS'


@pytest.mark.parametrize('room_name, code, complaint', [
    ('models', 'from glipkit.data.formats import coco', 'models may not import'),
    ('models', 'from ..data import coco', 'models may not import'),
    ('text', 'def f():\n    import glipkit.models', 'text may not import'),
    ('evaluation', 'from glipkit import models', 'evaluation may not import'),
    ('engine', 'from tools.train import main', 'not part of the package'),
    ('data', 'import pdb', 'debugger'),
    ('data', 'breakpoint()', 'breakpoint'),
    ('data', 'try:\n    pass\nexcept:\n    pass', 'bare except'),
    ('engine', 'from glipkit.models import heads\nfrom ..text import prompts', None),
    ('text', 'from glipkit.errors import UserError\nfrom . import spans\nimport torch', None),
])
def test_the_check_itself(room_name, code, complaint):
    found = list(problems_of(ast.parse(code), PACKAGE / room_name / 'example.py'))
    if complaint is None:
        assert not found
    else:
        assert len(found) == 1 and complaint in found[0]


def test_no_cycles():
    """No module needs, while it is loaded, one that needs it."""
    graph = {}
    for name, path in MODULES.items():
        tree = parse(path)
        # What stands inside functions runs later and cannot lock up the loading.
        tree.body = [node for node in tree.body
                     if not isinstance(node, (ast.FunctionDef, ast.ClassDef))]
        graph[name] = {target for target, _ in imported(tree, path) if target in MODULES}

    done, trail = set(), []

    def visit(name):
        if name in trail:
            pytest.fail('cycle: ' + ' -> '.join([*trail[trail.index(name):], name]))
        if name not in done:
            trail.append(name)
            for target in sorted(graph[name]):
                visit(target)
            done.add(trail.pop())

    for name in sorted(graph):
        visit(name)


def test_modules_import_and_print_nothing(capsys):
    importlib.import_module('mmdet.datasets')  # says on import what it does without
    capsys.readouterr()
    printed, broken = {}, {}
    for name in sorted(MODULES):
        try:
            importlib.import_module(name)
        except Exception as error:  # all of them are told
            broken[name] = repr(error)
        printed[name] = capsys.readouterr().out
    assert not broken and not {name: text for name, text in printed.items() if text}
