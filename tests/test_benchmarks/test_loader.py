import argparse
import json

import numpy as np
import pytest
from mmdet.utils import register_all_modules
from mmengine.registry import DATASETS

from glipkit.benchmarks import loader


@pytest.fixture
def args():
    parser = argparse.ArgumentParser()
    loader.add_arguments(parser)
    return lambda *given: parser.parse_args(list(given))


def test_every_pipeline_is_compared_to_mmdet_with_the_same_library(args):
    result = loader.run(args('--images', '3', '--workers', '0', '--rounds', '2'))
    rows = {row['candidate']: row for row in json.loads(json.dumps(result))['rows']}
    assert set(rows) == {'glipkit, fast', 'glipkit, Pillow', 'mmdet, Pillow',
                         'glipkit, OpenCV', 'mmdet, OpenCV'}
    for library in ('Pillow', 'OpenCV'):
        ours, peer = rows[f'glipkit, {library}'], rows[f'mmdet, {library}']
        assert ours['ratio'] == pytest.approx(ours['seconds'] / peer['seconds'])
        assert peer['ratio'] == 1 and len(ours['rounds']) == 2
        assert ours['images per second'] == pytest.approx(3 / ours['seconds'])


def test_both_pipelines_see_the_same_images_and_boxes(tmp_path):
    register_all_modules(init_default_scope=False)
    loader.write_images(tmp_path, 4)
    sets = {name: DATASETS.build(config) for name, config in loader.configs(str(tmp_path)).items()}
    for i in range(4):
        for library in ('Pillow', 'OpenCV'):
            for name in (f'glipkit, {library}', f'mmdet, {library}'):
                sets[name].pipeline.transforms[3].prob = 0.  # no flip
            ours, peer = sets[f'glipkit, {library}'][i], sets[f'mmdet, {library}'][i]
            shapes = ours['inputs'].shape, peer['inputs'].shape
            # the rules of size differ by a pixel at most
            assert np.abs(np.subtract(*shapes)).max() <= 1
            assert len(ours['data_samples'].gt_instances.bboxes) == 8
            assert len(peer['data_samples'].gt_instances.bboxes) == 8
