"""Deformable convolution, versions 1 and 2, by torchvision.

Layouts agree between the libraries: offsets (B, 2 * groups * kernel area, H, W) in the order
y, x; masks (B, groups * kernel area, H, W); zeros outside the image.
"""
from __future__ import annotations

import torchvision
from torch import Tensor

from glipkit.compat.operators.precision import gradients, raised

Pair = tuple[int, int]


class _Convolution:
    """The fixed arguments of one deformable convolution, in torchvision's form.

    Offsets and masks may belong to a larger map than the output, as in the coarser branch of
    mmdet's DyHead: the compiled operator reads the beginning of each sample's buffer as if it had
    the output's size, and trained weights rely on it. torchvision refuses them, so they are cut.
    """

    def __init__(self, stride: Pair, padding: Pair, dilation: Pair) -> None:
        self.stride, self.padding, self.dilation = stride, padding, dilation

    def __call__(self, input: Tensor, offset: Tensor, weight: Tensor,
                 mask: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        size = self._output_size(input, weight)
        if tuple(offset.shape[2:]) != size:
            offset = _cut(offset, size)
            mask = None if mask is None else _cut(mask, size)
        return torchvision.ops.deform_conv2d(input, offset, weight, bias, self.stride,
                                             self.padding, self.dilation, mask)

    def _output_size(self, input: Tensor, weight: Tensor) -> Pair:
        height, width = (
            (side + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1
            for side, kernel, stride, pad, dilation in zip(
                input.shape[2:], weight.shape[2:], self.stride, self.padding, self.dilation))
        return height, width


def _cut(values: Tensor, size: Pair) -> Tensor:
    """The beginning of each sample of (B, C, H, W), read as (B, C, *size)."""
    count = values.size(1) * size[0] * size[1]
    if values[0].numel() < count:
        return values  # too small: torchvision raises an error
    return values.flatten(1)[:, :count].unflatten(1, (values.size(1), *size))


def deform_conv_forward(input: Tensor, weight: Tensor, offset: Tensor, output: Tensor,
                        columns: Tensor, ones: Tensor, kW: int, kH: int, dW: int, dH: int,
                        padW: int, padH: int, dilationW: int, dilationH: int, group: int,
                        deformable_group: int, im2col_step: int) -> None:
    """Deformable convolution (Dai et al. 2017); ``output`` is overwritten.

    Groups follow from the shapes; the scratch buffers and the step are not used.
    """
    convolve = _Convolution((dH, dW), (padH, padW), (dilationH, dilationW))
    output.copy_(convolve(raised(input), raised(offset), raised(weight)))


def deform_conv_backward_input(input: Tensor, offset: Tensor, gradOutput: Tensor,
                               gradInput: Tensor, gradOffset: Tensor, weight: Tensor,
                               columns: Tensor, kW: int, kH: int, dW: int, dH: int, padW: int,
                               padH: int, dilationW: int, dilationH: int, group: int,
                               deformable_group: int, im2col_step: int) -> None:
    """Gradients with respect to input and offsets, added to their buffers."""
    convolve = _Convolution((dH, dW), (padH, padW), (dilationH, dilationW))
    grad_input, grad_offset = gradients(lambda x, o: convolve(x, o, raised(weight)),
                                        [input, offset], gradOutput)
    gradInput.add_(grad_input)
    gradOffset.add_(grad_offset)


def deform_conv_backward_parameters(input: Tensor, offset: Tensor, gradOutput: Tensor,
                                    gradWeight: Tensor, columns: Tensor, ones: Tensor, kW: int,
                                    kH: int, dW: int, dH: int, padW: int, padH: int,
                                    dilationW: int, dilationH: int, group: int,
                                    deformable_group: int, scale: float,
                                    im2col_step: int) -> None:
    """``scale`` times the gradient with respect to the weight, added to its buffer."""
    convolve = _Convolution((dH, dW), (padH, padW), (dilationH, dilationW))
    # The gradient does not depend on the weight's values, so its buffer can stand for it.
    grad, = gradients(lambda w: convolve(raised(input), raised(offset), w), [gradWeight],
                      gradOutput)
    gradWeight.add_(grad, alpha=scale)


def modulated_deform_conv_forward(input: Tensor, weight: Tensor, bias: Tensor, ones: Tensor,
                                  offset: Tensor, mask: Tensor, output: Tensor, columns: Tensor,
                                  kernel_h: int, kernel_w: int, stride_h: int, stride_w: int,
                                  pad_h: int, pad_w: int, dilation_h: int, dilation_w: int,
                                  group: int, deformable_group: int, with_bias: bool) -> None:
    """Modulated deformable convolution (Zhu et al. 2019); ``output`` is overwritten."""
    convolve = _Convolution((stride_h, stride_w), (pad_h, pad_w), (dilation_h, dilation_w))
    output.copy_(convolve(raised(input), raised(offset), raised(weight), raised(mask),
                          raised(bias) if with_bias else None))


def modulated_deform_conv_backward(input: Tensor, weight: Tensor, bias: Tensor, ones: Tensor,
                                   offset: Tensor, mask: Tensor, columns: Tensor,
                                   grad_input: Tensor, grad_weight: Tensor, grad_bias: Tensor,
                                   grad_offset: Tensor, grad_mask: Tensor, grad_output: Tensor,
                                   kernel_h: int, kernel_w: int, stride_h: int, stride_w: int,
                                   pad_h: int, pad_w: int, dilation_h: int, dilation_w: int,
                                   group: int, deformable_group: int, with_bias: bool) -> None:
    """All gradients of :func:`modulated_deform_conv_forward`, added to their buffers."""
    convolve = _Convolution((stride_h, stride_w), (pad_h, pad_w), (dilation_h, dilation_w))
    inputs = [input, offset, weight, mask]
    buffers = [grad_input, grad_offset, grad_weight, grad_mask]
    if with_bias:
        inputs.append(bias)
        buffers.append(grad_bias)
    for buffer, grad in zip(buffers, gradients(convolve, inputs, grad_output)):
        buffer.add_(grad)
