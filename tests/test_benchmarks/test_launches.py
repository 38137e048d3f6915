"""A prediction on the stand-in for a GPU: nothing waits, and its size changes no launches."""
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config

from glipkit.apis.build import build_model
from glipkit.benchmarks import gpu_launches
from glipkit.benchmarks.launches import HostWaits, StandIn
from glipkit.testing import tiny_glip
from glipkit.text.query import Query
from glipkit.text.structures import TextFeatures


@pytest.fixture(scope='module')
def gpu():
    return StandIn()


@pytest.fixture(scope='module')
def model(gpu):
    config = Config.fromstring(tiny_glip.TINY_CONFIG.replace('mmdet.Swin', 'Swin'), '.py')
    model = build_model(config).eval()
    gpu.move(model)
    return model


def ground(gpu, model, batch, size, texts=(('red circle', 'blue star'), )):
    """Candidates before suppression, as in `predict`."""
    queries = [Query.of_sample(DetDataSample(metainfo=dict(text=texts[i % len(texts)])))
               for i in range(batch)]
    return list(model._ground(model.extract_feat(gpu.empty(batch, 3, *size)), queries))


@pytest.mark.parametrize('dtype', [None, torch.bfloat16])
def test_no_prediction_waits_before_suppression(gpu, model, dtype):
    """With captions read before and not, several prompts for an image, names of one class."""
    texts = [('red circle', 'blue star'), tuple(f'thing {i}' for i in range(40))]
    with torch.no_grad(), gpu.used(dtype):
        for _ in range(2):
            found = ground(gpu, model, 3, (96, 128), texts)
        assert len(found) > 3 and found[0][1].boxes.is_cuda
        query = Query.for_classes(['dog', 'cup', 'cat'], synonyms={'cup': ['mug']})
        (_, one), = model._ground(model.extract_feat(gpu.empty(1, 3, 64, 64)), [query])
        assert one.labels.dtype == torch.int64


def test_the_number_of_launches_depends_on_neither_batch_nor_size(gpu, model):
    counts = []
    for batch, size in ((2, (64, 96)), (8, (320, 480))):
        with torch.no_grad(), gpu.used():
            ground(gpu, model, batch, size)  # tables are made once for each size
            gpu.launches.clear()
            model.extract_feat(gpu.empty(batch, 3, *size))
            counts.append(sum(gpu.launches.values()))
    assert counts[0] == counts[1] > 50


@pytest.mark.parametrize('dtype', [None, torch.bfloat16])
def test_tower_and_head_wait_for_nothing_in_training(gpu, model, dtype):
    model.train()
    try:
        with gpu.used(dtype):
            levels = model.extract_feat(gpu.empty(2, 3, 64, 96))
            text = TextFeatures(gpu.empty(2, 7, 16), gpu.empty(2, 7, dtype=torch.bool))
            outputs = model.bbox_head(levels, text)
        assert all(part.is_cuda and part.requires_grad for part in outputs.parts())
    finally:
        model.eval()


@pytest.mark.parametrize('waits', [
    lambda x: x.sum().item(), lambda x: x[x > 0], lambda x: x.cpu(), lambda x: bool((x > 0).all()),
    lambda x: torch.zeros(3).to(x.device), lambda x: x.copy_(torch.zeros(4)),
    lambda x: (x > 0).nonzero()])
def test_what_needs_a_value_is_an_error(gpu, waits):
    with pytest.raises(HostWaits), gpu.used():
        waits(gpu.empty(4))


def test_views_start_nothing_and_attention_is_one_kernel(gpu):
    with gpu.used():
        gpu.launches.clear()
        x = gpu.empty(2, 4, 8, 16)
        out = torch.nn.functional.scaled_dot_product_attention(x, x.flip(0)[:, :, :3], x[:, :, :3])
        assert out[0].transpose(0, 2).shape == (16, 8, 4)
    assert dict(gpu.launches) == {'flip': 1, 'scaled_dot_product_attention': 1}


def test_a_recording_leaves_little_to_start(gpu, model):
    rows = [gpu_launches.count(gpu, model, ['cat', 'dog'], (64, 96), 2, dtype)
            for dtype in gpu_launches.PRECISIONS]
    for row in rows:
        assert row['all'] == row['tower'] + row['head and scores'] > 2 * row['recorded'] > 0
        assert row['of deformable convolutions'] == 7  # three maps: 3 + 2 + 2
    assert rows[1]['all'] > rows[0]['all'] and model.graphs is None
