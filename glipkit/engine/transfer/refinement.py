"""Steps that make the features of learned names better, on maps of images that are there already.

The official prompt tuning (GLIP appendix C.2) on few images: the image tower does not change, so it
sees every view once, and a step is one pass of the head.
"""
from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from glipkit.engine.transfer.strategy import Overrides
from glipkit.engine.transfer.view import task_view
from glipkit.models.contract import GroundingDetector
from glipkit.text.structures import Prompt

#: Rate of the first step and how many steps halve it: the rate of a step depends on its number
#: alone, so that a run may end at any of them.
RATE, HALVED_AFTER = .05, 25
BATCH, CLIP_NORM = 4, 1.
#: Steps between two looks at the views that are held out, the gain that counts, and how many looks
#: without one end the steps.
EVERY, GAIN, PATIENCE = 10, .005, 3


@dataclass(frozen=True)
class View:
    """One image as the model sees it, perhaps changed.

    Args:
        maps: What ``example_maps`` gives for it alone.
        sample: ``gt_instances`` with ``bboxes`` (G, 4), exclusive xyxy pixels of the input image,
            and ``labels`` (G,): names first, negatives behind them; and ``scale_factor``.
        held: Whether it is there to look at, not to learn from.
        first: Whether it is the image as it is.
    """

    maps: tuple[Tensor, ...]
    sample: DetDataSample
    held: bool = False
    first: bool = True

    def for_prompt(self, prompt: Prompt, names: int) -> View:
        """The same view with the boxes of one prompt alone, whose entities its labels index.

        Args:
            prompt: One of several over ``names`` names.
            names: Number of all names.
        """
        negatives = iter(range(names, names + len(prompt)))
        entity = {next(negatives) if label < 0 else label: i
                  for i, label in enumerate(prompt.labels)}
        truth = self.sample.gt_instances
        kept = [i for i, label in enumerate(truth.labels.tolist()) if label in entity]
        labels = torch.tensor([entity[int(truth.labels[i])] for i in kept], dtype=torch.long)
        sample = DetDataSample(metainfo=self.sample.metainfo)
        sample.gt_instances = InstanceData(bboxes=truth.bboxes[kept], labels=labels)
        return replace(self, sample=sample)


def frozen_view(model: GroundingDetector) -> GroundingDetector:
    """The model with the same weights, none of which asks for a gradient."""
    return task_view(model, Overrides(
        tensors={name: weight.detach() for name, weight in model.named_parameters()})).eval()


class Refinement:
    """Features of prompts on their way from a start to better ones.

    Equal starts, views and seeds give equal features after equal numbers of steps.

    Args:
        model: A `frozen_view`.
        prompts: From ``example_prompts``.
        starts: Features (T, C) of each, from ``start_rows``.
        views: Of all images.
        names: Number of names.
        seed: Seed of the order of the views.

    Attributes:
        step: Steps that are done.
        best: Features of each prompt that had the lowest loss on the held-out views.
        losses: (step, loss on the held-out views) of every look.
    """

    def __init__(self, model: GroundingDetector, prompts: Sequence[Prompt],
                 starts: Sequence[Tensor], views: Sequence[View], names: int,
                 seed: int = 0) -> None:
        self.model, self.prompts, self.seed = model, prompts, seed
        self._views = [[view.for_prompt(prompt, names) for view in views] for prompt in prompts]
        self._rows = [torch.nn.Parameter(one.detach().clone()) for one in starts]
        # The rate is one of features as long as those of the official text encoder.
        scale = torch.cat(list(starts)).square().mean().sqrt().item() or 1.
        self._rate = RATE * scale
        self._optimizer = torch.optim.Adam(self._rows, lr=self._rate)
        self._queue: list[tuple[int, list[int]]] = []
        self.step, self._passes, self._misses = 0, 0, 0
        self.best = [one.detach().clone() for one in self._rows]
        self.losses: list[tuple[int, float]] = []

    @property
    def ended(self) -> bool:
        """Whether the loss on the held-out views no longer falls."""
        return self._misses >= PATIENCE

    def advance(self) -> float:
        """Does one step; returns its loss."""
        if not self._queue:
            self._queue = list(self._pass(self._passes))
            self._passes += 1
        number, chosen = self._queue.pop(0)
        rate = self._rate / (1 + self.step / HALVED_AFTER)
        loss = sum(self._losses(number, chosen).values())
        row = self._rows[number]
        self._optimizer.zero_grad(set_to_none=True)
        row.grad, = torch.autograd.grad(loss, [row])
        torch.nn.utils.clip_grad_norm_([row], CLIP_NORM)
        for group in self._optimizer.param_groups:
            group['lr'] = rate
        self._optimizer.step()
        self.step += 1
        if self.step % EVERY == 0:
            self.look()
        return loss.item()

    def look(self) -> float:
        """Loss on the held-out views; the features are kept where it is the lowest so far."""
        with torch.no_grad():
            losses = [(sum(self._losses(number, chosen).values()).item(), len(chosen))
                      for number in range(len(self.prompts))
                      for chosen in self._batches(number, self._which(number, held=True))]
        loss = sum(one * count for one, count in losses) / max(sum(c for _, c in losses), 1)
        lowest = min((one for _, one in self.losses), default=math.inf)
        self._misses = 0 if loss < (1 - GAIN) * lowest else self._misses + 1
        if loss < lowest:
            self.best = [one.detach().clone() for one in self._rows]
        self.losses.append((self.step, loss))
        return loss

    def _losses(self, number: int, chosen: Sequence[int]) -> dict[str, Tensor]:
        views = [self._views[number][i] for i in chosen]
        maps = [torch.cat(level) for level in zip(*(view.maps for view in views))]
        return self.model.prompt_loss(self.prompts[number], self._rows[number], maps,
                                      [view.sample for view in views])

    def _which(self, number: int, held: bool) -> list[int]:
        return [i for i, view in enumerate(self._views[number]) if view.held == held]

    def _pass(self, count: int) -> Iterator[tuple[int, list[int]]]:
        """Batches of every prompt's views in an order of the pass."""
        generator = torch.Generator().manual_seed(self.seed * 100_003 + count)
        batches = []
        for number in range(len(self.prompts)):
            own = self._which(number, held=False)
            order = [own[i] for i in torch.randperm(len(own), generator=generator).tolist()]
            batches += [(number, chosen) for chosen in self._batches(number, order)]
        for i in torch.randperm(len(batches), generator=generator).tolist():
            yield batches[i]

    def _batches(self, number: int, order: Sequence[int]) -> Iterator[list[int]]:
        """Views whose maps have one size, at most `BATCH` together."""
        groups: dict[tuple[int, ...], list[int]] = {}
        for i in order:
            groups.setdefault(tuple(self._views[number][i].maps[0].shape), []).append(i)
        for own in groups.values():
            yield from (own[k:k + BATCH] for k in range(0, len(own), BATCH))

    # -- to go on later -------------------------------------------------------------------------

    def state(self) -> tuple[dict[str, Tensor], dict[str, object]]:
        """Tensors and plain values from which `load` goes on."""
        tensors = {}
        for i, (row, best) in enumerate(zip(self._rows, self.best)):
            own = self._optimizer.state.get(row) or {}
            tensors |= {f'row.{i}': row.detach(), f'best.{i}': best}
            tensors |= {f'{key}.{i}': own[key] for key in ('exp_avg', 'exp_avg_sq', 'step')
                        if key in own}
        return {key: value.cpu().clone().contiguous() for key, value in tensors.items()}, dict(
            step=self.step, passes=self._passes, left=len(self._queue), misses=self._misses,
            losses=self.losses)

    def load(self, tensors: Mapping[str, Tensor], values: Mapping[str, object]) -> None:
        """Goes on where `state` was taken, of a refinement with equal arguments."""
        with torch.no_grad():
            for i, row in enumerate(self._rows):
                row.copy_(tensors[f'row.{i}'])
                self.best[i] = tensors[f'best.{i}'].to(row)
                if f'exp_avg.{i}' in tensors:
                    self._optimizer.state[row] = {
                        'step': tensors[f'step.{i}'].clone(),
                        **{key: tensors[f'{key}.{i}'].to(row) for key in ('exp_avg', 'exp_avg_sq')}}
        self.step, self._passes, self._misses = (
            int(values[key]) for key in ('step', 'passes', 'misses'))
        self.losses = [(int(step), float(loss)) for step, loss in values['losses']]
        left = int(values['left'])
        if left:
            self._queue = list(self._pass(self._passes - 1))[-left:]
