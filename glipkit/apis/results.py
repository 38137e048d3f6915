"""Results of evaluations as files: JSON for programs, markdown for people."""
from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from glipkit.apis.environment import collect
from glipkit.common.markdown import markdown_table
from glipkit.errors import UserError
from glipkit.files import write_text

_VERSIONS = {'foundations': ('torch', 'torchvision', 'mmcv', 'mmengine', 'mmdet'),
             'libraries': ('numpy', 'pycocotools', 'faster-coco-eval', 'transformers')}


@dataclass(frozen=True)
class TestResult:
    """The result of a test, with everything that is needed to understand it.

    Args:
        metrics: Name -> value.
        protocol: Description of how each metric was computed.
        config: Name or path of the config.
        checkpoint: Path or hub name of the weights.
        dataset: Description of the test set: type, annotation file, number of images.
        versions: Program -> version.
    """
    __test__ = False  # not a test case for pytest

    metrics: Mapping[str, float]
    protocol: str
    config: str
    checkpoint: str
    dataset: Mapping[str, Any]
    versions: Mapping[str, str]


def installed() -> dict[str, str]:
    """Versions that a result depends on, without any path."""
    report = collect()
    found = {'glipkit': f"{report['glipkit']['version']}, {report['glipkit']['commit']}",
             'python': report['system']['python'].split()[0]}
    for section, names in _VERSIONS.items():
        found.update({name: report[section][name] for name in names if name in report[section]})
    return found


def result_files(out: str | Path) -> tuple[Path, Path]:
    """The paths of the JSON and the markdown file for ``out``; nothing is written.

    Args:
        out: A file name that ends in .json, with the markdown file beside it; or a folder, existing
            or not, which gets ``metrics.json`` and ``metrics.md``.

    Raises:
        UserError: A file with another ending.
    """
    out = Path(out)
    if out.suffix == '.json' and not out.is_dir():
        return out, out.with_suffix('.md')
    if out.is_file() or (out.suffix and not out.is_dir()):
        raise UserError('a folder or a file name that ends in .json', str(out),
                        'change the name after --out')
    return out / 'metrics.json', out / 'metrics.md'


def write_result(result: TestResult, out: str | Path) -> Path:
    """Writes a result as JSON and markdown, each complete or not at all; returns the JSON file.

    In the JSON, metrics stand under ``metrics`` and, as in files of earlier versions, under their
    own names, which all hold a '/'.

    Raises:
        UserError: Nothing can be written there, or an error of `result_files`.
    """
    json_file, markdown_file = result_files(out)
    content = {**result.metrics, **asdict(result)}
    write_text(markdown_file, result_markdown(result))
    write_text(json_file, json.dumps(content, indent=2) + '\n')
    return json_file


def result_markdown(result: TestResult) -> str:
    """A table of metrics, and what they mean."""
    lines = [f'# {Path(result.config).stem}', '', markdown_table(
        ('metric', 'value'),
        [(name, f'{value:.4f}') for name, value in result.metrics.items()], right=(1, ))]
    lines += ['', *(f'- protocol: {line}' for line in result.protocol.split('\n')),
              f'- checkpoint: {result.checkpoint}',
              '- data set: ' + ', '.join(f'{k} {v}' for k, v in result.dataset.items()),
              '- versions: ' + ', '.join(f'{k} {v}' for k, v in result.versions.items())]
    return '\n'.join(lines) + '\n'
