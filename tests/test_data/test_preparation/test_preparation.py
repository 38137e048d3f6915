"""What all sources share: steps, streaming, the command."""
import json
import os
import sys
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from glipkit.cli import prepare as prepare_command
from glipkit.cli.main import door
from glipkit.data.preparation import Preparation, json_stream, stream_json, stream_lines
from glipkit.errors import UserError


def three_steps(out, source, fail_at=None, redo=False, **settings):
    """Names of the steps that were made; ``fail_at`` stops in the middle of writing that one."""
    made = []
    prep = Preparation(out, 'demo', redo=redo)

    def records(step):
        yield {'filename': 'a.jpg'}
        if step.name == fail_at:
            raise KeyboardInterrupt
        step.count('lines', 2)
        step.drop('bad lines', 'line 7')
        yield {'filename': 'b.jpg'}

    for name in ('one.jsonl', 'deep/two.jsonl', 'three.jsonl'):
        with prep.step(name, [source], settings) as step:
            if not step.done:
                step.write_lines(records(step))
                made.append(name)
    return made, prep


@pytest.fixture
def source(write):
    return write('source.txt', 'abc')


def test_a_second_run_does_nothing(tmp_path, source, manifest_of):
    out = tmp_path / 'out'
    made, prep = three_steps(out, source)
    assert made == ['one.jsonl', 'deep/two.jsonl', 'three.jsonl']
    before = {path: path.stat().st_mtime_ns for path in out.rglob('*')}
    again, second = three_steps(out, source)
    assert again == [] and before == {p: p.stat().st_mtime_ns for p in out.rglob('*')}
    assert '  one.jsonl: 2 lines\n    dropped 1 bad lines, first: line 7' in prep.report()
    assert '  one.jsonl: 2 lines (complete from an earlier run)\n    dropped 1' in second.report()
    assert manifest_of(out)['one.jsonl']['counts'] == {'lines': 2}


def test_a_killed_run_goes_on_with_the_step_it_was_in(tmp_path, source):
    out = tmp_path / 'out'
    with pytest.raises(KeyboardInterrupt):
        three_steps(out, source, fail_at='deep/two.jsonl')
    assert [p.name for p in out.rglob('*.jsonl*')] == ['one.jsonl']
    assert three_steps(out, source)[0] == ['deep/two.jsonl', 'three.jsonl']


def test_killed_between_the_record_and_the_file(tmp_path, source, monkeypatch):
    out = tmp_path / 'out'
    replace = os.replace

    def stop(old, new):
        if str(new).endswith('one.jsonl'):
            raise KeyboardInterrupt
        replace(old, new)

    monkeypatch.setattr(os, 'replace', stop)
    with pytest.raises(KeyboardInterrupt):
        three_steps(out, source)
    monkeypatch.undo()
    assert (out / 'manifest.json').exists() and not (out / 'one.jsonl').exists()
    assert len(three_steps(out, source)[0]) == 3


@pytest.mark.parametrize('change', ['settings', 'input', 'output', 'removed', 'redo', 'version'])
def test_what_makes_a_step_again(tmp_path, source, monkeypatch, change):
    out, settings = tmp_path / 'out', {}
    three_steps(out, source, sides=(1, 2))
    if change == 'input':
        os.utime(source, (1, 1))
    elif change == 'output':
        (out / 'three.jsonl').write_text((out / 'three.jsonl').read_text().replace('a', 'x'))
    elif change == 'removed':
        (out / 'three.jsonl').unlink()
    elif change == 'version':
        monkeypatch.setattr('glipkit.data.preparation.steps.__version__', '99')
    elif change == 'redo':
        settings['redo'] = True
    made, _ = three_steps(out, source, sides=(1, 3) if change == 'settings' else (1, 2), **settings)
    assert len(made) == (1 if change in ('output', 'removed') else 3)
    assert three_steps(out, source, sides=(1, 3) if change == 'settings' else (1, 2))[0] == []


def test_files_of_somebody_else_stay(tmp_path, source):
    out = tmp_path / 'out'
    (out / 'deep').mkdir(parents=True)
    (out / 'deep/two.jsonl').write_text('mine')
    with pytest.raises(UserError, match='unknown origin'):
        three_steps(out, source)
    assert (out / 'deep/two.jsonl').read_text() == 'mine'
    with pytest.raises(UserError, match='manifest of other'):
        Preparation(out, 'other')
    with pytest.raises(UserError, match='an output folder'):
        Preparation(source, 'demo')
    (out / 'manifest.json').write_text('[')
    with pytest.raises(UserError, match='choose another'):
        Preparation(out, 'demo')


def test_missing_input_and_forgotten_output(tmp_path, source):
    prep = Preparation(tmp_path / 'out', 'demo')
    with pytest.raises(UserError, match='an input that exists'), prep.step('a', ['/no/file']):
        pass
    with pytest.raises(RuntimeError, match='without writing'), prep.step('a', [source]):
        pass
    assert not (tmp_path / 'out').exists()


def test_json_is_written_from_iterators(tmp_path):
    prep = Preparation(tmp_path, 'demo')
    content = {'a': [1, 'ä"', '\ud83d'], 'empty': [], 'deep': {'x': [None]}, 'n': 2.5}
    with prep.step('a.json') as step:
        step.write_json({key: iter(v) if isinstance(v, list) else v for key, v in content.items()})
    assert json.loads((tmp_path / 'a.json').read_text('utf-8')) == content


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6), lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=3), inner, max_size=3), max_leaves=8)


@given(content=st.dictionaries(st.text(max_size=3), JSON, max_size=4) | st.lists(JSON, max_size=4),
       chunk=st.integers(1, 30), indent=st.sampled_from([None, 2]), ascii=st.booleans())
@example(content=[0.0, 1e-07, 12.5e+300, -3], chunk=1, indent=None, ascii=True)
@example(content=[True, None, 'a\\"\u2028', -1.5], chunk=2, indent=None, ascii=False)
def test_streaming_gives_what_json_gives(tmp_path_factory, content, chunk, indent, ascii):
    path = tmp_path_factory.getbasetemp() / 'stream.json'
    path.write_text(json.dumps(content, indent=indent, ensure_ascii=ascii), encoding='utf-8',
                    errors='surrogatepass')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, '_CHUNK', chunk)
        try:
            got = list(stream_json(path, 'a json'))
        except UserError as error:
            assert 'UTF-8' in str(error)  # lone halves of pairs are no UTF-8
            return
    pairs = {'': content}.items() if isinstance(content, list) else content.items()
    assert got == [(key, element) for key, value in pairs
                   for element in (value if isinstance(value, list) else [value])]


@pytest.mark.parametrize('text, complaint', [
    ('{"images": [{"id": 1}, {"id"', 'cut off'),
    ('{"images": [{"id": 1}', 'cut off'),
    ('{"images": [{"id": 1} {"id": 2}]}', 'character 22: no comma'),
    ('{"images": [{"id": 1,, }]}', 'character 21'),
    ('{"images": [1], 3: 4}', 'no key'),
    ('[1] 2', 'after the end'),
    ('"text"', 'neither an object nor a list'),
    ('', 'character 0: the file is cut off'),
    ('["' + 'x' * 40 + '", "open', 'cut off|Unterminated'),
    ('[' * 100_000, 'too many levels|cut off'),
])
@pytest.mark.parametrize('chunk', [3, 1 << 20])
def test_damaged_json_is_one_clear_error(write, monkeypatch, text, complaint, chunk):
    monkeypatch.setattr(json_stream, '_CHUNK', chunk)
    path = write('damaged.json', text)
    with pytest.raises(UserError, match=complaint) as error:
        list(stream_json(path, 'a COCO json'))
    assert 'a COCO json' in str(error.value) and path in str(error.value)


def test_a_damaged_file_is_not_read_to_its_end(write, monkeypatch):
    monkeypatch.setattr(json_stream, '_CHUNK', 64)
    path = write('long.json', '[{"a": nonsense}, ' + '1, ' * 10_000 + '1]')
    read = []
    monkeypatch.setattr(json_stream._Reader, '_extend', _counted(json_stream._Reader._extend, read))
    with pytest.raises(UserError, match='character 7: Expecting value'):
        list(stream_json(path, 'a json'))
    assert len(read) <= 2


def _counted(function, calls):

    def wrapped(self):
        calls.append(1)
        return function(self)

    return wrapped


def test_lines_and_their_errors(tmp_path, write):
    assert list(stream_lines(write('a.csv', 'x,y\r\n1,ä\n'), 'a csv')) == [(1, 'x,y'), (2, '1,ä')]
    (tmp_path / 'latin.csv').write_bytes(b'a\n\xe4\n')
    with pytest.raises(UserError, match='a csv in UTF-8'):
        list(stream_lines(tmp_path / 'latin.csv', 'a csv'))
    with pytest.raises(UserError, match='No such file'):
        list(stream_lines(tmp_path / 'none.csv', 'a csv'))


@pytest.fixture
def command(tmp_path, source, monkeypatch):
    """The command with a source of three steps, which may fail."""

    def call(*arguments, fail_at=None, error=None):

        def prepare(options):
            if error:
                raise error
            return three_steps(options.out, source, fail_at=fail_at, redo=options.redo)[1]

        module = SimpleNamespace(__doc__='Makes things.', prepare=prepare,
                                 EXAMPLES='examples:\n  glipkit prepare demo --out a',
                                 add_arguments=lambda parser: None)
        monkeypatch.setitem(prepare_command.SOURCES, 'demo', 'three steps')
        monkeypatch.setitem(sys.modules, 'glipkit.data.preparation.sources.demo', module)
        return door('prepare', 'demo')(['--out', str(tmp_path / 'out'), *arguments])

    return call


def test_command_tells_what_it_made(command, capsys):
    assert command() == 0
    assert 'deep/two.jsonl: 2 lines' in capsys.readouterr().out


def test_command_errors_are_one_line(command, capsys):
    assert command(error=UserError('a\nthing', 'none', 'look')) == 2
    printed = capsys.readouterr()
    assert printed.out == '' and printed.err.count('\n') == 1
    assert 'expected a thing; got none' in printed.err
    assert printed.err.startswith('glipkit prepare demo: error: ')
    with pytest.raises(SystemExit) as stop:
        command('--unknown')
    assert stop.value.code == 2 and capsys.readouterr().err.count('\n') == 1


def test_interrupted_command_goes_on_later(command, capsys):
    assert command(fail_at='three.jsonl') == 130
    assert 'glipkit prepare demo: interrupted; the same command resumes' in capsys.readouterr().err
    assert command() == 0
    assert capsys.readouterr().out.count('earlier run') == 2


def test_help_has_examples(command, capsys):
    with pytest.raises(SystemExit) as stop:
        command('--help')
    assert stop.value.code == 0 and '  glipkit prepare demo --out a\n' in capsys.readouterr().out


def test_missing_images_are_counted(command, tmp_path, write, capsys):
    write('images/a.jpg', '')
    assert command('--check-images', str(tmp_path / 'images')) == 0
    assert '1 of 2 images missing' in capsys.readouterr().out
    write('images/b.jpg', '')
    assert command('--check-images', str(tmp_path / 'images')) == 0
    assert '0 of 2 images missing' in capsys.readouterr().out
    assert command('--check-images', str(tmp_path / 'out')) == 2
    assert 'none of 6, such as a.jpg' in capsys.readouterr().err
    assert command('--check-images', str(tmp_path / 'nowhere')) == 2
