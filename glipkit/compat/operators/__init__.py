"""The operators that ``mmcv.ops`` calls, on torch and torchvision alone.

Each function has the name and arguments of the compiled one. Results go where mmcv's Python side
expects them: outputs are overwritten in place, gradient buffers (which mmcv hands in as zeros) are
added to. Precision below float32 is computed in float32, as the compiled kernels accumulate.
"""
from __future__ import annotations

from typing import Any

from glipkit.compat.operators import attention, boxes, deform, focal, pooling
from glipkit.compat.operators.missing import OperatorNotServed, missing_operator


def get_compiler_version() -> str:
    return 'none (operators served by glipkit)'


def get_compiling_cuda_version() -> str:
    return 'none (operators served by glipkit)'


SERVED = (
    attention.ms_deform_attn_forward,
    attention.ms_deform_attn_backward,
    boxes.bbox_overlaps,
    boxes.nms,
    boxes.nms_match,
    boxes.softnms,
    deform.deform_conv_forward,
    deform.deform_conv_backward_input,
    deform.deform_conv_backward_parameters,
    deform.modulated_deform_conv_forward,
    deform.modulated_deform_conv_backward,
    focal.sigmoid_focal_loss_forward,
    focal.sigmoid_focal_loss_backward,
    focal.softmax_focal_loss_forward,
    focal.softmax_focal_loss_backward,
    pooling.roi_align_forward,
    pooling.roi_align_backward,
    pooling.roi_pool_forward,
    pooling.roi_pool_backward,
    get_compiler_version,
    get_compiling_cuda_version,
)


def served_namespace() -> dict[str, Any]:
    """The contents of the served module: the operators above, and stand-ins for all others."""
    namespace: dict[str, Any] = {operator.__name__: operator for operator in SERVED}
    names = sorted(namespace)

    def __getattr__(name: str) -> Any:
        # Python looks for many private names on modules; an operator never has one.
        if name.startswith('_'):
            raise AttributeError(f'module mmcv._ext has no attribute {name!r}')
        return missing_operator(name)

    namespace.update(__getattr__=__getattr__, __dir__=lambda: names, __doc__=__doc__)
    return namespace


__all__ = ['OperatorNotServed', 'SERVED', 'served_namespace']
