from __future__ import annotations

import json

import pytest

from glipkit.data import FlickrGrounding
from glipkit.errors import UserError
from glipkit.evaluation import PhraseRecallMetric
from glipkit.registry import METRICS

from .samples import evaluate, evaluate_on_two, predicted

CAPTION = 'Two dogs chase a man past the sea'
DOGS, MAN, SEA = (0, 8), (15, 20), (26, 33)
LEFT, RIGHT, BODY = [0, 0, 10, 10], [30, 0, 10, 10], [50, 50, 20, 40]  # xywh


def content():
    """Sentence 7: dogs with two boxes, a man with one, a sea with none. Sentence 3: a man."""
    def box(image_id, xywh, *spans):
        return dict(image_id=image_id, bbox=xywh, tokens_positive=[list(s) for s in spans],
                    area=xywh[2] * xywh[3], category_id=1)

    return dict(
        images=[dict(id=7, file_name='a.jpg', height='90', width='80', caption=CAPTION,
                     tokens_positive_eval=[[DOGS], [MAN], [SEA]],
                     phrase_types=['animals', ['people'], 'scene']),
                dict(id=3, file_name='a.jpg', height='90', width='80', caption='A man',
                     tokens_positive_eval=[[(0, 5)]], phrase_types=[['people', 'other']])],
        annotations=[box(7, LEFT, DOGS), box(7, RIGHT, DOGS), box(7, BODY, MAN),
                     box(3, BODY, (0, 5))],
        categories=[dict(id=1, name='object')])


@pytest.fixture
def ann_file(tmp_path):
    path = tmp_path / 'flickr.json'
    path.write_text(json.dumps(content()))
    return str(path)


@pytest.fixture
def write_json_file(tmp_path):
    def write(world):
        (tmp_path / 'world.json').write_text(json.dumps(world))
        return str(tmp_path / 'world.json')

    return write


def sample(found, img_id=7, phrases=(DOGS, MAN, SEA)):
    return predicted(img_id, found, text=CAPTION, phrases=[[list(span)] for span in phrases])


# Dogs: a miss, then one of the two dogs. Man: right at once. Label 2 is the sea, which has no box.
FOUND = sample([(0, [60, 0, 70, 10], .9), (0, [30, 0, 40, 10], .5), (1, [50, 50, 70, 90], .4),
                (2, [0, 0, 10, 10], .8)])
MISSED = predicted(3, [(0, [0, 0, 10, 10], .9)], text='A man', phrases=[[[0, 5]]])


def test_any_box(ann_file):
    metric = PhraseRecallMetric(ann_file)
    metrics = evaluate(metric, [FOUND, MISSED])
    assert metrics['flickr_any/R@1'] == pytest.approx(1 / 3)  # the man of sentence 7
    assert metrics['flickr_any/R@5'] == metrics['flickr_any/R@all'] == pytest.approx(2 / 3)
    assert metrics['flickr_any/animals_R@1'] == 0 and metrics['flickr_any/animals_R@5'] == 1
    assert metrics['flickr_any/people_R@10'] == .5 and metrics['flickr_any/other_R@10'] == 0
    assert not [name for name in metrics if 'scene' in name]
    for words in ('any-box', 'IoU >= 0.5', '3 phrases', '2 of 2 sentences', '1 phrases without'):
        assert words in metric.protocol


def test_merged_box(ann_file):
    metrics = evaluate(PhraseRecallMetric(ann_file, merged=True, topk=[1, 2]), [FOUND])
    assert metrics['flickr_merged/animals_R@all'] == 0 and metrics['flickr_merged/people_R@1'] == 1
    both = sample([(0, [0, 0, 40, 10], .3), (1, [50, 50, 70, 90], .4)])
    assert evaluate(PhraseRecallMetric(ann_file, merged=True), [both])['flickr_merged/R@1'] == 1
    assert evaluate(PhraseRecallMetric(ann_file), [both])['flickr_any/R@1'] == .5


def test_phrases_are_found_by_their_spans(ann_file):
    swapped = sample([(1, [0, 0, 10, 10], .9), (0, [50, 50, 70, 90], .4)], phrases=(MAN, DOGS))
    assert evaluate(PhraseRecallMetric(ann_file), [swapped])['flickr_any/R@1'] == 1


def world_of(phrases, **more):
    """Dogs left, a man, a sea; a box for each single span."""
    world = content()
    world['images'] = [dict(world['images'][0], tokens_positive_eval=phrases)]
    del world['images'][0]['phrase_types']
    world['annotations'] = [
        dict(image_id=7, bbox=box, tokens_positive=[list(span)], area=100, category_id=1, **more)
        for span, box in ((DOGS, LEFT), (MAN, RIGHT), (SEA, BODY))]
    return world


@pytest.mark.parametrize('phrases', [
    [[DOGS], [DOGS, SEA]], [[DOGS, SEA], [DOGS]], [[SEA, DOGS], [DOGS]],
    [[DOGS, MAN], [MAN, SEA]], [[MAN, SEA], [DOGS, MAN], [MAN]]])
def test_phrases_may_have_spans_in_common(tmp_path, write_json_file, phrases):
    path = write_json_file(world_of(phrases))
    data = FlickrGrounding(path, data_prefix=dict(img=str(tmp_path)), test_mode=True, pipeline=[])
    asked = data.get_data_info(0)['phrases']
    corner = {DOGS: [0, 0, 10, 10], MAN: [30, 0, 40, 10], SEA: [50, 50, 70, 90]}
    for right in range(len(phrases)):  # each phrase alone is answered, by the box of its last span
        found = [(i, corner[tuple(spans[-1])] if i == right else [75, 0, 80, 5], .9)
                 for i, spans in enumerate(asked)]
        one = predicted(7, found, text=CAPTION, phrases=asked)
        assert evaluate(PhraseRecallMetric(path, trim_pixel=False),
                        [one])['flickr_any/R@1'] == pytest.approx(1 / len(phrases))


def test_crowds_are_no_boxes_of_a_phrase(write_json_file):
    assert PhraseRecallMetric(write_json_file(world_of([[DOGS]], iscrowd=1))).without_boxes == 1
    with pytest.raises(UserError, match='iscrowd'):
        PhraseRecallMetric(write_json_file(world_of([[DOGS]], iscrowd=float('nan'))))


def test_a_pixel_can_decide(ann_file):
    # The upper half of a dog, and half of a dog is enough.
    half = sample([(0, [0, 0, 10, 5], .9)])
    assert evaluate(PhraseRecallMetric(ann_file), [half])['flickr_any/animals_R@1'] == 0
    for options in (dict(trim_pixel=False), dict(add_pixel=True)):
        whole = PhraseRecallMetric(ann_file, **options)
        assert evaluate(whole, [half])['flickr_any/animals_R@1'] == 1
    assert PhraseRecallMetric(ann_file, add_pixel=False).trim_pixel


def test_nothing_at_all(ann_file):
    assert evaluate(PhraseRecallMetric(ann_file), [])['flickr_any/R@1'] == -1
    metrics = evaluate(PhraseRecallMetric(ann_file), [sample([])])
    assert metrics['flickr_any/R@all'] == 0


def test_types_are_optional_and_metrics_built_from_configs(tmp_path):
    world = content()
    for image in world['images']:
        del image['phrase_types']
    path = tmp_path / 'plain.json'
    path.write_text(json.dumps(world))
    metric = METRICS.build(dict(type='PhraseRecallMetric', ann_file=str(path)))
    assert set(evaluate(metric, [FOUND])) == {f'flickr_any/R@{k}' for k in (1, 5, 10, 'all')}


def test_two_processes_count_a_repeated_sentence_once(ann_file, tmp_path):
    one = evaluate(PhraseRecallMetric(ann_file), [FOUND, MISSED])
    assert evaluate_on_two(lambda: PhraseRecallMetric(ann_file), [[FOUND], [MISSED, FOUND]],
                           tmp_path) == [one, one]


@pytest.mark.parametrize('wrong, message', [
    (sample([], img_id=99), 'img_id 99'), (sample([], phrases=(DOGS, SEA)), r'\(15, 20\)'),
    (predicted(7, text=CAPTION), r'\(0, 8\)')])
def test_samples_that_do_not_fit(ann_file, wrong, message):
    with pytest.raises(UserError, match=message):
        evaluate(PhraseRecallMetric(ann_file), [wrong])


@pytest.mark.parametrize('change, message', [
    (lambda world: world.pop('annotations'), 'annotations'),
    (lambda world: world['images'][1].pop('caption'), r'images\[1\]'),
    (lambda world: world['images'][0].pop('tokens_positive_eval'), 'tokens_positive_eval'),
    (lambda world: world['images'][0].update(phrase_types=['one']), 'phrase_types'),
    (lambda world: world['images'][0].update(phrase_types=[1, 2, 3]), 'phrase_types'),
    (lambda world: world['annotations'][2].update(image_id=8), r'annotations\[2\]'),
    (lambda world: world['annotations'][2].update(tokens_positive=[[3, 99]]), '99'),
    (lambda world: world['annotations'][2].update(bbox=None), 'box')])
def test_bad_files(tmp_path, change, message):
    world = content()
    change(world)
    path = tmp_path / 'bad.json'
    path.write_text(json.dumps(world))
    with pytest.raises(UserError, match=message) as caught:
        PhraseRecallMetric(str(path))
    assert 'bad.json' in str(caught.value)


def test_bad_topk(ann_file):
    with pytest.raises(UserError, match='topk'):
        PhraseRecallMetric(ann_file, topk=[0])


def test_a_sentence_id_that_stands_twice_is_refused(tmp_path):
    twice = content()
    twice['images'][1]['id'] = 7
    path = tmp_path / 'twice.json'
    path.write_text(json.dumps(twice))
    with pytest.raises(UserError, match=r'sentence ids that differ; got .*images\[1\]: id 7'):
        PhraseRecallMetric(str(path))


def test_scores_of_a_diverged_model_are_refused(ann_file):
    with pytest.raises(UserError, match='finite scores; got nan for img_id 7'):
        evaluate(PhraseRecallMetric(ann_file), [sample([(0, [0, 0, 9, 9], float('nan'))])])
