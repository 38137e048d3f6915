"""Text features are independent of the image: encode each caption once, keyed by its tokens."""
from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Hashable, Iterator

import torch
from torch import Tensor, nn

from glipkit.common.devices import to_device
from glipkit.errors import UserError
from glipkit.text.structures import TextFeatures, TextTokens


class TextFeatureCache:
    """Remembers the hidden states of captions that one encoder has read.

    Features come from memory only for an encoder in eval mode with gradients off. Otherwise the
    encoder runs, and in training mode the memory is emptied too.

    The memory is also emptied when a weight of the encoder has changed. Version counters show
    ``load_state_dict``, optimiser steps and other in-place writes; addresses show swapped tensors;
    one probed element per tensor shows writes through ``.data``, as an EMA hook makes. A write
    through ``.data`` that leaves the probed element as it was is not seen: call ``clear`` after it.
    On a GPU, where every probe would make the host wait, no write through ``.data`` is seen;
    detectors empty the memory when they change between training and evaluation, as happens between
    the writes of an EMA hook and the next prediction.

    Rows made under different devices, dtypes or autocast states are kept apart.

    Args:
        max_tokens: Largest number of token rows to hold. The caption used least recently is
            removed first. The default takes 48 MiB at 768 channels in float32.
    """

    def __init__(self, max_tokens: int = 16384) -> None:
        if max_tokens < 0:
            raise UserError('max_tokens of at least 0', str(max_tokens), 'pass 0 to hold nothing')
        self.max_tokens = max_tokens
        self._lock = threading.RLock()
        self.clear()

    def __len__(self) -> int:
        """Number of token rows held."""
        return self._held

    def __reduce__(self):
        # Copies of a model, as for EMA or worker processes, begin with an empty memory.
        return type(self), (self.max_tokens, )

    def clear(self) -> None:
        """Forgets everything."""
        with self._lock:
            self._rows: OrderedDict[Hashable, Tensor] = OrderedDict()
            self._held = 0
            self._encoder: weakref.ref[nn.Module] | None = None
            self._weights: Hashable = None

    def encode(self, encoder: nn.Module, tokens: TextTokens) -> TextFeatures:
        """Features of a batch of captions, from memory where possible.

        Args:
            encoder: Module that maps ``TextTokens`` to ``TextFeatures``; real rows of its output
                must not depend on padding or on the other captions.
            tokens: B captions of T token slots.

        Returns:
            The encoder's features in fresh tensors on its device. From memory, rows of padding
            are zero.
        """
        if encoder.training or torch.is_grad_enabled():
            if encoder.training:
                self.clear()
            return encoder(tokens)
        with self._lock:
            self._forget_if_changed(encoder)
            return self._encode(encoder, tokens)

    def _encode(self, encoder: nn.Module, tokens: TextTokens) -> TextFeatures:
        device = next(encoder.parameters()).device
        state = autocast_state(device.type)
        # Tokenizers work on the host, where `cpu` does nothing.
        ids, mask = tokens.ids.cpu(), tokens.mask.cpu()
        keys = [(state, tuple(own[real].tolist())) for own, real in zip(ids, mask)]
        rows = {key: self._rows[key] for key in keys if key in self._rows}
        missing = {key: i for i, key in enumerate(keys) if key not in rows}
        if missing:
            rows.update(zip(missing, _run(encoder, tokens, mask, list(missing.values()))))
        self._store(rows)
        return _side_by_side([rows[key] for key in keys], mask)

    def _store(self, rows: dict[Hashable, Tensor]) -> None:
        for key, row in rows.items():
            if key not in self._rows:
                self._held += len(row)
            self._rows[key] = row
            self._rows.move_to_end(key)
        while self._held > self.max_tokens:
            self._held -= len(self._rows.popitem(last=False)[1])

    def _forget_if_changed(self, encoder: nn.Module) -> None:
        weights = fingerprint(encoder)
        if self._encoder is None or self._encoder() is not encoder or self._weights != weights:
            self.clear()
            self._encoder, self._weights = weakref.ref(encoder), weights


def _side_by_side(rows: list[Tensor], mask: Tensor) -> TextFeatures:
    """The rows of each caption as a batch; B captions of T places, C channels.

    An encoder of tokens gives a row for each real token, which stays in its place. An encoder of
    sentences gives fewer rows, which are placed from the left.

    Args:
        rows: Rows (T_i, C) of each caption, on the encoder's device.
        mask: (B, T) of the tokens, on the host: from there all places are known without a look
            at the device.
    """
    counts = torch.tensor([len(row) for row in rows])
    if not torch.equal(counts, mask.sum(1)):
        mask = torch.arange(int(counts.max()))[None] < counts[:, None]
    device = rows[0].device
    if mask.all():
        hidden = torch.stack(rows)
    else:
        table = torch.cat([*rows, rows[0].new_zeros(1, rows[0].shape[1])])
        index = torch.full(mask.shape, len(table) - 1)
        index[mask] = torch.arange(len(table) - 1)
        hidden = table.index_select(0, to_device(index.flatten(), device))
        hidden = hidden.unflatten(0, tuple(mask.shape))
    return TextFeatures(hidden, to_device(mask, device))


def _run(encoder: nn.Module, tokens: TextTokens, mask: Tensor, which: list[int]) -> list[Tensor]:
    """Rows (T_i, C) of the real tokens, for some captions of a batch.

    Args:
        encoder: The encoder.
        tokens: The batch.
        mask: Its mask, on the host.
        which: The captions to read.
    """
    mask = mask[which]
    longest = int(mask.sum(1).max())
    if not bool(mask[:, :longest].sum() == mask.sum()):  # padding is not at the right
        longest = mask.shape[1]
    mask = mask[:, :longest]
    features = encoder(TextTokens(tokens.ids[which][:, :longest], mask.to(tokens.mask.device),
                                  [tokens.offsets[i] for i in which]))
    if not getattr(encoder, 'token_features', False):
        mask = features.mask.cpu()  # a wait, once for each caption
    real = to_device(mask.flatten().nonzero().flatten(), features.hidden.device)
    rows = features.hidden.flatten(0, 1).index_select(0, real)
    return [row.clone() for row in rows.split(mask.sum(1).tolist())]


def autocast_state(device_type: str) -> Hashable:
    """None, or the type that autocast computes in."""
    if not torch.is_autocast_enabled(device_type):
        return None
    return torch.get_autocast_dtype(device_type)


def _tensors(encoder: nn.Module) -> Iterator[Tensor]:
    for tensor in (*encoder.parameters(), *encoder.buffers()):
        if tensor.numel():
            yield tensor.detach()


def fingerprint(encoder: nn.Module) -> Hashable:
    """A value that changes when a weight changes; see `TextFeatureCache` for what it can miss."""
    tensors = list(_tensors(encoder))
    marks = tuple((t.data_ptr(), t.dtype, t.device, 0 if t.is_inference() else t._version)
                  for t in tensors)
    if tensors[0].is_cuda:
        return marks
    # Indexing, unlike flattening, never copies a tensor that is not contiguous.
    probes = torch.stack([t[tuple(size // 2 for size in t.shape)].double() for t in tensors])
    return marks, tuple(probes.tolist())
