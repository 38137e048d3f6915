"""How well a dense map names given boxes, beside what the same tower says of crops of them.

N boxes of all pictures, D channels, K names.
"""
from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from glipkit.claims.region_clip_scores import Things, Towers
from glipkit.data.transforms.proposal_crops import enlarged, square_crop
from glipkit.models.alignment.region_pooling import pool_boxes


@torch.no_grad()
def crop_features(towers: Towers, things: Things, scale: float = 1.5) -> Tensor:
    """What a tower says of a picture of each box, as a teacher sees it.

    Args:
        towers: With an image transformer.
        things: Pictures and boxes.
        scale: Side of a crop as a multiple of its box's.

    Returns:
        (N, D), of length 1, picture by picture.
    """
    size, found = towers.backbone.image_size, []
    for picture, boxes in zip(things.pictures, things.boxes):
        image = Image.fromarray(picture)
        cut = enlarged(np.asarray(boxes, float), scale, *image.size)
        crops = [square_crop(image, box, size).transpose(1, 2, 0) for box in cut.tolist()]
        found.append(towers.backbone.embed_image(towers.normalised(crops)))
    return F.normalize(torch.cat(found), dim=1)


@torch.no_grad()
def region_features(towers: Towers, things: Things, side: int, batch: int = 8) -> Tensor:
    """What the map of whole pictures says of each box.

    Args:
        towers: With an image transformer.
        things: Square pictures and boxes.
        side: Side that the pictures are resized to, bicubic.
        batch: Pictures at once.

    Returns:
        (N, D), of length 1, picture by picture.
    """
    return _pooled(towers, things, side, towers.backbone.dense_map, batch)


@torch.no_grad()
def attended_features(towers: Towers, things: Things, side: int, batch: int = 8) -> Tensor:
    """The same from a map whose last layer mixes its tokens as in the forward pass for a picture.

    Args:
        towers: With an image transformer.
        things: Square pictures and boxes.
        side: Side that the pictures are resized to, bicubic.
        batch: Pictures at once.

    Returns:
        (N, D), of length 1, picture by picture.
    """
    backbone, tokens = towers.backbone, []
    last = backbone.layers[-1].register_forward_hook(
        lambda layer, args, output: tokens.append(output[0] if isinstance(output, tuple)
                                                  else output))

    def dense_map(images: Tensor) -> Tensor:
        tokens.clear()
        backbone.embed_image(images)
        height, width = (length // backbone.stride for length in images.shape[-2:])
        cells = tokens[0][:, 1:].transpose(1, 2).unflatten(2, (height, width))
        return backbone.embed_cells(cells)

    try:
        return _pooled(towers, things, side, dense_map, batch)
    finally:
        last.remove()


def _pooled(towers: Towers, things: Things, side: int, dense_map: Callable[[Tensor], Tensor],
            batch: int) -> Tensor:
    """(N, D) what a map says of each box."""
    found: list[Tensor] = []
    for start in range(0, len(things.pictures), batch):
        part = things.pictures[start:start + batch]
        images = towers.normalised([np.asarray(Image.fromarray(picture).resize(
            (side, side), Image.BICUBIC)) for picture in part])
        boxes = [torch.from_numpy(box * side / picture.shape[1]).float()
                 for box, picture in zip(things.boxes[start:start + batch], part)]
        found += pool_boxes(dense_map(images), boxes, towers.backbone.stride)
    return torch.cat(found)


def top1(features: Tensor, words: Tensor, labels: np.ndarray) -> float:
    """Share of features (N, D) whose best of the words (K, D) is their own, in percent."""
    best = (features @ F.normalize(words, dim=1).T).argmax(1)
    return 100 * float((best == torch.from_numpy(labels)).float().mean())


def retrieval(regions: Tensor, crops: Tensor, count: int = 64, draws: int = 20,
              seed: int = 0) -> float:
    """How often a region is nearest to the crop of its own box among ``count``.

    Args:
        regions: (N, D), of length 1.
        crops: (N, D), likewise, in the same order.
        count: Boxes that are compared, drawn anew every time; by chance one of them is found.
        draws: How often.
        seed: Of the draws.

    Returns:
        A share, from 0 to 1.
    """
    random, found = torch.Generator().manual_seed(seed), []
    for _ in range(draws):
        drawn = torch.randperm(len(regions), generator=random)[:count]
        best = (regions[drawn] @ crops[drawn].T).argmax(1)
        found.append((best == torch.arange(len(drawn))).float().mean())
    return float(torch.stack(found).mean())


def centred(features: Tensor) -> Tensor:
    """Features (N, D) without what all share, of length 1: for cosines that a common direction does
    not lift."""
    return F.normalize(features - features.mean(0), dim=1)
