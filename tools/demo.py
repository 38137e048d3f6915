"""From nothing to a detector: make a world, pre-train the mini model, evaluate zero-shot, report.

    python tools/demo.py                    # coloured shapes, drawn here
    python tools/demo.py --world stamps     # photographs of real things (a Debian package)
"""
from __future__ import annotations

import argparse
import json
import sys
import time
from importlib import import_module
from pathlib import Path

import numpy as np

from glipkit.common.reporter import ConsoleReporter, reporting
from glipkit.errors import UserError

EXAMPLES = '''examples:
  python tools/demo.py
  python tools/demo.py --world stamps --out work_dirs/stamps
  python tools/demo.py --iters 4000        # longer and better
'''
GROUPS = {'seen': 'combinations seen in training', 'unseen': 'never seen in training',
          'caption_only': 'seen in captions only'}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog=EXAMPLES,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--world', choices=('shapes', 'stamps'), default='shapes',
                        help='what to train on')
    parser.add_argument('--out', type=Path, help='folder; default work_dirs/demo, and demo/stamps')
    parser.add_argument('--iters', type=int, help="training iterations; default the config's")
    parser.add_argument('--pictures', type=int, default=8, help='pictures in the report')
    args = parser.parse_args(argv)
    if args.iters is not None and args.iters < 1 or args.pictures < 1:
        parser.error('--iters and --pictures must be at least 1')
    folder = 'work_dirs/demo' if args.world == 'shapes' else 'work_dirs/demo/stamps'
    args.out = args.out or Path(folder)
    return args


def pretrain(world: str, data: Path, out: Path, iters: int | None):
    """Train on a world, going on where an earlier run was cut off.

    Returns:
        (config, path of the last checkpoint).
    """
    from glipkit.apis.training import load_config, move_data, set_max_iters, train
    cfg = load_config(f'configs/glip/glip-mini_{world}.py', work_dir=str(out / 'training'))
    move_data(cfg, cfg.data_root, f'{data}/')
    if iters:
        set_max_iters(cfg, iters)
    cfg.custom_hooks.append(dict(type='ProgressBarHook'))
    cfg.log_level = 'WARNING'
    with reporting(ConsoleReporter()):
        train(cfg, resume=True)
    return cfg, (out / 'training' / 'last_checkpoint').read_text().strip()


def draw(model, data: Path, pictures: int, path: Path) -> None:
    """Draw ground truth above predictions for the first validation images."""
    from glipkit import Predictor
    from glipkit.apis.detections import Detections
    from glipkit.reports.pictures import plot_grid
    truth = json.loads((data / 'annotations/val.json').read_text())
    names = {c['id']: c['name'] for c in truth['categories']}
    order = {category: label for label, category in enumerate(sorted(names))}
    classes = tuple(names[category] for category in order)
    predict = Predictor(model, score_threshold=0.3)
    pairs = []
    for image in truth['images'][:pictures]:
        file = data / 'images/val' / image['file_name']
        rows = [a for a in truth['annotations'] if a['image_id'] == image['id']]
        boxes = np.array([a['bbox'] for a in rows], np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        labels = np.array([order[a['category_id']] for a in rows], np.int64)
        given = Detections(boxes, np.ones(len(rows), np.float32), labels, classes,
                           (image['height'], image['width']), file, file)
        pairs.append((given, predict(file, classes=list(classes))[0]))
    plot_grid(pairs, path)


def report(args: argparse.Namespace, data: Path, metrics: dict, manifest: dict, seconds: float,
           cfg) -> Path:
    """Write the curves and the markdown."""
    from glipkit.apis.environment import collect
    from glipkit.reports.pictures import plot_curves, read_scalars, write_markdown
    plot_curves(read_scalars(args.out / 'training'), args.out / 'curves.png',
                [f'coco/{group}_AP50' for group in GROUPS])
    environment = collect()
    found = {meaning: metrics[f'coco/{group}_AP50'] for group, meaning in GROUPS.items()}
    facts = {
        'world': f'{args.world}, {data}',
        'training images': ', '.join(f'{part["pictures"]} {name}'
                                     for name, part in manifest['counts'].items()
                                     if name != 'val'),
        'iterations': f'{cfg.train_cfg.max_iters} of {cfg.train_dataloader.batch_size} images',
        'training time': f'{seconds / 60:.1f} min in this run',
        'torch': environment['foundations']['torch'],
        'machine': environment['system']['cpu'],
    }
    path = args.out / 'report.md'
    write_markdown(
        path, f'glipkit demo: {args.world}', facts,
        {**{f'AP50, {meaning}': value for meaning, value in found.items()},
         'AP50, all': metrics['coco/AP50'], 'AP, all': metrics['coco/AP']},
        {'Ground truth (upper) and predictions (lower)': 'predictions.png',
         'Curves': 'curves.png'})
    (args.out / 'metrics.json').write_text(json.dumps(metrics, indent=2) + '\n')
    return path


def run(args: argparse.Namespace) -> None:
    """The demo itself."""
    data = args.out / 'data'
    manifest = import_module(f'glipkit.worlds.{args.world}').build(data, progress=True)
    start = time.time()
    cfg, checkpoint = pretrain(args.world, data, args.out, args.iters)
    seconds = time.time() - start
    from glipkit import load
    from glipkit.apis.training import test
    print('zero-shot evaluation', file=sys.stderr)
    metrics = test(cfg, checkpoint)
    model = load(f'configs/glip/glip-mini_{args.world}.py', checkpoint)
    draw(model, data, args.pictures, args.out / 'predictions.png')
    path = report(args, data, metrics, manifest, seconds, cfg)
    for group, meaning in GROUPS.items():
        print(f'AP50 {metrics[f"coco/{group}_AP50"]:.3f}  {meaning}')
    print(f'report: {path}')


def main(argv: list[str] | None = None) -> int:
    """Run the demo; 2 on input that cannot be used."""
    args = parse_args(argv)
    try:
        run(args)
    except UserError as error:
        print(f'demo: error: {error}', file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
