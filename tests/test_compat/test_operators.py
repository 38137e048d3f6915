"""The served operators, called through mmcv's own functions, against formulas written out."""
import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

import glipkit  # noqa: F401 (serves mmcv._ext)
from glipkit.compat import operator_source
from glipkit.compat.operators import OperatorNotServed, attention, boxes, pooling

mmcv_ops = pytest.importorskip('mmcv.ops')

pytestmark = pytest.mark.skipif('served' not in operator_source(),
                                reason='this mmcv has its own compiled operators')


def rand(*shape, seed=0, dtype=torch.float64):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def some_boxes(count, seed=0, size=20.):
    corner, side = rand(count, 2, seed=seed) * size, rand(count, 2, seed=seed + 1) * size
    return torch.cat([corner, corner + side], 1)


def overlap(a, b, offset=0):
    """Intersection over union of two boxes, in plain numbers."""
    width = max(0., min(a[2], b[2]) - max(a[0], b[0]) + offset)
    height = max(0., min(a[3], b[3]) - max(a[1], b[1]) + offset)
    areas = [(x[2] - x[0] + offset) * (x[3] - x[1] + offset) for x in (a, b)]
    return width * height / (sum(areas) - width * height)


def bilinear(plane, y, x):
    """Value of a (H, W) map at a point, zero outside, for deformable operators."""
    height, width = plane.shape
    value, y0, x0 = 0., math.floor(y), math.floor(x)
    for yy, xx in itertools.product((y0, y0 + 1), (x0, x0 + 1)):
        if 0 <= yy < height and 0 <= xx < width:
            value += (1 - abs(y - yy)) * (1 - abs(x - xx)) * plane[yy, xx].item()
    return value


# --- suppression and overlaps ---------------------------------------------------------------


@pytest.mark.parametrize('offset', [0, 1])
def test_nms_is_greedy_suppression(offset):
    found, scores = some_boxes(40), rand(40, seed=5)
    rest, expected = scores.argsort(descending=True).tolist(), []
    while rest:
        best, *rest = rest
        expected.append(best)
        rest = [i for i in rest
                if overlap(found[best].tolist(), found[i].tolist(), offset) <= 0.4]
    dets, kept = mmcv_ops.nms(found, scores, 0.4, offset=offset)
    assert kept.tolist() == expected
    assert 1 < len(expected) < 40
    assert torch.equal(dets, torch.cat([found, scores[:, None]], 1)[kept])


def test_nms_offset_decides_a_close_call():
    pair = torch.tensor([[0., 0, 9, 9], [0, 5, 9, 14]])
    # Exclusive edges: 36 / 126; inclusive edges: 50 / 150.
    assert len(mmcv_ops.nms(pair, torch.tensor([0.9, 0.8]), 0.3, offset=0)[1]) == 2
    assert len(mmcv_ops.nms(pair, torch.tensor([0.9, 0.8]), 0.3, offset=1)[1]) == 1


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_nms_takes_half_precision_and_no_boxes(dtype):
    found = torch.tensor([[0, 0, 8, 8], [0, 0, 8, 7], [20, 20, 28, 28]], dtype=dtype)
    scores = torch.tensor([0.5, 0.75, 0.25], dtype=dtype)
    assert mmcv_ops.nms(found, scores, 0.5)[1].tolist() == [1, 2]
    assert mmcv_ops.nms(found[:0], scores[:0], 0.5)[1].tolist() == []


def test_batched_nms_keeps_classes_apart():
    found = torch.tensor([[0., 0, 8, 8], [0, 0, 8, 8], [0, 0, 8, 8]])
    dets, kept = mmcv_ops.batched_nms(found, torch.tensor([0.5, 0.9, 0.7]),
                                      torch.tensor([0, 1, 0]),
                                      dict(type='nms', iou_threshold=0.5))
    assert kept.tolist() == [1, 2] and dets[:, 4].tolist() == pytest.approx([0.9, 0.7])


def soft_nms_reference(found, scores, threshold, sigma, min_score, method, offset):
    rest, dets, kept = list(range(len(scores))), [], []
    scores = list(scores)
    while rest:
        best = max(rest, key=lambda i: scores[i])
        rest.remove(best)
        kept.append(best)
        dets.append([*found[best], scores[best]])
        for i in list(rest):
            iou = overlap(found[best], found[i], offset)
            if method == 'gaussian':
                scores[i] *= math.exp(-iou * iou / sigma)
            elif iou >= threshold:
                scores[i] *= 1 - iou if method == 'linear' else 0
            if scores[i] < min_score:
                rest.remove(i)
    return dets, kept


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
def test_soft_nms_lowers_scores(method, offset):
    found, scores = some_boxes(30, seed=3).float(), rand(30, seed=4).float()
    dets, kept = mmcv_ops.soft_nms(found, scores, 0.3, 0.5, 0.05, method, offset)
    expected, order = soft_nms_reference(found.tolist(), scores.tolist(), 0.3, 0.5, 0.05, method,
                                         offset)
    assert kept.tolist() == order and len(order) < 30
    torch.testing.assert_close(dets, torch.tensor(expected))


def test_soft_nms_of_nothing():
    dets, kept = mmcv_ops.soft_nms(torch.zeros(0, 4), torch.zeros(0))
    assert dets.shape == (0, 5) and kept.shape == (0, )


def test_nms_match_groups_every_box_once():
    found = torch.cat([some_boxes(25, seed=7), rand(25, 1, seed=8)], 1).float()
    groups = [g.tolist() for g in mmcv_ops.nms_match(found, 0.3)]
    assert sorted(itertools.chain(*groups)) == list(range(25))
    assert [g[0] for g in groups] == mmcv_ops.nms(found[:, :4], found[:, 4], 0.3)[1].tolist()
    for first, *others in groups:
        assert all(overlap(found[first].tolist(), found[i].tolist()) >= 0.3 for i in others)
    assert any(len(g) > 1 for g in groups)


@pytest.mark.parametrize('offset', [0, 1])
def test_bbox_overlaps(offset):
    a, b = some_boxes(5, seed=1), some_boxes(4, seed=11)
    ious = mmcv_ops.bbox_overlaps(a, b, offset=offset)
    expected = torch.tensor([[overlap(x, y, offset) for y in b.tolist()] for x in a.tolist()],
                            dtype=torch.float64)
    torch.testing.assert_close(ious, expected)
    torch.testing.assert_close(mmcv_ops.bbox_overlaps(a[:4], b, aligned=True, offset=offset),
                               expected[:4].diagonal())
    area = (a[:, 2:] - a[:, :2] + offset).prod(1)
    union = area[:, None] + (b[:, 2:] - b[:, :2] + offset).prod(1)
    torch.testing.assert_close(mmcv_ops.bbox_overlaps(a, b, mode='iof', offset=offset),
                               expected * union / (1 + expected) / area[:, None])
    assert boxes.pairwise_overlaps(a, a).tolist() == pytest.approx([1.] * 5)


# --- region pooling -------------------------------------------------------------------------

ROIS = torch.tensor([[0, 1.3, 0.6, 6.1, 5.2], [1, 0.2, 2.4, 7.7, 7.9], [0, 3.1, 3.3, 3.9, 4.2]],
                    dtype=torch.float64)


def roi_align_reference(plane, roi, size, scale, ratio, aligned):
    shift = 0.5 if aligned else 0.
    x1, y1, x2, y2 = [v * scale - shift for v in roi]
    width, height = x2 - x1, y2 - y1
    if not aligned:
        width, height = max(width, 1.), max(height, 1.)
    ny = ratio or math.ceil(height / size)
    nx = ratio or math.ceil(width / size)

    def sample(y, x):
        if not (-1 <= y <= plane.shape[0] and -1 <= x <= plane.shape[1]):
            return 0.
        return bilinear(plane, min(max(y, 0), plane.shape[0] - 1),
                        min(max(x, 0), plane.shape[1] - 1))

    return [[
        sum(sample(y1 + height / size * (i + (a + 0.5) / ny),
                   x1 + width / size * (j + (b + 0.5) / nx))
            for a in range(ny) for b in range(nx)) / (ny * nx) for j in range(size)
    ] for i in range(size)]


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('ratio', [0, 2])
def test_roi_align_averages_bilinear_samples(ratio, aligned):
    x = rand(2, 2, 6, 7)
    output = mmcv_ops.roi_align(x, ROIS, 3, 0.75, ratio, 'avg', aligned)
    expected = [[roi_align_reference(x[int(r[0]), c], r[1:], 3, 0.75, ratio, aligned)
                 for c in range(2)] for r in ROIS.tolist()]
    torch.testing.assert_close(output, torch.tensor(expected, dtype=torch.float64))


def test_roi_align_gradient():
    x = rand(2, 2, 6, 7).requires_grad_()
    assert gradcheck(lambda x: mmcv_ops.roi_align(x, ROIS, 2, 0.75, 0, 'avg', True), x)


def test_roi_align_half_precision_and_empty():
    x = rand(1, 2, 6, 6, dtype=torch.float32)
    roi = torch.tensor([[0., 1, 1, 5, 5]])
    full = mmcv_ops.roi_align(x, roi, 2)
    half = mmcv_ops.roi_align(x.bfloat16().requires_grad_(), roi.bfloat16(), 2)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), full, atol=1e-2, rtol=1e-2)
    half.sum().backward()
    assert mmcv_ops.roi_align(x, roi[:0], 2).shape == (0, 2, 2, 2)


def test_roi_align_maximum_is_refused():
    with pytest.raises(OperatorNotServed, match="pool_mode='max'"):
        mmcv_ops.roi_align(rand(1, 1, 4, 4), ROIS[:1], 2, 1., 0, 'max')


def roi_pool_reference(plane, roi, size, scale):
    x1, y1, x2, y2 = roi[0] * scale, roi[1] * scale, (roi[2] + 1) * scale, (roi[3] + 1) * scale
    output = torch.zeros(size, size, dtype=plane.dtype)
    for i, j in itertools.product(range(size), range(size)):
        top = max(math.floor(y1 + i * (y2 - y1) / size), 0)
        bottom = max(math.ceil(y1 + (i + 1) * (y2 - y1) / size), 0)
        left = max(math.floor(x1 + j * (x2 - x1) / size), 0)
        right = max(math.ceil(x1 + (j + 1) * (x2 - x1) / size), 0)
        cell = plane[top:bottom, left:right]
        output[i, j] = cell.max() if cell.numel() else 0
    return output


def test_roi_pool_takes_maxima():
    x = rand(2, 3, 6, 7) - 0.5
    rois = torch.cat([ROIS, torch.tensor([[1, 30., 30, 40, 40], [0, 5, 5, 2, 2]]).double()])
    output = mmcv_ops.roi_pool(x, rois, 3, 0.7)
    expected = [torch.stack([roi_pool_reference(x[int(r[0]), c], r[1:], 3, 0.7)
                             for c in range(3)]) for r in rois[:4].tolist()]
    assert torch.equal(output[:4], torch.stack(expected))
    assert not output[3:].any()  # outside the map; turned inside out


def test_roi_pool_gradient():
    x = rand(2, 2, 6, 7).requires_grad_()
    rois = torch.cat([ROIS, torch.tensor([[1, 30., 30, 40, 40]]).double()])
    assert gradcheck(lambda x: mmcv_ops.roi_pool(x, rois, 2, 0.7), x)


def test_roi_pool_positions_point_at_the_maxima():
    x = rand(2, 3, 6, 7)
    output, places = torch.zeros(3, 3, 2, 2).double(), torch.zeros(3, 3, 2, 2, dtype=torch.int)
    pooling.roi_pool_forward(x, ROIS, output, places, 2, 2, 1.)
    picked = x[ROIS[:, 0].long()].flatten(2).gather(2, places.long().flatten(2))
    assert torch.equal(picked, output.flatten(2))


# --- deformable convolution -----------------------------------------------------------------

CASES = {
    'plain': dict(stride=1, padding=1, dilation=1, groups=1, deform_groups=1),
    'grouped': dict(stride=2, padding=2, dilation=2, groups=2, deform_groups=2),
}


def deform_inputs(case, seed=0):
    args = CASES[case]
    x, weight = rand(2, 4, 5, 6, seed=seed), rand(4, 4 // args['groups'], 3, 3, seed=seed + 1)
    size = [(s + 2 * args['padding'] - 2 * args['dilation'] - 1) // args['stride'] + 1
            for s in x.shape[2:]]
    # Away from whole pixels, where the interpolation has no derivative.
    offset = (rand(2, 18 * args['deform_groups'], *size, seed=seed + 2) - 0.5) * 3
    fraction = offset - offset.floor()
    offset = offset.floor() + fraction.clamp(0.05, 0.95)
    mask = rand(2, 9 * args['deform_groups'], *size, seed=seed + 3)
    return x, offset, mask, weight, args


def deform_reference(x, offset, mask, weight, stride, padding, dilation, groups, deform_groups):
    batch, channels, _, _ = x.shape
    out_channels, per_group, kh, kw = weight.shape
    height, width = offset.shape[2:]
    output = torch.zeros(batch, out_channels, height, width, dtype=x.dtype)
    for b, o, i, j in itertools.product(*map(range, output.shape)):
        total = 0.
        for c, u, v in itertools.product(range(per_group), range(kh), range(kw)):
            channel = o // (out_channels // groups) * per_group + c
            tap = channel // (channels // deform_groups) * kh * kw + u * kw + v
            y = i * stride - padding + u * dilation + offset[b, 2 * tap, i, j].item()
            z = j * stride - padding + v * dilation + offset[b, 2 * tap + 1, i, j].item()
            scale = 1. if mask is None else mask[b, tap, i, j].item()
            total += weight[o, c, u, v].item() * scale * bilinear(x[b, channel], y, z)
        output[b, o, i, j] = total
    return output


@pytest.mark.parametrize('case', CASES)
def test_deform_conv_samples_at_offsets(case):
    x, offset, mask, weight, args = deform_inputs(case)
    expected = deform_reference(x, offset, None, weight, **args)
    torch.testing.assert_close(mmcv_ops.deform_conv2d(x, offset, weight, *args.values()), expected)
    expected = deform_reference(x, offset, mask, weight, **args)
    bias = rand(4, seed=9)
    output = mmcv_ops.modulated_deform_conv2d(x, offset, mask, weight, bias, *args.values())
    torch.testing.assert_close(output, expected + bias[:, None, None])
    output = mmcv_ops.modulated_deform_conv2d(x, offset, mask, weight, None, *args.values())
    torch.testing.assert_close(output, expected)


@pytest.mark.parametrize('case', CASES)
def test_deform_conv_gradients(case):
    x, offset, mask, weight, args = deform_inputs(case, seed=20)
    x, offset, weight = x[:1, :, :4, :4], offset[:1], weight
    size = [(4 + 2 * args['padding'] - 2 * args['dilation'] - 1) // args['stride'] + 1] * 2
    offset, mask = offset[..., :size[0], :size[1]], mask[:1, :, :size[0], :size[1]]
    inputs = [t.contiguous().requires_grad_() for t in (x, offset, weight, mask, rand(4, seed=9))]
    x, offset, weight, mask, bias = inputs
    values = args.values()
    assert gradcheck(lambda x, o, w: mmcv_ops.deform_conv2d(x, o, w, *values),
                     (x, offset, weight), fast_mode=True)
    assert gradcheck(
        lambda x, o, m, w, b: mmcv_ops.modulated_deform_conv2d(x, o, m, w, b, *values),
        (x, offset, mask, weight, bias), fast_mode=True)
    assert gradcheck(lambda x, o, m, w: mmcv_ops.modulated_deform_conv2d(x, o, m, w, None, *values),
                     (x, offset, mask, weight), fast_mode=True)


def test_larger_offsets_are_read_from_their_beginning():
    """Offsets of a map twice as large: of each sample's 18 * 4h * 4w values the first 18 * h * w,
    in the order in which they lie in memory. mmdet's DyHead does this."""
    x, weight = rand(2, 4, 4, 3), rand(6, 4, 3, 3, seed=1)
    both = rand(2, 27, 8, 6, seed=2).requires_grad_()
    offset, mask = both.split([18, 9], dim=1)  # slices, as in the tower
    rows = [torch.stack([row.reshape(-1)[:count * 12].reshape(count, 4, 3) for row in values])
            for values, count in ((offset, 18), (mask, 9))]
    args = (1, 1, 1, 1, 1)
    expected = mmcv_ops.modulated_deform_conv2d(x, *rows, weight, None, *args)
    output = mmcv_ops.modulated_deform_conv2d(x, offset, mask, weight, None, *args)
    torch.testing.assert_close(output, expected)
    grads = [torch.autograd.grad(y.sum(), both, retain_graph=True)[0] for y in (output, expected)]
    torch.testing.assert_close(*grads)
    assert grads[0].any()


def test_deform_conv_without_offsets_is_a_convolution():
    x, offset, mask, weight, args = deform_inputs('plain')
    torch.testing.assert_close(
        mmcv_ops.deform_conv2d(x, torch.zeros_like(offset), weight, *args.values()),
        F.conv2d(x, weight, padding=1))


def test_deform_conv_under_autocast():
    torch.manual_seed(0)
    layer = mmcv_ops.ModulatedDeformConv2dPack(4, 4, 3, padding=1)
    x = torch.rand(1, 4, 8, 8)
    full = layer(x)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        half = layer(x)
    half.float().sum().backward()
    torch.testing.assert_close(half.float(), full, atol=0.03, rtol=0.05)
    assert layer.weight.grad.dtype == torch.float32 and layer.weight.grad.any()


# --- focal losses ---------------------------------------------------------------------------

TARGET = torch.tensor([0, 2, 3, 1, 2])  # 3 is the background of three classes


def sigmoid_focal_reference(x, target, weight, gamma, alpha):
    p, hot = x.sigmoid(), F.one_hot(target, 4)[:, :3]
    loss = torch.where(hot == 1, alpha * (1 - p)**gamma * -p.log(),
                       (1 - alpha) * p**gamma * -(1 - p).log())
    if weight is not None:
        loss = loss * torch.cat([weight, weight.new_ones(1)])[target][:, None]
    return loss


@pytest.mark.parametrize('reduction', ['none', 'sum', 'mean'])
@pytest.mark.parametrize('weighted', [False, True])
def test_sigmoid_focal_loss(weighted, reduction):
    x = (rand(5, 3) * 6 - 3).requires_grad_()
    weight = rand(3, seed=2) if weighted else None
    expected = sigmoid_focal_reference(x, TARGET, weight, 1.5, 0.3)
    expected = {'none': expected, 'sum': expected.sum(), 'mean': expected.sum() / 5}[reduction]
    loss = mmcv_ops.sigmoid_focal_loss(x, TARGET, 1.5, 0.3, weight, reduction)
    torch.testing.assert_close(loss, expected)
    scale = torch.rand_like(loss) if reduction == 'none' else torch.tensor(2.).double()
    got, = torch.autograd.grad(loss, x, scale)
    want, = torch.autograd.grad(expected, x, scale)
    torch.testing.assert_close(got, want)


@pytest.mark.parametrize('weighted', [False, True])
def test_softmax_focal_loss(weighted):
    target = torch.tensor([0, 2, 1, 1, 2])
    x = (rand(5, 3) * 6 - 3).requires_grad_()
    weight = rand(3, seed=2) if weighted else None
    p = x.softmax(1).gather(1, target[:, None])[:, 0]
    expected = -0.3 * (1 - p)**1.5 * p.log()
    expected = (expected * weight[target] if weighted else expected).sum() / 5
    loss = mmcv_ops.softmax_focal_loss(x, target, 1.5, 0.3, weight, 'mean')
    torch.testing.assert_close(loss, expected)
    got, want = (torch.autograd.grad(v, x)[0] for v in (loss, expected))
    torch.testing.assert_close(got, want)


@pytest.mark.parametrize('operator', ['sigmoid_focal_loss', 'softmax_focal_loss'])
@pytest.mark.parametrize('gamma', [0., 0.5, 2.])
def test_focal_losses_stay_finite_where_logits_are_large(operator, gamma):
    x = torch.tensor([[200., -200, 0], [-200, 200, 0], [-200, 200, 0]], requires_grad=True)
    loss = getattr(mmcv_ops, operator)(x, torch.tensor([0, 0, 2]), gamma, 0.25, None, 'sum')
    loss.backward()
    assert loss.isfinite() and x.grad.isfinite().all() and x.grad.any()


# --- deformable attention -------------------------------------------------------------------

SHAPES = torch.tensor([[4, 5], [2, 3]])


def attention_inputs():
    value, weights = rand(2, 26, 2, 3), rand(2, 4, 2, 2, 3, seed=1)
    return value, rand(2, 4, 2, 2, 3, 2, seed=2) * 1.2 - 0.1, weights


def attend(value, locations, weights):
    function = mmcv_ops.multi_scale_deform_attn.MultiScaleDeformableAttnFunction
    return function.apply(value, SHAPES, torch.tensor([0, 20]), locations, weights, 64)


def test_deformable_attention_sums_weighted_samples():
    value, locations, weights = attention_inputs()
    expected = torch.zeros(2, 4, 2, 3, dtype=torch.float64)
    for b, q, h, level, k, c in itertools.product(*map(range, (2, 4, 2, 2, 3, 3))):
        (height, width), start = SHAPES[level].tolist(), (0, 20)[level]
        plane = value[b, start:start + height * width, h, c].reshape(height, width)
        x, y = locations[b, q, h, level, k].tolist()
        sample = bilinear(plane, y * height - 0.5, x * width - 0.5)
        expected[b, q, h, c] += weights[b, q, h, level, k] * sample
    torch.testing.assert_close(attend(value, locations, weights), expected.flatten(2))


def test_deformable_attention_gradients():
    inputs = [t.requires_grad_() for t in attention_inputs()]
    assert gradcheck(attend, inputs, fast_mode=True)


def test_deformable_attention_keeps_half_precision():
    value, locations, weights = (t.bfloat16() for t in attention_inputs())
    output = attention.ms_deform_attn_forward(value, SHAPES, torch.tensor([0, 20]), locations,
                                              weights, 64)
    assert output.dtype == torch.bfloat16
    torch.testing.assert_close(output.double(), attend(*attention_inputs()), atol=0.1, rtol=0.1)


# --- everything else ------------------------------------------------------------------------


def test_operators_that_are_not_served_raise_when_called():
    pooling_layer = mmcv_ops.CARAFE(3, 1, 2)  # importing and building one is no fault
    with pytest.raises(OperatorNotServed, match='carafe_forward needs a compiled mmcv'):
        pooling_layer(torch.rand(1, 4, 4, 4), torch.rand(1, 9, 8, 8))


def test_private_names_are_not_operators():
    import mmcv._ext
    assert hasattr(mmcv._ext, 'an_operator_of_next_year')
    assert not hasattr(mmcv._ext, '__path__') and not hasattr(mmcv._ext, '_private')
    assert 'nms' in dir(mmcv._ext) and 'carafe_forward' not in dir(mmcv._ext)


def test_version_questions_have_an_answer():
    assert 'glipkit' in mmcv_ops.get_compiler_version()
    assert 'glipkit' in mmcv_ops.get_compiling_cuda_version()
