"""``glipkit push``: publish a model or a task on the Hugging Face hub."""
from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from glipkit.cli._command import add_command
from glipkit.errors import UserError

DESCRIPTION = '''Publishes a model (weights as safetensors, config) or a task file, with a page that
says what it is: licence, base model, data sets, results, use. All in one commit, or nothing. The
token is that of the hub's own tools (hf auth login, or HF_TOKEN).'''

EXAMPLES = '''examples:
  glipkit push anna/fish --task work_dirs/fish/task.safetensors --license mit --dry-run --out page
  glipkit push anna/fish --task work_dirs/fish/task.safetensors --license mit --private
  glipkit push anna/shapes --model glip-mini --checkpoint mini.safetensors --license apache-2.0 \\
      --metrics results/metrics.json --dataset anna/shapes-world
  glipkit predict photo.jpg --task anna/fish                   # what was pushed is loaded by name
  glipkit predict photo.jpg --model glip-mini --checkpoint anna/shapes --classes "red circle"
'''


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = add_command(subparsers, 'push', EXAMPLES, DESCRIPTION)
    parser.add_argument('repository', metavar='REPO', help='owner/name on the hub')
    parser.add_argument('--model', help='model name or config')
    parser.add_argument('--checkpoint', help='its weights: a file in any layout, or '
                        'owner/repository:file; default those of its name')
    parser.add_argument('--task', type=Path, metavar='FILE', help='a task that glipkit tune has '
                        'learned, in place of a model')
    parser.add_argument('--license', metavar='NAME', help='what others may do with it: apache-2.0, '
                        'mit, cc-by-nc-4.0, ..., or other')
    parser.add_argument('--license-name', metavar='TEXT', help='its name, with --license other')
    parser.add_argument('--license-link', metavar='ADDRESS', help='its text, with --license other')
    parser.add_argument('--about', metavar='TEXT', help='one sentence for the page')
    parser.add_argument('--base-model', metavar='REPO', help='what it was made from, on the hub; '
                        "default the first source of the model's name")
    parser.add_argument('--dataset', action='append', default=[], metavar='NAME',
                        help='a data set on the hub that it was trained on; may be repeated')
    parser.add_argument('--metrics', type=Path, metavar='FILE', help='results for the page: '
                        'metrics.json of glipkit test, or seed_3/result.json of glipkit tune')
    parser.add_argument('--dtype', choices=['float32', 'float16', 'bfloat16'],
                        help='number format of the weights; default: as they are')
    parser.add_argument('--private', action='store_true',
                        help='make a new repository private')
    parser.add_argument('--dry-run', action='store_true',
                        help='write the files into --out instead, and ask nobody')
    parser.add_argument('--out', type=Path, metavar='DIR', help='a new folder, for --dry-run')
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    from glipkit.apis.model_card import Licence
    from glipkit.apis.push import Publication, push, write_publication
    if args.dry_run != (args.out is not None):
        raise UserError('--dry-run with --out DIR', 'one of them', 'pass both or none')
    metrics, protocol = _metrics(args.metrics)
    licence = None if args.license is None else Licence(
        args.license.lower(), args.license_name, args.license_link)
    publication = Publication(
        args.repository, args.model, args.checkpoint, args.task, licence, args.about,
        args.base_model, tuple(args.dataset), metrics, protocol, args.dtype)
    if args.dry_run:
        files = write_publication(publication, args.out)
        print(f'{args.out}: {", ".join(path.name for path in files)}')
    else:
        print(push(publication, args.private))
    return 0


def _metrics(path: Path | None) -> tuple[dict[str, float], str]:
    """Numbers of a result file and how they were computed."""
    import json
    if path is None:
        return {}, ''
    wanted = 'metrics.json of glipkit test, or result.json of glipkit tune'
    try:
        found: Any = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise UserError(wanted, f'{path} ({error})', 'check the path') from error
    if isinstance(found, dict) and isinstance(found.get('scores'), dict):
        found = {'metrics': {f'{name} {key}': value for name, scores in found['scores'].items()
                             if isinstance(scores, dict) for key, value in scores.items()}}
    numbers = found.get('metrics') if isinstance(found, dict) else None
    if not isinstance(numbers, dict) or not numbers or not all(
            isinstance(value, (int, float)) for value in numbers.values()):
        raise UserError(wanted, f'{path}, which is something else', 'pass one of these')
    return numbers, str(found.get('protocol', ''))
