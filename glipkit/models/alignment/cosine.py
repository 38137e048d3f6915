"""Cosine scores of regions and class embeddings (RegionCLIP section 3.2; CLIP section 2.3)."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def cosine_logits(features: Tensor, matrix: Tensor, temperature: float = 0.01,
                  background: bool = True) -> Tensor:
    """Cosines over a temperature; the background, a zero vector, has the logit 0.

    Args:
        features: Region features (..., D), of any length.
        matrix: Class embeddings (K, D), of any length; K may be 0.
        temperature: Divisor of the cosines.
        background: Whether the background's column is added, as the last one.

    Returns:
        Logits (..., K + 1), or (..., K) without background; never of
        half precision, also under autocast.
    """
    # The temperature would make a rounding of bfloat16 as large as a whole logit.
    dtype = torch.promote_types(features.dtype, torch.float32)
    with torch.autocast(features.device.type, enabled=False):
        rows = F.normalize(matrix.to(dtype), dim=-1)
        logits = F.normalize(features.to(dtype), dim=-1) @ rows.T / temperature
    if not background:
        return logits
    return torch.cat([logits, logits.new_zeros(*logits.shape[:-1], 1)], dim=-1)
