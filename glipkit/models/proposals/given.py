"""Boxes from the caller."""
from __future__ import annotations

from collections.abc import Sequence

from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from glipkit.errors import UserError
from glipkit.registry import MODELS


@MODELS.register_module()
class GivenBoxes:
    """The boxes that each sample brings as ``proposals``; a sample without them is refused."""

    def __call__(self, images: Tensor, samples: Sequence[DetDataSample]) -> list[InstanceData]:
        """The samples' own ``proposals``; see :class:`~.contract.BoxSource`."""
        for sample in samples:
            if sample.get('proposals') is None:
                raise UserError('boxes with every image (the sample field `proposals`)',
                                f'none for {sample.get("img_path") or "an image"}',
                                "give them, or set box_source=dict(type='glipkit.GridBoxes')")
        return [sample.proposals for sample in samples]
