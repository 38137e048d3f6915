"""Take the weights out of a training checkpoint: half the precision, no optimiser, one safe file.

    python tools/export.py CONFIG work_dirs/x/iter_3000.pth x.safetensors
"""
from __future__ import annotations

import argparse
import sys

import torch

from glipkit.apis.build import build_model, find_config, read_config
from glipkit.checkpoints import load_checkpoint, save_checkpoint
from glipkit.errors import UserError


def main(argv: list[str] | None = None) -> int:
    """Run the command; 2 on input that cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config name or path of the trained model')
    parser.add_argument('checkpoint', help='what training saved')
    parser.add_argument('out', help='.safetensors or .pth file')
    parser.add_argument('--float32', action='store_true', help='keep the full precision')
    parser.add_argument('--force', action='store_true', help='replace an existing file')
    args = parser.parse_args(argv)
    try:
        model = build_model(read_config(find_config(args.config)))
        load_checkpoint(model, args.checkpoint)
        digest = save_checkpoint(model, args.out, force=args.force,
                                 dtype=None if args.float32 else torch.float16)
    except UserError as error:
        print(f'export: error: {error}', file=sys.stderr)
        return 2
    print(f'{args.out}: sha256 {digest}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
