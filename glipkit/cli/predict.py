"""``glipkit predict``: find things in images by their names."""
from __future__ import annotations

import argparse
import csv
import io
import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from glipkit.cli._command import add_command
from glipkit.common.collector import collector_paused

if TYPE_CHECKING:
    from glipkit.apis.detections import Detections

EXAMPLES = '''examples:
  glipkit predict photo.jpg --classes "person, traffic light"
  glipkit predict photos/ --classes "red circle, blue star" --out found --save-images --csv
  glipkit predict photo.jpg --classes 'dog, "salt, pepper and oil"'
  glipkit predict photo.jpg --caption "a man walks two dogs" --phrases "0-5,12-20"
  glipkit predict photo.jpg --caption "a man walks two dogs" --threshold 0.5
  glipkit predict photo.jpg --task work_dirs/fish/task.safetensors
  glipkit predict photo.jpg --config glip-t-c --checkpoint glip-t-c.safetensors --classes dog
'''


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = add_command(subparsers, 'predict', EXAMPLES)
    parser.add_argument('images', nargs='+', metavar='IMAGES', help='image files and folders')
    query = parser.add_mutually_exclusive_group(required=True)
    query.add_argument('--classes', metavar='"A, B"',
                       help='class names, separated by commas; one that holds a comma goes in '
                            'double quotes')
    query.add_argument('--caption', metavar='TEXT', help='a sentence that names what to find')
    query.add_argument('--task', metavar='FILE',
                       help='a task that glipkit tune has learned: finds its classes')
    parser.add_argument('--phrases', metavar='"0-5,9-20"',
                        help="characters of the caption, end exclusive, or 'auto' (the default): "
                             'its noun phrases')
    parser.add_argument('--config', default='glip-mini',
                        help='model name or config (default: %(default)s)')
    parser.add_argument('--checkpoint',
                        help='weights: a file or owner/repository:file; default: those that come '
                             'with glipkit')
    parser.add_argument('--device', default='cpu', help='cpu, cuda, cuda:1 (default: %(default)s)')
    parser.add_argument('--batch-size', type=int, default=1, help='(default: %(default)s)')
    parser.add_argument('--threshold', type=float, default=0.3,
                        help='leave out scores below (default: %(default)s)')
    parser.add_argument('--out', metavar='DIR',
                        help='folder for what is saved (default: predictions); alone, it means '
                             '--json')
    parser.add_argument('--save-images', action='store_true', help='save pictures with the boxes')
    parser.add_argument('--csv', action='store_true', help='save predictions.csv')
    parser.add_argument('--json', action='store_true', help='save predictions.json')
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    with collector_paused():
        from glipkit.apis.images import list_images
        from glipkit.apis.predictor import Predictor, check_query, make_query

    # Whatever is wrong with names and paths ends the command before the model is built.
    classes, phrases = _classes(args.classes), _phrases(args.phrases)
    if args.task is None:
        check_query(make_query(classes, args.caption, phrases))
    paths = [source.path for source in list_images(args.images)]
    out = _check_out(args)
    checkpoint = _weights(args.config, args.checkpoint)
    predictor = Predictor(args.config, checkpoint, args.device, args.batch_size, args.threshold,
                          args.task)
    found = predictor(paths, classes, args.caption, phrases)
    if out is not None:
        _save(found, out, args)
    _summarise(found, out)
    return 0


def _classes(text: str | None) -> list[str] | None:
    """Names between commas; one that is quoted as a whole may hold commas."""
    if text is None:
        return None
    names = re.findall(r'\s*("(?:[^"]|"")*"(?=\s*(?:,|$))|[^,]*)\s*(?:,|$)', text)
    names = [name.strip() for name in names]
    while names and not names[-1]:  # after a comma at the end
        names.pop()
    return [name[1:-1].replace('""', '"') if re.fullmatch(r'"(?:[^"]|"")*"', name) else name
            for name in names]


def _phrases(text: str | None) -> str | list[tuple[int, int]] | None:
    """'0-5,9-20' to spans; 'auto' and None stay."""
    from glipkit.errors import UserError
    if text is None or text == 'auto':
        return text
    try:
        pairs = [part.split('-') for part in text.split(',')]
        return [(int(start), int(end)) for start, end in pairs]
    except ValueError as error:
        raise UserError("phrases as '0-5,9-20' or 'auto'", repr(text),
                        'count characters from 0; end is the first one after the phrase') \
            from error


def _weights(config: str, checkpoint: str | None) -> str | Path:
    """The checkpoint to use: random weights find nothing, and nobody asks for that by hand."""
    from glipkit.apis.build import find_config, shipped_weights
    from glipkit.checkpoints.hub import resolve
    from glipkit.errors import UserError
    path = find_config(config)
    found = resolve(checkpoint) if checkpoint else shipped_weights(path)
    if found is None:
        raise UserError(f'weights for {config}', 'none: glipkit comes without them',
                        'pass --checkpoint FILE')
    return found


def _check_out(args: argparse.Namespace) -> Path | None:
    """The folder to save to, if anything is to be saved."""
    from glipkit.errors import UserError
    if args.out and not (args.save_images or args.csv):
        args.json = True
    if not (args.save_images or args.csv or args.json):
        return None
    out = Path(args.out or 'predictions')
    if out.exists() and not out.is_dir():
        raise UserError('a folder for --out', f'the file {out}', 'pass another name')
    # Known before the work is done; what the system allows in the end is another matter.
    above = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    if above.is_dir() and not os.access(above, os.W_OK | os.X_OK):
        raise UserError('a folder for --out that can be written to', str(above),
                        'pass another place')
    return out


def _save(found: list[Detections], out: Path, args: argparse.Namespace) -> None:
    from glipkit.apis.detections import ROW_KEYS
    from glipkit.files import atomic, make_folder, write_text
    make_folder(out)
    if args.json:
        content = json.dumps([_as_json(one) for one in found], indent=1, ensure_ascii=False)
        write_text(out / 'predictions.json', content + '\n')
    if args.csv:
        text = io.StringIO()
        writer = csv.DictWriter(text, ROW_KEYS, lineterminator='\n')
        writer.writeheader()
        writer.writerows(row for one in found for row in one.to_rows())
        write_text(out / 'predictions.csv', text.getvalue())
    if args.save_images:
        used: set[str] = set()
        for one in found:
            with atomic(out / _free_name(one.path, used)) as path:
                one.plot().save(path, format='JPEG', quality=92)


def _as_json(one: Detections) -> dict:
    height, width = one.size
    return {'image': str(one.path), 'width_px': width, 'height_px': height,
            'detections': [{'box_xyxy_px': [round(float(v), 2) for v in box],
                            'score': round(score, 5), 'label': label, 'name': name}
                           for box, score, label, name in one]}


def _free_name(image: Path, used: set[str]) -> str:
    """A picture's file name; images of one name in two folders do not overwrite each other."""
    name, count = f'{image.stem}.jpg', 1
    while name in used:
        count += 1
        name = f'{image.stem}_{count}.jpg'
    used.add(name)
    return name


def _summarise(found: list[Detections], out: Path | None) -> None:
    counts = Counter(name for one in found for name in one.names)
    if len(found) == 1:
        for box, score, _, name in found[0]:
            print(f'{score:.2f}  {name:24}  ' + ' '.join(f'{v:.0f}' for v in box))
    names = ', '.join(f'{count} x {name}' for name, count in counts.most_common(10))
    more = f' and {len(counts) - 10} other names' if len(counts) > 10 else ''
    images = f'{len(found)} image' + ('s' if len(found) != 1 else '')
    print(f'{sum(counts.values())} found in {images}' + (f': {names}{more}' if names else ''))
    if out is not None:
        print(f'saved to {out}')
