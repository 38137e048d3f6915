"""A timm tower that begins with the weights of an installed package, and trains."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import timm
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from glipkit.checkpoints.packaged import read_packaged
from glipkit.errors import UserError
from glipkit.models.backbones.timm_backbone import TimmBackbone
from glipkit.models.backbones.towers import freeze_groups, stem_and_blocks
from glipkit.registry import MODELS


@MODELS.register_module()
class PackagedTower(TimmBackbone):
    """A timm model whose weights before training are those of a package.

    Other than those of `SemanticBackbone` they may change, and are in checkpoints: who has a
    trained model needs no package. Statistics of batch norms stay as they are, since batches are
    small.

    Args:
        name: timm's model name.
        out_indices: Stages whose maps are returned, in timm's numbering.
        packaged: Arguments of :func:`glipkit.checkpoints.packaged.read_packaged`; the file holds
            the tensors of the whole classifier in timm's order.
        frozen_stages: So many parts of `layer_groups` do not train.
        **kwargs: Further arguments of :func:`timm.create_model`.
    """

    def __init__(self, name: str, out_indices: Sequence[int], packaged: Mapping[str, Any],
                 frozen_stages: int = 0, **kwargs: Any) -> None:
        super().__init__(name, out_indices, **kwargs)
        self._name, self._packaged = name, dict(packaged)
        freeze_groups(self.layer_groups(), frozen_stages)

    def init_weights(self) -> None:
        """Takes the weights of the package.

        Raises:
            UserError: No such package, or one of another architecture.
        """
        state = read_packaged(**self._packaged)
        # Without memory of its own: only the names are wanted.
        with torch.device('meta'):
            names = list(timm.create_model(self._name, pretrained=False).state_dict())
        if len(names) != len(state):
            raise UserError(f'{len(names)} tensors in {self._packaged["file"]}', str(len(state)),
                            'check the name of the model and the version of the package')
        known = dict(zip(names, state.values()))
        self.model.load_state_dict({key: known[key] for key in self.model.state_dict()})

    def train(self, mode: bool = True) -> PackagedTower:
        """As of any module; batch norms stay in evaluation mode."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        return self

    def layer_groups(self) -> list[nn.Module]:
        """The stem, the stages, and the layers behind them."""
        return stem_and_blocks(self.model)
