"""Every command line of README.md, docs/, the help texts and the headers of configs, read by the
parser it is meant for.

So an option that is renamed cannot stay in a document. tests/test_readme.py runs those that a few
pictures are enough for.
"""
from __future__ import annotations

import ast
import importlib
import re
import runpy
import shlex
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from glipkit.apis.build import build_model
from glipkit.cli import main as cli
from glipkit.cli.bench import BENCHMARKS
from glipkit.cli.prepare import SOURCES
from glipkit.cli.world import WORLDS
from glipkit.models.contract import GroundingDetector
from glipkit.testing.tiny_glip import TINY_CONFIG
from tests.contracts.test_detectors import NAMES, found, sample
from tests.test_architecture import FLOORS
from tests.test_configs import RECIPES, header

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md')),
             ROOT / 'glipkit/weights/glip-mini.md']
#: A fenced block of commands says that it is one, or begins with one.
FENCE = re.compile(r'^```(\w*)\n(.*?)^```$', re.MULTILINE | re.DOTALL)
#: The end of a line that the next one continues, and the latter's indentation.
CONTINUED = re.compile(r' *\\\n *')
PROGRAMS = ('glipkit', 'python', 'torchrun', 'make', 'pip')
LEVELS = [[name] for name in cli.COMMANDS] + [
    [command, name] for command, names in
    (('prepare', SOURCES), ('world', WORLDS), ('bench', [*BENCHMARKS, 'all', 'page']))
    for name in names]


def command_lines(text: str) -> list[str]:
    """The commands of the fenced blocks of a document and of its table cells."""
    found: list[str] = []
    for language, block in FENCE.findall(text):
        lines = [line for line in CONTINUED.sub(' ', block).splitlines() if line.strip()]
        if language in ('', 'bash') and lines[0].split()[0] in PROGRAMS:
            for line in lines:
                found += [part.strip() for part in line.split('&&')]
    cells = re.findall(r'\| `((?:glipkit|python) [^`]+)`', text)
    return found + [cell for cell in cells if ' --' in cell and '...' not in cell]


def arguments_of(line: str, monkeypatch: pytest.MonkeyPatch) -> list[str] | None:
    """What ``glipkit`` is to read of a command line; None for other programs.

    Args:
        line: A command line; a comment may follow.
        monkeypatch: Puts a recorder in the place of the command behind a script.
    """
    program, *words = shlex.split(line, comments=True)
    for word in words:
        if re.match(r'(configs|tools|data_prep|glipkit)/', word):
            assert (ROOT / word).exists(), f'{line}: no {word}'
    if program == 'make':
        targets = re.search(r'^\.PHONY: (.*)$', (ROOT / 'Makefile').read_text(), re.MULTILINE)
        assert words[0] in targets[1].split(), line
        return None
    if program == 'pip':
        assert words[0] == 'install', line
        return None
    if program == 'torchrun':
        while words[0].startswith('--'):
            del words[0]
    if words[:2] == ['-m', 'glipkit.cli.main']:
        return words[2:]
    if program in ('python', 'torchrun'):
        passed: list[str] = []
        with monkeypatch.context() as patch:
            patch.setattr(cli, 'main', passed.extend)
            runpy.run_path(str(ROOT / words[0]))['main'](words[1:])
        return passed
    assert program == 'glipkit', f'{line}: add {program} to this test'
    return words


def check(arguments: list[str], capsys: pytest.CaptureFixture) -> None:
    """Parses arguments without running anything."""
    try:
        cli.build_parser(arguments[0]).parse_args(arguments)
    except SystemExit:
        pytest.fail(f'glipkit {shlex.join(arguments)}: {capsys.readouterr().err}')


@pytest.mark.parametrize('path', DOCUMENTS, ids=lambda path: path.name)
def test_commands_of_a_document(path, monkeypatch, capsys):
    lines = command_lines(path.read_text(encoding='utf-8'))
    assert lines, 'a document without a command: is its fence still found?'
    for line in lines:
        arguments = arguments_of(line, monkeypatch)
        if arguments is not None:
            check(arguments, capsys)


@pytest.mark.parametrize('path', RECIPES, ids=lambda path: path.stem)
def test_commands_of_a_recipe(path, monkeypatch, capsys):
    command = header(path)['Command']
    for line in CONTINUED.sub(' ', command).splitlines():
        check(arguments_of(line.strip(), monkeypatch), capsys)


@pytest.mark.parametrize('words', LEVELS, ids=' '.join)
def test_examples_of_a_help_text(words, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        cli.main([*words, '--help'])
    text = CONTINUED.sub(' ', capsys.readouterr().out.split('examples:\n')[1])
    # An example begins with two blanks; what it does may stand behind it, after several.
    lines = [re.split(r'(?<=\S) {3,}(?!-)', line.strip())[0] for line in text.splitlines()
             if line.strip().startswith(PROGRAMS) and line.startswith('  ')]
    assert lines
    for line in lines:
        arguments = arguments_of(line, monkeypatch)
        if not re.search(r'\b[A-Z]{4,} --help', line):
            check(arguments, capsys)


@pytest.mark.parametrize('line', ['glipkit predict a.jpg --clases dog', 'make everything',
                                  'python tools/none.py', 'glipkit fly',
                                  'python data_prep/coco.py --training a --out b'])
def test_the_check_itself(line, monkeypatch, capsys):
    with pytest.raises((pytest.fail.Exception, AssertionError)):
        check(arguments_of(line, monkeypatch), capsys)


def exists(name: str) -> bool:
    """Whether there is a module of this dotted name, or something of this name in a module."""
    parts = name.split('.')
    found = importlib.import_module(parts[0])
    for i, part in enumerate(parts[1:], start=2):
        if not hasattr(found, part):
            try:
                importlib.import_module('.'.join(parts[:i]))
            except ModuleNotFoundError:
                return False
        found = getattr(found, part)
    return True


def imported(block: str) -> list[str]:
    """Dotted names that a block of Python takes from glipkit."""
    return [f'{node.module}.{alias.name}' for node in ast.walk(ast.parse(block))
            if isinstance(node, ast.ImportFrom) and (node.module or '').startswith('glipkit')
            for alias in node.names]


@pytest.mark.parametrize('path', DOCUMENTS, ids=lambda path: path.name)
def test_names_and_files_of_a_document(path):
    text = path.read_text(encoding='utf-8').split('<!-- results: begin -->')[0]
    names = re.findall(r'\bglipkit(?:\.[A-Za-z_]\w*)+', text)
    for language, block in FENCE.findall(text):
        names += imported(block) if language == 'python' else []
    assert not [name for name in names if not exists(name)]
    files = re.findall(r'(?<![\w/.-])(?:glipkit|tests|configs|tools|data_prep|docs)/[\w./-]*\w',
                       text)
    assert not [name for name in files if not (ROOT / name).exists()]
    links = re.findall(r'\]\(([^)#:]+)\)', text)
    assert not [link for link in links if not (path.parent / link).exists()]


@pytest.mark.parametrize('name, there', [
    ('glipkit.text', True), ('glipkit.Predictor', True), ('glipkit.data.checking.check', True),
    ('glipkit.text.query.Query.for_classes', True), ('glipkit.text.query.Query.of', False),
    ('glipkit.txt', False), ('glipkit.text.prompts.prompt', False), ('glipkit.a.b.c', False)])
def test_the_check_for_names(name, there):
    assert exists(name) == there


def test_the_floors_of_the_plan():
    text = (ROOT / 'docs/architecture.md').read_text(encoding='utf-8')
    rows = re.findall(r'^\| (\d+) \| (`[^|]+`) \|', text, re.MULTILINE)
    assert {name: int(floor) for floor, names in rows for name in re.findall(r'`(\w+)`', names)} \
        == {name: floor for name, floor in FLOORS.items() if not name.startswith('__')}
    listed = (ROOT / 'README.md').read_text(encoding='utf-8').split('## How it is built')[1]
    lines = FENCE.findall(listed)[0][1].splitlines()[1:]  # after "glipkit/"
    rooms = [name for line in lines for name in re.findall(r'\w+', line.strip().split('  ')[0])]
    assert sorted(rooms) == sorted(FLOORS.keys() - {'__init__', '__main__'})


def test_the_method_of_the_plan_answers_the_contract():
    text = (ROOT / 'docs/architecture.md').read_text(encoding='utf-8')
    code, = [block for language, block in FENCE.findall(text) if language == 'python']
    names: dict[str, type] = {}
    exec(compile(code, 'docs/architecture.md', 'exec'), names)
    encoder = Config.fromstring(TINY_CONFIG, '.py').model.text_encoder
    model = build_model(Config(dict(model=dict(type='WholeImage', text_encoder=encoder)))).eval()
    assert isinstance(model, names['WholeImage']) and isinstance(model, GroundingDetector)
    held = {id(p) for parts in model.layer_groups().values()
            for part in parts for p in part.parameters()}
    assert held == {id(p) for p in model.parameters()}
    images, samples = torch.rand(2, 3, 64, 96), [sample(ori_shape=(32, 48)) for _ in range(2)]
    assert model.loss(images, samples)['loss'].requires_grad
    for instances in found(model, images, samples):
        assert instances.bboxes.tolist() == [[0, 0, 48, 32]]
        assert 0 <= instances.labels.item() < len(NAMES) and 0 < instances.scores.item() <= 1


def test_lines_of_a_block():
    text = '```bash\nglipkit a \\\n  b   # c\nglipkit d && glipkit e\n```\n```json\n{}\n```\n'
    assert command_lines(text) == ['glipkit a b   # c', 'glipkit d', 'glipkit e']
