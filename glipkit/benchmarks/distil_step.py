"""Times a step of a map that learns from crops: teacher, forward, backward and AdamW.

The other candidate has the same towers and weights and runs them the plain way: all crops go
through the teacher in one batch, every activation is kept for the gradients, AdamW takes one tensor
after the other, and the text tower of the model is in memory, which a distillation has no use for.
"""
from __future__ import annotations

import argparse
import os
import sys
import time
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor
from torchvision.ops import roi_align

from glipkit.apis.build import build_model, check_device, find_config, read_config
from glipkit.benchmarks.flops import DTYPES
from glipkit.benchmarks.harness import alternate_processes, check, rows_beside
from glipkit.benchmarks.worker import WorkerCall, thread_settings
from glipkit.data.transforms.proposal_crops import grid_cells
from glipkit.registry import MODELS

SUMMARY = 'time a step of distillation from crops against the same towers run the plain way'
EXAMPLES = '''examples:
  glipkit bench distil-step
  glipkit bench distil-step --image 512 --crops 10 --rounds 3
'''
OURS, PLAIN = 'glipkit', 'the plain way'
#: The text tower of EVA-02 CLIP B/16, as in the config of the model.
WORDS = dict(type='glipkit.ClipTextEncoder', width=512, heads=8, layers=12, embed_dim=512)
NOTES = (
    'Both train the layers alone, with the same weights, images and crops.',
    "CPU s is the process's own time on all threads (median), which other work on the machine "
    'changes little.',
    'before GiB: libraries, weights and inputs before the first step. Gradients and the moments of '
    'AdamW come with it.')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Registers what the command line takes."""
    parser.add_argument('--config', default='configs/clipself/clipself-b16_distil_coco.py',
                        help='config of a distillation (default: %(default)s)')
    parser.add_argument('--batch', type=int, default=2, help='images (default: %(default)s)')
    parser.add_argument('--image', type=int, default=1024, metavar='SIDE',
                        help='side of the square images in pixels (default: %(default)s)')
    parser.add_argument('--crops', type=int, default=20,
                        help='of an image (default: %(default)s)')
    parser.add_argument('--dtype', choices=list(DTYPES), default='bf16',
                        help='of matrix products (default: %(default)s)')
    parser.add_argument('--threads', type=int, help='of torch (default: what torch would take)')
    parser.add_argument('--device', default='cpu', help='cpu, cuda, cuda:1 (default: %(default)s)')
    parser.add_argument('--rounds', type=int, default=2,
                        help='timed steps of each candidate (default: %(default)s)')
    parser.add_argument('--warmup', type=int, default=1,
                        help='steps before that (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0,
                        help='of weights, images and crops (default: %(default)s)')


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Runs the benchmark; see :mod:`glipkit.benchmarks` for what comes back."""
    find_config(args.config)
    check_device(args.device)
    check({OURS: None}, args.rounds, args.warmup)
    threads = torch.get_num_threads() if args.threads is None else args.threads
    work = dict(config=args.config, batch=args.batch, side=args.image, crops=args.crops,
                dtype=args.dtype, threads=threads, device=args.device, seed=args.seed)
    load = round(os.getloadavg()[0], 2)
    environment = thread_settings(threads)
    measured = alternate_processes({
        name: WorkerCall(f'glipkit.benchmarks.distil_step:{job}', work, sys.executable,
                         environment)
        for name, job in ((OURS, 'ours'), (PLAIN, 'plain'))}, args.rounds, args.warmup)
    losses = [measured[name].details['losses'][0] for name in (OURS, PLAIN)]
    setting = {'config': args.config, 'images': args.batch, 'side': args.image,
               'crops of an image': args.crops, 'dtype': args.dtype, 'threads': threads,
               'device': args.device, 'rounds': args.rounds, 'warm-up': args.warmup,
               'load before': load,
               'memory / the plain way': round(measured[OURS].peak_bytes
                                               / measured[PLAIN].peak_bytes, 2),
               'difference of the first losses': f'{abs(losses[0] - losses[1]):.1e}'}
    return {'setting': setting, 'notes': [*NOTES],
            'rows': rows_beside(OURS, measured, args.rounds),
            'measured': {name: one.as_dict() for name, one in measured.items()}}


class Step:
    """One candidate's job: a model, its optimiser, images, and crops of a grid.

    Args:
        config: Config of the distillation.
        plain: Whether all is kept and encoded at once, and a text tower is there.
        batch: Images.
        side: Of the images.
        crops: Of an image.
        dtype: Of matrix products.
        threads: Threads of torch.
        device: Device of torch.
        seed: Seed of weights and pixels.
    """

    def __init__(self, config: str, plain: bool, batch: int, side: int, crops: int, dtype: str,
                 threads: int, device: str, seed: int) -> None:
        torch.set_num_threads(threads)
        torch.manual_seed(seed)
        cfg = read_config(find_config(config))
        if plain:
            cfg.model.backbone.with_cp = False
        self.model = build_model(cfg).train().to(device)
        self.text = MODELS.build(WORDS).to(device) if plain else None
        self.plain, self.dtype, self.device = plain, DTYPES[dtype], torch.device(device)
        rate = dict(cfg.optim_wrapper.optimizer)
        self.adam = torch.optim.AdamW([p for p in self.model.parameters() if p.requires_grad],
                                      lr=rate['lr'], weight_decay=rate['weight_decay'],
                                      fused=not plain and rate.get('fused', False))
        random = torch.Generator().manual_seed(seed)
        self.images = torch.randn(batch, 3, side, side, generator=random).to(device)
        cells = torch.from_numpy(grid_cells(5, 4))[:crops]
        cells = cells.repeat(-(-crops // len(cells)), 1)[:crops] * side
        native = self.model.backbone.image_size
        self.samples = [DetDataSample(proposals=InstanceData(bboxes=cells, crops=torch.randint(
            0, 256, (crops, 3, native, native), dtype=torch.uint8, generator=random)))
            for _ in range(batch)]
        self.details: dict[str, Any] = {'cpu_seconds': [], 'losses': []}

    def __call__(self) -> None:
        begin = time.process_time()
        with torch.autocast(self.device.type, self.dtype, self.dtype != torch.float32):
            loss = self._plain_loss() if self.plain else \
                self.model.loss(self.images, self.samples)['loss_cosine']
        loss.backward()
        self.adam.step()
        self.adam.zero_grad()
        self.details['losses'].append(loss.item())
        self.details['cpu_seconds'].append(time.process_time() - begin)

    def _plain_loss(self) -> Tensor:
        model = self.model
        crops = torch.cat([sample.proposals.crops for sample in self.samples])
        pixels = model.data_preprocessor(dict(inputs=[*crops], data_samples=None))['inputs']
        with torch.no_grad():
            targets = F.normalize(model.teacher_backbone.embed_image(pixels).float(), dim=1)
        dense = model.backbone.dense_map(self.images)
        boxes = [sample.proposals.bboxes.to(dense) for sample in self.samples]
        with torch.autocast(self.device.type, enabled=False):
            found = roi_align(dense, boxes, 1, 1 / model.backbone.stride, -1, True).flatten(1)
        return 1 - (F.normalize(found, dim=1) * targets).sum(1).mean()


def ours(**work: Any) -> Step:
    """A job: the way of glipkit. For the arguments see :class:`Step`."""
    return Step(plain=False, **work)


def plain(**work: Any) -> Step:
    """A job: the plain way."""
    return Step(plain=True, **work)
