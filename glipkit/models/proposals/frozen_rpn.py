"""Boxes from a region proposal network that was trained before and is never trained again.

Zhong et al., "RegionCLIP", CVPR 2022, section 3: the network has a backbone of its own, which was
taught on base classes. Only its boxes and its logits are used. B images of size H x W.
"""
from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torchvision.ops import batched_nms

from glipkit.checkpoints import load_proposals
from glipkit.common.paths import config_root
from glipkit.errors import UserError
from glipkit.registry import MODELS, building_in

#: Mean and deviation of the images that CLIP sees: RGB, 0 to 255.
CLIP_MEAN = (122.7709383, 116.7460125, 104.09373615)
CLIP_STD = (68.5005327, 66.6321579, 70.32316305)


class ProposalNetwork(nn.Module):
    """Backbone, neck and proposal head of an mmdet config, without the rest of its detector.

    Args:
        model: ``model`` of the config: an ``mmdet.RPN``, or a detector with an ``rpn_head``.
    """

    def __init__(self, model: Mapping[str, Any]) -> None:
        super().__init__()
        settings = model['test_cfg']['rpn']
        self.backbone = MODELS.build(model['backbone'])
        self.neck = MODELS.build(model['neck']) if model.get('neck') else None
        self.rpn_head = MODELS.build({**model['rpn_head'], 'num_classes': 1,
                                      'test_cfg': settings})
        self.candidates = settings['nms_pre']

    def forward(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Images (B, 3, H, W) -> logits (B, A, h, w) and deltas (B, 4A, h, w) of each level."""
        maps = self.backbone(images)
        return self.rpn_head(maps if self.neck is None else self.neck(maps))

    def anchors(self, logits: Sequence[Tensor]) -> list[Tensor]:
        """Boxes (h * w * A, 4) that the deltas of each level change, in pixels of the images."""
        sizes = [level.shape[-2:] for level in logits]
        return self.rpn_head.prior_generator.grid_priors(sizes, torch.float32, logits[0].device)

    def select(self, logits: Sequence[Tensor], deltas: Sequence[Tensor],
               size: tuple[int, int], nms: float, max_boxes: int) -> InstanceData:
        """The proposals of one image.

        Args:
            logits: (A, h, w) of each level.
            deltas: (4A, h, w) of each level.
            size: Size (H, W) of the image without padding.
            nms: Overlap above which the weaker box of a level is removed.
            max_boxes: Number of boxes kept.

        Returns:
            ``bboxes`` (N, 4) and ``logits`` (N,), best first; boxes without area are dropped.
        """
        boxes, scores, levels = [], [], []
        for level, (anchors, logit, delta) in enumerate(zip(self.anchors(logits), logits, deltas)):
            best, kept = logit.permute(1, 2, 0).reshape(-1).topk(
                min(self.candidates, logit.numel()))
            delta = delta.permute(1, 2, 0).reshape(-1, 4)[kept]
            boxes.append(self.rpn_head.bbox_coder.decode(anchors[kept], delta, max_shape=size))
            scores.append(best)
            levels.append(torch.full_like(kept, level))
        box, score, level = torch.cat(boxes), torch.cat(scores), torch.cat(levels)
        real = (box[:, 2:] > box[:, :2]).all(1) & torch.isfinite(score)
        box, score, level = box[real], score[real], level[real]
        kept = batched_nms(box, score, level, nms)[:max_boxes]
        return InstanceData(bboxes=box[kept], logits=score[kept])


@dataclass(frozen=True)
class View:
    """How a network sees images: channel order, mean, deviation, and what sides are a multiple of.
    """

    rgb: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]
    divisor: int

    def __call__(self, images: Tensor, sizes: Sequence[tuple[int, int]]) -> Tensor:
        """RGB images (B, 3, H, W) in 0 to 255 as the network sees them, 0 outside of ``sizes``."""
        if not self.rgb:
            images = images.flip(1)
        images = (images - _channels(self.mean, images)) / _channels(self.std, images)
        for image, (height, width) in zip(images, sizes):
            image[:, height:] = 0
            image[:, :, width:] = 0
        height, width = images.shape[-2:]
        return F.pad(images, (0, -width % self.divisor, 0, -height % self.divisor))


def _channels(values: Sequence[float], like: Tensor) -> Tensor:
    return like.new_tensor(values)[:, None, None]


@MODELS.register_module()
class FrozenRPN:
    """A source of boxes: a proposal network of its own, outside of the model that asks it.

    The network is built and loaded at the first call. It is in no state dict, has no gradient, is
    always in evaluation mode, computes in float32, and goes to the device of the images. A copy of
    a model shares it.

    Args:
        config: An mmdet config (a path, or one below ``configs/``) whose ``model`` has a proposal
            head: backbone, neck, ``data_preprocessor`` and ``test_cfg.rpn.nms_pre`` are read.
        checkpoint: Its weights, in any layout of :func:`~glipkit.checkpoints.load_proposals`.
        nms: Overlap above which the weaker of two boxes is removed: 0.7 for detectors, 0.9 without
            training on boxes, 0.5 in pre-training.
        max_boxes: Boxes of an image.
        mean: What was subtracted from the RGB images (0 to 255) that come in.
        std: What they were divided by after that.
    """

    def __init__(self, config: str | Path, checkpoint: str | Path, nms: float = 0.7,
                 max_boxes: int = 1000, mean: Sequence[float] = CLIP_MEAN,
                 std: Sequence[float] = CLIP_STD) -> None:
        if not 0 < nms <= 1 or max_boxes < 1:
            raise UserError('an overlap nms above 0 and at most 1, and at least one box',
                            f'nms={nms}, max_boxes={max_boxes}', 'change them')
        self.config, self.checkpoint = config, checkpoint
        self.nms, self.max_boxes = nms, max_boxes
        self.mean, self.std = tuple(mean), tuple(std)
        self._built: tuple[ProposalNetwork, View] | None = None
        self._lock = threading.Lock()

    def __call__(self, images: Tensor, samples: Sequence[DetDataSample]) -> list[InstanceData]:
        """Boxes of each image.

        Args:
            images: (B, 3, H, W) normalised and padded, as the detector sees them.
            samples: Their samples; ``img_shape`` is the size without padding.

        Returns:
            Of each image ``bboxes`` (N, 4), exclusive xyxy pixels of ``images``, and ``logits``
            (N,) before the sigmoid, best first.

        Raises:
            UserError: No such config or checkpoint, or one of another network.
        """
        sizes = [tuple(sample.get('img_shape', images.shape[-2:]))[:2] for sample in samples]
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            logits, deltas = self.outputs(images, sizes)
            network = self.network(images.device)
            return [network.select([level[i] for level in logits], [level[i] for level in deltas],
                                   size, self.nms, self.max_boxes)
                    for i, size in enumerate(sizes)]

    @torch.no_grad()
    def outputs(self, images: Tensor, sizes: Sequence[tuple[int, int]]
                ) -> tuple[list[Tensor], list[Tensor]]:
        """What the head says of images (B, 3, H, W) whose real sizes these are; see
        :meth:`ProposalNetwork.forward`."""
        network = self.network(images.device)
        pixels = images.float() * _channels(self.std, images) + _channels(self.mean, images)
        return network(self._built[1](pixels, sizes))

    def network(self, device: torch.device | str = 'cpu') -> ProposalNetwork:
        """The network on a device, built and loaded where it is not yet."""
        with self._lock:
            if self._built is None:
                self._built = self._build()
            return self._built[0].to(device)

    def warm_up(self) -> None:
        """Builds the network now, so that a wrong path is known before the first image."""
        self.network()

    def _build(self) -> tuple[ProposalNetwork, View]:
        model = _read(self.config)
        with building_in('mmdet'):
            network = ProposalNetwork(model)
        load_proposals(network, self.checkpoint)
        seen = model['data_preprocessor']
        view = View(bool(seen.get('bgr_to_rgb')), tuple(seen['mean']), tuple(seen['std']),
                    seen.get('pad_size_divisor', 1))
        return network.requires_grad_(False).eval(), view

    def __deepcopy__(self, memo: dict) -> FrozenRPN:
        return self  # nothing in it ever changes

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, '_built': None, '_lock': None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())


def _read(path: str | Path) -> Mapping[str, Any]:
    """``model`` of an mmdet config that stands at a path, or below the configs of this package."""
    root = config_root()
    places = [Path(path), root.parent / path, root / path]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise UserError('the mmdet config of a proposal network', f'no such file at {path}',
                        'check the path, e.g. configs/region_clip/rpn/rpn-r50-fpn_lvis-866.py')
    try:
        model = Config.fromfile(found).get('model') or {}
    except Exception as error:  # a config is Python: any exception may come out of it
        reason = (str(error).strip().splitlines() or [''])[0]
        raise UserError('an mmdet config', f'{found} ({type(error).__name__}: {reason})',
                        'correct it') from error
    missing = [key for key in ('backbone', 'rpn_head', 'data_preprocessor', 'test_cfg')
               if key not in model]
    if missing or 'nms_pre' not in model['test_cfg'].get('rpn', {}):
        raise UserError('an mmdet config whose model has backbone, rpn_head, data_preprocessor '
                        'and test_cfg.rpn.nms_pre',
                        f'{found} without {", ".join(missing) or "test_cfg.rpn.nms_pre"}',
                        'pass the config of a proposal network or a two-stage detector')
    return model
