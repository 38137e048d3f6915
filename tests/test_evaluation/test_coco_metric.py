import json
import multiprocessing

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData

from glipkit.errors import UserError
from glipkit.evaluation import GroundingCocoMetric
from glipkit.registry import METRICS

CLASSES = {3: 'dog', 8: 'cat', 20: 'cow'}


@pytest.fixture
def ann_file(tmp_path):
    content = dict(
        images=[dict(id=i, file_name=f'{i}.png', width=200, height=100) for i in (1, 2, 9)],
        categories=[dict(id=i, name=name) for i, name in reversed(CLASSES.items())],
        annotations=[
            dict(id=0, image_id=1, category_id=3, bbox=[10, 10, 40, 50], area=2000, iscrowd=0),
            dict(id=1, image_id=1, category_id=8, bbox=[100, 10, 50, 50], area=2500, iscrowd=0),
            dict(id=2, image_id=2, category_id=8, bbox=[0, 0, 40, 40], area=1600, iscrowd=0),
        ])
    path = tmp_path / 'val.json'
    path.write_text(json.dumps(content))
    return str(path)


def predicted(img_id, found=(), text=('cat', 'dog', 'cow')):
    """found: (label, xyxy box, score)."""
    sample = DetDataSample(metainfo=dict(img_id=img_id, text=text))
    sample.pred_instances = InstanceData(
        labels=torch.tensor([f[0] for f in found], dtype=torch.int64),
        bboxes=torch.tensor([f[1] for f in found], dtype=torch.float32).reshape(-1, 4),
        scores=torch.tensor([f[2] for f in found], dtype=torch.float32))
    return sample


# The boxes of the file; the prompts name the classes in changing order.
PERFECT = [
    predicted(1, [(1, [10, 10, 50, 60], .9), (0, [100, 10, 150, 60], .8)]),
    predicted(2, [(2, [0, 0, 40, 40], .7)], text=('cow', 'dog', 'cat')),
    predicted(9),
]


def evaluate(samples, *args, size=None, **kwargs):
    evaluator = Evaluator(GroundingCocoMetric(*args, **kwargs))
    for sample in samples:
        evaluator.process([sample])
    return evaluator.evaluate(size or len(samples))


def test_labels_and_boxes_find_their_ground_truth(ann_file, tmp_path):
    metrics = evaluate(PERFECT, ann_file, groups=dict(seen=['dog', 'cow'], unseen=['cat']),
                       outfile_prefix=str(tmp_path / 'out' / 'result'), classwise=True)
    assert metrics['coco/AP'] == pytest.approx(1) == metrics['coco/unseen_AP50']
    assert set(metrics) == {f'coco/{group}{name}' for group in ('', 'seen_', 'unseen_')
                            for name in ('AP', 'AP50', 'AP75', 'APs', 'APm', 'APl', 'best_label')
                            } | {'coco/labels_per_object'}
    assert metrics['coco/best_label'] == metrics['coco/unseen_best_label'] == 1
    assert metrics['coco/labels_per_object'] == 1
    written = json.loads((tmp_path / 'out' / 'result.bbox.json').read_text())
    assert written == [
        dict(image_id=1, category_id=3, bbox=[10, 10, 40, 50], score=pytest.approx(.9)),
        dict(image_id=1, category_id=8, bbox=[100, 10, 50, 50], score=pytest.approx(.8)),
        dict(image_id=2, category_id=8, bbox=[0, 0, 40, 40], score=pytest.approx(.7)),
    ]
    assert [p.name for p in (tmp_path / 'out').iterdir()] == ['result.bbox.json']


def test_groups_from_a_file_and_another_prefix(ann_file, tmp_path):
    path = tmp_path / 'splits.json'
    path.write_text(json.dumps(dict(seen=['dog'], unseen=['cat'], later=[])))
    wrong_cat = [PERFECT[0], predicted(2, [(0, [0, 0, 40, 10], .95)]), PERFECT[2]]
    metrics = evaluate(wrong_cat, ann_file, groups=str(path), prefix='val')
    assert metrics['val/seen_AP50'] == pytest.approx(1)
    # a false positive first, then one of two: precision 0.5 on 51 of 101 recall points
    assert metrics['val/unseen_AP50'] == pytest.approx(.5 * 51 / 101)
    assert metrics['val/later_AP'] == -1


def test_nothing_found_is_zero(ann_file):
    for samples in ([predicted(1), predicted(2), predicted(9)], []):
        metrics = evaluate(samples, ann_file, groups=dict(unseen=['cat']), size=3)
        assert metrics['coco/AP'] == metrics['coco/unseen_AP50'] == 0
        assert metrics['coco/best_label'] == metrics['coco/labels_per_object'] == 0


def test_images_that_were_not_asked_about_are_left_out_and_it_is_said(ann_file, monkeypatch):
    log = []
    monkeypatch.setattr('glipkit.evaluation.metrics.coco.print_log', lambda *a: log.append(a))
    assert evaluate(PERFECT[:1], ann_file)['coco/AP'] == pytest.approx(1)
    evaluate(PERFECT, ann_file)
    (first, _, warning), (second, _, info) = log
    assert '1 of 3 images' in first and '3 of 3 images' in second and warning > info
    assert 'IoU 0.50:0.05:0.95' in second and '3 classes' in second and ann_file in second


def test_a_repeated_image_counts_once(ann_file):
    assert evaluate([*PERFECT, PERFECT[0]], ann_file)['coco/AP'] == pytest.approx(1)


def test_the_same_metric_evaluates_again(ann_file):
    evaluator = Evaluator(GroundingCocoMetric(ann_file))
    results = []
    for _ in range(2):
        for sample in PERFECT:
            evaluator.process([sample])
        results.append(evaluator.evaluate(3))
    assert results[0] == results[1]


@pytest.mark.parametrize('sample, message', [
    (predicted(1, text=('cat', 'dgo')), 'dgo'),
    (predicted(77), 'img_id 77'),
    (predicted(1, text='a caption'), 'a caption'),
])
def test_what_the_file_does_not_know(ann_file, sample, message):
    with pytest.raises(UserError, match=message) as caught:
        GroundingCocoMetric(ann_file).process({}, [sample.to_dict()])
    assert 'val.json' in str(caught.value)


@pytest.mark.parametrize('groups, message', [
    (dict(unseen=['cta']), 'cta'), (dict(unseen='cat'), 'list of class names'),
    (['cat'], 'groups'), ('nowhere.json', 'nowhere.json')])
def test_bad_groups(ann_file, groups, message):
    with pytest.raises(UserError, match=message):
        GroundingCocoMetric(ann_file, groups=groups)


def test_bad_files(tmp_path):
    with pytest.raises(UserError, match='nowhere.json'):
        GroundingCocoMetric(str(tmp_path / 'nowhere.json'))


def test_registered(ann_file):
    metric = METRICS.build(dict(type='GroundingCocoMetric', ann_file=ann_file))
    assert isinstance(metric, GroundingCocoMetric)


def _one_rank(rank, ann_file, store, queue):
    torch.distributed.init_process_group('gloo', f'file://{store}', rank=rank, world_size=2)
    # mmengine's sampler gives rank 1 the first image again to even out the ranks
    samples = [PERFECT[0], PERFECT[2]] if rank == 0 else [PERFECT[1], PERFECT[0]]
    queue.put((rank, evaluate(samples, ann_file, size=3)))
    torch.distributed.destroy_process_group()


def test_two_processes(ann_file, tmp_path):
    context = multiprocessing.get_context('fork')
    queue = context.Queue()
    workers = [context.Process(target=_one_rank, args=(r, ann_file, tmp_path / 'store', queue))
               for r in range(2)]
    for worker in workers:
        worker.start()
    results = dict(queue.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join(timeout=60)
    assert results[0] == results[1] == evaluate(PERFECT, ann_file)


@pytest.mark.parametrize('area', ['400', [1], float('nan')])
def test_an_area_has_to_be_a_number(ann_file, area):
    content = json.loads(open(ann_file).read())
    content['annotations'][1]['area'] = area
    open(ann_file, 'w').write(json.dumps(content))
    with pytest.raises(UserError, match='annotation 1: area'):
        GroundingCocoMetric(ann_file)


@pytest.mark.parametrize('area', [None, ...])
def test_without_an_area_that_of_the_box_counts(ann_file, area):
    content = json.loads(open(ann_file).read())
    for record in content['annotations']:
        record.pop('area') if area is ... else record.update(area=area)
    open(ann_file, 'w').write(json.dumps(content))
    metrics = evaluate(PERFECT, ann_file)
    assert metrics['coco/APm'] == pytest.approx(1) and metrics['coco/APs'] == -1


def test_the_text_0_is_no_crowd(ann_file):
    content = json.loads(open(ann_file).read())
    for record in content['annotations']:
        record['iscrowd'] = '0'
    open(ann_file, 'w').write(json.dumps(content))
    assert evaluate(PERFECT, ann_file)['coco/AP'] == pytest.approx(1)


def test_scores_of_a_diverged_model_are_refused(ann_file):
    sample = predicted(1, [(1, [10, 10, 50, 60], float('nan'))])
    with pytest.raises(UserError, match='finite scores; got nan for img_id 1'):
        evaluate([sample], ann_file)


def test_classes_that_nobody_asked_for_do_not_count(ann_file):
    metric = GroundingCocoMetric(ann_file, groups=dict(both=['dog', 'cat'], dogs=['dog']))
    evaluator = Evaluator(metric)
    cats = [predicted(1, [(0, [100, 10, 150, 60], .8)], text=('cat', )),
            predicted(2, [(0, [0, 0, 40, 40], .7)], text=('cat', )), predicted(9, text=('cat', ))]
    for sample in cats:
        evaluator.process([sample])
    metrics = evaluator.evaluate(3)
    assert metrics['coco/AP'] == metrics['coco/both_AP'] == pytest.approx(1)
    assert metrics['coco/dogs_AP'] == -1
    assert '3 of 3 images, 1 of 3 classes' in metric.protocol
    # An image that is asked for more makes the class count, everywhere.
    assert evaluate([*cats[:2], predicted(9, text=('cat', 'dog'))],
                    ann_file)['coco/AP'] == pytest.approx(.5)


@pytest.mark.parametrize('first', [1, 2**31 - 1, 2**53, 2**60, -2**63])
@pytest.mark.parametrize('kind', ['images', 'categories'])
def test_ids_of_64_bits_are_kept_apart(tmp_path, first, kind):
    images, classes = ([first, first + 1] if kind == name else [2, 3]
                       for name in ('images', 'categories'))
    annotations = [dict(id=k, image_id=images[k], category_id=classes[k], bbox=[4, 4, 20, 20])
                   for k in (0, 1)]
    path = tmp_path / 'a.json'
    path.write_text(json.dumps(dict(
        images=[dict(id=i, file_name=f'{i}.png', width=64, height=48) for i in images],
        categories=[dict(id=i, name=n) for i, n in zip(classes, ('dog', 'cat'))],
        annotations=annotations)))

    def score(*labels):
        return evaluate([predicted(i, [(label, [4, 4, 24, 24], .9)], text=('dog', 'cat'))
                         for i, label in zip(images, labels)], str(path),
                        groups=dict(dog=['dog'], cat=['cat']),
                        outfile_prefix=str(tmp_path / 'found'))

    assert score(1, 0)['coco/AP'] == 0  # each class in the image of the other
    right = score(0, 1)
    assert right['coco/AP'] == right['coco/dog_AP'] == right['coco/cat_AP'] == pytest.approx(1)
    half = score(0, 0)
    assert half['coco/dog_AP'] == pytest.approx(1) and half['coco/cat_AP'] == 0
    score(0, 1)
    written = json.loads((tmp_path / 'found.bbox.json').read_text())
    assert [(d['image_id'], d['category_id']) for d in written] == list(zip(images, classes))


def test_ids_beyond_64_bits_are_refused(ann_file):
    content = json.loads(open(ann_file).read())
    content['categories'][0]['id'] = 1 << 64
    open(ann_file, 'w').write(json.dumps(content))
    with pytest.raises(UserError, match='at most 64 bits'):
        GroundingCocoMetric(ann_file)
