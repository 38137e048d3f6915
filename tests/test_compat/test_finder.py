"""Which ``mmcv._ext`` is loaded: each case in a process of its own, with a stand-in on disk."""
import subprocess
import sys
import textwrap

import pytest

# Puts a folder into mmcv's search path, where a compiled `_ext` would lie.
PUT = "import sys, mmcv; mmcv.__path__.insert(0, sys.argv[1])\n"


def run(code, *args):
    """Run code in a fresh interpreter; standard output and error as text."""
    process = subprocess.run([sys.executable, '-W', 'always::RuntimeWarning', '-c',
                              textwrap.dedent(code), *map(str, args)],
                             capture_output=True, text=True, timeout=120)
    assert process.returncode == 0, process.stderr
    return process.stdout, process.stderr


def test_import_prints_nothing_and_stays_light():
    out, err = run("""
        import sys, time
        start = time.perf_counter()
        import glipkit
        assert time.perf_counter() - start < 8
        heavy = {'transformers', 'spacy', 'timm', 'supervision', 'matplotlib', 'mmdet',
                 'torchvision', 'cv2'} & set(sys.modules)
        assert not heavy, heavy
        assert glipkit.__version__ and {'load', 'Predictor'} <= set(dir(glipkit))
    """)
    assert out == '' and err == ''


@pytest.mark.slow
def test_import_opens_no_connection():
    run("""
        import socket
        def refuse(*args, **kwargs):
            raise AssertionError('a connection was opened')
        socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
        import glipkit
        import mmcv.ops
    """)


def test_unknown_public_name():
    import glipkit
    with pytest.raises(AttributeError, match='nonsense'):
        glipkit.nonsense  # noqa: B018


@pytest.mark.slow
def test_a_module_is_served_where_there_is_none(tmp_path):
    out, err = run("""
        import glipkit, importlib.util
        from mmengine.utils.dl_utils.misc import mmcv_full_available
        spec = importlib.util.find_spec('mmcv._ext')
        assert mmcv_full_available() and spec.name == 'mmcv._ext'
        import mmcv._ext, mmcv.ops
        assert mmcv._ext.__spec__.loader is not None
        assert importlib.util.find_spec('mmcv._ext') is mmcv._ext.__spec__
        assert mmcv.ops.nms is not None
        from glipkit.compat import operator_source
        print(operator_source())
    """)
    if out.startswith('compiled'):
        pytest.skip('this mmcv has its own compiled operators')
    assert out == 'served by glipkit.compat\n' and 'RuntimeWarning' not in err


@pytest.mark.slow
def test_a_compiled_module_takes_precedence(tmp_path):
    (tmp_path / '_ext.py').write_text('def nms(*args, **kwargs):\n    return "compiled"\n')
    out, err = run(PUT + textwrap.dedent("""
        import glipkit, importlib.util
        from glipkit.compat import operator_source
        assert importlib.util.find_spec('mmcv._ext').origin.startswith(sys.argv[1])
        import mmcv._ext
        assert mmcv._ext.nms() == 'compiled' and not hasattr(mmcv._ext, 'softnms')
        assert mmcv._ext.__file__.startswith(sys.argv[1])
        assert 'glipkit' not in type(mmcv._ext.__spec__.loader).__module__
        assert 'glipkit' not in type(mmcv._ext.__loader__).__module__
        print(operator_source())
    """), tmp_path)
    assert out == f'compiled ({tmp_path}/_ext.py)\n' and 'RuntimeWarning' not in err


@pytest.mark.slow
def test_a_compiled_module_of_another_finder_takes_precedence():
    run("""
        import sys
        from importlib.abc import Loader, MetaPathFinder
        from importlib.machinery import ModuleSpec

        class StandIn(MetaPathFinder, Loader):
            def find_spec(self, fullname, path=None, target=None):
                if fullname == 'mmcv._ext':
                    return ModuleSpec(fullname, self, origin='stand-in')
            def exec_module(self, module):
                module.nms = 'compiled'

        import glipkit
        sys.meta_path.append(StandIn())  # behind ours, as Python's own finders are
        import mmcv._ext
        assert mmcv._ext.nms == 'compiled'
    """)


@pytest.mark.slow
def test_a_module_loaded_before_is_left_alone(tmp_path):
    (tmp_path / '_ext.py').write_text('nms = "compiled"\n')
    run(PUT + textwrap.dedent("""
        import mmcv._ext
        before = mmcv._ext
        import glipkit
        import mmcv._ext
        assert mmcv._ext is before and mmcv._ext.nms == 'compiled'
    """), tmp_path)


BROKEN = {
    # A file that is no library at all: the error comes from the dynamic linker.
    'library': ('_ext.abi3.so', 'not a library', 'ImportError'),
    # A library that starts and then misses a symbol of another torch.
    'symbol': ('_ext.py', 'nms = 1\nraise ImportError("undefined symbol: _ZN3c10")\n',
               'undefined symbol: _ZN3c10'),
    'crash': ('_ext.py', 'raise RuntimeError("built for torch 1.0")\n', 'built for torch 1.0'),
}


@pytest.mark.slow
@pytest.mark.parametrize('case', BROKEN)
def test_a_broken_compiled_module_is_replaced_with_one_warning(case, tmp_path):
    name, content, cause = BROKEN[case]
    (tmp_path / name).write_text(content)
    out, err = run(PUT + textwrap.dedent("""
        import glipkit
        import mmcv._ext, torch
        from glipkit.compat import operator_source
        assert mmcv._ext is sys.modules['mmcv._ext']
        kept = mmcv._ext.nms(torch.tensor([[0., 0, 4, 4], [0, 0, 4, 4]]), torch.ones(2), 0.5)
        assert len(kept) == 1
        print(operator_source())
    """), tmp_path)
    assert out == 'served by glipkit.compat\n'
    assert err.count('RuntimeWarning') == 1 and cause in err and 'cannot be loaded' in err


def test_serving_twice_changes_nothing():
    from glipkit.compat import serve_operators
    before = list(sys.meta_path)
    serve_operators()
    assert sys.meta_path == before
