"""``glipkit tune``: from a COCO json to a tuned detector."""
from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from glipkit.cli._command import add_command
from glipkit.errors import UserError

if TYPE_CHECKING:
    from glipkit.apis.data_sets import AnnotatedImages

EXAMPLES = '''examples:
  glipkit tune fish.json --images photos/ --out work_dirs/fish
  glipkit tune fish/ --out work_dirs/fish      # YOLO, Pascal VOC, Roboflow, labelme, CSV, COCO
  glipkit tune fish.json --images photos/ --strategy lora --shots 5 --seeds 3,30,300 --out fish5
  glipkit tune train.json --images train/ --val val.json --val-images val/ --test test.json \\
      --test-images test/ --held-out coco.json --held-out-images val2017/ --out work_dirs/fish
  glipkit tune fish.json --images photos/ --strategy manual --prompts words.yaml --out words
  glipkit tune fish.json --images photos/ --query query.yaml --out fish      # other names
  glipkit tune fish.json --images photos/ --strategy full --interpolate 0.5 --out work_dirs/both
  torchrun --nproc_per_node=2 -m glipkit.cli.main tune fish.json --images photos/ --out fish
  glipkit predict photo.jpg --task work_dirs/fish/task.safetensors

The same command again resumes.
'''


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    from glipkit.cli._run_arguments import add_track_argument
    parser = add_command(subparsers, 'tune', EXAMPLES)
    parser.add_argument('data', type=Path, metavar='DATA',
                        help='COCO json to learn from; or a folder in the layout of COCO, YOLO, '
                             'Pascal VOC, labelme, CSV or Hugging Face datasets, whose parts for '
                             'validation and test are used too; or hf:owner/name')
    parser.add_argument('--images', type=Path, metavar='DIR',
                        help='images of a COCO json (default: where they usually are)')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help='a new folder')
    parser.add_argument('--strategy', default='prompt',
                        help='prompt, lora, head, text, full, manual, or a config like those in '
                             'configs/transfer (default: %(default)s)')
    add_recipe_arguments(parser)
    for name, text in (
            ('val', 'images to choose the best weights on; default a fifth of the data'),
            ('test', 'images to score the result on; default the validation set'),
            ('held-out', 'another task, to measure what is forgotten'),
            ('replay', 'other data to mix in; a COCO json or a grounding jsonl')):
        parser.add_argument(f'--{name}', type=Path, metavar='FILE|DIR', help=text)
        parser.add_argument(f'--{name}-images', type=Path, metavar='DIR', help='its images')
    parser.add_argument('--box-format', choices=['xywh', 'xyxy', 'yolo'], default='xywh',
                        help='how boxes of a Hugging Face data set are written '
                             '(default: %(default)s)')
    parser.add_argument('--replay-share', type=float, default=0.5,
                        help='share of --replay in the training images (default: %(default)s)')
    parser.add_argument('--prompts', type=Path, metavar='YAML', help='hand-written prompts')
    parser.add_argument('--query', type=Path, metavar='FILE',
                        help='query file (YAML or JSON): other names of classes, negatives, '
                             'exclusive groups; they go into the task file')
    parser.add_argument('--interpolate', type=float, default=1., metavar='ALPHA',
                        help='keep weights between the base model (0) and the tuned one (1)')
    parser.add_argument('--sample-classes', action='store_true',
                        help='train with random selections of the class list, in random order')
    add_track_argument(parser)
    parser.set_defaults(run=run)


def add_recipe_arguments(parser: argparse.ArgumentParser) -> None:
    """What every command that tunes takes: base model, examples, recipe, machine."""
    from glipkit.apis.index import default_model
    from glipkit.cli._run_arguments import KeyValues
    parser.add_argument('--model', default=default_model(),
                        help='model name or config (default: %(default)s)')
    parser.add_argument('--checkpoint', help='its weights: a file, owner/repository:file, or '
                        'random; default those of its name, fetched on first use')
    parser.add_argument('--shots', type=int, help='examples per class; default all images')
    parser.add_argument('--seeds', metavar='A,B,C',
                        help='one result each; default 3,30,300 with --shots, else 3')
    parser.add_argument('--set', nargs='+', action=KeyValues, default={}, dest='options',
                        metavar='KEY=VALUE',
                        help='change the recipe, e.g. strategy.lr=0.01 schedule.max_epochs=50')
    parser.add_argument('--device', default='cpu', help='cpu, cuda, cuda:1 (default: %(default)s)')
    parser.add_argument('--workers', type=int, default=0,
                        help='processes that read images (default: %(default)s)')


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    from mmengine.dist import is_main_process

    from glipkit.data.formats.read_once import files_read_once
    from glipkit.tuning.report import score_lines, write_report
    from glipkit.tuning.run import tune
    from glipkit.tuning.settings import TuneSettings
    sets = _sets(args)
    settings = TuneSettings(
        **sets, out=args.out, strategy=args.strategy, model=args.model,
        checkpoint=args.checkpoint, replay_share=args.replay_share, shots=args.shots,
        seeds=read_seeds(args), prompts=args.prompts, query=args.query,
        interpolate=args.interpolate, sample_classes=args.sample_classes,
        options=args.options, device=args.device, workers=args.workers,
        track=tuple(args.track))
    with files_read_once():
        result = tune(settings)
        if is_main_process():
            report = write_report(result)
            print('\n'.join(score_lines(result)))
            print(f'task: {result.task}\nreport: {report}')
    return 0


def _sets(args: argparse.Namespace) -> dict[str, AnnotatedImages | None]:
    """All sets of images of the command line, as COCO files."""
    from glipkit.apis.data_sets import AnnotatedImages, has_boxes, open_data
    from glipkit.common.reporter import note
    sets = {name: _images(args, name) for name in ('val', 'test', 'held_out', 'replay')}
    if args.images is not None:
        return {'data': AnnotatedImages(args.data, args.images), **sets}
    opened = open_data(args.data, args.box_format)
    for text in opened.notes:
        note(text)
    if 'train' not in opened.parts:
        raise UserError('a data set with a part to learn from',
                        f'{args.data} with {", ".join(opened.parts)}', 'name a folder train')
    for name in ('val', 'test'):
        own = opened.parts.get(name)
        if sets[name] is None and own is not None:
            if has_boxes(own):
                sets[name] = own
            else:
                note(f'the part {name} of {args.data} has no boxes and is left out')
    return {'data': opened.parts['train'], **sets}


def _images(args: argparse.Namespace, name: str) -> AnnotatedImages | None:
    """A COCO file and its images, or a data set in another layout."""
    from glipkit.apis.data_sets import AnnotatedImages, one_part
    file, images = getattr(args, name), getattr(args, f'{name}_images')
    flag = name.replace('_', '-')
    # A grounding jsonl to replay has images of no usual place.
    alone = name == 'replay' and file is not None and images is None and not file.is_dir()
    if alone or file is None and images is not None:
        raise UserError(f'--{flag} and --{flag}-images together', 'one of them', 'pass both')
    if file is None:
        return None
    if images is not None:
        return AnnotatedImages(file, images)
    wanted = {'replay': ('train', ), 'test': ('test', 'val')}.get(name, ('val', 'test'))
    return one_part(file, wanted, args.box_format)


def read_seeds(args: argparse.Namespace) -> tuple[int, ...]:
    """The seeds of ``--seeds``; without it three where a few shots are drawn, as in the paper."""
    text = args.seeds
    if text is None:
        text = '3,30,300' if args.shots else '3'
    try:
        return tuple(int(part) for part in text.split(','))
    except ValueError as error:
        raise UserError('seeds as 3,30,300', repr(text), 'pass whole numbers') from error
