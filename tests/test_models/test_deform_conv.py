"""The CPU deformable convolution against torchvision's, forward and backward."""
import pytest
import torch
from torchvision.ops import deform_conv2d as torchvision_deform_conv2d

from glipkit.models.heads.dyhead import DyConv, _mean, read_flat
from glipkit.models.kernels import gathered_product
from glipkit.models.kernels.deform_conv import deform_conv2d as deform_maps
from glipkit.models.kernels.deform_conv import level_table
from glipkit.models.kernels.sampling import Geometry


def inputs(stride: int, batch: int = 2, size: tuple[int, int] = (6, 7)) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(stride)
    h, w = ((s - 1) // stride + 1 for s in size)
    draw = lambda *shape: torch.randn(  # noqa: E731
        *shape, dtype=torch.float64, generator=generator).requires_grad_()
    return [draw(batch, 4, *size), draw(batch, 18, h, w), draw(batch, 9, h, w),
            draw(5, 4, 3, 3), draw(5)]


def deform_conv2d(x, offset, mask, weight, bias, stride):
    """One map."""
    return deform_maps([x], None, [Geometry(offset, mask)], weight, bias, stride)[0]


@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('shift', [0.3, 1.0, 8.0])
def test_equals_torchvision(stride, shift):
    x, offset, mask, weight, bias = inputs(stride)
    ours = deform_conv2d(x, offset * shift, mask, weight, bias, stride)
    theirs = torchvision_deform_conv2d(x, offset * shift, weight, bias, stride, 1, mask=mask)
    torch.testing.assert_close(ours, theirs)
    grad = torch.randn_like(ours)
    for a, b in zip(torch.autograd.grad(ours, (x, offset, mask, weight, bias), grad),
                    torch.autograd.grad(theirs, (x, offset, mask, weight, bias), grad)):
        torch.testing.assert_close(a, b)


def test_gradcheck():
    arguments = inputs(2, batch=2, size=(4, 5))
    assert torch.autograd.gradcheck(lambda *a: deform_conv2d(*a, stride=2), arguments)


@pytest.mark.parametrize('stride', [1, 2])
def test_maps_that_share_a_table_equal_torchvision_in_any_chunks(stride, monkeypatch):
    monkeypatch.setattr(gathered_product, 'CHUNK_ELEMENTS', 5 * 9 * 4)
    monkeypatch.setattr(gathered_product, 'BACKWARD_CHUNK', 7)
    ones = [inputs(stride, size=size) for size in ((6, 7), (3, 4), (2, 1))]
    weight, bias = ones[0][3:]
    ours = deform_maps([one[0] for one in ones], level_table([one[0] for one in ones]),
                       [Geometry(*one[1:3]) for one in ones], weight, bias, stride)
    theirs = [torchvision_deform_conv2d(x, offset, weight, bias, stride, 1, mask=mask)
              for x, offset, mask, *_ in ones]
    wanted = [x for one in ones for x in one[:3]] + [weight, bias]
    grads = [torch.autograd.grad(sum((m * m).sum() for m in maps), wanted)
             for maps in (ours, theirs)]
    for a, b in zip([*ours, *grads[0]], [*theirs, *grads[1]], strict=True):
        torch.testing.assert_close(a, b)


def test_positions_without_limit_see_nothing():
    x, offset, mask, weight, bias = (a.detach() for a in inputs(1))
    out = deform_conv2d(x, torch.full_like(offset, 1e30), mask, weight, bias, 1)
    torch.testing.assert_close(out, bias.view(1, -1, 1, 1).expand_as(out))


def test_is_one_operator_for_the_compiler():
    arguments = [a.detach() for a in inputs(2)]
    compiled = torch.compile(deform_conv2d, backend='aot_eager', fullgraph=True)
    torch.testing.assert_close(compiled(*arguments, 2), deform_conv2d(*arguments, 2))


def test_zero_offsets_are_an_ordinary_convolution():
    x, offset, mask, weight, bias = inputs(1)
    ours = deform_conv2d(x, offset * 0, torch.ones_like(mask), weight, bias, 1)
    torch.testing.assert_close(ours, torch.nn.functional.conv2d(x, weight, bias, padding=1))


def test_larger_buffers_are_read_from_their_start():
    buffer = torch.arange(2 * 2 * 4 * 6).view(2, 2, 4, 6)
    head = read_flat(buffer, (2, 3))
    assert head.shape == (2, 2, 2, 3)
    assert head[0].flatten().tolist() == list(range(12))
    assert head[1].flatten().tolist() == list(range(48, 60))
    assert read_flat(buffer, (4, 6)) is buffer


def test_dyconv_keeps_shapes_and_gives_gradients_to_all_levels():
    torch.manual_seed(0)
    block = DyConv(channels=16, num_groups=4)
    levels = [torch.randn(2, 16, h, w, requires_grad=True) for h, w in ((7, 9), (4, 5), (2, 3))]
    outputs = block(levels)
    assert [o.shape for o in outputs] == [level.shape for level in levels]
    outputs[1].sum().backward()
    assert all(level.grad.abs().sum() > 0 for level in levels)
    assert all(p.grad is not None for p in block.parameters())


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16, torch.float32])
def test_means_of_maps_stay_in_range(dtype):
    """200 * 300 positions of 2 add up to more than float16 holds."""
    mean = _mean(torch.full((1, 3, 200, 300), 2., dtype=dtype))
    assert mean.shape == (1, 3, 1, 1) and mean.dtype == dtype and (mean == 2).all()


def test_dyconv_under_bf16_autocast_stays_close():
    torch.manual_seed(0)
    block = DyConv(channels=16, num_groups=4)
    levels = [torch.randn(1, 16, 6, 6), torch.randn(1, 16, 3, 3)]
    plain = block(levels)
    with torch.autocast('cpu', torch.bfloat16):
        half = block(levels)
    for a, b in zip(plain, half):
        assert (a - b.float()).abs().max() < 0.05 * a.abs().max() + 0.02


def test_gradients_of_a_whole_block_with_reused_offsets():
    """A batch of two, odd sizes, stride 2, and offsets of a finer map read as a coarser one's."""
    torch.manual_seed(3)
    block = DyConv(channels=4, num_groups=2).double()
    with torch.no_grad():
        block.offset.weight.normal_(std=0.3)
        block.offset.bias.uniform_(0.15, 0.35)  # away from whole pixels, where nothing is smooth
    levels = [torch.randn(2, 4, h, w, dtype=torch.float64).requires_grad_()
              for h, w in ((5, 6), (3, 3), (2, 2))]
    parameters = list(block.parameters())
    assert torch.autograd.gradcheck(lambda *inputs: tuple(block(inputs[:3])),
                                    (*levels, *parameters), fast_mode=True)
