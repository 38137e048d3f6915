"""What turns a preparation script into a command."""
from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from glipkit.data.preparation.steps import Preparation
from glipkit.errors import UserError


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f'{self.prog}: error: {message}; see {self.prog} --help\n')


def preparation_parser(description: str, examples: str) -> argparse.ArgumentParser:
    """A parser with the options of every source: --out, --redo and --check-images.

    Args:
        description: What the script makes of what; its docstring.
        examples: Text that starts with 'examples:' and holds whole commands.
    """
    parser = _Parser(description=description, epilog=examples,
                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', required=True, metavar='DIR',
                        help='folder of the prepared files; files that are complete are kept')
    parser.add_argument('--redo', action='store_true', help='make complete files again')
    parser.add_argument('--check-images', metavar='DIR',
                        help='folder of the images: count those that the prepared files name and '
                        'that are not there')
    return parser


def run(parser: argparse.ArgumentParser, arguments: Sequence[str] | None,
        prepare: Callable[[argparse.Namespace], Preparation]) -> int:
    """Parses the arguments, prepares, checks the images if asked, and prints the report.

    Args:
        parser: From `preparation_parser`, with the options of the source added.
        arguments: After the program's name; None takes this process's.
        prepare: Makes all steps from the parsed options and returns the preparation.

    Returns:
        The exit code: 0 done, 2 wrong input (one line on stderr says what), 130 interrupted.
    """
    options = parser.parse_args(arguments)
    try:
        prep = prepare(options)
        if options.check_images:
            prep.check_images(options.check_images)
    except UserError as error:
        message = ' '.join(str(error).split())
        print(f'{parser.prog}: error: {message}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f'{parser.prog}: interrupted; the same command goes on from here', file=sys.stderr)
        return 130
    print(prep.report())
    return 0
