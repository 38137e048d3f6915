"""A classifier whose class names have meanings: its maps, and where in text space they point."""
from __future__ import annotations

from collections.abc import Sequence

import timm
import torch
import torch.nn.functional as F
from timm.data import ImageNetInfo
from torch import Tensor, nn

from glipkit.checkpoints.packaged import hold_packaged
from glipkit.models.backbones.towers import stem_and_blocks
from glipkit.registry import MODELS
from glipkit.text.encoders.words import word_features


@MODELS.register_module()
class SemanticBackbone(nn.Module):
    """A timm classifier that also says, cell by cell, what its classes mean.

    Its last map goes through its own classifier, and the class probabilities of a cell weight the
    text embeddings of the class names: a convex combination of semantic embeddings (Norouzi et al.,
    "Zero-Shot Learning by Convex Combination of Semantic Embeddings", ICLR 2014), here at every
    cell. Words that no box ever named are near what they look like from the start.

    Args:
        name: timm's model name, of a classifier of ImageNet-1k.
        out_indices: Stages whose maps are returned, in timm's numbering, before the map that the
            classifier reads.
        names_encoder: Config of the text encoder that reads the class names.
        packaged: Arguments of :func:`glipkit.checkpoints.packaged.read_packaged`: the weights of a
            package, in the order of timm's, which stay as they are and are not in checkpoints.
            None: random ones.

    Attributes:
        channels: Channels of each returned map.
        strides: Input pixels per cell of each returned map.
    """

    def __init__(self, name: str, out_indices: Sequence[int], names_encoder: dict,
                 packaged: dict | None = None) -> None:
        super().__init__()
        self.model = timm.create_model(name, pretrained=False)
        self.model.to(memory_format=torch.channels_last)
        self.out_indices = list(out_indices)
        stages = [self.model.feature_info[i] for i in self.out_indices]
        self._names_encoder = dict(names_encoder)
        width = names_encoder['hidden_size']
        last = self.model.feature_info[-1]['reduction']
        self.channels = [*(stage['num_chs'] for stage in stages), self.model.num_features, width]
        self.strides = [*(stage['reduction'] for stage in stages), last, last]
        self.register_buffer('class_embeddings', torch.zeros(self.model.num_classes, width))
        self._held = packaged is not None
        if self._held:
            hold_packaged(self, packaged, others=['class_embeddings'],
                          by_order=[f'model.{key}' for key in self.model.state_dict()])

    def init_weights(self) -> None:
        """Reads the class names, where they were not read before."""
        if self.class_embeddings.any():
            return
        encoder = MODELS.build(self._names_encoder).eval()
        info = ImageNetInfo('imagenet-1k')
        synonyms = [info.index_to_description(i).split(', ')
                    for i in range(len(info.label_names()))]
        with torch.no_grad():
            self.class_embeddings.copy_(torch.stack(
                [word_features(encoder, names).mean(0) for names in synonyms]))

    def train(self, mode: bool = True) -> SemanticBackbone:
        """As of any module; a backbone with weights of a package stays in evaluation mode."""
        return super().train(mode and not self._held)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images (B, 3, H, W) -> maps (B, C_i, H_i, W_i), finest first, and the meanings.

        The last map is the one that the classifier reads. The meanings (B, D, H_n, W_n) have its
        size and unit length, or are zero where no name was read yet.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self._held):
            last, maps = self.model.forward_intermediates(
                images.contiguous(memory_format=torch.channels_last), indices=self.out_indices)
            scores = self.model.get_classifier()(last.permute(0, 2, 3, 1)).softmax(-1)
            centre = self.class_embeddings.mean(0)
            meanings = scores @ F.normalize(self.class_embeddings - centre, dim=-1)
            # What all names have in common says nothing about any of them.
            common = F.normalize(centre, dim=0)
            meanings = meanings - (meanings @ common)[..., None] * common
            meanings = F.normalize(meanings, dim=-1)
        return (*maps, last, meanings.permute(0, 3, 1, 2))

    def layer_groups(self) -> list[nn.Module]:
        """The stem, the stages, and the layers behind them."""
        return stem_and_blocks(self.model)
