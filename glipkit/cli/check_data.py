"""``glipkit check-data``: what a model will read, and what is wrong with it."""
from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from glipkit.cli._command import add_command

if TYPE_CHECKING:
    from glipkit.data.checking import DataFile, Report

EXAMPLES = '''examples:
  glipkit check-data train.json --images photos/
  glipkit check-data fish/                 # YOLO, Pascal VOC, Roboflow, labelme, CSV, COCO
  glipkit check-data fish/data.yaml --fix fish.json
  glipkit check-data train.json --images photos/ --config glip-t-c --max-images 500
  glipkit check-data train.json --images photos/ --fix train_clean.json --json report.json
  glipkit check-data odvg.jsonl --images photos/ --label-map label_map.json
  glipkit check-data mixed.json --images data/ --source-prefix vg=gqa/images coco=coco/train2014
  glipkit check-data objects365_train_vgoiv6.cas2000.yaml
exit codes: 0 training may start, 1 it would be impossible, wrong or useless, 2 wrong usage
'''


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = add_command(subparsers, 'check-data', EXAMPLES)
    parser.add_argument('file', metavar='FILE',
                        help='COCO, LVIS, mixed grounding or Flickr30k json, ODVG jsonl, caption '
                             'shards (jsonl, tar, folder) or detection tsv (yaml, label table); '
                             'or a data set in the layout of YOLO, Pascal VOC, labelme, CSV, '
                             'Roboflow or Hugging Face datasets (its folder, yaml or csv, '
                             'hf:owner/name)')
    parser.add_argument('--images', metavar='DIR',
                        help='folder of the images; for a label table, the table of images')
    parser.add_argument('--config', metavar='NAME',
                        help="model whose token limits count (default: GLIP's 256)")
    parser.add_argument('--label-map', metavar='FILE',
                        help='label map of an ODVG file (default: the one beside it) or label '
                             'table')
    parser.add_argument('--sizes', metavar='FILE', help='table of sizes of a label table')
    parser.add_argument('--source-prefix', nargs='+', metavar='SOURCE=DIR',
                        help='folders inside --images by the data_source of mixed grounding')
    parser.add_argument('--score-thr', type=float, default=0.5,
                        help='score that boxes of caption shards must exceed '
                             '(default: %(default)s)')
    parser.add_argument('--box-format', choices=['xywh', 'xyxy', 'yolo'], default='xywh',
                        help='how boxes of a Hugging Face data set are written '
                             '(default: %(default)s)')
    parser.add_argument('--fix', metavar='OUT',
                        help='write a copy without what can be mended; of layouts of other '
                             'programs a COCO json, OUT_train.json for a part train beside others')
    parser.add_argument('--json', metavar='REPORT.json', help='write the report here as well')
    parser.add_argument('--max-images', type=int, metavar='N',
                        help='decode N images, evenly spread; 0 decodes none (default: all)')
    parser.add_argument('--workers', type=int, default=min(os.cpu_count() or 1, 8), metavar='N',
                        help='processes that decode (default: %(default)s)')
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    from glipkit.common.reporter import ConsoleReporter, reporting
    from glipkit.files import write_text
    with reporting(ConsoleReporter()):
        parts, about = _data_files(args)
        outs = {part: _out(args, data_file, part if len(parts) > 1 else '')
                for part, data_file in parts.items()}
        if about:
            print(about)
        contents, code = {}, 0
        for part, data_file in parts.items():
            contents[part], own = _check(args, data_file, outs[part])
            code = max(code, own)
    if args.json:
        content = {'exit_code': code, 'parts': contents} if len(parts) > 1 else \
            next(iter(contents.values()))
        write_text(args.json, json.dumps(content, indent=1) + '\n')
    return code


def _check(args: argparse.Namespace, data_file: DataFile, out: Path | None) -> tuple[dict, int]:
    """Checks one file, prints what was found, and writes the copy; the report and exit code."""
    from glipkit.apis.checking import write_clean
    from glipkit.data.checking import CheckSettings, check
    from glipkit.data.checking.text_report import report_lines
    settings = CheckSettings(args.max_images != 0, args.max_images, args.workers)
    report = check(data_file, settings)
    for line in report_lines(report, data_file.settings):
        print(line)
    content, code = report.as_dict(), report.exit_code
    if out is not None:
        changes, copy = write_clean(data_file, report, out, settings)
        _print_changes(str(out), changes, copy)
        if data_file.boxes is not None:
            print(f'its images: --images {data_file.images}')
        content['fixed'] = {'file': str(out), 'changes': changes, 'report': copy.as_dict()}
        code = copy.exit_code
    return content, code


def _out(args: argparse.Namespace, data_file: DataFile, part: str) -> Path | None:
    """The file of a cleaned copy, after a look whether it may be written."""
    from glipkit.apis.checking import check_out
    if not args.fix:
        return None
    out = Path(args.fix)
    if part:
        out = out.with_name(f'{out.stem}_{part}{out.suffix}')
    return check_out(data_file.path if data_file.boxes is None else Path('coco.json'), out)


def _data_files(args: argparse.Namespace) -> tuple[dict[str, DataFile], str]:
    """The parts of a data set and what it was recognised as, or the one file."""
    from glipkit.apis.checking import prompt_settings
    from glipkit.apis.data_sets import data_files
    from glipkit.data.checking import PromptSettings
    found = None
    if not args.images:
        settings = prompt_settings(args.config) if args.config else PromptSettings()
        found = data_files(Path(args.file), settings, args.box_format)
    return found or ({'file': _data_file(args)}, '')


def _data_file(args: argparse.Namespace) -> DataFile:
    """What the arguments name, once it is known to be there."""
    from glipkit.apis.checking import find_label_map, prompt_settings
    from glipkit.data.checking import DataFile, PromptSettings
    from glipkit.errors import UserError
    for name in ('max_images', 'workers'):
        value, least = getattr(args, name), int(name == 'workers')
        if value is not None and value < least:
            raise UserError(f'--{name.replace("_", "-")} of {least} or more', str(value),
                            'pass a larger number')
    path, images = Path(args.file), args.images and Path(args.images)
    if images and not images.exists():
        raise UserError('a folder of images', f'nothing at {images}', 'check --images')
    label_map = Path(args.label_map) if args.label_map else None
    if label_map is None and path.suffix == '.jsonl':
        label_map = find_label_map(path)
    return DataFile(
        path=path, images=images, label_map=label_map, sizes=args.sizes and Path(args.sizes),
        source_prefix=_prefixes(args.source_prefix), score_thr=args.score_thr,
        settings=prompt_settings(args.config) if args.config else PromptSettings())


def _prefixes(texts: list[str] | None) -> dict[str, str] | None:
    from glipkit.errors import UserError
    if texts is None:
        return None
    pairs = [text.partition('=') for text in texts]
    if not all(name and folder for name, _, folder in pairs):
        raise UserError('--source-prefix SOURCE=DIR ...', ' '.join(texts),
                        'write e.g. vg=gqa/images')
    return {name: folder for name, _, folder in pairs}


def _print_changes(out: str, changes: list[str], copy: Report) -> None:
    """Prints what a cleaned copy has changed, and what is left to a person."""
    print(f'wrote {out}')
    for change in changes or ['nothing changed']:
        print(f'  {change}')
    for finding in copy.findings.errors():
        print(f'left for you to mend: {finding.count} {finding.message} ({finding.examples[0]})')
    if not copy.exit_code:
        print('the copy may be trained on')
