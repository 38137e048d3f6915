"""``glipkit serve``: a page, an HTTP interface and backends of annotation tools around a model."""
from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from glipkit.cli._command import add_command
from glipkit.common.collector import collector_paused

if TYPE_CHECKING:
    from glipkit.serve.limits import LearningLimits, Limits
    from glipkit.serve.service import Service

DESCRIPTION = '''Serves one model and any number of tasks: a page to try it on, an HTTP interface
(its description: /docs), and a backend of Label Studio (/label-studio). Only this machine reaches
it, unless --host says otherwise.'''

EXAMPLES = '''examples:
  glipkit serve                                       # http://127.0.0.1:8000
  glipkit serve glip-t --device cuda --batch-size 4
  glipkit serve glip-mini --task fish/task.safetensors --task cups=cups.safetensors
  glipkit serve glip-mini --host 0.0.0.0 --token SECRET
  glipkit serve glip-mini --label-studio-url http://127.0.0.1:8080 --label-studio-key KEY
  curl -F image=@photo.jpg -F classes="cup, mug" http://127.0.0.1:8000/predict
  curl -F images=@shelf.jpg -F name="our part" -F boxes="[[[10, 20, 60, 90]]]" \\
       http://127.0.0.1:8000/examples
'''


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    from glipkit.apis.index import default_model
    parser = add_command(subparsers, 'serve', EXAMPLES, DESCRIPTION)
    parser.add_argument('config', nargs='?', metavar='MODEL', default=default_model(),
                        help='model name or config (default: %(default)s)')
    parser.add_argument('--checkpoint',
                        help="weights: a file, owner/repository:file, or random; default: those "
                             "of the model's name, fetched on first use")
    parser.add_argument('--task', action='append', default=[], metavar='[NAME=]FILE',
                        help='a task that glipkit tune has learned; may be given several times')
    parser.add_argument('--tasks', type=Path, metavar='DIR',
                        help='all tasks in a folder, and those that glipkit tune wrote into '
                             'folders inside it')
    parser.add_argument('--device', default='cpu', help='cpu, cuda, cuda:1 (default: %(default)s)')
    parser.add_argument('--batch-size', type=int, default=1,
                        help='images of one size, asked the same, that run together '
                             '(default: %(default)s)')
    parser.add_argument('--threshold', type=float,
                        help="leave out scores below (default: the model's own)")
    parser.add_argument('--no-page', action='store_true', help='the HTTP interface alone')
    _add_network(parser)
    _add_limits(parser)
    parser.set_defaults(run=run)


def _add_network(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('who reaches it')
    group.add_argument('--host', default='127.0.0.1',
                       help='address to listen at: 127.0.0.1 for this machine alone, 0.0.0.0 for '
                            'every machine that reaches this one (default: %(default)s)')
    group.add_argument('--port', type=int, default=8000,
                       help='0 for any free one (default: %(default)s)')
    group.add_argument('--token', metavar='WORD',
                       help='every request must show it, the page too (there it is the password, '
                            'with any name); default: the variable GLIPKIT_TOKEN')
    group.add_argument('--no-token', action='store_true',
                       help='let everybody in who reaches --host')
    group.add_argument('--label-studio-url', metavar='URL',
                       help='Label Studio, whose uploaded images are fetched from there')
    group.add_argument('--label-studio-key', metavar='KEY',
                       help='key of one of its users; default: the variable LABEL_STUDIO_API_KEY')


def _add_limits(parser: argparse.ArgumentParser) -> None:
    from glipkit.serve.limits import LearningLimits, Limits
    default, lesson = Limits(), LearningLimits()
    group = parser.add_argument_group('limits')
    group.add_argument('--queue', type=int, default=default.places, metavar='N',
                       help='requests at once, those that wait included; the next one gets status '
                            '503 (default: %(default)s)')
    group.add_argument('--timeout', type=float, default=default.timeout, metavar='S',
                       help='seconds for one request (default: %(default)s)')
    group.add_argument('--max-pixels', type=int, default=default.max_pixels, metavar='N',
                       help='of an image (default: %(default)s)')
    group.add_argument('--max-classes', type=int, default=default.max_classes, metavar='N',
                       help='of one request (default: %(default)s)')
    group.add_argument('--max-bytes', type=int, default=default.max_bytes, metavar='N',
                       help='of one request (default: %(default)s)')
    group.add_argument('--learn-seconds', type=float, default=lesson.seconds, metavar='S',
                       help='seconds in which a thing is learned that a visitor shows by boxes; 0 '
                            'for a server that learns nothing (default: %(default)s)')
    group.add_argument('--learn-queue', type=int, default=lesson.places, metavar='N',
                       help='things that are learned or wait for it at once; one is learned at a '
                            'time (default: %(default)s)')
    group.add_argument('--learn-age', type=float, default=lesson.age, metavar='S',
                       help='seconds after its last use when what was learned is forgotten '
                            '(default: %(default)s)')


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code when the server was stopped."""
    from glipkit.serve import running
    from glipkit.serve.limits import LearningLimits, Limits
    from glipkit.serve.task_files import find_tasks
    # Whatever is wrong with arguments and addresses ends the command before the model is built.
    running.check_packages(page=not args.no_page)
    token = running.secret(args.token, 'GLIPKIT_TOKEN')
    running.check_open(args.host, token, args.no_token)
    limits = Limits(args.queue, args.timeout, args.max_pixels, args.max_classes,
                    max_bytes=args.max_bytes)
    learning = None if args.learn_seconds == 0 else LearningLimits(
        args.learn_seconds, args.learn_queue, age=args.learn_age)
    tasks = find_tasks(args.task, args.tasks)
    key = running.secret(args.label_studio_key, 'LABEL_STUDIO_API_KEY')
    with collector_paused():
        from glipkit.serve.api import create_app
        from glipkit.serve.label_studio_files import LabelStudioFiles
    files = LabelStudioFiles(limits, args.label_studio_url, key)
    listening = running.bind(args.host, args.port)
    with listening:
        service = _service(args, tasks, limits, learning)
        app = create_app(service, token=token, page=not args.no_page, label_studio=files)
        _tell(running.address_of(listening), args, service, token)
        running.serve(app, listening)
    print('stopped')
    return 0


def _service(args: argparse.Namespace, tasks: dict[str, Path], limits: Limits,
             learning: LearningLimits | None) -> Service:
    from glipkit.apis.build import checkpoint_for
    from glipkit.apis.predictor import Predictor
    from glipkit.serve.learners import warm_up
    from glipkit.serve.service import Service
    predictor = Predictor(args.config, checkpoint_for(args.config, args.checkpoint), args.device,
                          args.batch_size, args.threshold)
    if learning is not None:
        warm_up()
    return Service(predictor, name=Path(args.config).stem, tasks=tasks, limits=limits,
                   learning=learning)


def _tell(address: str, args: argparse.Namespace, service: Service, token: str | None) -> None:
    from glipkit.serve.running import is_loopback
    names = service.tasks()
    tasks = f' and the tasks {", ".join(names)}' if names else ''
    print(f'serving {service.name}{tasks}; Ctrl+C stops')
    if not args.no_page:
        print(f'  {address}               the page')
    print(f'  {address}/docs          the HTTP interface\n'
          f'  {address}/label-studio  the backend of Label Studio')
    if not is_loopback(args.host):
        who = 'who knows the token, which travels unencrypted' if token else 'without asking'
        print(f'every machine that reaches this one can use the model, {who}; for more than a '
              'network of your own put a server with TLS in front')
    elif token:
        print('requests must show the token; a browser asks for a name (any) and a password (it)')
    print(end='', flush=True)
