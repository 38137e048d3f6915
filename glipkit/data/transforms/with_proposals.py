"""Proposals move with the image, as boxes of the annotations do."""
from __future__ import annotations

from collections.abc import Sequence

from mmcv.transforms import BaseTransform, Compose
from mmdet.structures.bbox import HorizontalBoxes

from glipkit.errors import UserError
from glipkit.registry import TRANSFORMS


@TRANSFORMS.register_module()
class WithProposals(BaseTransform):
    """Runs transforms that change ``gt_bboxes`` so that they change ``proposals`` in the same way.

    ``mmdet.ProposalBroadcaster`` does so too, but treats every image twice and refuses samples
    without proposals; here they just pass through the transforms.

    Args:
        transforms: Configs of transforms that keep every box, such as resizing and mirroring.

    Raises:
        UserError: A transform has dropped boxes.
    """

    def __init__(self, transforms: Sequence[dict]) -> None:
        self.transforms = Compose(list(transforms))

    def transform(self, results: dict) -> dict | None:
        """Runs the transforms on one sample."""
        proposals = results.get('proposals')
        if proposals is None:
            return self.transforms(results)
        own = results.pop('gt_bboxes', None)
        results['gt_bboxes'] = proposals if own is None else HorizontalBoxes.cat([own, proposals])
        count = 0 if own is None else len(own)
        results = self.transforms(results)
        if results is None:
            return None
        boxes = results.pop('gt_bboxes')
        if len(boxes) != count + len(proposals):
            raise UserError('transforms that keep every box in WithProposals',
                            f'{count + len(proposals)} boxes before, {len(boxes)} after',
                            'move the one that crops out of it')
        results['proposals'] = boxes[count:]
        return results if own is None else {**results, 'gt_bboxes': boxes[:count]}

    def __repr__(self) -> str:
        return f'{type(self).__name__}(transforms={self.transforms})'
