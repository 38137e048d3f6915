"""``glipkit test``: evaluate a checkpoint."""
from __future__ import annotations

import argparse

from glipkit.cli._command import add_command
from glipkit.cli._query import CLASSES, add_query_arguments, test_query

EXAMPLES = '''examples:
  glipkit test glip-mini                        # with the weights of its name
  glipkit test glip-mini work_dirs/mini/iter_1300.pth
  glipkit test configs/glip/glip-t-c_o365-goldg.py glip_tiny_model_o365_goldg.pth --out ap.json
  glipkit test glip-t --data fish/ --classes query.yaml    # other names, negatives, groups
  glipkit test glip-t --data fish/              # YOLO, Pascal VOC, Roboflow, labelme, CSV, COCO
  glipkit test glip-t glip_tiny_model_o365_goldg_cc_sbu.pth --data lvis_minival --out results/
'''


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    from glipkit.cli._run_arguments import add_run_arguments
    parser = add_command(subparsers, 'test', EXAMPLES)
    parser.mixed = True
    parser.add_argument('config', help='config name (glip-mini) or path')
    parser.add_argument('checkpoint', nargs='?',
                        help='official, mmdet-port or glipkit file, a hub name, or random; '
                             'default: the weights of the name, fetched on first use')
    parser.add_argument('--data', metavar='NAME|FILE.py|DIR',
                        help='test on this set instead of the config\'s own: coco_val2017, '
                             'lvis_minival, lvis_val, flickr30k_val, flickr30k_test; for models '
                             'with a dense map ade20k_semantic, coco_stuff_semantic, '
                             'coco_panoptic_regions, coco_panoptic_segments; a file like '
                             'configs/_base_/datasets/lvis_minival.py; or a data set in the '
                             'layout of COCO, YOLO, Pascal VOC, labelme, CSV or Hugging Face '
                             'datasets, whose part for tests, else for validation, is scored')
    parser.add_argument('--classes', metavar='"A, B"|FILE',
                        help='ask these of the classes of the data instead of all, perhaps with '
                             'other names: ' + CLASSES)
    add_query_arguments(parser)
    parser.add_argument('--out', metavar='DIR|FILE.json',
                        help='write metrics, protocol and versions as FILE.json, and as a table '
                             'beside it; in a folder, as metrics.json; of a test of pixels or '
                             'masks a picture as well')
    add_run_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    from glipkit.apis.results import result_files
    from glipkit.apis.training import ask_in_test, test
    from glipkit.cli._run_arguments import read_run_config
    from glipkit.reports.segmentation import SegmentationPictures
    cfg = read_run_config(args, args.data)
    ask = test_query(args)
    if ask is not None:
        ask_in_test(cfg, ask)
    pictures = [SegmentationPictures(result_files(args.out)[0].with_suffix('.png'))
                ] if args.out else []
    metrics = test(cfg, args.checkpoint, args.out, pictures)
    for name, value in metrics.items():
        print(f'{name:32} {value:.4f}')
    for one in pictures:
        if one.drawn:
            print(f'pictures: {one.path}')
    return 0
