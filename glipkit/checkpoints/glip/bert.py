"""Keys of BERT text encoders: Hugging Face's, which are ours but for what surrounds them."""
from __future__ import annotations

import re
from collections.abc import Iterable

from torch import Tensor

from glipkit.checkpoints.family import TEXT_ENCODER, PartState, Tower


def _suits(keys: Iterable[str]) -> bool:
    return 'embeddings.token_type_embeddings.weight' in keys


def _read(state: dict[str, Tensor]) -> PartState:
    found, aside = {}, []
    for key, tensor in state.items():
        tail = re.sub(r'^(module\.)?(bert\.)?', '', key)
        if re.match(r'cls\.|pooler\.|embeddings\.position_ids$', tail):
            aside.append(key)
            continue
        # TensorFlow's names, in the first files that were published.
        tail = re.sub(r'LayerNorm\.gamma$', 'LayerNorm.weight', tail)
        found[re.sub(r'LayerNorm\.beta$', 'LayerNorm.bias', tail)] = tensor
    return PartState(found, [], aside)


BERT = Tower(TEXT_ENCODER, _suits, _read)
