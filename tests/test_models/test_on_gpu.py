"""Every branch that a GPU takes, on one: equal to the processor's, without waits, recorded."""
import copy

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData
from torchvision.ops import deform_conv2d as torchvision_deform_conv2d

from glipkit.apis.build import build_model
from glipkit.common.tf32 import tf32
from glipkit.engine.optim.autocast import AutocastOptimWrapper
from glipkit.models.backbones.swin import SwinTransformer
from glipkit.models.fusion.bi_attention import BiAttention
from glipkit.models.heads.dyhead import DyConv
from glipkit.models.kernels import deform_on_gpu
from glipkit.models.kernels.sampling import Geometry
from glipkit.testing import tiny_glip
from glipkit.text.query import Query
from glipkit.text.structures import TextFeatures

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(),
                                                  reason='needs a GPU')]
TEXTS = (('red circle', 'blue star'), tuple(f'thing {i}' for i in range(40)))


@pytest.fixture(autouse=True)
def full_float32():
    with tf32(False):
        yield


def assert_close(found, wanted, tolerance=1e-3):
    """Within a share of the largest value."""
    found, wanted = found.detach().float().cpu(), wanted.detach().float().cpu()
    assert (found - wanted).abs().max() <= tolerance * wanted.abs().max().clamp(min=1e-6)


def grads_of(module, outputs):
    """Gradients of the sum of squares, by name."""
    module.zero_grad()
    sum(out.float().square().sum() for out in outputs).backward()
    return {name: p.grad for name, p in module.named_parameters() if p.grad is not None}


@pytest.mark.parametrize('with_cp', [False, True])
def test_swin(with_cp):
    torch.manual_seed(0)
    ours = SwinTransformer(embed_dims=32, depths=[2, 2], num_heads=[1, 2], strides=(4, 2),
                           window_size=7, drop_path_rate=0., out_indices=(0, 1), with_cp=with_cp)
    there, images = copy.deepcopy(ours).cuda(), torch.randn(2, 3, 75, 58)
    with torch.no_grad():
        for a, b in zip(there(images.cuda()), ours(images)):
            assert_close(a, b)
    own = grads_of(ours, ours(images))
    for name, grad in grads_of(there, there(images.cuda())).items():
        assert_close(grad, own[name], 5e-3)


@pytest.mark.parametrize(('dtype', 'tolerance'), [(torch.float32, 1e-4), (torch.bfloat16, 3e-2)])
@pytest.mark.parametrize('stride', [1, 2])
def test_deformable_convolution(dtype, tolerance, stride):
    """The kernels, the gather, and torchvision's operator in float32."""
    torch.manual_seed(0)
    size, batch = (9, 11), 2
    h, w = ((side - 1) // stride + 1 for side in size)
    x = torch.randn(batch, 256, *size, device='cuda')
    offset, mask = torch.randn(batch, 18, h, w, device='cuda') * 2, torch.rand(
        batch, 9, h, w, device='cuda')
    weight, bias = torch.randn(64, 256, 3, 3, device='cuda') / 48, torch.randn(64, device='cuda')
    kernel = weight.permute(2, 3, 1, 0).reshape(-1, 64)
    results = []
    for chosen in (deform_on_gpu.sampler(x.device, dtype), deform_on_gpu.GATHERED, None):
        leaves = [one.clone().requires_grad_() for one in (x, offset, mask, kernel)]
        if chosen is None:
            own = leaves[3].view(3, 3, 256, 64).permute(3, 2, 0, 1)
            out = torchvision_deform_conv2d(leaves[0], leaves[1], own, bias, stride, 1,
                                            mask=leaves[2]).permute(0, 2, 3, 1).flatten(0, 2)
        else:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(deform_on_gpu, 'sampler', lambda *_, chosen=chosen: chosen)
                table = leaves[0].permute(0, 2, 3, 1).flatten(0, 2).to(dtype)
                out = deform_on_gpu.deform_product(
                    table, [Geometry(leaves[1], leaves[2])], [size], stride, leaves[3].to(dtype),
                    bias.to(dtype))
        results.append((out, *torch.autograd.grad(out.float().square().sum(), leaves)))
    assert deform_on_gpu.sampler(x.device, dtype) is not deform_on_gpu.GATHERED, 'no kernels'
    for found in results[:2]:
        for a, b in zip(found, results[2]):
            assert_close(a, b, tolerance)


@pytest.mark.parametrize('part', ['dyconv', 'fusion'])
def test_parts_of_the_tower(part):
    torch.manual_seed(0)
    levels = [torch.randn(2, 32, *size) for size in ((13, 9), (7, 5), (4, 3))]
    if part == 'dyconv':
        ours, text = DyConv(32, 4), ()
        torch.nn.init.normal_(ours.offset.weight, std=.1)
    else:
        ours = BiAttention(32, 16, 64, 4, dropout=0., init_gamma=1.)
        mask = torch.arange(6)[None] < torch.tensor([[6], [4]])
        text = (TextFeatures(torch.randn(2, 6, 16), mask), )
    there = copy.deepcopy(ours).cuda()
    moved = [TextFeatures(one.hidden.cuda(), one.mask.cuda()) for one in text]
    flat = lambda out: [*out[0], out[1].hidden] if part == 'fusion' else out  # noqa: E731
    own, found = flat(ours(levels, *text)), flat(there([x.cuda() for x in levels], *moved))
    for a, b in zip(found, own):
        assert_close(a, b)
    wanted = grads_of(ours, own)
    for name, grad in grads_of(there, found).items():
        assert_close(grad, wanted[name], 1e-2)


@pytest.fixture(scope='module')
def models():
    """A tiny model on the processor and the same on the GPU."""
    torch.manual_seed(0)
    config = tiny_glip.TINY_CONFIG.replace('mmdet.SwinTransformer', 'SwinTransformer')
    model = build_model(Config.fromstring(config, '.py')).eval()
    return model, copy.deepcopy(model).cuda()


def predict(model, images, texts=TEXTS):
    device = next(model.parameters()).device
    samples = [DetDataSample(metainfo=dict(text=texts[i % len(texts)]))
               for i in range(len(images))]
    with torch.no_grad():
        found = model(images.to(device), samples, mode='predict')
    return [one.pred_instances for one in found]


def assert_same_detections(found, wanted, tolerance=1e-3):
    for a, b in zip(found, wanted, strict=True):
        assert abs(len(a) - len(b)) <= 1
        best = min(5, len(a), len(b))
        torch.testing.assert_close(a.scores[:best].cpu(), b.scores[:best].cpu(), atol=tolerance,
                                   rtol=tolerance)


def test_predictions(models):
    images = torch.randn(3, 3, 64, 96)
    assert_same_detections(predict(models[1], images), predict(models[0], images))


def test_a_batch_of_eight_is_eight_images(models):
    images = torch.randn(8, 3, 64, 96)
    together = predict(models[1], images)
    alone = [predict(models[1], images[i:i + 1], TEXTS[i % 2:])[0] for i in range(8)]
    assert_same_detections(together, alone)


@pytest.mark.parametrize('dtype', [None, torch.bfloat16])
def test_nothing_waits_before_suppression(models, dtype):
    model, images = models[1], torch.randn(4, 3, 64, 96).cuda()
    queries = [Query.of_sample(DetDataSample(metainfo=dict(text=TEXTS[i % 2]))) for i in range(4)]
    for round_ in range(3):  # the first builds kernels and tables
        torch.cuda.set_sync_debug_mode('error' if round_ else 'default')
        try:
            with torch.no_grad(), torch.autocast('cuda', dtype, enabled=dtype is not None):
                found = list(model._ground(model.extract_feat(images), queries))
        finally:
            torch.cuda.set_sync_debug_mode('default')
    assert len(found) >= 4


@pytest.mark.parametrize('dtype', [None, torch.bfloat16])
def test_recorded_predictions(models, dtype):
    model = copy.deepcopy(models[1])
    batches = [torch.randn(2, 3, 64, 96), torch.randn(2, 3, 64, 96), torch.randn(1, 3, 96, 64)]
    with torch.autocast('cuda', dtype, enabled=dtype is not None):
        wanted = [predict(model, images) for images in batches]
        model.use_graphs()
        for _ in range(2):
            for images, plain in zip(batches, wanted):
                assert_same_detections(predict(model, images), plain, 1e-4)
        assert len(model.graphs) >= 4
        with torch.no_grad():
            model.bbox_head.alignment.bias0 += 1.
        changed = predict(model, batches[0])[0]
    assert (changed.scores[:5] > wanted[0][0].scores[:5]).all()


def training_samples(device):
    samples = []
    for text in (('red circle', 'blue star'), ('cat', 'dog')):
        sample = DetDataSample(metainfo=dict(text=text, img_shape=(64, 96)))
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor([[4., 4., 40., 40.], [30., 20., 90., 60.]], device=device),
            labels=torch.tensor([0, 1], device=device))
        samples.append(sample)
    return samples


def test_a_training_step(models):
    """Loss and gradients in float32; a fused step under autocast."""
    images, results = torch.randn(2, 3, 64, 96), []
    for model in map(copy.deepcopy, models):
        for module in model.modules():  # no randomness
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.
        device = next(model.parameters()).device
        model.bbox_head.tower[0].fusion.dropout = 0.
        losses = model.loss(images.to(device), training_samples(device))
        sum(losses.values()).backward()
        results.append((losses, {n: p.grad for n, p in model.named_parameters()}, model))
    for name, loss in results[1][0].items():
        assert_close(loss, results[0][0][name], 1e-3)
    model = results[1][2].train()
    wrapper = AutocastOptimWrapper(optimizer=torch.optim.AdamW(model.parameters(), lr=1e-3,
                                                               fused=True))
    before = [p.detach().clone() for p in model.parameters()]
    with wrapper.optim_context(model):
        loss = sum(model.loss(images.cuda(), training_samples('cuda')).values())
    wrapper.update_params(loss)
    assert all(p.isfinite().all() for p in model.parameters())
    assert any((p != old).any() for p, old in zip(model.parameters(), before))
