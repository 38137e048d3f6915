"""The deformable convolution of a GPU on a processor: the gather, and Triton's kernels, which its
interpreter runs."""
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torchvision.ops import deform_conv2d as torchvision_deform_conv2d

from glipkit.models.kernels import deform_on_gpu
from glipkit.models.kernels.deform_on_gpu import (
    GATHERED,
    Sampler,
    check_sampler,
    deform_product,
    gathered_columns,
)
from glipkit.models.kernels.sampling import Geometry

ROOT = Path(__file__).parents[2]
SIZES = ((6, 7), (3, 4), (2, 1))


def inputs(stride, dtype=torch.float64, channels=4):
    """Maps, geometries, weight (5, C, 3, 3) and bias; some places lie far outside."""
    generator = torch.Generator().manual_seed(stride)
    draw = lambda *shape: torch.randn(*shape, dtype=dtype, generator=generator)  # noqa: E731
    maps, geometries = [], []
    for height, width in SIZES:
        h, w = (height - 1) // stride + 1, (width - 1) // stride + 1
        maps.append(draw(2, channels, height, width))
        offset = draw(2, 18, h, w) * 1.5
        offset[0, :, 0, 0] *= 50
        geometries.append(Geometry(offset, draw(2, 9, h, w)))
    return maps, geometries, draw(5, channels, 3, 3), draw(5)


def convolve(maps, geometries, weight, bias, stride):
    table = torch.cat([x.permute(0, 2, 3, 1).flatten(0, 2) for x in maps])
    kernel = weight.permute(2, 3, 1, 0).reshape(-1, len(weight))
    return deform_product(table, geometries, SIZES, stride, kernel, bias)


@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('rows', [7, 10**6], ids=['in pieces', 'whole'])
def test_equals_torchvision_with_gradients(stride, rows, monkeypatch):
    monkeypatch.setattr(deform_on_gpu, 'COLUMN_BYTES', rows * 9 * 4 * 8)
    maps, geometries, weight, bias = inputs(stride)
    leaves = [*maps, *(g.offset for g in geometries), *(g.mask for g in geometries), weight, bias]
    for leaf in leaves:
        leaf.requires_grad_()
    theirs = torch.cat([
        torchvision_deform_conv2d(x, g.offset, weight, bias, stride, 1, mask=g.mask)
        .permute(0, 2, 3, 1).flatten(0, 2) for x, g in zip(maps, geometries)])
    ours = convolve(maps, geometries, weight, bias, stride)
    grad = torch.randn_like(ours)
    for a, b in zip((ours, *torch.autograd.grad(ours, leaves, grad)),
                    (theirs, *torch.autograd.grad(theirs, leaves, grad)), strict=True):
        torch.testing.assert_close(a, b)


INTERPRETED = '''
import torch
from glipkit.models.kernels import deform_columns, deform_on_gpu
from tests.test_models.test_deform_on_gpu import convolve, inputs

assert 'Interpreted' in type(deform_columns._columns).__name__
own = deform_on_gpu.Sampler(deform_columns.columns, deform_columns.columns_backward)
for dtype in (torch.float32, torch.bfloat16):
    deform_on_gpu.check_sampler(own, torch.device('cpu'), dtype)
deform_on_gpu.COLUMN_BYTES = 30 * 9 * 4 * 4  # in pieces that begin and end within maps
results = []
for chosen in (own, deform_on_gpu.GATHERED):
    deform_on_gpu.sampler = lambda device, dtype: chosen
    maps, geometries, weight, bias = inputs(1, torch.float32)
    leaves = [*maps, *(g.offset for g in geometries), *(g.mask for g in geometries), weight]
    for leaf in leaves:
        leaf.requires_grad_()
    out = convolve(maps, geometries, weight, bias, 1)
    results.append((out, *torch.autograd.grad(out.square().sum(), leaves)))
for a, b in zip(*results):
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-3)
print('equal')
'''


@pytest.mark.slow
def test_kernels_equal_the_gather():
    """Triton's interpreter runs the kernels on a processor; it has to be there from the start."""
    pytest.importorskip('triton')
    environment = {**os.environ, 'TRITON_INTERPRET': '1', 'OMP_NUM_THREADS': '1',
                   'PYTHONPATH': os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])}
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', 'import glipkit' + INTERPRETED],
                          env=environment, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip().endswith('equal'), done.stderr[-3000:]


def test_the_check_sees_wrong_numbers():
    wrong = Sampler(lambda *a: gathered_columns(*a) * 1.1, GATHERED.backward)
    with pytest.raises(RuntimeError, match='differ'):
        check_sampler(wrong, torch.device('cpu'), torch.float32)


def test_kernels_that_cannot_be_used_are_named_once(monkeypatch):
    monkeypatch.setitem(sys.modules, 'glipkit.models.kernels.deform_columns', None)
    monkeypatch.delattr('glipkit.models.kernels.deform_columns', raising=False)
    deform_on_gpu.sampler.cache_clear()
    try:
        with pytest.warns(UserWarning, match='by a gather, which is slower'):
            assert deform_on_gpu.sampler(torch.device('cuda', 0), torch.float32) is GATHERED
        assert deform_on_gpu.sampler(torch.device('cuda', 0), torch.float64) is GATHERED
    finally:
        deform_on_gpu.sampler.cache_clear()
