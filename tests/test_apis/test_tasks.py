"""Task files, and one model that serves several."""
from __future__ import annotations

import copy
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from glipkit.apis.build import load
from glipkit.apis.predictor import Predictor
from glipkit.apis.tasks import TaskViews, fingerprint, make_task, read_task, save_task
from glipkit.engine.transfer import STRATEGIES, Overrides, apply, build_strategy, task_view
from glipkit.errors import UserError
from glipkit.testing.tiny_glip import picture
from glipkit.text.query import Query

CLASSES = {7: 'red "circle"', 90: 'cats/dogs', 1000: 'naïve'}
NAMES = list(CLASSES.values())


@pytest.fixture(scope='module')
def base(config):
    torch.manual_seed(0)
    with pytest.warns(UserWarning, match='random weights'):
        return load(config)


@pytest.fixture(scope='module')
def digest(base):
    return fingerprint(base)


def tuned_model(base, name, seed=0):
    """A copy of the base model whose trained parts moved, its strategy and its state."""
    model = copy.deepcopy(base)
    strategy = build_strategy(dict(name=name))
    strategy.add(model, model.prompts(Query.for_classes(NAMES)))
    apply(model, strategy)
    torch.manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p.add_(0.1 * torch.randn_like(p))
    return model.eval(), strategy.state(model)


@pytest.fixture
def write(base, digest, tmp_path):
    """Writes the task of a strategy; returns (tuned model, path)."""

    def build(name, seed=0):
        model, state = tuned_model(base, name, seed) if name != 'manual' else (base, {})
        words = {NAMES[1]: dict(name='animal', suffix=' of a house')} if name == 'manual' else None
        task = make_task(base, dict(name=name), state, CLASSES, digest, 'tiny', words,
                         dict(shots=5))
        path = tmp_path / f'{name}{seed}.safetensors'
        save_task(task, path)
        return model, path

    return build


def same(a, b):
    return all(np.array_equal(x.boxes, y.boxes) and np.array_equal(x.scores, y.scores)
               and x.names == y.names for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize('name', sorted(set(STRATEGIES) - {'manual'}))
def test_a_task_predicts_what_the_tuned_model_predicts(base, write, name):
    tuned, path = write(name)
    images = [picture(1), picture(2)]
    predict = Predictor(base, score_threshold=0., task=path)
    got = predict(images)
    assert same(got, Predictor(tuned, score_threshold=0.)(images, classes=NAMES))
    assert len(got[0]) and set(got[0].names) <= set(NAMES)
    # Without the task the model is what it was.
    plain = predict(images, classes=NAMES, task='')
    assert same(plain, Predictor(base, score_threshold=0.)(images, classes=NAMES))
    assert not same(plain, got)


def test_results_have_the_category_ids_of_the_task(base, write):
    _, path = write('head')
    predict = Predictor(base, score_threshold=0., task=path)

    def ids(found):
        return [[d['image_id'] for d in one.to_coco()] for one in found], [
            [d['category_id'] for d in one.to_coco()] for one in found]

    found = predict([picture(1), picture(2)])
    images, categories = ids(found)
    assert len(found[1]) and images == [[i] * len(one) for i, one in enumerate(found)]
    assert categories == [[list(CLASSES)[label] for label in one.labels] for one in found]
    assert found[1][:3].to_coco() == found[1].to_coco()[:3]
    assert found[1].to_coco(image_id=12, category_ids=[3, 4, 5])[0]['image_id'] == 12
    assert {d['category_id'] for d in found[1].to_coco(category_ids=[3, 4, 5])} <= {3, 4, 5}
    # Other names in another order; a name that the task does not have; no task.
    turned = [NAMES[2], NAMES[0]]
    assert set(ids(predict(picture(1), classes=turned))[1][0]) <= {7, 1000}
    for options in (dict(classes=[*NAMES, 'other']), dict(classes=NAMES, task='')):
        one, = predict(picture(1), **options)
        assert [d['category_id'] for d in one.to_coco()] == one.labels.tolist()


def test_tasks_take_turns_on_one_model(base, digest, write):
    paths = {name: write(name)[1] for name in STRATEGIES}
    predict = Predictor(base, score_threshold=0.)
    for name, path in paths.items():
        assert predict.load_task(path, name) == name
    first = {name: predict(picture(), task=name) for name in paths}
    for name in [*reversed(paths), *paths]:
        assert same(predict(picture(), task=name), first[name]), name
    assert fingerprint(base) == digest


@pytest.mark.parametrize('name', sorted(STRATEGIES))
def test_a_view_shares_what_its_task_does_not_change(base, digest, write, name):
    _, path = write(name)
    views = TaskViews(base, digest)
    view = views.view(views.load(path, 'task'))
    ours = {key: value.data_ptr() for key, value in base.state_dict().items() if value.numel()}
    theirs = {key: value.data_ptr() for key, value in view.state_dict().items() if value.numel()}
    changed = {key for key, place in ours.items() if theirs.get(key) != place}
    overrides = build_strategy(dict(name=name)).overrides(
        base, read_task(path).state, base.prompts(read_task(path).query))
    replaced = {key for key in ours if key.split('.')[0] in overrides.modules}
    assert changed == set(overrides.tensors) | replaced
    assert fingerprint(base) == digest and views.view(None) is base
    assert view.text_cache is not base.text_cache and view.cfg is base.cfg


def test_tied_weights_change_together(base):
    model = copy.deepcopy(base)
    model.bbox_head.bbox_pred.bias = nn.Parameter(torch.zeros(4))
    model.tied = nn.Module()
    model.tied.bias = model.bbox_head.bbox_pred.bias
    view = task_view(model, Overrides({'bbox_head.bbox_pred.bias': torch.ones(4)}))
    assert view.tied.bias is view.bbox_head.bbox_pred.bias and view.tied.bias.sum() == 4
    assert model.tied.bias.sum() == 0


@pytest.mark.slow
def test_base_and_tasks_answer_from_threads_what_they_answer_alone(base, digest, write):
    """Eight threads, the base model and two tasks of each strategy, three class lists."""
    predict = Predictor(base, score_threshold=0.)
    for name in sorted(STRATEGIES):
        for seed in (0, 1) if name != 'manual' else (0, ):
            predict.load_task(write(name, seed)[1], f'{name}{seed}')
    lists = [NAMES, ['one', 'two'], [f'thing {i}' for i in range(40)]]  # the last: several prompts
    jobs = [(task, None) for task in predict._tasks._ready]
    jobs += [('', names) for names in lists] + [('head0', lists[2]), ('lora1', lists[1])]
    images = [picture(seed) for seed in range(3)]
    scope = DefaultScope.get_current_instance()
    alone = {(task, str(names), i): predict(image, names, task=task)
             for task, names in jobs for i, image in enumerate(images)}
    calls = [(*job, i) for job in jobs for i in range(len(images))] * 8
    calls = [calls[i] for i in np.random.RandomState(0).permutation(len(calls))][:400]
    assert len(calls) >= 300

    def answer(call):
        task, names, i = call
        return predict(images[i], names, task=task)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(answer, calls))
    wrong = [call for call, found in zip(calls, answers)
             if not same(found, alone[(call[0], str(call[1]), call[2])])]
    assert not wrong
    assert fingerprint(base) == digest
    assert DefaultScope.get_current_instance() is scope


def test_open_tasks_answer_other_classes_and_learned_prompts_do_not(base, write):
    _, head = write('head')
    _, prompt = write('prompt')
    predict = Predictor(base, score_threshold=0.)
    assert set(predict(picture(), classes=['dog'], task=head)[0].names) == {'dog'}
    with pytest.raises(UserError, match="task=''"):
        predict(picture(), classes=['dog'], task=prompt)
    with pytest.raises(UserError, match='another prompt'):
        predict(picture(), caption='a dog', task=prompt)
    assert same(predict(picture(), task=prompt), predict(picture(), classes=NAMES, task=prompt))


def test_hand_written_prompts_are_asked(base, write):
    _, path = write('manual')
    task = read_task(path)
    assert task.captions == ('red "circle". animal of a house. naïve', )
    plain = Predictor(base, score_threshold=0.)
    words = {NAMES[1]: dict(name='animal', suffix=' of a house')}
    assert same(plain(picture(), task=path),
                plain(picture(), classes=NAMES, caption_prompt=words))


def test_everything_comes_back_from_the_file(base, digest, write):
    _, path = write('prompt')
    task = read_task(path)
    assert (task.classes, task.category_ids) == (tuple(NAMES), tuple(CLASSES))
    assert task.base == digest and task.model == 'tiny' and task.details == {'shots': 5}
    assert task.spans == (((((0, 12), )), ((14, 23), ), ((25, 30), )), )
    assert task.captions[0][14:23] == 'cats/dogs'
    assert task.strategy == {'name': 'prompt'}


def test_a_prompt_of_glip_t_takes_less_than_four_megabytes(tmp_path, base, digest):
    """256 tokens of 768 channels in float32 are 0.79 MB."""
    task = make_task(base, dict(name='prompt'), {'prompt.0': torch.zeros(256, 768)}, CLASSES,
                     digest, 'tiny')
    save_task(task, tmp_path / 'a.safetensors')
    assert (tmp_path / 'a.safetensors').stat().st_size < 1_000_000


def test_another_base_model_is_refused(base, write):
    _, path = write('head')
    other = copy.deepcopy(base)
    with torch.no_grad():
        other.bbox_head.centerness.bias += 1e-6
    with pytest.raises(UserError, match='other weights'):
        Predictor(other, task=path)


def test_a_model_that_splits_class_lists_otherwise_is_refused(base, digest, write):
    _, path = write('prompt')
    other = copy.deepcopy(base)
    other.max_tokens = 9
    assert fingerprint(other) == digest
    with pytest.raises(UserError, match='max_tokens'):
        Predictor(other, task=path)


@pytest.mark.parametrize('harm', ['missing', 'text', 'weights', 'cut'])
def test_what_is_no_task_file_is_refused(base, write, tmp_path, harm):
    path = tmp_path / 'other.safetensors'
    if harm == 'text':
        path.write_text('hello')
    elif harm == 'weights':
        save_file({'a': torch.zeros(2)}, path)
    elif harm == 'cut':
        _, whole = write('head')
        path.write_bytes(whole.read_bytes()[:-7])
    with pytest.raises(UserError, match='task file'):
        Predictor(base, task=path)


@pytest.mark.parametrize('key, value, named', [
    ('category_ids', [7, 90], '3 classes and 2 category_ids'),
    ('category_ids', [7, 90, float('nan')], 'NaN'),
    ('category_ids', [7, 90, '1000'], 'category_ids'), ('category_ids', [7, 7, 8], 'different'),
    ('category_ids', 7, 'category_ids'), ('classes', 'abc', 'classes'), ('classes', [], 'classes'),
    ('classes', [['a'], ['b'], ['c']], 'classes'), ('classes', None, 'classes'),
    ('captions', [1], 'captions'), ('captions', [], 'captions'), ('spans', [[]], 'spans'),
    ('spans', [[[[0, 3]], [[4, 6]]]], 'spans'),
    ('spans', [[[[0, 900]], [[4, 6]], [[7, 8]]]], 'spans'),
    ('spans', [[[['a', 'b']], [[4, 6]], [[7, 8]]]], 'spans'), ('spans', 5, 'spans'),
    ('strategy', [], 'strategy'), ('strategy', {'name': ['lora']}, 'strategy'),
    ('strategy', {'name': 'magic'}, 'magic'), ('strategy', {'name': 'lora', 'rank': 0}, 'rank'),
    ('strategy', {'name': 'lora', 'rank': 'a'}, 'rank'),
    ('strategy', {'name': 'lora', 'alpha': float('inf')}, 'Infinity'),
    ('strategy', {'name': 'lora', 'speed': 1}, 'speed'), ('base', 5, 'base'),
    ('model', None, 'model'), ('facts', [], 'facts'), ('caption_prompt', [1], 'caption_prompt'),
    ('caption_prompt', {NAMES[0]: 5}, 'task file'), ('captions', None, 'captions'),
])
def test_a_header_that_no_tuning_wrote_is_refused(base, write, tmp_path, key, value, named):
    from safetensors import safe_open
    _, path = write('lora')
    with safe_open(path, 'pt') as file:
        header = file.metadata()
    state = load_file(path)
    save_file(state, path, {**header, key: json.dumps(value)})
    with pytest.raises(UserError, match='task file') as caught:
        Predictor(base, task=path)
    assert named in str(caught.value) and '\n' not in str(caught.value)
    save_file(state, path, {k: v for k, v in header.items() if k != key})
    if key not in ('facts', 'caption_prompt'):
        with pytest.raises(UserError, match='task file'):
            read_task(path)


@pytest.mark.parametrize('change, named', [
    (lambda t: t * np.nan, 'NaN or infinite'), (lambda t: t.long(), 'torch.int64'),
    (lambda t: t[0], 'factors'), (lambda t: t[:, :1], 'factors'),
])
def test_tensors_that_no_tuning_wrote_are_refused(base, write, change, named):
    from safetensors import safe_open
    _, path = write('lora')
    with safe_open(path, 'pt') as file:
        header = file.metadata()
    state = load_file(path)
    name = sorted(state)[-1]
    save_file({**state, name: change(state[name]).contiguous()}, path, header)
    with pytest.raises(UserError, match=named):
        Predictor(base, task=path)


def test_the_fingerprint_of_a_wrapped_model_is_that_of_the_model(base, digest):
    assert fingerprint(torch.compile(base)) == digest
    assert fingerprint(nn.DataParallel(base)) == digest


def test_header_is_readable_json(write):
    from safetensors import safe_open
    _, path = write('lora')
    with safe_open(path, 'pt') as file:
        header = file.metadata()
    assert json.loads(header['classes']) == NAMES
    assert json.loads(header['strategy']) == {'name': 'lora'}
    assert all(key.endswith(('.up', '.down')) for key in load_file(path))


@pytest.mark.parametrize('change', [
    lambda model: model.bbox_head.centerness.double(),
    lambda model: model.bbox_head.centerness.register_buffer('more', torch.zeros(0)),
    lambda model: model.bbox_head.centerness.bias.data.add_(1e-6),
], ids=['type', 'name', 'value'])
def test_fingerprints_see_types_names_and_values(base, digest, change):
    other = copy.deepcopy(base)
    assert fingerprint(other) == digest
    change(other)
    assert fingerprint(other) != digest


def test_a_task_keeps_what_goes_with_its_classes(base, digest, tmp_path):
    parts = dict(synonyms={NAMES[0]: ['round thing']}, combine='mean', negative_classes=['dot'],
                 exclusive=[NAMES[1:]])
    query = Query.for_classes(NAMES, **parts)
    model, strategy = copy.deepcopy(base), build_strategy(dict(name='prompt'))
    strategy.add(model, model.prompts(query))
    with torch.no_grad():
        model.text_encoder.offset.add_(.1)
    path = tmp_path / 'task.safetensors'
    save_task(make_task(base, dict(name='prompt'), strategy.state(model), CLASSES, digest, 'tiny',
                        parts=parts), path)
    assert read_task(path).query == query
    predict = Predictor(base, score_threshold=0., task=path, per_object='all')
    wanted = Predictor(model, score_threshold=0., per_object='all')(picture(1), query)
    found = predict(picture(1))
    assert same(found, wanted) and found[0].classes == tuple(NAMES)
    # The names of the classes alone mean the task's question; others cannot be asked.
    assert same(predict(picture(1), NAMES), wanted) and same(predict(picture(1), query), wanted)
    assert predict.question(exclusive=[NAMES[:2]]).query.exclusive == (
        tuple(NAMES[1:]), tuple(NAMES[:2]))
    with pytest.raises(UserError, match='negatives that the task was tuned with'):
        predict(picture(1), NAMES, negative_classes=['cup'])
    with pytest.raises(UserError, match='negatives that the task was tuned with'):
        predict(picture(1), {NAMES[0]: ['ring'], NAMES[1]: None, NAMES[2]: None})


@pytest.mark.parametrize('parts', [
    [], {'colour': 'red'}, {'synonyms': {'dog': ['cat']}}, {'exclusive': [['dog', 'cat']]},
    {'negative_classes': [7]}, {'synonyms': {NAMES[0]: ['one name more than it has spans']}}])
def test_a_task_with_damaged_parts_is_refused(base, digest, tmp_path, parts):
    path = tmp_path / 'task.safetensors'
    save_task(make_task(base, dict(name='manual'), {'x': torch.ones(1)}, CLASSES, digest, 'tiny'),
              path)
    with safe_open(path, 'pt') as file:
        metadata = file.metadata()
    save_file({'x': torch.ones(1)}, path, metadata | {'query': json.dumps(parts)})
    with pytest.raises(UserError, match='a task file of glipkit tune, prompt or calibrate'):
        read_task(path)
