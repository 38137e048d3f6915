"""What the image transformers of CLIP have in common: one picture, one vector or a map of vectors.

Wu et al., "CLIPSelf: Vision Transformer Distills Itself for Open-Vocabulary Dense Prediction",
ICLR 2024, section 3: the dense map leaves out the mixing of tokens in the last layer.
Letters in shapes: B images, N = h * w patches, C channels inside, D channels of an embedding.
"""
from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import (
    CheckpointPolicy,
    checkpoint,
    create_selective_checkpoint_contexts,
)

from glipkit.errors import UserError
from glipkit.models.backbones.towers import freeze_groups

Grid = tuple[int, int]
_aten = torch.ops.aten
_PRODUCTS = {_aten.mm.default, _aten.addmm.default}
if hasattr(torch.ops.mkldnn, '_linear_pointwise'):  # glipkit.common.linear
    _PRODUCTS.add(torch.ops.mkldnn._linear_pointwise.default)
_ATTENTION = {_aten.bmm.default, _aten._scaled_dot_product_flash_attention_for_cpu.default,
              _aten._scaled_dot_product_flash_attention.default,
              _aten._scaled_dot_product_efficient_attention.default,
              _aten._scaled_dot_product_cudnn_attention.default}


class VisionTransformer(BaseModule):
    """An image tower of patches; subclasses say what stands before, in and after the layers.

    Patches that do not fit into the image any more, right and bottom, are left out.

    Args:
        image_size: Side in pixels of the images that the table of positions was made for.
        patch: Side of a patch in pixels.
        width: Channels C inside.
        heads: Attention heads.
        embed_dim: Channels D of an embedding.
        with_cp: Whether a training keeps matrix products and attention of a layer alone, and
            computes what lies between them (norms, activations, rotations) again in the backward
            pass: a third of the memory for little time.
        init_cfg: mmengine's config of initial weights.

    Attributes:
        stride: Image pixels per cell of the map.
        grid: Cells (h, w) of such an image.
        channels: Channels of each returned map.

    Raises:
        UserError: Heads that do not divide the width, or patches that do not divide the image.
    """

    def __init__(self, image_size: int, patch: int, width: int, heads: int, embed_dim: int,
                 with_cp: bool = False, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        if width % heads:
            raise UserError('a width that the heads divide', f'width {width}, {heads} heads',
                            'change one of them')
        if image_size % patch:
            raise UserError('an image size that patches fill', f'{image_size} of {patch}',
                            'change one of them')
        self.image_size, self.stride, self.width, self.heads = image_size, patch, width, heads
        self.embed_dim: int = embed_dim
        self.with_cp = with_cp
        self.grid: Grid = (image_size // patch, image_size // patch)
        self.channels = [embed_dim]

    # -- what a subclass implements ---------------------------------------------------------------

    @property
    @abstractmethod
    def layers(self) -> nn.ModuleList:
        """The layers, each with ``forward`` and ``values`` (the same without other tokens)."""

    @abstractmethod
    def embed_patches(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) -> patches (B, C, h, w), without positions."""

    @abstractmethod
    def begin(self, patches: Tensor, grid: Grid) -> Tensor:
        """Patches (B, N, C) -> tokens (B, 1 + N, C) with class token and positions."""

    @abstractmethod
    def places(self, grid: Grid, device: torch.device) -> Any:
        """What every layer is told of the places of a grid's tokens."""

    @abstractmethod
    def apply_layer(self, layer: nn.Module, tokens: Tensor, places: Any) -> Tensor:
        """Tokens (B, 1 + N, C) after one layer."""

    @abstractmethod
    def project(self, tokens: Tensor) -> Tensor:
        """Last norm and projection: tokens (..., C) -> (..., D)."""

    @abstractmethod
    def layer_groups(self) -> list[nn.Module]:
        """Patches and positions, every layer, last norm and projection."""

    # -- what all have in common ------------------------------------------------------------------

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """Images (B, 3, H, W) -> the dense map (B, D, h, w), see :meth:`dense_map`."""
        return self.dense_map(images),

    def embed_image(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) -> embeddings (B, D) of the class token, not normalised."""
        tokens = None
        for tokens, _ in self._run(images, dense=False):  # noqa: B007
            pass
        return self.project(tokens[:, 0])

    def dense_map(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) -> an embedding of length 1 for every patch, (B, D, h, w).

        In the last layer a token sees itself alone: its value goes the way of the attended ones,
        and skip and MLP stay (section 3.1).
        """
        tokens, grid = None, None
        for tokens, grid in self._run(images, dense=True):  # noqa: B007
            pass
        return self.embed_cells(as_map(tokens[:, 1:], grid))

    def embed_cells(self, last: Tensor) -> Tensor:
        """The last layer's map of :meth:`tap_features` (B, C, h, w) -> the dense map (B, D, h, w).
        """
        cells = self.project(last.permute(0, 2, 3, 1))
        # Half precision would round lengths to 1 only roughly, and RoIAlign has none everywhere.
        cells = cells.to(torch.promote_types(cells.dtype, torch.float32))
        return F.normalize(cells, dim=-1).permute(0, 3, 1, 2)

    def tap_features(self, images: Tensor, indices: Sequence[int]) -> list[Tensor]:
        """Patches after some layers, as maps; the last layer as in :meth:`dense_map`.

        Args:
            images: (B, 3, H, W).
            indices: Layers, counted from 0, in rising order.

        Returns:
            Maps (B, C, h, w), before last norm and projection.

        Raises:
            UserError: A layer that is not there.
        """
        if not all(0 <= index < len(self.layers) for index in indices):
            raise UserError(f'layers from 0 to {len(self.layers) - 1}', str(list(indices)),
                            'correct the indices')
        return [as_map(tokens[:, 1:], grid)
                for index, (tokens, grid) in enumerate(self._run(images, dense=True))
                if index in indices]

    def _run(self, images: Tensor, dense: bool) -> Iterator[tuple[Tensor, Grid]]:
        """Tokens (B, 1 + N, C) and their grid after every layer."""
        if min(images.shape[-2:]) < self.stride:
            raise UserError(f'images of at least {self.stride} pixels per side, one patch',
                            f'{images.shape[-2]} x {images.shape[-1]}', 'enlarge the image')
        patches = self.embed_patches(images)
        grid = tuple(patches.shape[-2:])
        tokens = self.begin(patches.flatten(2).transpose(1, 2), grid)
        places = self.places(grid, tokens.device)
        last = len(self.layers) - 1
        for index, layer in enumerate(self.layers):
            if dense and index == last:
                tokens = self._kept_small(layer.values, tokens)
            else:
                tokens = self._kept_small(self.apply_layer, layer, tokens, places)
            yield tokens, grid

    def _kept_small(self, step: Callable[..., Tensor], *inputs: Any) -> Tensor:
        """The tokens that a step gives, with little kept for its gradients; see ``with_cp``."""
        if self.with_cp and torch.is_grad_enabled():
            return checkpoint(step, *inputs, use_reentrant=False, preserve_rng_state=False,
                              context_fn=partial(create_selective_checkpoint_contexts, _kept))
        return step(*inputs)

    def attended_alone(self) -> list[nn.Parameter]:
        """Parameters that embeddings of images need and the dense map never does."""
        return []

    def freeze(self, count: int) -> None:
        """Takes the first ``count`` of the groups out of training.

        Raises:
            UserError: A count beyond the number of groups.
        """
        freeze_groups(self.layer_groups(), count)
        self.frozen_stages = count


def _kept(_: Any, operator: Any, *inputs: Any, **__: Any) -> CheckpointPolicy:
    """What a layer with ``with_cp`` does not compute twice."""
    kept = operator in _ATTENTION
    if operator in _PRODUCTS:
        # No gradient needs the result of the last product, which leads out of the MLP.
        into, out = inputs[-1].shape
        kept = into <= out
    return CheckpointPolicy.MUST_SAVE if kept else CheckpointPolicy.PREFER_RECOMPUTE


def resize_positions(table: Tensor, native: Grid, grid: Grid) -> Tensor:
    """A table of positions for another grid; the class token's row stays as it is.

    Bicubic, by the corners of the cells, without a filter: as at run time in the official code.

    Args:
        table: (1 + N, C) of the native grid.
        native: Its (h, w).
        grid: The wanted (h, w).

    Returns:
        (1 + h * w, C); the table itself where the grids are equal.
    """
    if grid == native:
        return table
    cells = table[1:].unflatten(0, native).permute(2, 0, 1)[None].float()
    resized = F.interpolate(cells, grid, mode='bicubic', align_corners=False)
    return torch.cat([table[:1], resized[0].flatten(1).T.to(table.dtype)])


def as_map(tokens: Tensor, grid: Grid) -> Tensor:
    """Tokens (B, N, C), row by row, as a map (B, C, h, w)."""
    return tokens.transpose(1, 2).unflatten(2, grid)
