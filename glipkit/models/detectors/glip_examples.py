"""Names that GLIP learns from boxes: their prompts, their first features, their losses.

P prompts, T tokens of one, E entities, C channels of the text, R cells of an image over all levels.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from torch import Tensor, nn

from glipkit.errors import UserError
from glipkit.models.contract import GroundingDetector
from glipkit.models.detectors.glip_boxes import inclusive_boxes
from glipkit.models.fusion.stack import run_tower
from glipkit.models.heads.assignment import assign_targets
from glipkit.models.heads.glip_head import HeadOutputs, in_float32, rows
from glipkit.text.encoders.learned import LearnedWords
from glipkit.text.structures import Prompt, Span, TextFeatures
from glipkit.text.tokenizers.contract import Tokenizer

#: No caption that somebody writes begins so: what is learned is in the way of no words.
BEGINNING = '= '
#: Rounds in which the tower is asked what it makes of a start, and how far each goes.
ROUNDS, STEP = 2, .7
#: Steps of the regression of a round, and their size as a share of a token.
REGRESSION, RATE = 150, .1


def example_prompts(names: Sequence[str], negatives: Sequence[str], tokenizer: Tokenizer,
                    budget: int) -> list[Prompt]:
    """As few prompts as the token budget allows; negatives stand in each.

    A name is one number in the caption, whatever it is called: its features are learned.

    Raises:
        UserError: No names, or more negatives than leave room for one.
    """
    if not names:
        raise UserError('at least one name to learn', 'none', 'name what the examples show')
    further = f'{BEGINNING}{len(names)}: '
    room = (budget - tokenizer.count(further) - tokenizer.special_tokens + 1) // 2
    each = room - len(negatives)
    if each < 1:
        raise UserError(f'at most {room - 1} kinds of negatives', f'{len(negatives)}',
                        'leave some out, or give them one name')
    prompts = []
    for begin in range(0, len(names), each):
        own = names[begin:begin + each]
        caption, spans = f'{BEGINNING}{begin // each}: ' if begin else BEGINNING, []
        for number in range(1, 1 + len(own) + len(negatives)):
            spans.append(((len(caption), len(caption) + len(str(number))), ))
            caption += f'{number}. '
        prompts.append(Prompt(caption[:-2], tuple(spans), (*own, *negatives), begin, (
            *range(begin, begin + len(own)), *[-1] * len(negatives))))
    return prompts


def prompt_loss(model: GroundingDetector, prompt: Prompt, features: Tensor, maps: Sequence[Tensor],
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


def learned_encoder(model: GroundingDetector, prompts: Sequence[Prompt],
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
def start_rows(model: GroundingDetector, prompt: Prompt, maps: Sequence[Sequence[Tensor]],
               samples: Sequence[DetDataSample]) -> Tensor:
    """First features (T, C) of a prompt, from its examples; labels index its entities.

    The alignment is inverted a few times; the lowest loss on the examples is kept.
    """
    tokens = model.tokenize([prompt])
    features = model.text_encoder(tokens.to(maps[0][0].device)).hidden[0].float()
    places = [int(own.nonzero()[0]) for own in model.token_map_of(tokens, 0, prompt.spans)]
    tried: list[tuple[float, Tensor]] = []
    for left in range(ROUNDS, -1, -1):
        parting = _parting(model, features, places, maps, samples)
        if left < ROUNDS:
            tried.append((parting.now(), features))
        if left:
            features = features.clone()
            features[places] += STEP * parting.change()
    return min(tried, key=lambda one: one[0])[1]


def _positives(model: GroundingDetector, outputs: HeadOutputs, entities: int,
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


def _seen(model: GroundingDetector, features: Tensor, maps: Sequence[Tensor]
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


def _parting(model: GroundingDetector, features: Tensor, places: Sequence[int],
             maps: Sequence[Sequence[Tensor]], samples: Sequence[DetDataSample]) -> _Parting:
    """What the tower makes of all images with the features (T, C) of a prompt."""
    head, align = model.bbox_head, model.bbox_head.alignment
    inputs, offsets, behind, meant, chosen = [], [], [], [], []
    scale = align.log_scale.exp()
    for own, sample in zip(maps, samples):
        cells, fused, outputs = _seen(model, features, own)
        inputs.append(cells @ align.text_projection.weight / (2 * scale) + align.bias_lang)
        offsets.append(cells @ align.text_projection.bias / scale + align.bias0)
        behind.append(fused[places])
        chosen.append(_positives(model, outputs, len(places), sample))
        if head.meanings is not None:
            meant.append(head.meanings.mixed(torch.cat(
                [in_float32(rows(level[:, head.in_channels:])) for level in own], 1))[0])
    return _Parting(inputs, offsets, meant, chosen, features[places], behind, head.loss_cls)


@dataclass
class _Parting:
    """Which tokens part some cells of images from the others.

    The alignment is linear in a token of length 1 behind the tower, and what cells mean in one in
    front of it, where maps have meanings. Which tokens part the cells best is a regression. What
    the tower makes of a token is taken to move as the token itself does.

    Args:
        inputs: Of each image, factors of the tokens behind the tower (R, C).
        offsets: Of each image, what no token changes, (R,).
        meanings: Of each image, factors of the tokens in front of it (R, C); empty where there are
            none.
        chosen: Of each image, the cells of each entity (R, E), bool.
        before: Tokens in front of the tower (E, C).
        behind: Of each image, what the tower makes of them (E, C).
        loss: Loss of the tokens that the head trains with.
    """

    inputs: list[Tensor]
    offsets: list[Tensor]
    meanings: list[Tensor]
    chosen: list[Tensor]
    before: Tensor
    behind: list[Tensor]
    loss: nn.Module

    def now(self) -> float:
        """Loss of the tokens as they are."""
        logits = [inputs @ F.normalize(tokens, dim=-1).T
                  for inputs, tokens in zip(self.inputs, self.behind)]
        return self._loss(torch.cat(logits), self.before).item()

    @torch.enable_grad()
    def change(self) -> Tensor:
        """What to add to the tokens in front of the tower, (E, C)."""
        inputs, behind = torch.cat(self.inputs), torch.stack(self.behind).mean(0)
        length = self.before.norm(dim=-1, keepdim=True)
        ratio = behind.norm(dim=-1, keepdim=True) / length
        change = torch.zeros_like(self.before, requires_grad=True)
        rate = RATE * length.mean().item() / change.size(1) ** .5
        optimizer = torch.optim.Adam([change], lr=rate)
        for _ in range(REGRESSION):
            logits = inputs @ F.normalize(behind + ratio * change, dim=-1).T
            change.grad, = torch.autograd.grad(self._loss(logits, self.before + change), [change])
            optimizer.step()
        return change.detach()

    def _loss(self, logits: Tensor, before: Tensor) -> Tensor:
        """Loss of logits (R, E) of the cells of all images, to which the rest is added."""
        logits = logits + torch.cat(self.offsets)[:, None]
        if self.meanings:
            logits = logits + torch.cat(self.meanings) @ F.normalize(before, dim=-1).T
        chosen = torch.cat(self.chosen)
        mask = torch.ones_like(chosen[:1])
        return self.loss(logits[None], chosen[None].float(), mask, chosen.sum().clamp(min=1))
