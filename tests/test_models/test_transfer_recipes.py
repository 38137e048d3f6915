"""The recipes of open-vocabulary detection have the official numbers."""
import pytest

from glipkit.apis.training import load_config
from glipkit.registry import MODELS
from glipkit.text.splits.open_vocabulary import split_classes

OFFICIAL = {
    'ov-coco': dict(loss=dict(type='glipkit.FocalScaledClassLoss', background_weight=.2, gamma=.5),
                    iterations=90000, drops=[60000, 80000], threshold=.001, most=100,
                    fusion='none', network='coco_48', classes=(48, 65)),
    'ov-lvis': dict(loss=dict(type='glipkit.WeightedClassLoss', background_weight=.8),
                    iterations=180000, drops=[120000, 160000], threshold=.02, most=300,
                    fusion='raw', network='lvis_866_lsj', classes=(866, 1203))}


@pytest.mark.parametrize('tower', ['rn50', 'rn50x4'])
@pytest.mark.parametrize('split', list(OFFICIAL))
def test_numbers_of_the_official_configs(split, tower):
    cfg, official = load_config(f'configs/region_clip/regionclip-{tower}_{split}.py'), OFFICIAL[
        split]
    model, test = cfg.model, cfg.model.test_cfg
    assert dict(model.roi_head.loss_cls) == official['loss']
    MODELS.build(model.roi_head.loss_cls)
    assert cfg.train_cfg.max_iters == official['iterations']
    assert cfg.param_scheduler[1].milestones == official['drops']
    assert dict(cfg.optim_wrapper.optimizer) == dict(type='SGD', lr=.002, momentum=.9,
                                                     weight_decay=1e-4)
    assert cfg.param_scheduler[0].end == 5000 and cfg.auto_scale_lr.base_batch_size == 16
    assert (test.score_threshold, test.max_per_image, test.fusion, test.regress_boxes) == (
        official['threshold'], official['most'], official['fusion'], True)
    source = model.box_source
    assert source.checkpoint == f'rpn_{official["network"]}.pth' and source.nms == .7
    assert cfg.load_from == f'regionclip_pretrained-cc_{tower}.pth'
    assert ('mask_head' in model.roi_head) == (split == 'ov-lvis')
    if tower == 'rn50x4':
        assert model.text_encoder.embed_dim == model.roi_head.embed_dim == 640
        if split == 'ov-lvis':
            assert model.roi_head.mask_head.channels == 320


@pytest.mark.parametrize('split', list(OFFICIAL))
def test_training_asks_for_base_classes_and_tests_for_all(split):
    cfg = load_config(f'configs/region_clip/regionclip-rn50_{split}.py')
    train, = cfg.train_dataloader.dataset.datasets
    if split == 'ov-lvis':
        assert train.oversample_thr == .001
        train = train.dataset
        assert train.with_masks and cfg.test_evaluator.trim_pixel is False
    asked = [split_classes(part.metainfo.classes) for part in (train, cfg.test_dataloader.dataset)]
    assert tuple(map(len, asked)) == OFFICIAL[split]['classes']
    assert train.max_boxes == 500 and train.filter_cfg.filter_empty_gt
    assert cfg.test_dataloader.dataset.filter_cfg == dict(filter_empty_gt=True, in_test=True)
    assert cfg.test_evaluator.groups == split
