"""``glipkit serve`` under load: several clients, images of several sizes, tasks, and bad input.

Every answer is compared with what `Predictor` gives for the same image and question, and every bad
request with the status that it should get. The server is a process of its own, whose memory is read
while it works.
"""
from __future__ import annotations

import argparse
import queue
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glipkit.apis.build import checkpoint_for
from glipkit.apis.index import default_model
from glipkit.apis.predictor import Predictor
from glipkit.benchmarks.serve_load import Call, make_calls, write_tasks
from glipkit.checkpoints import save_checkpoint
from glipkit.common.reporter import note, track
from glipkit.errors import UserError

SUMMARY = 'glipkit serve under load: right answers, latency, memory'
EXAMPLES = '''examples:
  glipkit bench serve
  glipkit bench serve --model glip-t-c --checkpoint random --requests 50 --out bench
'''
NOTES = (
    'Latency: from the first byte of a request to the last of its answer, with all clients at '
    'work. Alone: the same images and questions through Predictor in this process, one after '
    'another, nobody else at work.',
    'Wrong: other names than Predictor gives, boxes more than 0.01 pixels or scores more than '
    '0.0001 away; for bad input another status than it should get.')
#: Differences of answers that rounding explains.
PIXELS, SCORES = 1e-2, 1e-4
#: Share of the requests after which memory is read for the first time: all sizes have been seen.
WARM = .25


@dataclass(frozen=True)
class Answer:
    """What a client got.

    Args:
        call: Its request.
        seconds: How long it took.
        status: Of HTTP; 0 for none.
        content: The JSON.
    """

    call: Call
    seconds: float
    status: int
    content: dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Registers what the command line takes."""
    parser.add_argument('--model', '--config', dest='config', default=default_model(),
                        metavar='MODEL', help='model name or config (default: %(default)s)')
    parser.add_argument('--checkpoint', help="weights: a file, owner/repository:file, or random; "
                                             "default: those of the model's name")
    parser.add_argument('--clients', type=int, default=8, metavar='N',
                        help='that ask at once (default: %(default)s)')
    parser.add_argument('--requests', type=int, default=200, metavar='N',
                        help='of all clients together (default: %(default)s)')
    parser.add_argument('--batch-size', type=int, default=1, help='(default: %(default)s)')
    parser.add_argument('--threshold', type=float, default=.05,
                        help='lowest score of an answer (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='(default: %(default)s)')
    parser.add_argument('--device', default='cpu', help='cpu, cuda, cuda:1 (default: %(default)s)')


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Asks a server many things at once.

    Args:
        args: Arguments of `add_arguments`.

    Returns:
        ``setting``, ``notes``, ``memory`` and ``rows``, one per kind of request and one for all.

    Raises:
        UserError: Impossible numbers, no weights, or no packages to serve with.
    """
    if args.clients < 1 or args.requests < 1:
        raise UserError('--clients and --requests of at least 1',
                        f'{args.clients} and {args.requests}', 'pass larger numbers')
    try:
        import httpx  # noqa: F401
    except ImportError as error:
        raise UserError('the package httpx for the clients', 'none installed',
                        "pip install 'glipkit[serve]'") from error
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        checkpoint = checkpoint_for(args.config, args.checkpoint)
        predictor = Predictor(args.config, checkpoint, args.device, 1, args.threshold)
        if checkpoint == 'random':  # the server needs the same
            checkpoint = folder / 'random.safetensors'
            save_checkpoint(predictor.model, checkpoint)
        tasks = write_tasks(predictor.model, folder, args.seed)
        for name, file in tasks.items():
            predictor.load_task(file, name)
        calls = make_calls(args.requests, args.seed)
        alone = _alone(predictor, calls)
        del predictor
        with _server(args, checkpoint, tasks, folder / 'log') as (address, process):
            answers, memory = _ask(address, calls, args.clients, process)
    return _result(args, answers, alone, memory)


def _alone(predictor: Predictor, calls: Sequence[Call]) -> dict[Any, tuple[Any, float]]:
    """Key of a call -> detections and seconds of the predictor; each is asked once."""
    known: dict[Any, tuple[Any, float]] = {}
    good = {call.key: call for call in calls if call.status == 200}
    for key, call in track(good.items(), 'Predictor alone', unit='image'):
        predictor(call.image, **call.question)  # text is remembered from here on
        begin = time.perf_counter()
        found, = predictor(call.image, **call.question)
        known[key] = found, time.perf_counter() - begin
    return known


@contextmanager
def _server(args: argparse.Namespace, checkpoint: Any, tasks: dict[str, Path],
            log: Path) -> Iterator[tuple[str, subprocess.Popen]]:
    """Address and process of a server, which is stopped at the end."""
    words = [sys.executable, '-m', 'glipkit.cli.main', 'serve', args.config, '--checkpoint',
             str(checkpoint), '--device', args.device, '--batch-size', str(args.batch_size),
             '--threshold', str(args.threshold), '--no-page', '--port', '0', '--timeout', '600',
             '--queue', str(args.clients + 1)]
    for name, file in tasks.items():
        words += ['--task', f'{name}={file}']
    with log.open('w') as errors, subprocess.Popen(words, stdout=subprocess.PIPE, stderr=errors,
                                                   text=True) as process:
        try:
            address = next((found[0] for line in process.stdout
                            if (found := re.search(r'http://[\d.]+:\d+', line))), None)
            if address is None:
                raise UserError('a server that starts', log.read_text().strip()[-500:],
                                'correct what it says')
            yield address, process
        finally:
            process.terminate()
            process.communicate()


def _ask(address: str, calls: Sequence[Call], clients: int,
         process: subprocess.Popen) -> tuple[list[Answer], list[tuple[int, float]]]:
    """All answers, and (requests so far, MiB of the server) while they came."""
    todo: queue.SimpleQueue[Call] = queue.SimpleQueue()
    done: queue.SimpleQueue[Answer] = queue.SimpleQueue()
    for call in calls:
        todo.put(call)
    threads = [threading.Thread(target=_client, args=(address, todo, done))
               for _ in range(clients)]
    for thread in threads:
        thread.start()
    answers, memory = [], []
    for _ in track(range(len(calls)), 'asking the server', unit='request'):
        answers.append(done.get())
        memory.append((len(answers), _resident(process.pid)))
    for thread in threads:
        thread.join()
    return answers, memory


def _client(address: str, todo: queue.SimpleQueue[Call], done: queue.SimpleQueue[Answer]) -> None:
    import httpx
    with httpx.Client(timeout=600, trust_env=False) as client:
        while True:
            try:
                call = todo.get_nowait()
            except queue.Empty:
                return
            arguments = call.request()
            begin = time.perf_counter()
            try:
                answer = client.post(f'{address}/predict', **arguments)
                status, content = answer.status_code, answer.json()
            except (httpx.HTTPError, ValueError) as error:
                status, content = 0, {'error': repr(error)}
            done.put(Answer(call, time.perf_counter() - begin, status, content))


def _resident(process: int) -> float:
    """MiB that a process holds; 0 where the system does not tell."""
    try:
        text = Path(f'/proc/{process}/status').read_text()
        return int(re.search(r'VmRSS:\s+(\d+)', text)[1]) / 1024
    except (OSError, TypeError):
        return 0.


def is_wrong(answer: Answer, alone: dict[Any, tuple[Any, float]]) -> bool:
    """Whether an answer is another than it should be; see `NOTES`."""
    if answer.status != answer.call.status:
        return True
    if answer.status != 200:
        return not answer.content.get('error', '').startswith('expected ')
    found, _ = alone[answer.call.key]
    rows = answer.content['annotations']
    if [row['category_name'] for row in rows] != found.names:
        return True
    boxes = np.array([row['bbox'] for row in rows]).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    scores = np.array([row['score'] for row in rows])
    return not (np.allclose(boxes, found.boxes, rtol=0, atol=PIXELS)
                and np.allclose(scores, found.scores, rtol=0, atol=SCORES))


def _result(args: argparse.Namespace, answers: Sequence[Answer],
            alone: dict[Any, tuple[Any, float]], memory: Sequence[tuple[int, float]]
            ) -> dict[str, Any]:
    kinds = dict.fromkeys(answer.call.kind for answer in answers)
    rows = [_row(kind, [one for one in answers if one.call.kind == kind], alone)
            for kind in sorted(kinds)]
    rows.append(_row('all', answers, alone))
    warm = next(mib for count, mib in memory if count >= WARM * len(memory))
    last, peak = memory[-1][1], max(mib for _, mib in memory)
    wrong = [f'{one.call.kind}: status {one.status}, {str(one.content)[:300]}' for one in answers
             if is_wrong(one, alone)]
    for line in wrong[:5]:
        note(line)
    return {'setting': {'config': args.config, 'clients': args.clients,
                        'batch size': args.batch_size, 'threshold': args.threshold,
                        'seed': args.seed},
            'rows': rows, 'memory': [[count, round(mib, 1)] for count, mib in memory],
            'wrong': wrong, 'notes': [
                *NOTES, f'Memory of the server: {warm:.0f} MiB after a quarter of the requests, '
                        f'{last:.0f} MiB at the end, {peak:.0f} MiB at most.']}


def _row(kind: str, answers: Sequence[Answer],
         alone: dict[Any, tuple[Any, float]]) -> dict[str, Any]:
    seconds = [1000 * answer.seconds for answer in answers]
    single = [1000 * alone[answer.call.key][1] for answer in answers if answer.call.key in alone]
    row = {'request': kind, 'count': len(answers),
           'wrong': sum(is_wrong(answer, alone) for answer in answers),
           'status 5xx': sum(answer.status >= 500 or not answer.status for answer in answers),
           'median ms': round(float(np.median(seconds))),
           '95 % ms': round(float(np.percentile(seconds, 95))), 'most ms': round(max(seconds))}
    return row | ({'alone, median ms': round(float(np.median(single)))} if single else {})
