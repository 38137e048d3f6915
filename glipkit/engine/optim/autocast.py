"""Mixed precision that also works where there is no GPU."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from glipkit.engine.optim.tensor_clip import ClippingOptimWrapper
from glipkit.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(ClippingOptimWrapper):
    """Forward pass under bfloat16 autocast on any device; weights and gradients stay float32.

    bfloat16 has float32's range, so there is no loss scale to keep. For float16 on a GPU use
    mmengine's ``AmpOptimWrapper``. glipkit's runner refuses this wrapper on a processor that is
    slower at bfloat16 than at float32.

    Args:
        **kwargs: Arguments of :class:`ClippingOptimWrapper`.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Forward context of one training step."""
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, dtype=torch.bfloat16):
            yield
