"""Names that GLIP learns from boxes: their prompts, their first features, their losses.

P prompts, T tokens of one, E entities, C channels of the text, R cells of an image over all levels.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from torch import Tensor

from glipkit.errors import UserError
from glipkit.models.detectors.glip_boxes import inclusive_boxes
from glipkit.models.fusion.stack import run_tower
from glipkit.models.heads.assignment import assign_targets
from glipkit.models.heads.glip_head import HeadOutputs, in_float32, rows
from glipkit.text.encoders.learned import LearnedWords
from glipkit.text.structures import Prompt, Span, TextFeatures
from glipkit.text.tokenizers.contract import Tokenizer

if TYPE_CHECKING:
    from glipkit.models.detectors.glip import GLIP

#: No caption that somebody writes begins so: what is learned is in the way of no words.
BEGINNING = '= '
#: Rounds in which the tower is asked what it makes of a start, and how far each goes.
ROUNDS, STEP = 2, .7
#: Steps of the logistic regression of a round, their size, and how much of the weight of what must
#: not be found falls to boxes of other things.
REGRESSION, RATE, RIVALS = 150, .1, .5


def example_prompts(names: Sequence[str], negatives: Sequence[str], tokenizer: Tokenizer,
                    budget: int) -> list[Prompt]:
    """As few prompts as the token budget allows; negatives stand in each.

    A name is one number in the caption, whatever it is called: its features are learned.

    Raises:
        UserError: No names, or more negatives than leave room for one.
    """
    if not names:
        raise UserError('at least one name to learn', 'none', 'name what the examples show')
    room = (budget - tokenizer.count(BEGINNING) - tokenizer.special_tokens + 1) // 2
    each = room - len(negatives)
    if each < 1:
        raise UserError(f'at most {room - 1} kinds of negatives', f'{len(negatives)}',
                        'leave some out, or give them one name')
    prompts = []
    for begin in range(0, len(names), each):
        own = names[begin:begin + each]
        caption, spans = BEGINNING, []
        for number in range(len(own) + len(negatives)):
            word = str(begin + 1 + number)
            spans.append(((len(caption), len(caption) + len(word)), ))
            caption += f'{word}. '
        prompts.append(Prompt(caption[:-2], tuple(spans), (*own, *negatives), begin, (
            *range(begin, begin + len(own)), *[-1] * len(negatives))))
    return prompts


def prompt_loss(model: GLIP, prompt: Prompt, features: Tensor, maps: Sequence[Tensor],
                samples: Sequence[DetDataSample]) -> dict[str, Tensor]:
    """See :meth:`GroundingDetector.prompt_loss`."""
    tokens = model.tokenize([prompt] * len(samples))
    mask = tokens.mask.to(features.device)
    text = TextFeatures(features.expand(len(samples), -1, -1), mask)
    spans = [_spans(prompt, sample) for sample in samples]
    boxes = [inclusive_boxes(sample).to(features.device) for sample in samples]
    box_tokens = [model.token_map_of(tokens, i, own) for i, own in enumerate(spans)]
    return model.bbox_head.loss(model.bbox_head(maps, text), mask, boxes, box_tokens)


def _spans(prompt: Prompt, sample: DetDataSample) -> list[tuple[Span, ...]]:
    return [prompt.spans[label] for label in sample.gt_instances.labels.tolist()]


def learned_encoder(model: GLIP, prompts: Sequence[Prompt],
                    features: Sequence[Tensor]) -> LearnedWords:
    """The text encoder of a view that knows the prompts by heart.

    Raises:
        UserError: Features of another shape.
    """
    ids = [model.tokenize([prompt]).ids[0].tolist() for prompt in prompts]
    wanted = [(len(piece), model.text_encoder.hidden_size) for piece in ids]
    if [tuple(one.shape) for one in features] != wanted:
        raise UserError(f'features of shapes {wanted}', f'{[tuple(v.shape) for v in features]}',
                        'load the task into the model it was made with')
    return LearnedWords(model.text_encoder, ids, features)


# -- the start without training -------------------------------------------------------------------

@torch.no_grad()
def start_rows(model: GLIP, prompt: Prompt, maps: Sequence[Sequence[Tensor]],
               samples: Sequence[DetDataSample]) -> Tensor:
    """First features (T, C) of a prompt, from its examples; labels index its entities.

    What the encoder says of the caption, what the cells of the boxes mean where the maps tell it,
    and the inverse of the alignment are tried; the lowest loss on the examples is kept.
    """
    tokens = model.tokenize([prompt])
    device = maps[0][0].device
    plain = model.text_encoder(tokens.to(device)).hidden[0].float()
    places = [int(own.nonzero()[0]) for own in model.token_map_of(tokens, 0, prompt.spans)]
    tried = [plain]
    if model.bbox_head.meanings is not None:
        tried.append(_meanings(model, plain, places, maps, samples))
    best = min(tried, key=lambda one: _loss(model, prompt, one, maps, samples))
    tried = [best]
    for _ in range(ROUNDS):
        tried.append(_invert(model, tried[-1], places, maps, samples))
    return min(tried, key=lambda one: _loss(model, prompt, one, maps, samples))


def _loss(model: GLIP, prompt: Prompt, features: Tensor, maps: Sequence[Sequence[Tensor]],
          samples: Sequence[DetDataSample]) -> float:
    """Mean loss of the names on the examples."""
    losses = [prompt_loss(model, prompt, features, own, [sample])['loss_cls'].item()
              for own, sample in zip(maps, samples)]
    return sum(losses) / len(losses)


def _positives(model: GLIP, outputs: HeadOutputs, entities: int,
               sample: DetDataSample) -> Tensor:
    """Which cells (R, E) the assignment of the training gives to which entity, bool."""
    head = model.bbox_head
    anchors = head.anchors(outputs)
    labels = sample.gt_instances.labels.to(anchors[0].device)
    target = assign_targets(head.assigner, torch.cat(anchors), [len(one) for one in anchors],
                            inclusive_boxes(sample).to(anchors[0]),
                            F.one_hot(labels, entities).bool())
    found = torch.zeros(sum(map(len, anchors)), entities, dtype=torch.bool,
                        device=anchors[0].device)
    found[target.positive] = target.tokens.bool()
    return found


def _seen(model: GLIP, features: Tensor, maps: Sequence[Tensor]
          ) -> tuple[Tensor, Tensor, HeadOutputs]:
    """Cells (R, D) before the alignment, fused tokens (T, C), and boxes of one image."""
    head = model.bbox_head
    if head.meanings is not None:
        maps = [level[:, :head.in_channels] for level in maps]
    text = TextFeatures(features[None], torch.ones(1, len(features), dtype=torch.bool,
                                                   device=features.device))
    levels, fused = run_tower(head.tower, maps, text)
    cells = torch.cat([in_float32(rows(level)) for level in levels], 1)[0]
    hidden = in_float32(fused.hidden if head.fused else text.hidden)[0]
    return cells, hidden, HeadOutputs([], levels, [])


def _meanings(model: GLIP, plain: Tensor, places: Sequence[int],
              maps: Sequence[Sequence[Tensor]], samples: Sequence[DetDataSample]) -> Tensor:
    """Each entity as the mean meaning of the cells of its boxes, as long as a token."""
    channels = model.bbox_head.in_channels
    total = plain.new_zeros(len(places), plain.shape[1])
    for own, sample in zip(maps, samples):
        cells = torch.cat([rows(level[:, channels:]) for level in own], 1)[0]
        learned, original = cells.chunk(2, dim=-1)
        chosen = _positives(model, HeadOutputs([], list(own), []), len(places), sample)
        total += chosen.to(cells).T @ (learned + original)
    found = plain.clone()
    shown = [i for i, one in enumerate(total) if one.any()]
    found[[places[i] for i in shown]] = F.normalize(total[shown], dim=-1) \
        * plain.norm(dim=-1).mean()
    return found


def _invert(model: GLIP, features: Tensor, places: Sequence[int],
            maps: Sequence[Sequence[Tensor]], samples: Sequence[DetDataSample]) -> Tensor:
    """Features one step nearer to tokens that tell the boxes of each entity from all else.

    The alignment is linear in a token of length 1: which token of that length parts the cells best
    is a logistic regression. What the tower makes of a token is taken to be the token and something
    that changes slowly, so that the difference that is missing behind it is added in front.
    """
    align = model.bbox_head.alignment
    cells, targets, hidden = [], [], []
    for own, sample in zip(maps, samples):
        seen, fused, outputs = _seen(model, features, own)
        cells.append(seen)
        hidden.append(fused)
        targets.append(_positives(model, outputs, len(places), sample))
    seen, chosen = torch.cat(cells), torch.cat(targets)
    weight, scale = align.text_projection.weight, align.log_scale.exp()
    inputs = seen @ weight / (2 * scale) + align.bias_lang
    offset = seen @ align.text_projection.bias / scale + align.bias0
    mean = torch.stack(hidden).mean(0)[list(places)]
    found = features.clone()
    wanted = _part(inputs, offset, chosen, mean)
    found[list(places)] += STEP * (wanted * mean.norm(dim=-1, keepdim=True) - mean) \
        * (features[list(places)].norm(dim=-1) / mean.norm(dim=-1))[:, None]
    return found


@torch.enable_grad()
def _part(inputs: Tensor, offset: Tensor, chosen: Tensor, start: Tensor) -> Tensor:
    """Tokens (E, C) of length 1 whose logits ``inputs @ token + offset`` part the cells best.

    Args:
        inputs: (R, C).
        offset: (R,).
        chosen: Cells of each entity (R, E), bool.
        start: (E, C).
    """
    rival = chosen.any(1, keepdim=True) & ~chosen
    weights = chosen / chosen.sum(0).clamp(min=1) + (1 - RIVALS) * ~chosen / (~chosen).sum(0) \
        + RIVALS * rival / rival.sum(0).clamp(min=1)
    tokens = start.detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([tokens], lr=RATE)
    inputs, offset = inputs.detach(), offset.detach()
    for _ in range(REGRESSION):
        logits = inputs @ F.normalize(tokens, dim=-1).T + offset[:, None]
        loss = (F.binary_cross_entropy_with_logits(logits, chosen.float(), reduction='none')
                * weights).sum()
        tokens.grad, = torch.autograd.grad(loss, [tokens])
        optimizer.step()
    return F.normalize(tokens, dim=-1).detach()
