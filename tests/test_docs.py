"""Every command line that the documentation shows is one that glipkit takes."""
from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from glipkit.cli.main import COMMANDS, build_parser

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]
CONFIGS = sorted((ROOT / 'configs').rglob('*.py'))
BLOCK = re.compile(r'^```(?:bash|sh|shell)\n(.*?)^```', re.DOTALL | re.MULTILINE)


def command_lines(text: str) -> Iterator[list[str]]:
    """Words after ``glipkit`` of every line that starts with it; a backslash continues a line."""
    for line in re.sub(r'\\+\n\s*', ' ', text).splitlines():
        words = shlex.split(line, comments=True)
        # The program may stand behind variables: A=1 glipkit train ...
        while words and re.fullmatch(r'[A-Z_]+=\S*', words[0]):
            words.pop(0)
        if len(words) > 1 and words[0] == 'glipkit':
            end = next((i for i, word in enumerate(words) if word in ('|', '&&', '>', '>>', '&')),
                       len(words))
            yield words[1:end]


def refused(lines: Iterable[list[str]], capsys: pytest.CaptureFixture) -> list[str]:
    wrong = []
    for words in lines:
        try:
            build_parser(words[0]).parse_args(words)
        except SystemExit as stop:
            if stop.code != 0:
                wrong.append(f'glipkit {shlex.join(words)}: {capsys.readouterr().err.strip()}')
    return wrong


def test_commands_of_readme_and_docs(capsys):
    lines = [words for page in PAGES
             for block in BLOCK.findall(page.read_text(encoding='utf-8'))
             for words in command_lines(block)]
    assert {words[0] for words in lines} >= {'train', 'test', 'tune', 'predict', 'check-data'}
    assert not refused(lines, capsys)


def test_commands_of_config_headers(capsys):
    lines = []
    for path in CONFIGS:
        header = path.read_text(encoding='utf-8').split('"""')
        if len(header) > 2 and header[0] == '':
            text = '\n'.join(line.strip() for line in header[1].splitlines())
            commands = re.sub(r'\\+\n', ' ', text).splitlines()
            lines += [words for line in commands if line.startswith('glipkit ')
                      for words in command_lines(line)]
    assert len(lines) > 5 and not refused(lines, capsys)


@pytest.mark.parametrize('command', COMMANDS)
def test_examples_of_a_command_can_be_parsed(command, capsys):
    """The examples at the end of ``glipkit COMMAND --help``."""
    with pytest.raises(SystemExit):
        build_parser(command).parse_args([command, '--help'])
    examples = capsys.readouterr().out.partition('examples:')[2].partition('exit codes:')[0]
    lines = [words for words in command_lines(examples) if words[:1] == [command]
             and 'BENCHMARK' not in words]
    assert lines and not refused(lines, capsys)
