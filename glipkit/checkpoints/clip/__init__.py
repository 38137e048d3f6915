"""The CLIP family: image towers that are ResNets, with OpenAI's, open_clip's and timm's layouts."""
from glipkit.checkpoints.clip.fitting import fit
from glipkit.checkpoints.clip.layouts import (
    CONTAINERS,
    check,
    describe_towers,
    detect,
    from_own,
    to_own,
    variant,
)
from glipkit.checkpoints.clip.tables import is_counter
from glipkit.checkpoints.clip.towers import CLIP_RESNET, CLIP_TEXT
from glipkit.checkpoints.family import Family, register

CLIP = register(Family('CLIP', CONTAINERS, detect, to_own, from_own, describe_towers, variant,
                       check, is_counter, dict, (CLIP_RESNET, CLIP_TEXT), fit))

__all__ = ['CLIP']
