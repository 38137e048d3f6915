"""A wheel carries everything that the package reads at run time, and nothing else; installed, it
works without the checkout."""
from __future__ import annotations

import ast
import json
import os
import re
import shutil
import signal
import site
import subprocess
import sys
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

import glipkit

ROOT = Path(__file__).resolve().parents[1]
BUILD = 'import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))'
#: What a user of the wheel does in a folder of its own, in one process: it shares the imports.
HABITS = '''
import json, sys
from pathlib import Path

import glipkit
from glipkit.cli.main import main
from glipkit.common.paths import config_root

package = Path(glipkit.__file__).parent
assert package.is_relative_to(sys.prefix), package
assert config_root() == package / 'configs'
assert (package / 'py.typed').is_file()


def run(line):
    code = main(line.split())
    assert code == 0, (line, code)


run('models')
run('world shapes --out world --train-det 6 --train-grd 2 --val 2 --workers 1')
images = 'world/images/train_det'
found = json.loads(Path('world/annotations/det_train.json').read_text())
shapes = sorted({one['name'].split()[-1] for one in found['categories']})
number = {one['id']: shapes.index(one['name'].split()[-1]) for one in found['categories']}
found['categories'] = [dict(id=i, name=name) for i, name in enumerate(shapes)]
for one in found['annotations']:
    one['category_id'] = number[one['category_id']]
Path('few.json').write_text(json.dumps(found))
run('prepare coco --train few.json --out prepared')
run(f'check-data few.json --images {images}')
run(f'tune few.json --images {images} --val few.json --val-images {images} --out tuned '
    '--set schedule.max_epochs=1')
run(f'predict {images} --task tuned/task.safetensors --json --out found')
run('export glip-mini --task tuned/task.safetensors --format words --out words.npz')
assert isinstance(json.loads(Path('found/predictions.json').read_text()), list)
for name in ('prepared', 'tuned/report.md', 'words.npz'):
    assert Path(name).exists(), name
'''


@pytest.fixture(scope='module')
def built(tmp_path_factory) -> Path:
    """A wheel built from a copy of this checkout."""
    pytest.importorskip('setuptools', minversion='77')
    source, out = tmp_path_factory.mktemp('source'), tmp_path_factory.mktemp('wheel')
    ignore = shutil.ignore_patterns('__pycache__', '.venv')
    for name in ('glipkit', 'configs', 'tests', 'tools'):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=ignore)
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, source)
    done = subprocess.run([sys.executable, '-c', BUILD, str(out)], cwd=source,
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    shutil.rmtree(source)
    return next(out.glob('*.whl'))


@pytest.fixture(scope='module')
def wheel(built) -> set[str]:
    """Names of the files in the wheel."""
    with zipfile.ZipFile(built) as archive:
        return set(archive.namelist())


@dataclass(frozen=True)
class Environment:
    """An environment and an empty folder to work in."""

    place: Path
    env: dict[str, str]

    def words(self, program: str, *words: str) -> dict:
        """Arguments of `subprocess` for a program of the environment."""
        return dict(args=[self.place / 'env' / 'bin' / program, *words], cwd=self.place / 'work',
                    env=self.env, text=True)

    def run(self, program: str, *words: str) -> subprocess.CompletedProcess:
        """Runs a program to its end."""
        return subprocess.run(**self.words(program, *words), capture_output=True, timeout=300)


@pytest.fixture(scope='module')
def installed(built, tmp_path_factory) -> Environment:
    """A fresh environment that has the wheel.

    Its dependencies are those of this environment, by their folders; the package itself is not
    found there, because what an editable installation does in a ``.pth`` file happens only in the
    environment that the file belongs to.
    """
    pytest.importorskip('pip')
    place = tmp_path_factory.mktemp('fresh')
    env = {name: value for name, value in os.environ.items()
           if not name.startswith(('PYTHON', 'PIP_', 'VIRTUAL_ENV'))}
    env['HOME'] = str(place)
    python = place / 'env' / 'bin' / 'python'
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', place / 'env'], check=True)
    subprocess.run([sys.executable, '-m', 'pip', '--python', python, 'install', '--quiet',
                    '--no-deps', '--no-index', '--no-compile', built], check=True, env=env,
                   timeout=120)
    own, = (place / 'env').glob('lib/python*/site-packages')
    folders = [folder for folder in site.getsitepackages() if Path(folder).is_dir()]
    (own / 'dependencies.pth').write_text(''.join(f'{folder}\n' for folder in folders))
    (place / 'work').mkdir()
    return Environment(place, env)


def files(folder):
    return {p.relative_to(ROOT).as_posix() for p in (ROOT / folder).rglob('*')
            if p.is_file() and '__pycache__' not in p.parts}


def test_everything_in_the_package_is_shipped(wheel):
    expected = files('glipkit')
    vocabularies = 'glipkit/text/tokenizers/vocabularies'
    assert {f'{vocabularies}/bert-base-uncased.txt',
            f'{vocabularies}/bpe_simple_vocab_16e6.txt.gz'} <= expected
    assert expected <= wheel


def test_configs_are_shipped_inside_the_package(wheel):
    expected = {f'glipkit/{name}' for name in files('configs')}
    assert any(name.startswith('glipkit/configs/glip/') for name in expected)
    assert expected <= wheel


def test_nothing_else_is_shipped(wheel):
    assert {name.split('/')[0] for name in wheel if '.dist-info/' not in name} == {'glipkit'}
    assert not [name for name in wheel if '__pycache__' in name]


def test_type_checkers_see_the_names_that_are_lazy():
    tree = ast.parse((ROOT / 'glipkit/__init__.py').read_text(encoding='utf-8'))
    seen = {alias.asname or alias.name for node in ast.walk(tree)
            if isinstance(node, ast.If) and ast.unparse(node.test) == 'TYPE_CHECKING'
            for one in node.body if isinstance(one, ast.ImportFrom) for alias in one.names}
    assert seen >= set(glipkit.__all__) - {'__version__'}


def in_a_fresh_environment(test):
    """Marks a test that runs what is installed."""
    test = pytest.mark.skipif(sys.platform == 'win32', reason='programs lie elsewhere there')(test)
    return pytest.mark.slow(test)


@pytest.fixture(scope='module')
def worked(installed) -> Environment:
    """The environment after a world, a preparation, a tuning and predictions in its folder."""
    done = installed.run('python', '-c', HABITS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert str(ROOT) not in done.stdout + done.stderr
    return installed


@in_a_fresh_environment
def test_the_wheel_works_from_another_folder(worked):
    done = worked.run('glipkit', 'predict', 'world/images/val', '--classes', 'red circle')
    assert (done.returncode, done.stderr) == (0, '')
    assert 'found in 2 images' in done.stdout


@in_a_fresh_environment
def test_the_wheel_serves(worked):
    pytest.importorskip('fastapi')
    image, = sorted((worked.place / 'work/world/images/val').iterdir())[:1]
    asked = ('--port', '0', '--no-page', '--task', 'shapes=tuned/task.safetensors')
    with subprocess.Popen(**worked.words('glipkit', 'serve', *asked), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT) as server:
        try:
            address = next(found[1] for line in server.stdout
                           if (found := re.search(r'(http://[\d.:]+)/docs', line)))
            with urllib.request.urlopen(f'{address}/health', timeout=60) as answer:
                assert answer.status == 200
            body = (b'--cut\r\nContent-Disposition: form-data; name="task"\r\n\r\nshapes\r\n'
                    b'--cut\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n'
                    b'\r\n' + image.read_bytes() + b'\r\n--cut--\r\n')
            question = urllib.request.Request(f'{address}/predict', body, {
                'Content-Type': 'multipart/form-data; boundary=cut'})
            with urllib.request.urlopen(question, timeout=60) as answer:
                assert isinstance(json.load(answer), dict)
        finally:
            server.send_signal(signal.SIGINT)
        assert server.wait(30) == 0
