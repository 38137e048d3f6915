"""Things that are shown instead of named: reading, learning, asking, task files, bad input."""
from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import glipkit
from glipkit import Example, Predictor
from glipkit.apis import example_learning
from glipkit.apis.build import load
from glipkit.apis.example_learning import LearnSettings, learn
from glipkit.apis.example_views import make_views
from glipkit.apis.examples import ExampleReader, read_examples
from glipkit.apis.tasks import read_task, save_task
from glipkit.engine.transfer.refinement import Refinement
from glipkit.errors import UserError
from glipkit.testing import tiny_clip_rcnn, tiny_fvit
from glipkit.testing.tiny_glip import picture
from glipkit.text.query import Query
from glipkit.worlds import shapes

WORDS = ['red circle', 'a blue star']
BOX = [10., 10., 50., 40.]


@pytest.fixture(scope='module')
def example():
    return Example([picture(1), picture(2)], [[BOX], [[5, 8, 60, 50], [60, 5, 85, 30]]], 'our part',
                   negatives=[[], [[0, 0, 4, 60]]])


@pytest.fixture(scope='module')
def others():
    return Example(picture(3), BOX, 'Bauteil 7')


@pytest.fixture(scope='module')
def found(predictor, example, others):
    return read_examples([example, others], predictor._pipelines)


def learnt(predictor, found, **settings):
    return learn(predictor.model, predictor._pipelines, found, LearnSettings(None, **settings),
                 'base', 'tiny')


def same(ours, theirs):
    return all(np.array_equal(getattr(a, key), getattr(b, key)) for a, b in zip(ours, theirs)
               for key in ('boxes', 'scores', 'labels'))


def test_boxes_of_one_image_come_together(found):
    assert found.names == ('our part', 'Bauteil 7') and found.negatives == ('not our part', )
    assert [image.labels.tolist() for image in found.images] == [[0], [0, 0, 2], [1]]
    again = Example([picture(1), picture(3)], [[BOX], [[0, 0, 9, 9]]], 'x')
    merged = read_examples([again, Example(picture(3), BOX, 'y')], None or _pipelines())
    assert [image.labels.tolist() for image in merged.images] == [[0], [0, 1]]


def _pipelines():
    from functools import partial

    from glipkit.data.transforms.loading import load_image
    return partial(load_image, None), None


def test_no_image_is_kept_from_learning(predictor, found):
    views = make_views(predictor.model, predictor._pipelines, found)
    learnt, held = ([view for view in views if view.held == one] for one in (False, True))
    assert len(learnt) == 4 * len(found.images) and len(held) == len(found.images)
    assert sum(view.first for view in learnt) == len(found.images)
    assert not any(view.first for view in held)


def test_words_keep_every_score_beside_what_was_learned(predictor, example, others, monkeypatch):
    # The limit of an image is one of all classes together.
    monkeypatch.setattr(predictor.model, 'test_settings',
                        replace(predictor.model.test_settings, max_per_image=1000))
    images = [picture(7), picture(8)]
    name = predictor.learn([example, others], steps=2)
    asked = dict(per_object='all', score_threshold=0.)
    plain = predictor(images, classes=WORDS, **asked)
    classes = [WORDS[0], 'our part', WORDS[1], 'Bauteil 7']
    mixed = predictor(images, classes=classes, task=name, **asked)
    for alone, both in zip(plain, mixed):
        assert set(both.labels.tolist()) <= {0, 1, 2, 3} and both.classes == tuple(classes)
        for word in WORDS:
            own, kept = alone.labels == WORDS.index(word), both.labels == classes.index(word)
            # A prompt that is alone has all threads, whose sums have another order.
            assert own.any() and own.sum() == kept.sum()
            np.testing.assert_allclose(alone.boxes[own], both.boxes[kept], atol=1e-3)
            np.testing.assert_allclose(alone.scores[own], both.scores[kept], atol=1e-6)
    one, = predictor(images[0], classes=['Bauteil 7'], task=name, **asked)
    assert len(one) and set(one.names) == {'Bauteil 7'}
    assert same(predictor(images, task=name, classes=WORDS, **asked), plain)
    assert same(predictor(images, caption='a red circle', **asked),
                predictor(images, caption='a red circle', task=name, **asked))


def test_a_call_learns_examples_once_and_by_their_content(predictor, example, tmp_path,
                                                          monkeypatch):
    monkeypatch.setattr(example_learning, 'MOST_STEPS', 1)
    Image.fromarray(picture(1)[..., ::-1]).save(tmp_path / 'a.png')
    as_file = Example([tmp_path / 'a.png', picture(2)], example.boxes, 'our part',
                      example.negatives)
    first = predictor(picture(7), classes=['dog', example])
    calls = []
    monkeypatch.setattr('glipkit.apis.learner.learn', lambda *a: calls.append(a))
    assert same(first, predictor(picture(7), classes=['dog', as_file])) and not calls
    assert first[0].classes == ('dog', 'our part')
    with pytest.raises(UserError, match='examples or a task'):
        predictor(picture(7), classes=[example], task='x.safetensors')


def test_equal_steps_give_equal_features_also_after_a_stop(predictor, found, tmp_path, monkeypatch):
    monkeypatch.setattr(example_learning, 'SAVED_EVERY', 0.)
    monkeypatch.setattr('glipkit.engine.transfer.refinement.EVERY', 2)
    whole = learnt(predictor, found, steps=5)
    real, progress = Refinement.advance, tmp_path / 'x.progress'

    def stopped(self):
        if self.step == 3:
            raise KeyboardInterrupt
        return real(self)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Refinement, 'advance', stopped)
        learn(predictor.model, predictor._pipelines, found, LearnSettings(None, 5), 'base', 'tiny',
              progress=progress)
    assert progress.is_file()
    steps = []
    monkeypatch.setattr(Refinement, 'advance', lambda self: steps.append(0) or real(self))
    resumed = learn(predictor.model, predictor._pipelines, found, LearnSettings(None, 5), 'base',
                    'tiny', progress=progress)
    assert len(steps) == 2 and not progress.exists()
    assert torch.equal(whole.state['learned.0'], resumed.state['learned.0'])
    assert whole.details['losses'] == resumed.details['losses']


def test_steps_lower_the_loss_and_end_where_nothing_gets_better(predictor, found, monkeypatch):
    task = learnt(predictor, found, steps=10)
    losses = [loss for _, loss in task.details['losses']]
    assert min(losses[1:]) < losses[0] and task.details['steps'] == 10
    monkeypatch.setattr('glipkit.engine.transfer.refinement.GAIN', .999)
    monkeypatch.setattr('glipkit.engine.transfer.refinement.EVERY', 1)
    assert learnt(predictor, found).details['steps'] == 3  # looks without a gain
    quick = learn(predictor.model, predictor._pipelines, found, LearnSettings(0.), 'base', 'tiny')
    assert quick.details['steps'] == 0


def test_a_task_file_says_what_was_learned(predictor, example, tmp_path):
    path = tmp_path / 'part.safetensors'
    predictor.learn(example, words=['dog'], steps=1, name='part', out=path)
    task = read_task(path)
    assert task.classes == ('dog', 'our part') and task.strategy['names'] == ['our part']
    assert list(load_file(path)) == ['learned.0'] and path.stat().st_size < 20_000
    fresh = Predictor(predictor.model, task=path, score_threshold=0.)
    detections, = fresh(picture(7))
    assert detections.classes == task.classes
    assert same([detections], predictor(picture(7), task='part', score_threshold=0.))
    broken = {**vars(task), 'state': {'learned.0': torch.zeros(2, 16)}}
    save_task(type(task)(**broken), path)
    with pytest.raises(UserError, match='features of shapes'):
        Predictor(predictor.model, task=path)
    broken = {**vars(task), 'strategy': dict(name='examples', names='abc')}
    save_task(type(task)(**broken), path)
    with pytest.raises(UserError, match='a list of texts'):
        read_task(path)


def test_words_of_a_task_are_a_whole_question(predictor, example):
    words = Query.for_classes(['dog'], synonyms={'dog': ['our part', 'hound']},
                              negative_classes=['cat'], combine='mean')
    assert predictor._tasks.task(predictor.learn(example, words=words, steps=0)).query == words
    name = predictor.learn(example, words={'dog': ['hound']}, steps=0, name='t')
    assert predictor._tasks.task(name).query == Query.for_classes(
        ['dog', 'our part'], synonyms={'dog': ['hound']})
    predictor.learn(example, words=['bird'], steps=0, name='t')  # the same name, other words
    assert predictor._tasks.task('t').classes == ('bird', 'our part')


def test_what_no_task_can_be_is_refused_before_anything_is_learned(predictor, example, tmp_path,
                                                                    monkeypatch):
    monkeypatch.setattr('glipkit.apis.example_learning.make_views', lambda *a: pytest.fail())
    (tmp_path / 'weights.safetensors').write_bytes(b'something else')
    for settings, said in ((dict(out=tmp_path / 'x.pth'), 'ends in .safetensors'),
                           (dict(out=tmp_path / 'weights.safetensors'), 'a task file'),
                           (dict(words=['...']), 'a letter or a digit'),
                           (dict(words=['dog ' * 500]), 'tokens')):
        with pytest.raises(UserError, match=said):
            predictor.learn(example, **settings)
    assert (tmp_path / 'weights.safetensors').read_bytes() == b'something else'


def test_a_call_takes_what_was_learned_with_other_settings(predictor, monkeypatch):
    example = Example(picture(5), BOX, 'part 5')
    name = predictor.learn(example, steps=0)
    monkeypatch.setattr('glipkit.apis.learner.learn', lambda *a: pytest.fail())
    asked = dict(score_threshold=0.)
    assert same(predictor(picture(7), classes=example, **asked),
                predictor(picture(7), classes=['part 5'], task=name, **asked))
    assert str(example) == "Example(name='part 5')"


def test_many_names_stand_in_several_prompts_with_all_negatives(predictor):
    names = [f'part {i}' for i in range(20)]
    prompts = predictor.model.example_prompts(names, ['not it'])
    assert [name for one in prompts for name in one.names if name != 'not it'] == names
    assert len(prompts) > 1 and all(one.names[-1] == 'not it' for one in prompts)
    tokens = [predictor.model.tokenize([one]).ids.numel() for one in prompts]
    assert max(tokens) <= predictor.model.prompt_budget
    with pytest.raises(UserError, match='kinds of negatives'):
        predictor.model.example_prompts(['a'], names)


def test_a_learned_name_can_be_another_name_of_a_class(predictor, example):
    name = predictor.learn(example, steps=0)
    view = predictor._tasks.view(name)
    query = Query.for_classes(['part', 'dog'], synonyms={'part': ['our part']},
                              negative_classes=['cat'])
    words, learned = view.prompts(query)
    assert words.names == ('part', 'dog', 'cat') and words.labels == (0, 1, 2)
    assert learned.names == ('our part', 'not our part') and learned.labels == (0, 3)
    only, = view.prompts(Query.for_classes(['our part']))
    assert only.labels == (0, 1)


@pytest.mark.parametrize(('make', 'said'), [
    (lambda: Example(picture(), [[100, 10, 120, 30]], 'x'), 'inside the image of 90 x 60'),
    (lambda: Example(picture(), [[30, 10, 20, 30]], 'x'), 'x1 < x2'),
    (lambda: Example(picture(), [[1, 2, 3]], 'x'), '4'),
    (lambda: Example([picture(), picture(1)], [[BOX]], 'x'), 'for each of 2 images'),
    (lambda: Example([picture()], [[]], 'x'), "a box of 'x'"),
    (lambda: Example(picture(), BOX, '---'), 'letter or a digit'),
    (lambda: Example(picture(), BOX, 'x', negatives=[[12, 10, 50, 40]]), 'as both'),
    (lambda: Example('nothing.jpg', BOX, 'x'), 'nothing.jpg'),
    (lambda: Example([picture()], 'abc', 'x'), 'for each image'),
])
def test_what_no_example_is(predictor, make, said):
    with pytest.raises(UserError, match=said):
        predictor(picture(), classes=[make()])


def test_names_twice_and_numbers_out_of_range(predictor, example):
    with pytest.raises(UserError, match='twice'):
        predictor.learn([example, example])
    with pytest.raises(UserError, match='seconds from 0'):
        predictor.learn(example, seconds=-1)
    for settings, said in ((dict(seconds='a'), 'seconds from 0'), (dict(steps=-1), 'steps from 0'),
                           (dict(steps=1.5), 'steps from 0'), (dict(seed=2**70), 'a seed from 0'),
                           (dict(seed=-1), 'a seed from 0')):
        with pytest.raises(UserError, match=said):
            predictor.learn(example, **settings)
    for nothing in ([], ['a'], 'a', {'a': example}):
        with pytest.raises(UserError, match='glipkit.Example'):
            predictor.learn(nothing)
    assert ExampleReader(['a']).boxes_in(picture()) is None


@pytest.mark.parametrize('tiny', [tiny_clip_rcnn, tiny_fvit])
def test_models_of_regions_learn_rows_of_the_class_matrix(tiny, tmp_path):
    torch.manual_seed(0)
    predict = Predictor(load(tiny.write_config(tmp_path), 'random'), score_threshold=0.)
    example = Example(picture(1), BOX, 'our part', negatives=[[50, 20, 90, 60]])
    path = tmp_path / 'part.safetensors'
    name = predict.learn(example, out=path)
    classes = ['dog', 'our part', 'cat']
    scores = predict.classify(picture(1), [BOX, [50, 20, 90, 60]], classes, task=name)
    assert scores[0].argmax() == 1 and scores[1, 1] < scores[0, 1]
    found, = predict(picture(1), classes=classes, task=name)
    assert set(found.labels.tolist()) <= {0, 1, 2}
    plain = predict(picture(1), classes=['dog', 'cat'], per_object='all')
    assert same(plain, predict(picture(1), classes=['dog', 'cat'], per_object='all', task=name))
    assert read_task(path).details['steps'] == 0
    again = Predictor(predict.model, score_threshold=0., task=path)
    assert same(again(picture(1), classes=classes), [found])


@pytest.mark.slow
def test_the_start_alone_finds_an_invented_thing(tmp_path):
    """A combination that pre-training never showed, under a word that means nothing."""
    thing, images, boxes = 'small green striped triangle', [], []
    for seed in range(4):
        image, things = shapes.draw_scene([thing, 'large red plain circle'], 192,
                                          np.random.default_rng(seed))
        images.append(np.asarray(image)[..., ::-1].copy())
        boxes.append([list(one.box) for one in things if one.name == thing])
    predict = glipkit.Predictor('glip-mini')
    example = Example(images[:2], boxes[:2], 'dax')
    name = predict.learn(example, steps=0)
    for found, own in zip(predict(images[2:], classes=['red circle', 'dax'], task=name), boxes[2:]):
        mine = found.boxes[found.labels == 1]
        assert len(mine) == 1 and np.abs(mine - own).max() < 8
        assert (found.labels == 0).sum() == 1
    facts = predict._tasks.task(name).details
    assert json.loads(json.dumps(facts))['images'] == 2
