"""Several names for one class, in every method that scores words."""
from __future__ import annotations

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData
from torchvision.ops import box_iou

from glipkit.apis.build import build_model
from glipkit.errors import UserError
from glipkit.models.alignment.label_pooling import Pool, pool_names
from glipkit.testing import tiny_clip_rcnn, tiny_dense_clip, tiny_fvit, tiny_glip
from glipkit.text.query import Query

TINY = dict(glip=tiny_glip, regions=tiny_clip_rcnn, dense=tiny_dense_clip, fvit=tiny_fvit)


def test_pooling_by_hand():
    scores = torch.tensor([[.1, .5, .3, .9]])
    assert pool_names(scores, Pool((0, 1, 2, 3))) is scores
    same = pool_names(scores, Pool((0, 0, 1, 5)))
    assert same.tolist() == [pytest.approx([.5, .3, .9])]
    mean = pool_names(scores, Pool((0, 0, 1, 0), 'mean'))
    assert mean.tolist() == [pytest.approx([.5, .3])]
    behind = pool_names(scores, Pool((1, 1, 0), 'mean'), background=True)
    assert behind.tolist() == [pytest.approx([.3, .3, .9])]
    assert pool_names(scores[:, :0], Pool(())).shape == (1, 0)


def test_gradients_reach_the_best_name_or_all():
    scores = torch.tensor([[.1, .5, .3]], requires_grad=True)
    best, = torch.autograd.grad(pool_names(scores, Pool((0, 0, 1))).sum(), scores)
    assert best.tolist() == [[0, 1, 1]]
    every, = torch.autograd.grad(pool_names(scores, Pool((0, 0, 1), 'mean')).sum(), scores)
    assert every.tolist() == [[.5, .5, 1]]


@pytest.fixture(scope='module', params=TINY)
def model(request):
    torch.manual_seed(0)
    cfg = Config.fromstring(TINY[request.param].TINY_CONFIG, '.py')
    cfg.model.test_cfg.score_threshold = 0.
    return build_model(cfg).eval()


def ask(model, query, mode='predict'):
    torch.manual_seed(1)
    sample = DetDataSample(metainfo=dict(img_shape=(64, 96), **query.as_fields()))
    with torch.no_grad():
        found, = model(torch.randn(1, 3, 64, 96), [sample], mode=mode)
    return found.pred_instances


def raw(model, query):
    torch.manual_seed(1)
    sample = DetDataSample(metainfo=dict(img_shape=(64, 96), **query.as_fields()))
    with torch.no_grad():
        found, = model.predict(torch.randn(1, 3, 64, 96), [sample])
    return found.pred_instances


def test_an_unneeded_part_changes_nothing(model):
    plain = ask(model, Query.for_classes(['cup', 'dog']))
    same = ask(model, Query.for_classes(['cup', 'dog'], combine='mean', synonyms={'cup': []}))
    assert torch.equal(plain.bboxes, same.bboxes) and torch.equal(plain.scores, same.scores)


def test_labels_of_other_names_are_those_of_their_class(model):
    query = Query.for_classes(['cup', 'dog'], synonyms={'cup': ['mug', 'beaker']})
    assert [(name, label) for prompt in model.prompts(query)
            for name, label in zip(prompt.names, prompt.labels)] == list(query.asked)
    found = ask(model, query)
    assert set(found.labels.tolist()) <= {0, 1} and len(found)
    assert model.label_names(query) == ('cup', 'dog')


def test_classify_regions_pools_and_leaves_negatives_out(model):
    if not hasattr(model, '_matrix'):
        return
    images, boxes = torch.randn(1, 3, 64, 96), [torch.tensor([[4., 4, 40, 50], [0, 0, 96, 64]])]
    names = ['cup', 'mug', 'dog', 'fox']
    each, = model.classify_regions(images, boxes, Query.for_classes(names))
    for combine, one in (('max', lambda x: x.amax(1)), ('mean', lambda x: x.mean(1))):
        query = Query.for_classes(['cup', 'dog'], synonyms={'cup': ['mug']}, combine=combine,
                                  negative_classes=['fox'])
        found, = model.classify_regions(images, boxes, query)
        logits = each.log()
        wanted = torch.stack([one(logits[:, :2]), logits[:, 2], logits[:, 3]], 1).softmax(1)
        torch.testing.assert_close(found, wanted[:, :2], atol=1e-5, rtol=1e-4)


def test_negatives_and_groups_are_settled_in_mode_predict_alone(model):
    query = Query.for_classes(['cup', 'dog'], negative_classes=['fox'], exclusive=[['cup', 'dog']])
    before, after = raw(model, query), ask(model, query)
    assert set(after.labels.tolist()) <= {0, 1} and len(after) <= len(before)
    assert not len(after) or box_iou(after.bboxes, after.bboxes).fill_diagonal_(0).max() <= .5


def test_what_a_method_found_is_settled_for_each_image_by_its_own_query(model, monkeypatch):
    boxes = torch.tensor([[0., 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 8]])

    def predict(images, samples):
        for sample in samples:
            sample.pred_instances = InstanceData(bboxes=boxes, scores=torch.tensor([.9, .8, .7]),
                                                 labels=torch.tensor([2, 0, 1]))
        return list(samples)

    monkeypatch.setattr(model, 'predict', predict)
    queries = [Query.for_classes(['cup', 'dog', 'fox']),
               Query.for_classes(['cup', 'dog', 'fox'], exclusive=[['cup', 'dog']]),
               Query.for_classes(['cup', 'dog'], negative_classes=['fox']),
               Query.for_caption('a cup and a dog and a fox', [(2, 5), (12, 15), (22, 25)])]
    samples = [DetDataSample(metainfo=dict(query.as_fields())) for query in queries]
    found = model(torch.randn(4, 3, 64, 96), samples, mode='predict')
    assert [one.pred_instances.labels.tolist() for one in found] == [
        [2, 0, 1], [2, 0], [], [2, 0, 1]]


def test_losses_know_all_names(model):
    query = Query.for_classes(['cup', 'dog'], synonyms={'cup': ['mug']}, negative_classes=['fox'])
    sample = DetDataSample(metainfo=dict(img_shape=(64, 96), **query.as_fields()))
    sample.gt_instances = InstanceData(bboxes=torch.tensor([[8., 8, 40, 40], [50, 10, 90, 60]]),
                                       labels=torch.tensor([1, 0]))
    model.train()
    try:
        losses = model.loss(torch.randn(1, 3, 64, 96), [sample])
        total = sum(sum(v) if isinstance(v, list) else v for k, v in losses.items() if 'loss' in k)
        assert torch.isfinite(total)
    finally:
        model.eval()


def test_glip_pools_probabilities_before_thresholds():
    torch.manual_seed(0)
    cfg = Config.fromstring(tiny_glip.TINY_CONFIG, '.py')
    model = build_model(cfg).eval()
    levels = model.extract_feat(torch.randn(1, 3, 64, 96))
    query = Query.for_classes(['dog', 'cup'], synonyms={'cup': ['mug']})
    prompt, = model.prompts(query)
    tokens = model.tokenize([prompt])
    text = model.encode_text(tokens)
    with torch.no_grad():
        outputs = model.bbox_head(levels, text)
        maps = model.token_map_of(tokens, 0, prompt.spans)
        scores = torch.cat([model.bbox_head.label_scores(one[0], maps)
                            for one in outputs.token_logits])
        settings = type(model.test_settings)(score_threshold=0., nms_pre=10 ** 6)
        pool = Pool(prompt.labels)
        found, = model.bbox_head.candidates(outputs, [maps], settings, [pool])
        _, centers = model.bbox_head.decoded(outputs)
    wanted = (torch.cat([scores[:, :1], scores[:, 1:].amax(1, keepdim=True)], 1)
              * torch.cat(centers, 1)[0][:, None]).sqrt()
    torch.testing.assert_close(found.scores.sort()[0], wanted.flatten().sort()[0])


def test_names_of_a_class_stay_in_one_prompt():
    cfg = Config.fromstring(tiny_glip.TINY_CONFIG, '.py')
    cfg.model.test_cfg.max_tokens = 12
    model = build_model(cfg).eval()
    names = [f'thing {word}' for word in ('one', 'two', 'three', 'four')]
    query = Query.for_classes(names, synonyms={'thing three': ['item', 'part']})
    prompts = model.prompts(query)
    assert len(prompts) > 1 and sum(2 in prompt.labels for prompt in prompts) == 1
    assert [prompt.start for prompt in prompts] == [
        sum(map(len, prompts[:i])) for i in range(len(prompts))]
    tokenizer = model.text_encoder.tokenizer
    assert all(tokenizer.length(prompt.caption) <= 12 for prompt in prompts)
    with pytest.raises(UserError, match="'cup' and its 6 other names"):
        model.prompts(Query.for_classes(['cup'], synonyms={'cup': [*'abcdef']}))


def test_a_method_that_knows_class_names_alone_refuses_the_rest(monkeypatch):
    cfg = Config.fromstring(tiny_glip.TINY_CONFIG, '.py')
    model = build_model(cfg)
    build = type(model).build_prompts
    monkeypatch.setattr(model, 'build_prompts',
                        lambda query: build(model, Query.for_classes(query.classes)))
    assert model.prompts(Query.for_classes(['cup']))
    with pytest.raises(UserError, match='class names alone'):
        model.prompts(Query.for_classes(['cup'], negative_classes=['bowl']))
