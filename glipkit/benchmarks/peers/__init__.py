"""The models that glipkit is timed against, by the names of the command line."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Peer:
    """One entry of the command line's ``--peer``.

    Attributes:
        module: In this package; has a class ``Model``, a :class:`~..tasks.Candidate`.
        title: Title in tables.
        notes: Sentences that a reader of its numbers needs.
        transformers: The version it needs, where the running environment's will not do.
        configs: Name of a model of ours -> the peer's own config of that model. None for a peer
            that is the same whatever is compared with it.
    """
    module: str
    title: str
    notes: tuple[str, ...] = ()
    transformers: str | None = None
    configs: Mapping[str, str] | None = None


OURS = Peer('own', 'glipkit')
PEERS = {
    'mmdet': Peer(
        'mmdet_glip', "mmdet's GLIP",
        ("mmdet's GLIP has the same weights as glipkit's, converted. It does not run under "
         'transformers 5 and has an environment of its own with transformers 4.53.3.',
         'mmcv comes without compiled operators (it cannot be compiled for this PyTorch), so '
         "mmdet's GLIP runs on those that glipkit serves from torchvision, with the offsets of "
         'its deformable convolutions cut as the compiled operator reads them.'),
        transformers='4.53.3',
        configs={name: f'{stem}_fpn_dyhead_16xb2_ms-2x_funtune_coco.py' for name, stem in {
            'glip-t-a': 'glip_atss_swin-t_a', 'glip-t-b': 'glip_atss_swin-t_b',
            'glip-t-c': 'glip_atss_swin-t_c', 'glip-t': 'glip_atss_swin-t',
            'glip-l': 'glip_atss_swin-l'}.items()}),
    'hf-mm-grounding-dino': Peer(
        'mm_grounding_dino', "Hugging Face's MM-Grounding-DINO-T",
        ('MM-Grounding-DINO is another model (a Swin-T as well, an encoder and a decoder with 900 '
         'queries) with random weights: an outside reference of how long such a detector takes.',
         'Its predictions are timed without post-processing.')),
}
