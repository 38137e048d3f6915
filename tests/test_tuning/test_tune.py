"""`tune` as a function: what it reads, what it tells, whom it lets into its folder."""
from __future__ import annotations

import json
import warnings
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from glipkit.apis.build import load
from glipkit.apis.predictor import Predictor
from glipkit.apis.tasks import read_task
from glipkit.checkpoints import save_checkpoint
from glipkit.checkpoints.files import read_file
from glipkit.common.reporter import reporting
from glipkit.data.formats.read_once import files_read_once
from glipkit.engine.hooks.plateau import PlateauHook
from glipkit.errors import UserError
from glipkit.runs.folder import LOCK
from glipkit.runs.locks import locked
from glipkit.testing.tiny_glip import picture, write_config
from glipkit.text.query import Query
from glipkit.tuning import TuneSettings, tune
from glipkit.tuning.data import prepare_data
from glipkit.tuning.report import NO_HELP, change, score_lines, write_report
from glipkit.tuning.settings import AnnotatedImages
from glipkit.tuning.training import evaluate
from tests.recorder import Recorder

OPTIONS = {'schedule.max_epochs': 2, 'schedule.batch_size': 2}


def write_images(folder, count, seed, names=('cat', 'dog')):
    """Pictures with a box of each class."""
    (folder / 'images').mkdir(parents=True)
    content = dict(images=[], annotations=[],
                   categories=[dict(id=i, name=name) for i, name in enumerate(names, start=1)])
    for number in range(1, count + 1):
        pixels = picture(seed + number)
        Image.fromarray(pixels[..., ::-1]).save(folder / 'images' / f'{number}.png')
        content['images'].append(dict(id=number, file_name=f'{number}.png',
                                      height=pixels.shape[0], width=pixels.shape[1]))
        for category in range(1, len(names) + 1):
            content['annotations'].append(dict(
                id=len(content['annotations']) + 1, image_id=number, category_id=category,
                bbox=[5. + 20 * category, 8., 30., 40.], area=1200., iscrowd=0))
    (folder / 'coco.json').write_text(json.dumps(content))
    return AnnotatedImages(folder / 'coco.json', folder / 'images')


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp('model')
    config = write_config(folder)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        save_checkpoint(load(config), folder / 'tiny.safetensors')
    return str(config), str(folder / 'tiny.safetensors')


@pytest.fixture
def settings(model, tmp_path):
    def build(**more):
        given = dict(data=write_images(tmp_path / 'train', 4, 0), out=tmp_path / 'out',
                     strategy='head', model=model[0], checkpoint=model[1], options=OPTIONS)
        return TuneSettings(**{**given, **more})

    return build


@pytest.fixture
def parsed(monkeypatch):
    """Text -> how often it was parsed as JSON, by whomever."""
    counts: Counter[str] = Counter()
    decode = json.JSONDecoder.decode

    def counting(self, text, *args, **kwargs):
        counts[text] += 1
        return decode(self, text, *args, **kwargs)

    monkeypatch.setattr(json.JSONDecoder, 'decode', counting)
    return counts


@pytest.mark.slow
@pytest.mark.parametrize('shots', [None, 1])
def test_a_file_is_parsed_once(settings, tmp_path, parsed, shots):
    """In the check, the split, both evaluations, all trainings, and the report."""
    test = write_images(tmp_path / 'test', 2, 30)
    held_out = write_images(tmp_path / 'held_out', 2, 60, ('bird', 'fish', 'cow'))
    asked = settings(test=test, held_out=held_out, shots=shots, seeds=(3, 30), strategy='prompt')
    with files_read_once():
        write_report(tune(asked))
    files = [asked.data.ann_file, test.ann_file, held_out.ann_file,
             *(tmp_path / 'out' / 'data').iterdir()]
    assert len(files) == 5 + (0 if shots is None else 2)
    found = {str(path.relative_to(tmp_path)): parsed[path.read_text()] for path in files}
    assert found == dict.fromkeys(found, 1)


def test_several_sets_in_one_file_are_parsed_once(settings, parsed):
    asked = settings()
    tune(replace(asked, val=asked.data, test=asked.data, held_out=asked.data))
    assert parsed[asked.data.ann_file.read_text()] == 1


def test_what_is_told_goes_to_the_reporter(settings, capsys):
    with reporting(Recorder()) as heard:
        result = tune(settings())
    assert capsys.readouterr().out == ''
    assert any('no test file' in text for text in heard.notes)
    assert any(text.startswith('zero-shot on val: AP') for text in heard.notes)
    assert any('trains' in text for text in heard.notes)
    titles = [bar.title for bar in heard.bars]
    assert titles[-1] == 'seed_3, val' and {'zero-shot, val', 'training'} <= set(titles)
    training = heard.bars[titles.index('training')]
    assert training.done == training.total > 0 and 'loss' in training.values
    assert all(bar.closed and bar.done == bar.total for bar in heard.bars)
    with reporting(Recorder()) as heard:
        assert tune(result.settings).seeds == result.seeds
    assert f'resuming the run in {result.settings.out}' in heard.notes
    assert {bar.title for bar in heard.bars} <= {'looking for images', 'looking at sizes of images'}


@pytest.mark.parametrize(('before', 'after', 'said'), [
    (0.0052, 0.0044, '-0.001'), (0.00451, 0.00449, '-0.001'), (0.1, 0.1001, 'no change'),
    (0.1001, 0.1, 'no change'), (0.2, 0.31, '+0.110'), (-1., -1., 'no change')])
def test_a_change_agrees_with_the_numbers_beside_it(before, after, said):
    assert change(before, after) == said


def test_a_tune_that_did_not_help_says_so():
    def result(after):
        return SimpleNamespace(zero_shot={'val': {'AP': 0.005}}, seeds=[1],
                               mean=lambda name, metric='AP': (after, 0.))

    assert score_lines(result(0.0044)) == [
        'val       AP 0.005 zero-shot -> 0.004, -0.001', NO_HELP]
    assert score_lines(result(0.5)) == ['val       AP 0.005 zero-shot -> 0.500, +0.495']


def test_a_last_checkpoint_that_is_cut_off_is_passed_over(settings):
    """The seed is trained again instead of refusing its own folder."""
    whole = tune(settings())
    folder = whole.settings.out / 'seed_3'
    wanted = read_file(folder / 'task.safetensors').state
    (folder / 'result.json').unlink()
    (folder / 'last.pth').write_bytes(b'PK\3\4cut')
    with (folder / next(folder.glob('*/vis_data/scalars.json'))).open('a') as file:
        file.write('{"loss": 0.1, "st')
    with reporting(Recorder()) as heard:
        again = tune(whole.settings)
    assert any('not resumed from' in note for note in heard.notes)
    found = read_file(folder / 'task.safetensors').state
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)
    assert write_report(again).is_file()
    assert not (folder / 'last.pth').exists()


class Touch:
    """Makes a file when it is unpickled by anything that obeys."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return eval, (f'open({self.path!r}, "w")', )


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['text', 'object'])
def test_a_last_checkpoint_runs_no_code(settings, tmp_path, monkeypatch, kind):
    """Text of a config is not read; what would have to be run is passed over, and said."""
    given, save = settings(), PlateauHook._save

    def stop(hook, runner, iteration):
        save(hook, runner, iteration)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(PlateauHook, '_save', stop)
        tune(given)
    last, trace = tmp_path / 'out/seed_3/last.pth', tmp_path / 'trace'
    content = torch.load(last, weights_only=False)
    code = f'open({str(trace)!r}, "w")\n'
    content['meta'].update(config=code, cfg=code)
    if kind == 'object':
        content['meta']['seed'] = Touch(trace)
    torch.save(content, last)
    with reporting(Recorder()) as heard:
        tune(given)
    assert not trace.exists() and not last.exists()
    assert any(f'not resumed from {last}' in note for note in heard.notes) == (kind == 'object')


def test_other_settings_are_named_and_another_process_is_kept_out(settings):
    asked = settings()
    tune(asked)
    with pytest.raises(UserError, match='other settings or data: shots'):
        tune(replace(asked, shots=1))
    with locked(asked.out / LOCK), pytest.raises(UserError, match='no other process'):
        tune(asked)
    assert not (asked.out / LOCK).exists()


def test_a_folder_of_version_0_1_0_resumes(settings):
    """Its identity was written with other spaces and sorted keys, and without an end of line."""
    asked = settings()
    first = tune(asked)
    path = asked.out / 'settings.json'
    kept = json.loads(path.read_text())
    assert set(kept) == {'base', 'checkpoint', 'data', 'files', 'held_out', 'interpolate', 'model',
                         'options', 'prompts', 'recipe', 'replay', 'replay_share',
                         'sample_classes', 'seeds', 'shots', 'strategy', 'test', 'val'}
    assert kept['data'] == {'ann_file': str(asked.data.ann_file), 'images': str(asked.data.images)}
    path.write_text(json.dumps(kept, indent=1, sort_keys=True))
    assert tune(asked).seeds == first.seeds


QUERY = '''classes: {cat: [feline, a small tiger], dog: []}
negative_classes: [fox]
exclusive: [[cat, dog]]
'''


@pytest.mark.parametrize('strategy', ['manual', 'prompt'])
def test_a_query_goes_into_training_scores_and_task(settings, tmp_path, strategy):
    file = tmp_path / 'query.yaml'
    file.write_text(QUERY)
    with reporting(Recorder()) as heard:
        result = tune(settings(query=file, strategy=strategy))
    assert any(text.startswith('names of one class: max') for text in heard.notes)
    query = read_task(result.task).query
    assert query == Query.for_classes(['cat', 'dog'], negative_classes=['fox'], exclusive=[
        ['cat', 'dog']], synonyms={'cat': ['feline', 'a small tiger']})
    predict = Predictor(load(*result_model(result)), task=result.task, score_threshold=0.)
    assert predict.question().query == query
    if strategy == 'prompt':  # its prompt was learned with what stands beside the classes
        with pytest.raises(UserError, match="negatives that the task was tuned with.*'wolf'"):
            predict.question(negative_classes=['wolf'])
    file.write_text(QUERY + 'combine: mean\n')
    with pytest.raises(UserError, match='other settings'):
        tune(result.settings)


def test_classes_of_the_data_are_neither_other_names_nor_negatives(settings, tmp_path):
    file = tmp_path / 'query.yaml'
    asked = settings(query=file)
    for text in ('classes: [cat]\nnegative_classes: [dog]', 'classes: {cat: [dog]}'):
        file.write_text(text)
        with reporting(Recorder()) as heard, \
                pytest.raises(UserError, match="'dog', which has boxes of its own"):
            tune(asked)
        assert not heard.notes


def result_model(result):
    return result.settings.model, result.settings.checkpoint


def test_names_are_combined_as_is_better_on_val(settings, tmp_path, monkeypatch):
    file = tmp_path / 'query.yaml'
    file.write_text(QUERY)
    scored = []

    def score(model, data, title, query=None, **more):
        scored.append(query)
        return dict(AP=.5 + (query.combine == 'mean') / 10, AP50=.5, labels_per_object=1.)

    monkeypatch.setattr('glipkit.tuning.run.evaluate', score)
    result = tune(settings(query=file, strategy='manual'))
    assert read_task(result.task).query.combine == 'mean'
    assert [query.combine for query in scored if query.parts] == ['max', 'mean', 'mean', 'mean']
    assert not scored[0].parts  # zero-shot is asked the names of the data alone


@pytest.mark.parametrize('content, said', [
    ('classes: [cat, bird]', "'bird'"),
    ('classes: {cat: [dog]}', "'dog', which has boxes of its own"),
    ('classes: [cat]\nexclusive: [[cat]]', 'two or more')])
def test_a_query_of_other_classes_is_refused_before_anything_is_written(settings, tmp_path, content,
                                                                       said):
    file = tmp_path / 'query.yaml'
    file.write_text(content)
    asked = settings(query=file)
    with pytest.raises(UserError, match=said):
        tune(asked)
    assert not asked.out.exists()


def test_processes_but_the_first_are_silent(settings, monkeypatch):
    monkeypatch.setattr('glipkit.tuning.processes.is_main_process', lambda: False)
    with reporting(Recorder()) as heard:
        tune(settings())
    assert not heard.notes and not heard.bars


def changed(data, change):
    content = json.loads(data.ann_file.read_text())
    change(content)
    data.ann_file.write_text(json.dumps(content))
    return data


def test_crowds_are_not_set_aside_and_not_validated_on(settings, tmp_path):
    """Before anything trains: what has nothing to find or to learn from is refused by name."""
    def crowds(content):
        for record in content['annotations']:
            record['iscrowd'] = int(record['image_id'] > kept)

    kept = 2
    mixed = changed(write_images(tmp_path / 'mixed', 5, 0), crowds)
    run = settings(data=mixed)
    assert tune(run).zero_shot['val']['AP'] >= 0
    kept = 1
    with pytest.raises(UserError, match='two images with boxes.*1 in'):
        tune(replace(run, data=changed(mixed, crowds), out=tmp_path / 'one'))
    kept = 0
    with pytest.raises(UserError, match='no box is left'):
        tune(replace(run, data=write_images(tmp_path / 'sound', 4, 0),
                     val=changed(mixed, crowds), out=tmp_path / 'none'))
    assert not (tmp_path / 'none' / 'seed_3').exists()


def test_parts_that_were_there_already_need_boxes(settings, tmp_path):
    run = settings()
    whole = json.loads(run.data.ann_file.read_text())
    few = run.data.ann_file.parent / 'fewshot_train_shot1_seed3.json'
    few.write_text(json.dumps(dict(whole, annotations=[])))
    with pytest.raises(UserError, match='boxes besides crowds.*fewshot_train_shot1_seed3'):
        tune(replace(run, shots=1, seeds=(3, ), val=write_images(tmp_path / 'val', 2, 5)))
    (run.out / 'data').mkdir(parents=True, exist_ok=True)
    for name, content in (('train', whole), ('val', dict(whole, annotations=[]))):
        (run.out / 'data' / f'split_{name}.json').write_text(json.dumps(content))
    with pytest.raises(UserError, match='boxes besides crowds.*split_val'):
        prepare_data(run)


def test_a_super_category_without_a_box_is_not_tuned_for(settings, tmp_path):
    def umbrella(content):
        content['categories'].append(dict(id=0, name='animals', supercategory='none'))
        for record in content['categories'][:2]:
            record['supercategory'] = 'animals'

    recorder = Recorder()
    with reporting(recorder):
        result = tune(settings(data=changed(write_images(tmp_path / 'a', 5, 0), umbrella),
                               val=write_images(tmp_path / 'b', 2, 7)))
    assert result.data.classes == {1: 'cat', 2: 'dog'}
    assert any("'animals'" in line and 'left out' in line for line in recorder.notes)


def test_labels_of_unturned_pictures_are_refused(settings):
    run = settings()
    path = run.data.images / '1.png'
    exif = Image.Exif()
    exif[0x0112] = 8
    Image.open(path).save(path, exif=exif)
    with pytest.raises(UserError, match='EXIF tag turns.*1.png is'):
        tune(run)
    assert not run.out.exists()


def test_labels_are_counted_above_the_threshold_of_the_model(tmp_path):
    data = write_images(tmp_path / 'data', 2, 0)
    config = write_config(tmp_path)
    assert evaluate(load(config, 'random'), data, 'a')['labels_per_object'] == 0
    config.write_text(config.read_text() + 'shown_above = 0.\n')  # all 10 of 2 objects
    assert evaluate(load(config, 'random'), data, 'b')['labels_per_object'] == 5
