"""How well towers name given boxes of a world, small and large ones, and pictures of one thing."""
from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from PIL import Image
from torch import Tensor, nn

from glipkit.checkpoints import load_backbone, load_text_encoder
from glipkit.data.transforms.crop_to_box import crop
from glipkit.evaluation.functional import RegionAccuracy, region_accuracy, true_ranks
from glipkit.registry import MODELS
from glipkit.text.bank import TextBank

#: Room around a thing in a picture of it, as a share of its long side; the mean of the training's.
MARGIN = 0.3


@dataclass(frozen=True)
class Towers:
    """An image tower, a text encoder, and how images are normalised.

    Args:
        backbone: A ``ClipResNet`` in evaluation mode.
        text_encoder: The encoder of its words.
        mean: RGB, 0 to 255.
        std: Likewise.
    """
    backbone: nn.Module
    text_encoder: nn.Module
    mean: Sequence[float]
    std: Sequence[float]

    @torch.no_grad()
    def words(self, names: Sequence[str]) -> Tensor:
        """Embeddings (K, D) of names, of length as they come."""
        encoder = self.text_encoder
        return encoder(encoder.tokenizer(list(names), encoder.max_positions)).hidden[:, 0]

    def normalised(self, pictures: Sequence[np.ndarray]) -> Tensor:
        """Pictures (H, W, 3) RGB uint8 of one size -> (B, 3, H, W)."""
        images = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float()
        return (images - torch.tensor(self.mean)[:, None, None]) / torch.tensor(
            self.std)[:, None, None]


def read_towers(cfg: Config, weights: Path) -> Towers:
    """The towers of a config with the weights of a file.

    Args:
        cfg: Config with ``clip_tower``, ``clip_words`` and ``clip_input``.
        weights: Any checkpoint that holds ``backbone`` and ``text_encoder``.
    """
    backbone, words = MODELS.build(cfg.clip_tower), MODELS.build(cfg.clip_words)
    load_backbone(backbone, weights)
    load_text_encoder(words, weights)
    return Towers(backbone.eval(), words.eval(), cfg.clip_input.mean, cfg.clip_input.std)


@dataclass(frozen=True)
class Things:
    """Pictures of a COCO json, all of one size.

    Args:
        pictures: RGB pictures (H, W, 3).
        boxes: Of each picture (N, 4), xyxy in its pixels.
        labels: Of each picture (N,) indices into ``names``.
        names: Category names.
    """
    pictures: list[np.ndarray]
    boxes: list[np.ndarray]
    labels: list[np.ndarray]
    names: tuple[str, ...]

    @classmethod
    def read(cls, world: Path, split: str = 'val', ann_file: str = 'val.json') -> Things:
        """The pictures of a world that have a box."""
        content = json.loads((world / 'annotations' / ann_file).read_text(encoding='utf-8'))
        names = tuple(record['name'] for record in content['categories'])
        label = {record['id']: i for i, record in enumerate(content['categories'])}
        pictures, boxes, labels = [], [], []
        for image in content['images']:
            own = [a for a in content['annotations'] if a['image_id'] == image['id']]
            if own:
                with Image.open(world / 'images' / split / image['file_name']) as picture:
                    pictures.append(np.asarray(picture.convert('RGB')))
                corners = np.array([a['bbox'] for a in own])
                boxes.append(np.concatenate([corners[:, :2], corners[:, :2] + corners[:, 2:]], 1))
                labels.append(np.array([label[a['category_id']] for a in own]))
        return cls(pictures, boxes, labels, names)

    def sides(self) -> np.ndarray:
        """Long side of each thing as a share of its picture's, picture by picture."""
        return np.concatenate([(box[:, 2:] - box[:, :2]).max(1) / picture.shape[1]
                               for box, picture in zip(self.boxes, self.pictures)])

    def all_labels(self) -> np.ndarray:
        """Labels of all things, picture by picture."""
        return np.concatenate(self.labels)


@torch.no_grad()
def region_ranks(towers: Towers, things: Things, side: int, larger: float = 1.,
                 batch: int = 16) -> np.ndarray:
    """Rank of the right name for each true box.

    Args:
        towers: The towers.
        things: Pictures and boxes.
        side: Side that the square pictures are resized to.
        larger: Enlarges what was resized, as a teacher sees it.
        batch: Pictures at once.

    Returns:
        (N,) ranks, 0 for the best, of all things in the order of the pictures.
    """
    words, ranks = F.normalize(towers.words(things.names), dim=1), []
    for start in range(0, len(things.pictures), batch):
        part = slice(start, start + batch)
        images = towers.normalised([resized(p, side) for p in things.pictures[part]])
        if larger != 1:
            images = F.interpolate(images, scale_factor=larger, mode='bilinear',
                                   align_corners=False)
        boxes = [torch.from_numpy(box * side * larger / picture.shape[1]).float()
                 for box, picture in zip(things.boxes[part], things.pictures[part])]
        features = towers.backbone.region_features(towers.backbone(images)[0], boxes)[1]
        scores = F.normalize(features, dim=1) @ words.T
        ranks.append(true_ranks(scores.numpy(), np.concatenate(things.labels[part])))
    return np.concatenate(ranks)


@torch.no_grad()
def picture_accuracy(towers: Towers, things: Things) -> RegionAccuracy:
    """Accuracy of naming each thing in a picture of its own, as CLIP was trained to."""
    size, words = towers.backbone.image_size, F.normalize(towers.words(things.names), dim=1)
    ranks = []
    for picture, boxes, labels in zip(things.pictures, things.boxes, things.labels):
        crops = [resized(_cut(picture, box), size) for box in boxes]
        features = towers.backbone.embed_image(towers.normalised(crops))
        ranks.append(true_ranks((F.normalize(features, dim=1) @ words.T).numpy(), labels))
    return region_accuracy(np.concatenate(ranks), things.all_labels(), len(things.names))


def write_pool(towers: Towers, names: Sequence[str], path: Path) -> None:
    """Writes a concept pool of names, as ``glipkit concepts --given`` does."""
    TextBank(tuple(names), towers.words(names), templates=('{}', )).write(path)


def _cut(picture: np.ndarray, box: np.ndarray) -> np.ndarray:
    side = max(round(float((box[2:] - box[:2]).max()) * (1 + 2 * MARGIN)), 1)
    left, top = np.round((box[:2] + box[2:] - side) / 2).astype(int)
    return crop(picture, int(left), int(top), side)


def resized(picture: np.ndarray, side: int) -> np.ndarray:
    """A square picture (H, H, 3) with this side, bilinear."""
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.BILINEAR))
