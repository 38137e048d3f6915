"""The weights that come with glipkit still do what their card says, on pictures of another seed."""
import pytest

from glipkit.apis.index import shipped_weights
from glipkit.apis.predictor import Predictor
from glipkit.apis.training import load_config, move_data
from glipkit.apis.training import test as evaluate
from glipkit.common.packages import package_file
from glipkit.worlds import shapes, things


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp('shapes')
    shapes.build(folder, seed=12345, num_train_det=1, num_train_grd=1, num_val=60, workers=1)
    return folder


@pytest.mark.slow
def test_zero_shot_ap_on_unseen_combinations(world, tmp_path):
    cfg = load_config('glip-mini', work_dir=str(tmp_path))
    move_data(cfg, cfg.data_root, f'{world}/')
    metrics = evaluate(cfg, str(shipped_weights('glip-mini')))
    assert metrics['coco/unseen_AP50'] >= 0.85 and metrics['coco/seen_AP50'] >= 0.85
    # All 252 names at once: what a person sees.
    assert metrics['coco/unseen_best_label'] >= 0.9 and metrics['coco/seen_best_label'] >= 0.9
    assert metrics['coco/labels_per_object'] <= 1.5


@pytest.fixture(scope='module')
def things_world(tmp_path_factory):
    folder = tmp_path_factory.mktemp('things')
    things.build(folder, seed=777, num_train_det=1, num_train_grd=1, num_val=60, masks=True,
                 workers=1)
    return folder


def scores_of(config, weights, world, folder, test_data=None):
    cfg = load_config(config, work_dir=str(folder), test_data=test_data)
    move_data(cfg, 'data/things/', f'{world}/')
    return evaluate(cfg, str(shipped_weights(weights)))


@pytest.mark.slow
def test_given_boxes_of_small_and_large_things_get_their_names(things_world, tmp_path):
    metrics = scores_of('configs/region_clip/regionclip-mini_things_gt-boxes.py',
                        'regionclip-mini', things_world, tmp_path)
    assert metrics['region/top1'] >= 0.6 and metrics['region/top5'] >= 0.9


@pytest.mark.slow
def test_a_distilled_map_names_boxes_and_pixels(things_world, tmp_path):
    boxes = scores_of('configs/clipself/clipself-mini_things_gt-boxes.py', 'clipself-mini',
                      things_world, tmp_path)
    assert boxes['region/top1'] >= 0.6 and boxes['region/top5'] >= 0.9
    pixels = scores_of('clipself-mini', 'clipself-mini', things_world, tmp_path, 'things_semantic')
    assert pixels['segment/miou'] >= 0.15


@pytest.mark.slow
def test_names_without_boxes_in_training_are_found_on_a_distilled_tower(things_world, tmp_path):
    metrics = scores_of('fvit-mini', 'fvit-mini', things_world, tmp_path)
    assert metrics['coco/novel_AP50'] >= 0.35 and metrics['coco/base_AP50'] >= 0.45


@pytest.mark.parametrize('name, limit', [('glip-mini', 25 * 2**20), ('glip-photo', 8e6),
                                         ('regionclip-mini', 12e6), ('clipself-mini', 8e6),
                                         ('fvit-mini', 9e6)])
def test_file_is_small_and_has_a_card(name, limit):
    path = shipped_weights(name)
    assert path.stat().st_size < limit
    assert 'glipkit train' in path.with_suffix('.md').read_text()


@pytest.mark.slow
def test_predictor_finds_what_it_is_asked_for(world):
    predict = Predictor('glip-mini', score_threshold=0.4)
    found = predict(world / 'images/val', classes=['large red plain circle',
                                                   'small blue striped star'])
    assert len(found) == 60
    assert sum(map(len, found)) < 40  # absent things are mostly not found


@pytest.mark.slow
@pytest.mark.parametrize('photograph, name', [('chelsea.png', 'cat'), ('coffee.png', 'cup')])
def test_a_real_photograph_gets_its_name(photograph, name):
    """Photographs that come with scikit-image, which were in no training."""
    path = package_file('skimage', f'data/{photograph}')
    found, = Predictor('glip-photo')(path, classes=[
        'dog', 'cat', 'horse', 'banana', 'guitar', 'umbrella', 'cup', 'bus', 'airplane', 'hammer',
        'clock', 'fish', 'traffic light', 'carrot', 'hat', 'piano'])
    assert found.names[0] == name
