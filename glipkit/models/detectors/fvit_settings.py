"""How F-ViT's two classifiers become one score."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from glipkit.errors import UserError
from glipkit.models.detectors.class_sets import ClassSet
from glipkit.models.roi_heads.postprocess import RegionSettings


@dataclass(frozen=True)
class FVitSettings(RegionSettings):
    """Settings of F-ViT's prediction; the defaults are those of OV-COCO.

    Attributes:
        alpha: Weight of the frozen tower's opinion, from 0 to 1, for classes that were trained.
        beta: The same for other classes.
        base_classes: The classes that were trained: a list of names, or the address of a split such
            as ``'ov-coco/base'``; None for all classes that are asked.
        vlm_temperature: Factor of the cosines of the tower's map and words.
        detector_temperature: Factor of the box head's cosines; None for the one it has learned.
    """
    score_threshold: float = 0.01
    nms_iou: float = 0.4
    alpha: float = 0.1
    beta: float = 0.8
    base_classes: str | Sequence[str] | None = None
    vlm_temperature: float = 75.
    detector_temperature: float | None = None
    _trained: ClassSet | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ('alpha', 'beta'):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f'{name} from 0 to 1', str(getattr(self, name)), 'correct it')
        for name in ('vlm_temperature', 'detector_temperature'):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UserError(f'a {name} above 0', str(value), 'correct it')
        if self.fusion != 'none':
            raise UserError("fusion='none': boxes have no score of their own here",
                            repr(self.fusion), 'leave it out')
        if self.base_classes is not None:
            object.__setattr__(self, '_trained', ClassSet(self.base_classes))

    def trained(self, names: Sequence[str]) -> Tensor:
        """Which of K classes were trained, (K,) bool."""
        if self._trained is None:
            return torch.ones(len(names), dtype=torch.bool)
        return self._trained.holds(names)


def check_taps(taps: Sequence[int], layers: int) -> tuple[int, ...]:
    """Layers whose maps are read, checked.

    Raises:
        UserError: Not four in rising order that end with the last of ``layers``.
    """
    taps = tuple(taps)
    if len(taps) != 4 or taps != tuple(sorted(set(taps))) or taps[0] < 0 or taps[-1] != layers - 1:
        raise UserError(f'four layers in rising order, from 0 to the last one, {layers - 1}',
                        str(list(taps)), 'correct taps')
    return taps
