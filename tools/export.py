"""A habit: `export.py CONFIG SRC DST` is `glipkit convert SRC DST --config CONFIG --dtype float16`.

    python tools/export.py CONFIG work_dirs/x/iter_3000.pth x.safetensors
"""
import sys
from collections.abc import Sequence

from glipkit.cli.main import Parser
from glipkit.cli.main import main as glipkit


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 2 on input that cannot be used."""
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config name or path of the trained model')
    parser.add_argument('checkpoint', help='what training saved')
    parser.add_argument('out', help='.safetensors or .pth file')
    parser.add_argument('--float32', action='store_true', help='keep the full precision')
    parser.add_argument('--force', action='store_true', help='replace an existing file')
    args = parser.parse_args(argv)
    return glipkit(['convert', args.checkpoint, args.out, '--config', args.config,
                    *([] if args.float32 else ['--dtype', 'float16']),
                    *(['--force'] if args.force else [])])


if __name__ == '__main__':
    sys.exit(main())
