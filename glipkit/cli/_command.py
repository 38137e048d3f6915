"""The common part of the parsers of all commands."""
from __future__ import annotations

import argparse


def add_command(subparsers: argparse._SubParsersAction, name: str, examples: str,
                description: str | None = None) -> argparse.ArgumentParser:
    """Registers a command under its summary in `glipkit.cli.main.COMMANDS`.

    Args:
        subparsers: Collection of the commands.
        name: Name of the command.
        examples: Text below its options, line by line.
        description: Text above them.
    """
    from glipkit.cli.main import COMMANDS
    return subparsers.add_parser(name, help=COMMANDS[name], description=description,
                                 epilog=examples,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
