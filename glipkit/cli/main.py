"""The command ``glipkit``: finds the subcommand, turns errors of the user into one line."""
from __future__ import annotations

import argparse
import atexit
import gc
import importlib
import io
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NoReturn

from glipkit.common.reporter import ConsoleReporter, reporting
from glipkit.common.waiting import wait_briefly
from glipkit.errors import UserError
from glipkit.files import no_room, refuse_address
from glipkit.version import __version__

# What each command does, so that `glipkit --help` need not import any of them.
COMMANDS = {
    'train': 'train a model from a config',
    'test': 'evaluate a checkpoint',
    'tune': 'learn a task from a COCO json',
    'prompt': 'learn names from example pictures',
    'calibrate': 'make scores probabilities and choose a threshold for each class',
    'odinw': 'score or tune a model on object detection in the wild',
    'predict': 'find things in images by their names',
    'serve': 'put a model behind a page, an HTTP interface and annotation tools',
    'features': 'write what a model knows of regions, for other programs',
    'prepare': 'write annotations from the files of a published data set',
    'world': 'make pictures with boxes and captions to try things on',
    'demo': 'make a world, pre-train a small model on it, evaluate it, and report',
    'models': 'list the models that have a name, and fetch their weights',
    'convert': 'rewrite a checkpoint for another program',
    'push': 'publish a model or a task on the Hugging Face hub',
    'export': 'write a model for programs without PyTorch',
    'bench': 'time glipkit against its peers',
    'pseudo-label': 'ground the phrases of captions in their images',
    'concepts': 'make a pool of words from captions, to pre-train on',
    'browse': 'look at captions with their boxes',
    'check-data': 'look for what would spoil a training',
    'env': 'print versions and settings for a bug report',
}

#: Arguments that are no names of files.
NO_FILES = ('classes', 'caption', 'address', 'about', 'license_link', 'label_studio_url')

EXAMPLES = '''examples:
  glipkit predict photos/ --classes "person, traffic light" --save-images
  glipkit models fetch glip-t
  glipkit convert glip_tiny_model_o365_goldg.pth glip-t-c.safetensors
  glipkit train glip-mini --work-dir work_dirs/mini
  glipkit test glip-t-c glip-t-c.safetensors
  glipkit COMMAND --help
'''


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, and that may be completed when it is used.

    Args:
        complete: Adds the arguments, called with the parser before its first parsing; so the
            choices of a command are listed without their modules.
        **kwargs: Those of `argparse.ArgumentParser`.

    Attributes:
        mixed: Whether options may stand before a positional argument that may be left out.
    """

    def __init__(self, *, complete: Callable[[Parser], None] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._complete = complete
        self.mixed = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As every parser's."""
        if self._complete is not None:
            complete, self._complete = self._complete, None
            complete(self)
        if not self.mixed:
            return super().parse_known_args(args, namespace)
        self.mixed = False  # argparse comes back here, twice
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self.mixed = True

    def error(self, message: str) -> NoReturn:
        self.exit(2, f'{self.prog}: error: {message}; see {self.prog} --help\n')


def build_parser(command: str | None = None) -> argparse.ArgumentParser:
    """The parser, complete for one command and with bare names for the others.

    Args:
        command: The command whose arguments are needed; only its module is imported.
    """
    parser = Parser(prog='glipkit', epilog=EXAMPLES,
                    description='Grounding detection: boxes for anything that has a name.',
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--version', action='version', version=f'glipkit {__version__}')
    subparsers = parser.add_subparsers(dest='command', metavar='COMMAND', required=True)
    for name, summary in COMMANDS.items():
        if name == command:
            importlib.import_module(f'glipkit.cli.{name.replace("-", "_")}').add_parser(subparsers)
        else:
            subparsers.add_parser(name, help=summary)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line.

    Args:
        argv: The arguments after the program's name; None takes this process's.

    Returns:
        The exit code: 0 done, 1 done but for some items, 2 wrong input or a place that cannot be
        read or written (one line on stderr says what), 130 interrupted, 141 nobody reads the
        output any more.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    # A name in an alphabet that the terminal lacks is no reason to lose the result.
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == 'strict':
        sys.stdout.reconfigure(errors='backslashreplace')
    # A log that cannot be written must not bury the line that says why.
    logging.raiseExceptions = False
    command = next((word for word in argv if not word.startswith('-')), None)
    if command != 'bench':  # which measures what anybody gets
        wait_briefly()
    if sys.platform == 'darwin':  # what Apple's GPUs lack, the processor does; torch reads it once
        os.environ.setdefault('PYTORCH_ENABLE_MPS_FALLBACK', '1')
    atexit.unregister(_leave_group)  # a program may call this several times
    atexit.register(_leave_group)
    args, program = argparse.Namespace(), 'glipkit'
    try:
        args = build_parser(command).parse_args(argv)
        program = getattr(args, 'prog', f'glipkit {args.command}')
        refuse_addresses(args)
        with short_warnings(), \
                reporting(ConsoleReporter()) if is_first_process() else nullcontext():
            code = args.run(args)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except BrokenPipeError:
        # The reader (`| head -1`) has seen enough. Python would flush once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except UserError as error:
        message = ' '.join(str(error).split())
        print(f'{program}: error: {message}', file=sys.stderr)
        return 2
    except Exception as error:
        message = system_error(error)
        if message is None:
            raise
        _drop_output()
        print(f'{program}: error: {message}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        resumes = '; the same command resumes' if getattr(args, 'resumes', False) else ''
        print(f'{program}: interrupted{resumes}', file=sys.stderr)
        return 130


@contextmanager
def short_warnings() -> Iterator[None]:
    """Inside the block, what glipkit warns of is one line, without the code that it came from."""
    before, package = warnings.formatwarning, str(Path(__file__).parents[1])

    def shown(message: Warning | str, category: type[Warning], filename: str, *rest: Any) -> str:
        if issubclass(category, UserWarning) and filename.startswith(package):
            return f'glipkit: warning: {message}\n'
        return before(message, category, filename, *rest)

    warnings.formatwarning = shown
    try:
        yield
    finally:
        warnings.formatwarning = before


def refuse_addresses(args: argparse.Namespace) -> None:
    """Refuses web addresses where files and folders are meant, before a path is made of one.

    A command whose ``takes_address`` says so of an address takes it.
    """
    takes = getattr(args, 'takes_address', lambda word: None)
    for name, value in vars(args).items():
        words = value if isinstance(value, list) else [value]
        for word in words if name not in NO_FILES else ():
            if isinstance(word, Path):  # which makes one slash of two
                word = re.sub(r'^(https?|ftp|s3|gs|file):/', r'\1://', str(word), flags=re.I)
            if isinstance(word, str) and not takes(word):
                refuse_address(word)


def system_error(error: Exception) -> str | None:
    """One line for what the system refused to any part of the program; None for other errors."""
    text = str(error).strip()
    refused = error if isinstance(error, OSError) and error.errno is not None else no_room(error)
    if refused is not None:
        place = f'{os.fsdecode(refused.filename)} ' if refused.filename is not None else ''
        return str(UserError('files that can be read and written',
                             f'{place}({refused.strerror or refused})',
                             'check the paths and the free space'))
    if not isinstance(error, (OSError, RuntimeError)):
        return None
    # torch hands on what happened in a data loader's worker as an error with its text.
    found = re.search(r'Error: (expected .+; got .+; .+)$', text)
    if found is not None:
        return found[1]
    found = re.search(r'\[Errno \d+\] .+$|unable to \w+.* file <.*/torch_.*', text)
    if found is not None:
        return str(UserError('files and shared memory that can be written', found[0],
                             'check the paths and the free space'))
    return None


def _drop_output() -> None:
    """Lets go of standard output that cannot be written: Python would try once more at exit."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _leave_group() -> None:
    """Leaves the processes that a launcher joined, and ends the threads that speak to them.

    Such a thread aborts the process, after all work is done, where it still lets go of a tensor
    while the interpreter ends.
    """
    distributed = sys.modules.get('torch.distributed')
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
        gc.collect()  # models know the group: its threads are joined when the last of them goes


def is_first_process() -> bool:
    """Whether this process speaks for all that a launcher started; alone, it does."""
    ranks = ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK')
    return next((os.environ[name] for name in ranks if name in os.environ), '0') == '0'


def door(*command: str) -> Callable[[Sequence[str] | None], int]:
    """The ``main`` of a script that stands for a command.

    Args:
        *command: Its names, e.g. ``'prepare', 'coco'``.

    Returns:
        A function of the arguments after the script's name (None takes this process's) that
        returns the exit code.
    """

    def script(arguments: Sequence[str] | None = None) -> int:
        return main([*command, *(sys.argv[1:] if arguments is None else arguments)])

    return script


if __name__ == '__main__':
    sys.exit(main())
