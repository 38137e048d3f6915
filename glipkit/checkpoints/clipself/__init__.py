"""The CLIPSelf family: CLIP models whose image tower is a transformer, distilled or not."""
from glipkit.checkpoints.clip.fitting import fit
from glipkit.checkpoints.clip.tables import is_counter
from glipkit.checkpoints.clipself.layouts import (
    CONTAINERS,
    check,
    describe_towers,
    detect,
    from_own,
    official,
    to_own,
    variant,
)
from glipkit.checkpoints.clipself.towers import CLIP_VIT
from glipkit.checkpoints.family import Family, register

CLIPSELF = register(Family('CLIPSelf', CONTAINERS, detect, to_own, from_own, describe_towers,
                           variant, check, is_counter, dict, (CLIP_VIT, ), fit, official))

__all__ = ['CLIPSELF']
