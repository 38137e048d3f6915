"""``glipkit bench``: time glipkit against its peers."""
from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from types import ModuleType

from glipkit.cli._command import add_command
from glipkit.common.reporter import ConsoleReporter, note, reporting

# Values of a parsed command line that are no options, or say where something is kept.
OWN_VALUES = {'command', 'benchmark', 'run', 'parser', 'out', 'peer_env',
              'stamps', 'data'}

# Name on the command line -> module of glipkit and what it does, so that
# `glipkit bench --help` need not import any of them.
BENCHMARKS = {
    'predict': ('benchmarks.predict', 'time detection against another implementation'),
    'train-step': ('benchmarks.train_step', 'time a training step against another implementation'),
    'regions': ('benchmarks.regions',
                'time the scores of given boxes against the same modules run the plain way'),
    'distil-step': ('benchmarks.distil_step',
                    'time a step of distillation from crops against the same towers run the plain '
                    'way'),
    'launches': ('benchmarks.gpu_launches',
                 'count what a prediction starts on a GPU, on any machine'),
    'evaluation': ('benchmarks.evaluation',
                   'time LVIS AP, and what memory it takes, against mmdet'),
    'export': ('benchmarks.export', 'time exported models against the detector in PyTorch'),
    'student': ('benchmarks.student',
                'time a distilled student against a detector of any words'),
    'names': ('benchmarks.names',
              'whether names are right while more and more names are asked for'),
    'tiles': ('benchmarks.tiles',
              'what tiles bring for small things in large pictures'),
    'video': ('benchmarks.video', 'whether tracks are right, and memory over a long video'),
    'loader': ('benchmarks.loader', 'time the training loader against mmdet'),
    'beside': ('benchmarks.beside', 'time a step alone and beside another busy process'),
    'cold-start': ('benchmarks.cold_start',
                   'time whole processes: help, import, first prediction'),
    'growth': ('benchmarks.growth',
               'how time and memory grow with images, class names, batch and training set'),
    'serve': ('benchmarks.serve',
              'glipkit serve under load: right answers, latency, memory'),
    'labelling': ('benchmarks.labelling',
                  'time the labelling of image-caption pairs against single predictions'),
    'pseudo-labels': ('claims.pseudo_labels',
                      'precision of pseudo-labels where the truth is known'),
    'transfer': ('claims.transfer', 'what tuning brings: seven comparisons of the paper, in hours'),
    'self-training': ('claims.self_training',
                      'what captions without boxes teach: teacher, student, and gold alone, in '
                      'hours'),
    'distillation': ('claims.distillation',
                     'how good and how fast a small detector is that learnt from labels of a '
                     'teacher, on photographs'),
    'region-clip': ('claims.region_clip',
                    'what region pre-training and transfer bring, on drawn things and photographs'),
    'clipself': ('claims.clipself',
                 'what distillation from crops brings, on drawn things and photographs'),
    'exemplars': ('claims.exemplars',
                  'what examples, negatives, calibration and exclusive groups bring, in hours'),
}

# What `glipkit bench all` runs: name of the result -> command line.
SUITE = {
    'predict-glip-t-c-coco80-mmdet':
        'predict --config glip-t-c --peer mmdet --prompt coco80 --rounds 3 --warmup 0',
    'predict-glip-t-c-three-mmdet':
        'predict --config glip-t-c --peer mmdet --prompt three --rounds 3 --warmup 0',
    'predict-glip-t-c-coco80-bf16-mmdet':
        'predict --config glip-t-c --peer mmdet --prompt coco80 --rounds 3 --warmup 0 '
        '--dtype bf16 --peer-dtype float32',
    'predict-glip-t-a-coco80-mmdet':
        'predict --config glip-t-a --peer mmdet --prompt coco80 --rounds 3 --warmup 0',
    'predict-glip-t-c-coco80-hf':
        'predict --config glip-t-c --peer hf-mm-grounding-dino --prompt coco80',
    'predict-glip-t-c-lvis1203-mmdet':
        'predict --config glip-t-c --peer mmdet --prompt lvis1203 --rounds 1 --warmup 0 '
        '--no-count',
    'train-step-glip-t-c-mmdet': 'train-step --config glip-t-c --peer mmdet --rounds 3 --warmup 0',
    'train-step-glip-t-c-hf':
        'train-step --config glip-t-c --peer hf-mm-grounding-dino --rounds 3',
    'regions-regionclip-rn50-lvis1203': 'regions --rounds 3',
    'distil-step-clipself-b16-bf16': 'distil-step',
    'export-glip-mini': 'export --config glip-mini',
    'export-glip-t-c': 'export --config glip-t-c --image 800x1344 --rounds 3',
    'launches-glip-t-c': 'launches',
    'evaluation-lvis': 'evaluation --images 1000 --limit 120',
    'loader': 'loader',
    'labelling-glip-mini': 'labelling',
    'labelling-glip-t-c':
        'labelling --config glip-t-c --checkpoint random --pairs 6 --rounds 3',
    'pseudo-labels': 'pseudo-labels',
    'cold-start': 'cold-start',
    'beside-train-step': 'beside --task train-step',
    'beside-predict': 'beside --task predict',
    'growth-image': 'growth --over image',
    'growth-classes': 'growth --over classes',
    'growth-batch': 'growth --over batch',
    'growth-set': 'growth --over set',
}

DESCRIPTION = '''Times glipkit against named peers in one run: candidates take turns, each in a
process of its own. Prints a table of medians and spreads, peak memory, counted operations and how
near they come to the limit of this machine, which is measured in the same run.'''

EXAMPLES = '''examples:
  glipkit bench predict --config glip-t-c --peer mmdet --rounds 3
  glipkit bench train-step --peer hf-mm-grounding-dino --out bench
  glipkit bench all --out docs/benchmarks --page docs/benchmarks.md
  glipkit bench page --out docs/benchmarks --page docs/benchmarks.md
  glipkit bench BENCHMARK --help
'''

ALL_EXAMPLES = '''examples:
  glipkit bench all --out docs/benchmarks --page docs/benchmarks.md
  glipkit bench all --out bench --only predict-glip-t-c-coco80-mmdet
  glipkit bench all --out bench --resume
'''

CLAIM_EXAMPLES = '''examples:
  glipkit bench claims region-clip --out bench
  glipkit bench claims clipself --out bench
  glipkit bench claims exemplars --out bench
  glipkit bench claims transfer --max-passes 10 --out bench
'''

PAGE_EXAMPLES = '''examples:
  glipkit bench page --out docs/benchmarks --page docs/benchmarks.md
'''


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = add_command(subparsers, 'bench', EXAMPLES, DESCRIPTION)
    kinds = parser.add_subparsers(dest='benchmark', metavar='BENCHMARK', required=True)
    _add_benchmarks(kinds, BENCHMARKS)
    claims = _add(kinds, 'claims', 'what the papers say, in miniature: the same as bench NAME',
                  CLAIM_EXAMPLES)
    # What a claim is called is kept as the name of the benchmark that runs.
    _add_benchmarks(claims.add_subparsers(dest='benchmark', metavar='NAME', required=True),
                    [name for name, (module, _) in BENCHMARKS.items()
                     if module.startswith('claims.')])
    everything = _add(kinds, 'all', 'run all of them and keep the results', ALL_EXAMPLES)
    everything.add_argument('--out', type=Path, required=True, metavar='DIR',
                            help='folder of the results')
    everything.add_argument('--page', type=Path, metavar='FILE',
                            help='page whose results are rewritten')
    everything.add_argument('--only', nargs='+', choices=list(SUITE), metavar='NAME',
                            help=f'of {", ".join(SUITE)}')
    everything.add_argument('--resume', action='store_true', help='skip what DIR has already')
    everything.set_defaults(run=run_all)
    page = _add(kinds, 'page', 'rewrite the results of a page', PAGE_EXAMPLES)
    page.add_argument('--out', type=Path, required=True, metavar='DIR',
                      help='folder of the results')
    page.add_argument('--page', type=Path, required=True, metavar='FILE', help='markdown file')
    page.set_defaults(run=run_page)


def _add_benchmarks(kinds: argparse._SubParsersAction, names: Iterable[str]) -> None:
    for name in names:
        kinds.add_parser(name, help=BENCHMARKS[name][1], complete=partial(_add_arguments, name),
                         formatter_class=argparse.RawDescriptionHelpFormatter)


def _add(kinds: argparse._SubParsersAction, name: str, summary: str,
         examples: str) -> argparse.ArgumentParser:
    return kinds.add_parser(name, help=summary, epilog=examples,
                            formatter_class=argparse.RawDescriptionHelpFormatter)


def _add_arguments(name: str, parser: argparse.ArgumentParser) -> None:
    """The options of one benchmark, once it is chosen."""
    module = load_benchmark(name)
    parser.epilog = module.EXAMPLES
    module.add_arguments(parser)
    parser.add_argument('--out', type=Path, metavar='DIR',
                        help=f'write {name}.json and {name}.md there')
    parser.set_defaults(run=run, parser=parser)


def load_benchmark(name: str) -> ModuleType:
    """The module of a benchmark."""
    return importlib.import_module(f'glipkit.{BENCHMARKS[name][0]}')


def run(args: argparse.Namespace) -> int:
    """Run one benchmark; returns the exit code."""
    from glipkit.benchmarks.results import to_markdown
    check_out(args.out)
    content = measure(args)
    if args.out is not None:
        keep(content, args.out, args.benchmark)
    print(to_markdown(content), end='')
    return 0


def run_all(args: argparse.Namespace) -> int:
    """Run the suite and keep each result as soon as it is there; returns the exit code."""
    from glipkit.benchmarks.results import check_page
    from glipkit.cli.main import build_parser
    check_out(args.out)
    if args.page is not None:
        check_page(args.page)
    with reporting(ConsoleReporter(notes=sys.stderr)):
        _run_suite(args, build_parser('bench'))
    return 0


def _run_suite(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    from glipkit.benchmarks.results import table, write_page
    for name in args.only or SUITE:
        if args.resume and (args.out / f'{name}.json').is_file():
            note(f'{name}: there already')
            continue
        note(f'{name}: glipkit bench {SUITE[name]}')
        content = measure(parser.parse_args(['bench', *SUITE[name].split()]))
        keep(content, args.out, name)
        print(f"{name}\n{table(content['rows'])}\n", flush=True)
        if args.page is not None:
            write_page(args.page, args.out)


def keep(content: dict, folder: Path, name: str) -> None:
    """Writes a result to a folder, with its picture where the benchmark draws one."""
    from glipkit.benchmarks.results import save
    draw = getattr(load_benchmark(content['benchmark']), 'draw', None)
    if draw is not None:
        draw(content, folder, name)
    save(content, folder, name)  # last: a result that is there is complete


def run_page(args: argparse.Namespace) -> int:
    """Rewrite the results of a page; returns the exit code."""
    from glipkit.benchmarks.results import write_page
    write_page(args.page, args.out)
    return 0


def check_out(folder: Path | None) -> None:
    """Refuses a folder that the results cannot be written to, before anything is measured."""
    from glipkit.errors import UserError
    from glipkit.files import check_folder
    if folder is not None and folder.exists() and not folder.is_dir():
        raise UserError('a folder for --out', f'the file {folder}', 'pass another name')
    if folder is not None:
        check_folder(folder)


def measure(args: argparse.Namespace) -> dict:
    """Run one benchmark; returns its result with what it takes to repeat it."""
    from glipkit.benchmarks.results import document
    with reporting(ConsoleReporter(notes=sys.stderr)):  # standard output is for the table
        content = load_benchmark(args.benchmark).run(args)
    return document(args.benchmark, given(args), content)


def given(args: argparse.Namespace) -> list[str]:
    """The options of a parsed command line that are not at their defaults.

    Without those that say where something is kept: they change no result, and name places on
    somebody's machine.
    """
    options: list[str] = []
    for name, value in vars(args).items():
        if name in OWN_VALUES or value == args.parser.get_default(name):
            continue
        options.append(f"--{'no-' if value is False else ''}{name.replace('_', '-')}")
        if not isinstance(value, bool):
            options += [str(item) for item in (value if isinstance(value, list) else [value])]
    return options
