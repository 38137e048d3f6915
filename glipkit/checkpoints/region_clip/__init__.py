"""The RegionCLIP family: pre-trainings and detectors on CLIP's towers; their proposal networks."""
from glipkit.checkpoints.clip.fitting import fit
from glipkit.checkpoints.clip.layouts import describe_towers, variant
from glipkit.checkpoints.clip.tables import is_counter
from glipkit.checkpoints.family import Family, register
from glipkit.checkpoints.region_clip.layouts import CONTAINERS, check, detect, from_own, to_own
from glipkit.checkpoints.region_clip.proposals import PROPOSAL_NETWORK

REGION_CLIP = register(Family('RegionCLIP', CONTAINERS, detect, to_own, from_own, describe_towers,
                              variant, check, is_counter, dict, (PROPOSAL_NETWORK, ), fit))

__all__ = ['REGION_CLIP']
