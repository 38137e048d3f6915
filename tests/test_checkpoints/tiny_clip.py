"""Tiny CLIP models, detectors and pre-trainings: every tensor a real one has, in few numbers."""
from __future__ import annotations

import torch
from torch import Tensor, nn

from glipkit.checkpoints.clip.structure import ClipResNetSizes, ClipTextSizes
from glipkit.models.backbones.clip_resnet import ClipResNet
from glipkit.text.encoders.clip_text import ClipTextEncoder

IMAGE = dict(layers=(1, 2, 1, 1), width=8, embed_dim=12, heads=2, image_size=64)
TEXT = dict(width=8, heads=2, layers=2, context=10, vocab_size=30, embed_dim=12)
SIZES = ClipResNetSizes(8, (1, 2, 1, 1), 5, 12)
TEXT_SIZES = ClipTextSizes(8, 2, 10, 30, 12)
LARGE = ClipResNetSizes(16, (1, 1, 2, 1), 5, 12)


def image_tower() -> ClipResNet:
    return ClipResNet(**IMAGE)


def text_encoder() -> ClipTextEncoder:
    """Its tokenizer, which is larger, is of no meaning here."""
    return ClipTextEncoder(**TEXT)


def numbers(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {key: torch.rand(shape, generator=generator) + 0.5 for key, shape in shapes.items()}


def openai_state(teacher: str = '', counters: bool = True) -> dict[str, Tensor]:
    """As OpenAI publishes it: half precision, counters and settings beside the weights.

    Args:
        teacher: Prefix of a second image tower.
        counters: Whether norms count their batches.
    """
    state = numbers({**SIZES.shapes('visual.'), **TEXT_SIZES.shapes(''), 'logit_scale': ()})
    if teacher:
        state |= numbers(LARGE.shapes(teacher), 1)
        state |= {f'teacher_{key}': tensor for key, tensor in state.items()
                  if not key.startswith(('visual.', 'teacher_'))}
    state = {key: tensor.half() for key, tensor in state.items()}
    if counters:
        state |= {key.replace('running_var', 'num_batches_tracked'): torch.tensor(7)
                  for key in state if key.endswith('running_var')}
    return {**state, 'input_resolution': torch.tensor(64), 'context_length': torch.tensor(10),
            'vocab_size': torch.tensor(30)}


class Clip(nn.Module):
    """What a plain pre-training of a CLIP holds."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.text_encoder = image_tower(), text_encoder()
        self.logit_scale = nn.Parameter(torch.zeros(()))


class Detector(nn.Module):
    """A detector with the parts and keys of `ClipRCNN`."""

    def __init__(self, masks: bool = False) -> None:
        super().__init__()
        self.backbone, self.text_encoder = image_tower(), text_encoder()
        self.roi_head = nn.ModuleDict({'bbox_pred': nn.Linear(12, 4)})
        if masks:
            self.roi_head['mask_head'] = nn.ModuleDict({
                'deconv': nn.ConvTranspose2d(256, 6, 2, 2), 'predictor': nn.Conv2d(6, 1, 1)})


class Pretraining(nn.Module):
    """A pre-training with the parts and keys of `RegionClipPretrainer`."""

    def __init__(self, **teacher) -> None:
        super().__init__()
        self.backbone, self.text_encoder = image_tower(), text_encoder()
        self.teacher_backbone = ClipResNet(**{**IMAGE, **teacher})


def official_state(masks: bool = False, text: bool = False, teacher: bool = False
                   ) -> dict[str, Tensor]:
    """As RegionCLIP publishes a detector, or with text and teacher a pre-training."""
    shapes = {**SIZES.shapes('backbone.'), 'offline_backbone.stem.conv1.weight': (4, 3, 7, 7),
              'offline_proposal_generator.rpn_head.conv.weight': (4, 4, 3, 3)}
    if text:
        shapes |= TEXT_SIZES.shapes('lang_encoder.')
    if teacher:
        shapes |= SIZES.shapes('teacher_backbone.')
    else:
        stem = 'roi_heads.box_predictor.'
        shapes |= {f'{stem}cls_score.weight': (5, 12), f'{stem}cls_bg_score.weight': (1, 12),
                   f'{stem}test_cls_score.weight': (7, 12), f'{stem}bbox_pred.weight': (4, 12),
                   f'{stem}bbox_pred.bias': (4, )}
    if masks:
        stem = 'roi_heads.mask_head.'
        shapes |= {f'{stem}deconv.weight': (256, 6, 2, 2), f'{stem}deconv.bias': (6, ),
                   f'{stem}predictor.weight': (1, 6, 1, 1), f'{stem}predictor.bias': (1, )}
    return numbers(shapes, 2)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Equal keys, types and bits."""
    return one.keys() == other.keys() and all(
        one[key].dtype == other[key].dtype and torch.equal(one[key], other[key]) for key in one)
