"""What ``glipkit train`` and ``glipkit test`` take alike, and how a config comes out of it."""
from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any

from mmengine.config import Config, DictAction


class KeyValues(DictAction):
    """KEY=VALUE words to a dictionary, as mmengine reads them; other words are wrong usage."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace,
                 values: Sequence[str], option_string: str | None = None) -> None:
        for value in values:
            if not value.partition('=')[0] or '=' not in value:
                raise argparse.ArgumentError(
                    self, f'expected KEY=VALUE; got {value!r}; write e.g. model.backbone.depth=50')
        read: dict[str, Any] = {}
        try:
            for value in values:
                super().__call__(parser, found := argparse.Namespace(), [value], option_string)
                read.update(getattr(found, self.dest))
        except (AssertionError, ValueError, SyntaxError) as error:
            raise argparse.ArgumentError(
                self, f'expected KEY=VALUE with balanced brackets and quotes; got {value!r}; '
                'quote the word for the shell') from error
        setattr(namespace, self.dest, {**(getattr(namespace, self.dest, None) or {}), **read})


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Work dir, overrides and launcher, as mmdet's tools have them."""
    parser.add_argument('--work-dir', help='folder of logs and checkpoints')
    parser.add_argument('--cfg-options', nargs='+', action=KeyValues, metavar='KEY=VALUE',
                        help='override config values, e.g. model.bbox_head.with_cp=True')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none',
                        help='how the processes were started')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0,
                        help=argparse.SUPPRESS)


def add_track_argument(parser: argparse.ArgumentParser) -> None:
    """Where the curves of a training go beside its own logs."""
    parser.add_argument('--track', action='append', default=[], metavar='TRACKER',
                        choices=['tensorboard', 'wandb', 'mlflow'],
                        help='write the curves for tensorboard, wandb (offline) or mlflow (files) '
                             'too; may be repeated')


def read_run_config(args: argparse.Namespace, test_data: str | None = None,
                    box_format: str = 'xywh') -> Config:
    """The config of a command line with these arguments; the others as in `set_test_data`."""
    from glipkit.apis.training import load_config
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = load_config(args.config, args.cfg_options, args.work_dir, test_data, box_format)
    cfg.launcher = args.launcher
    return cfg
