"""What detectors with a dense map say of pixels, masks and crops, in mode ``predict`` too.

Wu et al., "CLIPSelf", ICLR 2024, sections 3 and 4 (dense use) and its evaluation of regions.
B images, N regions of an image, K labels, D channels, h and w cells of a map.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData
from torch import Tensor

from glipkit.errors import UserError
from glipkit.models.alignment.cell_maps import pixel_labels
from glipkit.models.alignment.cosine import cosine_logits
from glipkit.models.alignment.label_pooling import pool_names
from glipkit.models.alignment.region_pooling import MaskResize, cell_masks, pool_boxes, pool_masks
from glipkit.models.contract import DenseGrid, GroundingDetector
from glipkit.models.proposals.contract import image_size
from glipkit.text.query import Query

#: What a sample may ask for instead of boxes.
ANSWERS = ('pixels', 'regions', 'segments')
#: Crops that go through the tower together.
CROPS_AT_ONCE = 16


class DenseWords:
    """Beside a detector with ``dense_features`` and class embeddings, see `RegionWords`.

    A sample whose field ``ask`` is there asks for something else than boxes:

    * ``dict(answer='pixels', window=None, overlap=.5)``: ``pred_sem_seg.sem_seg`` (1, H, W), the
      label of every pixel of the original image;
    * ``dict(answer='regions', masks='coverage', crops='class_token')``: ``pred_regions`` with
      ``box_scores``, ``mask_scores`` and, where the regions bring crops, ``crop_scores``, each
      (N, K), of ``gt_regions``: ``bboxes`` and ``ids``, and ``crops`` (N, 3, S, S) uint8;
    * ``dict(answer='segments', masks='coverage')``: ``pred_regions`` with ``labels`` and ``scores``
      of ``given_regions``, or else of ``gt_regions``.

    Regions are in the frame of the original image. ``gt_segment_map`` and ``given_segment_map``
    hold ``ids`` (1, H, W), to which segment each pixel belongs.
    """

    def dense_grid(self) -> DenseGrid:
        """See :meth:`GroundingDetector.dense_grid`."""
        return DenseGrid(self.backbone.stride, self.backbone.image_size)

    def dense_logits(self, images: Tensor, query: Query) -> Tensor:
        """See :meth:`GroundingDetector.dense_logits`."""
        cells = self.dense_features(images).movedim(1, -1)
        matrix, asked = self._matrix(query).to(cells.device), len(self.label_names(query))
        logits = cosine_logits(cells, matrix, self.temperature, background=False)
        return pool_names(logits, self._pool(query))[..., :asked].movedim(-1, 1)

    def answer(self, image: Tensor, sample: DetDataSample) -> None:
        """Answers what a sample asks for, in the sample.

        Args:
            image: (1, 3, H, W), normalised, perhaps with padding of a batch.
            sample: Its sample, changed in place.

        Raises:
            UserError: It asks for something unknown, or brings no regions.
        """
        ask = dict(sample.ask)
        kind = ask.pop('answer', None)
        if kind not in ANSWERS:
            raise UserError(f'a sample that asks for {", ".join(ANSWERS)}', repr(kind),
                            'correct `answer` in the test pipeline')
        height, width = image_size(sample, image)
        image, query = image[..., :height, :width], Query.of_sample(sample)
        if kind == 'pixels':
            logits = window_logits(self, image, query, **ask)
            sample.pred_sem_seg = PixelData(sem_seg=pixel_labels(
                logits, sample.ori_shape, cell_rates(self, image, sample.ori_shape))[None])
        elif 'gt_regions' not in sample:
            raise UserError('regions to name', f'none in {sample.get("img_path")}',
                            'read the data with glipkit.CocoPanoptic and glipkit.LoadSegments')
        elif kind == 'regions':
            sample.pred_regions = self._name_regions(image, sample, query, **ask)
        else:
            whose = 'given' if 'given_regions' in sample else 'gt'
            logits = self._score_masks(self.dense_features(image), sample, query, whose, **ask)
            scores, labels = logits.softmax(1).max(1)
            sample.pred_regions = InstanceData(scores=scores, labels=labels)

    def _name_regions(self, image: Tensor, sample: DetDataSample, query: Query,
                      masks: MaskResize = 'coverage', crops: str = 'class_token') -> InstanceData:
        """Logits of each class for the boxes, masks and crops of a sample (section 4.2)."""
        regions, dense = sample.gt_regions, self.dense_features(image)
        # The exact factor of the longer side, which the official code takes for both.
        scale = max(image.shape[-2:]) / max(sample.ori_shape)
        boxes, = pool_boxes(dense, [regions.bboxes.to(dense) * scale], self.backbone.stride)
        found = InstanceData(box_scores=self._score(boxes, query),
                             mask_scores=self._score_masks(dense, sample, query, 'gt', masks))
        if 'crops' in regions:
            found.crop_scores = self._score(self._embed_crops(regions.crops, crops), query)
        return found

    def _score_masks(self, dense: Tensor, sample: DetDataSample, query: Query, whose: str,
                     masks: MaskResize = 'coverage') -> Tensor:
        """Logits (N, K) of the masks of a sample, 'gt' or 'given'."""
        segment_map, regions = sample.get(f'{whose}_segment_map'), sample.get(f'{whose}_regions')
        cells = segment_cells(segment_map.ids[0], regions.ids, tuple(dense.shape[-2:]), masks)
        return self._score(pool_masks(dense, [cells])[0], query)

    def _score(self, features: Tensor, query: Query) -> Tensor:
        return self._logits(features, query)[:, :len(self.label_names(query))].float()

    def _embed_crops(self, crops: Tensor, how: str) -> Tensor:
        """Crops (N, 3, s, s) uint8 -> embeddings (N, D): of the class token, or the cells' mean."""
        if how not in ('class_token', 'mean'):
            raise UserError("crops='class_token' or 'mean'", repr(how), 'choose one of these')
        if not len(crops):
            return crops.new_zeros(0, self.backbone.embed_dim, dtype=torch.float32)
        found = []
        for part in crops.split(CROPS_AT_ONCE):
            data = self.data_preprocessor(dict(inputs=[*part], data_samples=None), False)
            found.append(self.image_features(data['inputs']) if how == 'class_token'
                         else self.backbone.dense_map(data['inputs']).mean((2, 3)))
        return torch.cat(found)


def window_logits(model: GroundingDetector, image: Tensor, query: Query,
                  window: int | str | None = None, overlap: float = .5) -> Tensor:
    """Logits of the cells of one image, from the whole or from windows that slide over it.

    Windows begin where cells do, so that the map has the cells of the whole; where windows overlap
    it has the mean of their cosines.

    Args:
        model: A detector with a dense map.
        image: (1, 3, H, W), normalised.
        query: K labels.
        window: Side of the windows in pixels, rounded up to cells; ``'native'`` for the side of the
            images that the tower's positions were made for; None for the whole image.
        overlap: Share of a window that the next one covers too, from 0 to below 1.

    Returns:
        (K, h, w), with h = ceil(H / cell).

    Raises:
        UserError: A window or an overlap that is none.
    """
    cells, cell = _window_cells(model, window), model.dense_grid().cell
    if cells is None or max(image.shape[-2:]) <= cells * cell:
        return model.dense_logits(image, query)[0]
    rows, columns = (_places(-(-side // cell), cells, overlap) for side in image.shape[-2:])
    total = count = None
    grid = rows[-1][1], columns[-1][1]
    for top, bottom in rows:
        for left, right in columns:
            found, = model.dense_logits(
                image[..., top * cell:bottom * cell, left * cell:right * cell], query)
            if total is None:
                total, count = found.new_zeros(len(found), *grid), found.new_zeros(grid)
            total[:, top:bottom, left:right] += found
            count[top:bottom, left:right] += 1
    return total / count


def _window_cells(model: DenseWords, window: int | str | None) -> int | None:
    if window is None:
        return None
    grid = model.dense_grid()
    side = grid.native if window == 'native' else window
    if isinstance(side, bool) or not isinstance(side, int) or side < 1:
        raise UserError("a window of whole pixels, 'native' or None", repr(window), 'correct it')
    return -(-side // grid.cell)


def _places(cells: int, window: int, overlap: float) -> list[tuple[int, int]]:
    """First cell and the one behind the last, of every window along an axis."""
    if not 0 <= overlap < 1:
        raise UserError('an overlap from 0 to below 1', repr(overlap), 'correct it')
    step = max(1, round(window * (1 - overlap)))
    last = max(cells - window, 0)
    return [(start, min(start + window, cells)) for start in [*range(0, last, step), last]]


def cell_rates(model: GroundingDetector, image: Tensor,
               size: tuple[int, int]) -> tuple[float, float]:
    """Cells per pixel of the original image of a size (H, W), down and across."""
    return tuple(side / own / model.dense_grid().cell for side, own in zip(image.shape[-2:], size))


def segment_cells(segment_map: Tensor, ids: Tensor, grid: tuple[int, int],
                  how: MaskResize = 'coverage') -> Tensor:
    """Masks of pixels as masks of the cells of a square image's map that was cut to the image.

    The longer side fills the longer side of the grid, and the other one is rounded, as when the
    official code resizes masks.

    Args:
        segment_map: (H, W), the id of every pixel's segment.
        ids: (N,), of the segments asked for.
        grid: Cells (h, w) of the map.
        how: See :func:`~.alignment.region_pooling.cell_masks`.

    Returns:
        (N, h, w), bool.
    """
    scale = max(grid) / max(segment_map.shape)
    own = [min(max(int(side * scale + .5), 1), cells)
           for side, cells in zip(segment_map.shape, grid)]
    found = [cell_masks((segment_map == one)[None], tuple(own), how) for one in ids]
    cells = torch.cat(found) if found else segment_map.new_zeros(0, *own, dtype=torch.bool)
    return F.pad(cells, (0, grid[1] - own[1], 0, grid[0] - own[0]))
