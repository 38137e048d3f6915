"""Times what boxes show: image, boxes and class names in, a score of each pair out.

The other candidate has the same modules and weights and runs them the plain way, as one writes them
down: every class is embedded in every call, padded to the context of the text encoder; all regions
go through the last stage in one batch; all keys and values of the attention pooling are computed.
"""
from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from glipkit.apis.build import build_model, check_device, find_config, read_config
from glipkit.benchmarks.harness import alternate_processes, check, rows_beside
from glipkit.benchmarks.worker import WorkerCall, thread_settings
from glipkit.benchmarks.workload import PROMPTS, read_classes, read_size
from glipkit.text.query import Query
from glipkit.text.templates import fill, find_templates

SUMMARY = 'time the scores of given boxes against the same modules run the plain way'
EXAMPLES = '''examples:
  glipkit bench regions
  glipkit bench regions --boxes 100 --prompt coco80 --templates imagenet_and_name
'''
OURS, PLAIN, IMAGE_ONLY = 'glipkit', 'the plain way', 'the plain way, text remembered'
NOTES = (
    'glipkit embeds a class list once, before the timed calls; the setting says how long that '
    'takes. The plain way embeds it in every call. The third candidate shows what the image side '
    'alone brings.',
    "CPU s is the process's own time on all threads (median), which other work on the machine "
    'changes little.',
    'All candidates have equal weights; the largest difference of their scores is in the setting.')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Registers what the command line takes."""
    parser.add_argument('--config', default='regionclip-rn50',
                        help='name or config of a model that reads regions (default: %(default)s)')
    parser.add_argument('--image', default='800x1216', metavar='HxW',
                        help='height and width in pixels (default: %(default)s)')
    parser.add_argument('--boxes', type=int, default=300, help='regions (default: %(default)s)')
    parser.add_argument('--prompt', choices=PROMPTS, default='lvis1203',
                        help='a class list (default: %(default)s)')
    parser.add_argument('--templates', default='name',
                        help='set of templates; with 81 of them the plain way reads as many times '
                             'the texts in every call (default: %(default)s)')
    parser.add_argument('--threads', type=int, help='of torch (default: what torch would take)')
    parser.add_argument('--device', default='cpu', help='cpu, cuda, cuda:1 (default: %(default)s)')
    parser.add_argument('--rounds', type=int, default=3,
                        help='timed calls of each candidate (default: %(default)s)')
    parser.add_argument('--warmup', type=int, default=0,
                        help='calls before that (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0,
                        help='of weights, image and boxes (default: %(default)s)')


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Runs the benchmark; see :mod:`glipkit.benchmarks` for what comes back."""
    find_config(args.config)
    check_device(args.device)
    find_templates(args.templates)
    check({OURS: None}, args.rounds, args.warmup)
    classes = read_classes(args.prompt, None)
    threads = torch.get_num_threads() if args.threads is None else args.threads
    work = dict(config=args.config, image=read_size(args.image), boxes=args.boxes,
                classes=classes, templates=args.templates, threads=threads, device=args.device,
                seed=args.seed)
    load = round(os.getloadavg()[0], 2)
    environment = thread_settings(threads)
    measured = alternate_processes({
        name: WorkerCall(f'glipkit.benchmarks.regions:{job}', work, sys.executable, environment)
        for name, job in ((OURS, 'ours'), (PLAIN, 'plain'), (IMAGE_ONLY, 'plain_image'))},
        args.rounds, args.warmup)
    differ = measured[PLAIN].details['difference']
    setting = {'config': args.config, 'image': args.image, 'boxes': args.boxes,
               'classes': len(classes), 'templates': args.templates, 'threads': threads,
               'device': args.device, 'rounds': args.rounds, 'warm-up': args.warmup,
               'load before': load, 'words once, s': measured[OURS].details['text_seconds'],
               'largest difference of scores': f'{differ:.1e}'}
    return {'setting': setting, 'notes': [*NOTES],
            'rows': rows_beside(OURS, measured, args.rounds),
            'measured': {name: one.as_dict() for name, one in measured.items()}}


class Regions:
    """One candidate's job: a model, an image, boxes and class names.

    Args:
        config: Name or config of the model.
        image: (height, width).
        boxes: Number of boxes.
        classes: Class names.
        templates: Set of templates.
        threads: Threads of torch.
        device: Device of torch.
        seed: Seed of weights, image and boxes.
    """

    def __init__(self, config: str, image: Sequence[int], boxes: int, classes: Sequence[str],
                 templates: str, threads: int, device: str, seed: int) -> None:
        torch.set_num_threads(threads)
        torch.manual_seed(seed)
        cfg = read_config(find_config(config))
        cfg.model.templates = templates
        self.model = build_model(cfg).eval().to(device)
        self.images = torch.randn(1, 3, *image, device=device)
        self.boxes = random_boxes(boxes, *image).to(device)
        self.classes = tuple(classes)
        self.templates = find_templates(templates)
        self.details: dict[str, Any] = {'cpu_seconds': []}

    def ours(self) -> Tensor:
        """Scores (N, K)."""
        return self.model.classify_regions(self.images, [self.boxes],
                                           Query.for_classes(self.classes))[0]

    def plain(self, matrix: Tensor | None = None) -> Tensor:
        """Scores (N, K) by the definitions; of embeddings (K, D), where they are given."""
        tower = self.model.backbone
        rois = torch.cat([self.boxes.new_zeros(len(self.boxes), 1), self.boxes], 1)
        maps = tower.region_maps(tower.pool_boxes(tower(self.images)[0], rois))
        features = tower.attnpool.plain(maps)
        matrix = self.embed() if matrix is None else matrix
        logits = F.normalize(features, dim=1) @ F.normalize(matrix, dim=1).T
        return (logits / self.model.temperature).softmax(1)

    @torch.no_grad()
    def warm_up(self) -> None:
        """Runs the image side both ways, so that no candidate is the first to touch memory."""
        self.plain(torch.randn(1, self.model.backbone.embed_dim, device=self.images.device))
        self.model.region_features(self.images, [self.boxes])

    def embed(self) -> Tensor:
        """Class embeddings (K, D), every text padded to the whole context."""
        encoder = self.model.text_encoder
        words = [prompt.caption for prompt in self.model.prompts(Query.for_classes(self.classes))]
        rows = []
        for name in words:
            tokens = encoder.tokenizer(fill(self.templates, name), encoder.max_positions)
            ids = F.pad(tokens.ids, (0, encoder.max_positions - tokens.ids.shape[1]))
            rows.append(ids.to(self.images.device))
        ids = torch.cat(rows)
        found = []
        for part in ids.split(256):
            hidden = encoder.encode(part)
            found.append(encoder.project(hidden[torch.arange(len(part)), part.argmax(1)]))
        return torch.cat(found).unflatten(0, (len(words), -1)).mean(1)


def random_boxes(count: int, height: int, width: int) -> Tensor:
    """(count, 4) boxes of all sizes and shapes from 32 pixels to half of the image, log-uniform."""
    low, high = math.log(32), torch.tensor([width / 2, height / 2]).log()
    sides = (low + torch.rand(count, 2) * (high - low)).exp()
    corner = torch.rand(count, 2) * (torch.tensor([width, height]) - sides)
    return torch.cat([corner, corner + sides], 1)


def ours(**work: Any) -> Callable[[], None]:
    """A job: the way of glipkit. For the arguments see :class:`Regions`."""
    regions = Regions(**work)
    begin = time.perf_counter()
    with torch.no_grad():
        regions.model.classify_regions(torch.zeros(1, 3, 32, 32, device=regions.images.device),
                                       [regions.boxes[:0]], Query.for_classes(regions.classes))
    regions.details['text_seconds'] = round(time.perf_counter() - begin, 1)
    regions.warm_up()
    return _Job(regions, lambda one: one.ours())


def plain(**work: Any) -> Callable[[], None]:
    """A job: the plain way, which also says how far its scores are from ours."""
    regions = Regions(**work)
    regions.warm_up()
    job = _Job(regions, lambda one: one.plain())
    with torch.no_grad():
        few = Regions(**{**work, 'boxes': min(work['boxes'], 8), 'image': (224, 224),
                         'classes': work['classes'][:8]})
        job.details['difference'] = float((few.ours() - few.plain()).abs().max())
    return job


def plain_image(**work: Any) -> Callable[[], None]:
    """A job: the plain way with embeddings that were made before."""
    regions = Regions(**work)
    matrix = torch.randn(len(regions.classes), regions.model.backbone.embed_dim,
                         device=regions.images.device)
    regions.warm_up()
    return _Job(regions, lambda one: one.plain(matrix))


class _Job:
    def __init__(self, regions: Regions, step: Callable[[Regions], Tensor]) -> None:
        self.regions, self.step, self.details = regions, step, regions.details

    def __call__(self) -> None:
        begin = time.process_time()
        with torch.no_grad():
            self.step(self.regions)
        if self.regions.images.is_cuda:
            torch.cuda.synchronize()
        self.details['cpu_seconds'].append(time.process_time() - begin)
