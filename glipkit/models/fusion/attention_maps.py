"""The cross attention with whole attention maps: few large kernels, as a GPU prefers them.

B images, N positions, h heads, T tokens, C channels.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def attend_at_once(visual: Tensor, keys: Tensor, offset: Tensor, values: Tensor, bias: Tensor,
                   mask: Tensor, num_heads: int, max_logit: float,
                   dropout: float) -> tuple[Tensor, Tensor, Tensor]:
    """What :func:`chunked_attention.attend_both_ways` returns for the same arguments.

    It is the readable form of that function, and holds tensors of (B, N, h*T).
    """
    with torch.autocast(visual.device.type, enabled=False):
        logits = torch.baddbmm(offset[:, None], visual, keys).clamp(-max_logit, max_logit)
        if torch.is_grad_enabled():
            # Gradients of the softmax need more bits than half precision keeps. Without them, a
            # kernel that computes in float32 and rounds at the end moves half the bytes.
            logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        # Subtracting a row's maximum first, as the official code does, changes no softmax.
        to_visual = logits.softmax(dim=1)
        # By the same name, so that the memory of the ones before is free again.
        logits = logits.unflatten(2, (num_heads, -1)).masked_fill(~mask[:, None, None],
                                                                  float('-inf'))
        to_text = logits.softmax(dim=3).flatten(2)
        del logits
        to_text, to_visual = (F.dropout(x, dropout) for x in (to_text, to_visual))
        updated = torch.baddbmm(visual + bias, to_text.to(values.dtype), values)
        context = to_visual.to(visual.dtype).transpose(1, 2) @ visual
        # A softmax sums to one; only dropout changes that.
        mass = to_visual.sum(dim=1) if dropout else torch.ones_like(to_visual[:, 0])
        return updated, context, mass
