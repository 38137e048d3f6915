"""Names that a model of regions learns from boxes: a row of the class matrix for each.

E names and negatives, N regions, D channels, K common words.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from torch import Tensor
from torchvision.ops import box_iou

from glipkit.errors import UserError
from glipkit.models.contract import GroundingDetector
from glipkit.text.structures import Prompt

#: No class name that somebody writes begins so: what is learned is in the way of no words.
BEGINNING = '= '
#: What a region may be besides: a learned name has to be nearer than these.
COMMON = ('person', 'animal', 'vehicle', 'food', 'plant', 'furniture', 'tool', 'building', 'sky',
          'ground', 'water', 'wall', 'toy', 'sign', 'object', 'background')
#: Most regions of an image that show something else, and how much of an example they may cover.
OTHERS, APART = 100, .3
STEPS, RATE = 200, .03


def example_prompt(names: Sequence[str], negatives: Sequence[str]) -> Prompt:
    """All names in one prompt, whose features are learned together, one row for each.

    Raises:
        UserError: No names.
    """
    if not names:
        raise UserError('at least one name to learn', 'none', 'name what the examples show')
    words = [str(number) for number in range(1, 1 + len(names) + len(negatives))]
    caption, spans = BEGINNING, []
    for word in words:
        spans.append(((len(caption), len(caption) + len(word)), ))
        caption += f'{word}. '
    return Prompt(caption[:-2], tuple(spans), (*names, *negatives), 0,
                  (*range(len(names)), *[-1] * len(negatives)))


def single_prompts(prompt: Prompt) -> tuple[Prompt, ...]:
    """A prompt for each of the names, as models of regions ask them."""
    found = []
    for number, (name, label) in enumerate(zip(prompt.names, prompt.labels), start=1):
        caption = f'{BEGINNING}{number}'
        span = (len(BEGINNING), len(caption))
        found.append(Prompt(caption, ((span, ), ), (name, ), 0, (label, )))
    return tuple(found)


@dataclass
class _Regions:
    """Regions in one of the spaces in which a model compares them with words.

    Args:
        features: (N, D) of length 1.
        labels: (N,), E for what shows something else.
        temperature: Divisor of the cosines.
    """

    features: Tensor
    labels: Tensor
    temperature: float


def start_rows(model: GroundingDetector, prompt: Prompt, maps: Sequence[Sequence[Tensor]],
               samples: Sequence[DetDataSample]) -> Tensor:
    """Rows (E, D) of length 1 that lie near the regions of the examples and far from all others.

    Args:
        model: Detector.
        prompt: From `example_prompt`.
        maps: Of each image the image itself, (1, 3, H, W).
        samples: With ``gt_instances``: bboxes, and labels that index the entities.
    """
    entities = len(prompt)
    found: list[_Regions] = []
    with torch.no_grad():
        for (image, ), sample in zip(maps, samples):
            boxes = sample.gt_instances.bboxes.to(image)
            others, = model.propose_boxes(image, [sample])
            if len(boxes):
                others = others[box_iou(others, boxes).amax(1) < APART]
            others = others[:OTHERS]
            labels = torch.cat([sample.gt_instances.labels.to(image.device),
                                torch.full((len(others), ), entities, device=image.device)])
            for features, temperature in model.compared(image, torch.cat([boxes, others])):
                found.append(_Regions(F.normalize(features.float(), dim=1), labels, temperature))
        words = model.label_embeddings(model.text_encoder, COMMON, model.templates)
        words = F.normalize(words.float().to(found[0].features), dim=1)
        sums = torch.zeros(entities + 1, words.shape[1], device=words.device)
        for one in found:
            sums.index_add_(0, one.labels, one.features)
        means = F.normalize(sums, dim=1)
    return _fit(F.normalize(means[:-1] - sums.mean(0) / len(found), dim=1), found, words)


@torch.enable_grad()
def _fit(start: Tensor, found: Sequence[_Regions], words: Tensor) -> Tensor:
    """Rows with which regions are told apart by their cosines, words and background beside them."""
    rows = start.detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([rows], lr=RATE)
    counts = torch.stack([torch.bincount(one.labels, minlength=len(start) + 1)
                          for one in found]).sum(0).clamp(min=1)
    for _ in range(STEPS):
        total = rows.new_zeros(())
        for one in found:
            known = torch.cat([F.normalize(rows, dim=1), words])
            logits = F.pad(one.features @ known.T, (0, 1)) / one.temperature
            scores = logits.log_softmax(1)
            other = scores[:, len(start):].logsumexp(1, keepdim=True)
            right = torch.cat([scores[:, :len(start)], other], 1).gather(1, one.labels[:, None])
            total = total - (right[:, 0] / counts[one.labels]).sum()
        rows.grad, = torch.autograd.grad(total, [rows])
        optimizer.step()
    return F.normalize(rows, dim=1).detach()
