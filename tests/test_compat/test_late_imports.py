"""Imports that wait: predictions without them, and everybody else as if nothing had waited."""
from __future__ import annotations

import ast
import importlib.util
import pickle
import subprocess
import sys
import textwrap
import types
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import glipkit  # noqa: F401
from glipkit.compat.deferred import Deferred
from glipkit.compat.late_imports import DECORATORS, LATE, LateImportFinder

pytestmark = pytest.mark.slow


def run(code, *args):
    """Run code in a fresh interpreter; its standard output."""
    process = subprocess.run([sys.executable, '-c', textwrap.dedent(code), *map(str, args)],
                             capture_output=True, text=True, timeout=120)
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_a_prediction_needs_none_of_them(tmp_path):
    """numba stops where it cannot write a cache; the others take a processor's time."""
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / 'a.png')
    assert run("""
        import sys
        from glipkit.cli.main import main
        code = main(['predict', sys.argv[1], '--classes', 'red circle'])
        heavy = {'imgaug', 'numba', 'imagecorruptions', 'scipy', 'transformers', 'matplotlib',
                 'sympy', 'torch._dynamo', 'torch.distributed.fsdp', 'wandb', 'mlflow',
                 'pandas', 'supervision'} & set(sys.modules)
        sys.exit(f'imported: {heavy}' if heavy else code)
    """, tmp_path / 'a.png') == '0 found in 1 image\n'


def test_late_names_are_in_the_registries():
    run("""
        import glipkit.models, sys, torch
        from glipkit.registry import MODEL_WRAPPERS, OPTIMIZERS
        from mmdet.registry import OPTIMIZERS as MMDET_OPTIMIZERS
        from mmengine.registry import STRATEGIES
        assert 'torch.distributed.fsdp' not in sys.modules
        zero = MMDET_OPTIMIZERS.get('ZeroRedundancyOptimizer')
        assert issubclass(zero, torch.distributed.optim.ZeroRedundancyOptimizer)
        assert 'Adafactor' in OPTIMIZERS and 'Adafactor' not in MODEL_WRAPPERS
        weight = torch.nn.Parameter(torch.ones(2))
        built = OPTIMIZERS.build(dict(type='Adafactor', params=[weight], lr=0.1,
                                      relative_step=False))
        from mmengine.optim.optimizer.builder import TRANSFORMERS_OPTIMIZERS
        from transformers import Adafactor
        assert type(built) is Adafactor and TRANSFORMERS_OPTIMIZERS == ['Adafactor']
        from torch.distributed.fsdp import FullyShardedDataParallel
        import mmengine.model, mmengine._strategy, mmengine.optim
        wrapper = MODEL_WRAPPERS.get('MMFullyShardedDataParallel')
        assert issubclass(wrapper, FullyShardedDataParallel)
        assert issubclass(wrapper, mmengine.model.MMFullyShardedDataParallel)
        assert STRATEGIES.get('FSDPStrategy').__name__ == 'FSDPStrategy'
        assert issubclass(zero, mmengine.optim.ZeroRedundancyOptimizer)
        assert OPTIMIZERS.get('no such') is None
    """)


def test_mmdet_uses_them_and_others_see_the_real_ones():
    run("""
        import glipkit.models, sys
        assert 'imgaug' not in sys.modules
        from mmdet.datasets.transforms import ImageAug
        size = dict(name='Resize', p=1, parameters=dict(size=dict(height=8, width=6)))
        augment = ImageAug([size])
        import imgaug, types
        import imgaug.augmenters as iaa
        from imgaug.augmentables.lines import LineString
        assert type(imgaug) is type(iaa) is types.ModuleType and isinstance(LineString, type)
        assert isinstance(augment.pipeline, iaa.Sequential)
        lines = augment.lane_to_linestrings([[(0, 0), (3, 4)]])
        assert type(lines[0]) is LineString and lines[0].length == 5
        from mmdet.datasets.transforms import generate_line
        assert generate_line.LineString is LineString
    """)


def test_operators_of_ours_compute_under_a_compiler_too():
    run("""
        import sys, torch, glipkit
        from glipkit.models.kernels.gathered_product import gathered_product
        inputs = (torch.rand(5, 3), torch.randint(5, (4, 8), dtype=torch.int32),
                  torch.rand(4, 8), torch.rand(6, 2), torch.rand(2))
        plain = gathered_product(*inputs)
        assert 'torch._dynamo' not in sys.modules
        compiled = torch.compile(gathered_product, backend='aot_eager', fullgraph=True)
        torch.testing.assert_close(compiled(*inputs), plain)
        torch.testing.assert_close(gathered_product(*inputs), plain)
    """)


@pytest.mark.parametrize('module', [name for name in LATE if LATE[name]])
def test_each_entry_of_the_table_is_needed(module):
    spec = importlib.util.find_spec(module)
    if spec is None:
        pytest.skip('not in this version')
    package = module if spec.submodule_search_locations is not None else module.rpartition('.')[0]
    imported = []
    for node in ast.walk(ast.parse(Path(spec.origin).read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            name = '.' * node.level + (node.module or '')
            imported.append(importlib.util.resolve_name(name, package) if node.level else name)
    for late in LATE[module]:
        assert any(f'{name}.'.startswith(f'{late}.') for name in imported), late


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Makes modules of text, with import statements that may wait; the modules by name."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(late, **modules):
        for name, text in modules.items():
            (tmp_path / f'{name}.py').write_text(textwrap.dedent(text))
            monkeypatch.delitem(sys.modules, name, raising=False)
        finder = LateImportFinder(late)
        monkeypatch.setattr(sys, 'meta_path', [finder, *sys.meta_path])
        importlib.invalidate_caches()
        return importlib.import_module('user')

    yield make
    for name in ('user', 'heavy'):
        sys.modules.pop(name, None)


def test_statements_wait_and_then_bring_the_real_thing(package):
    user = package({'user': ('heavy', )}, heavy='value = 3\ndef double(x): return 2 * x', user="""
        import heavy
        import heavy as alias
        from heavy import double, value as renamed
        def late(): return double(heavy.value)
        def inner():
            import heavy
            return heavy
        """)
    assert 'heavy' not in sys.modules and user.__loader__ is user.__spec__.loader
    assert user.late() == 6 and user.alias.value == 3
    real = sys.modules['heavy']
    assert user.double is real.double, 'put in its place on first use'
    assert type(real) is types.ModuleType and user.inner() is real


@pytest.mark.parametrize('statement', ['import no_such_library', 'import heavy.no_such',
                                       'from no_such_library import name'])
def test_what_is_not_installed_fails_at_its_statement(package, statement):
    user = package({'user': ('heavy', 'no_such_library')}, heavy='', user=f"""
        try:
            {statement}
        except ImportError:
            missing = True
        """)
    assert user.missing


def test_a_name_that_is_not_there_fails_when_it_is_used(package):
    user = package({'user': ('heavy', )}, heavy='', user='from heavy import nothing')
    with pytest.raises(ImportError, match="cannot import name 'nothing' from 'heavy'"):
        user.nothing()


def test_a_star_brings_everything_at_once(package):
    user = package({'user': ('heavy', )}, heavy='value = 3', user='from heavy import *')
    assert vars(user)['value'] == 3


def test_only_listed_statements_wait(package):
    user = package({'user': ('other', )}, heavy='value = 3', user='from heavy import value')
    assert user.value == 3


def test_a_decorator_waits_for_the_first_call(package, monkeypatch):
    monkeypatch.setitem(DECORATORS, 'user', ('heavy', 'shout'))
    user = package({'user': ()}, user="""
        from heavy import shout, calls
        @shout
        def name(x):
            'Doc.'
            return x
        """, heavy="""
        calls = []
        def shout(function):
            calls.append(function.__name__)
            return lambda *args: function(*args).upper()
        """)
    assert user.calls == [] and user.name.__doc__ == 'Doc.'
    assert user.name('a') == 'A' and user.name('b') == 'B' and user.calls == ['name']


def test_a_deferred_class_does_what_the_class_does():
    late = Deferred('collections', 'OrderedDict')
    assert type(late(a=1)) is OrderedDict
    assert isinstance(OrderedDict(), late) and not isinstance({}, late)
    assert issubclass(OrderedDict, late) and not issubclass(dict, late)

    class Mine(late):
        pass

    assert Mine.__mro__[1] is OrderedDict
    assert late | None == OrderedDict | None and None | late == None | OrderedDict  # noqa: E711
    assert Callable[[late], None] is not None
    assert late[str, int] == OrderedDict[str, int]
    assert late.fromkeys('a') == OrderedDict(a=None) and 'fromkeys' in dir(late)
    assert pickle.loads(pickle.dumps(late))(b=2) == OrderedDict(b=2)
    assert repr(late) == '<collections.OrderedDict, imported on first use>'


def test_a_deferred_module_is_written_to_and_has_submodules():
    late = Deferred('json')
    late.for_a_test = 1
    assert sys.modules['json'].for_a_test == 1
    del late.for_a_test
    assert not hasattr(sys.modules['json'], 'for_a_test')
    assert Deferred('xml', 'dom').__name__ == 'xml.dom'
