"""``glipkit predict`` on files."""
from __future__ import annotations

import csv
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from glipkit.apis.class_lists import read_classes
from glipkit.apis.predictor import Predictor
from glipkit.cli.predict import _phrases
from glipkit.common.boxes import box_iou
from glipkit.errors import UserError


@pytest.fixture
def predict(files):
    """The words of a command line with the tiny model."""

    def words(*rest: object) -> list[object]:
        return ['predict', *rest, '--config', files.config, '--checkpoint', files.checkpoint,
                '--threshold', '0']

    return words


def test_everything_is_saved(run, predict, images, tmp_path):
    ran = run(*predict(images, '--classes', 'red dog, Katze', '--out', tmp_path / 'out',
                       '--save-images', '--csv', '--json', '--all-labels'))
    assert ran.code == 0
    assert '20 found in 2 images: ' in ran.out and f'saved to {tmp_path / "out"}' in ran.out
    assert sorted(p.name for p in (tmp_path / 'out').iterdir()) == \
        ['a.jpg', 'b.jpg', 'predictions.csv', 'predictions.json']
    content = json.loads((tmp_path / 'out' / 'predictions.json').read_text())
    assert [one['image'] for one in content] == [str(images / 'a.png'), str(images / 'b.png')]
    assert (content[0]['width_px'], content[0]['height_px']) == (90, 60)
    first = content[0]['detections'][0]
    assert first['name'] == ['red dog', 'Katze'][first['label']]
    with (tmp_path / 'out' / 'predictions.csv').open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 20
    assert float(rows[0]['x2_px']) == pytest.approx(first['box_xyxy_px'][2], abs=0.01)
    assert Image.open(tmp_path / 'out' / 'a.jpg').size == (90, 60)


def test_without_a_wish_nothing_is_saved(run, predict, images, tmp_path):
    ran = run(*predict(images / 'a.png', '--caption', 'a man walks two dogs'))
    assert ran.code == 0
    assert 'found in 1 image: ' in ran.out and 'two dogs' in ran.out
    assert not list((tmp_path / 'here').iterdir())


def test_out_alone_saves_json_and_flags_alone_take_a_default_folder(run, predict, images,
                                                                    tmp_path):
    run(*predict(images, '--classes', 'dog', '--out', tmp_path / 'x'))
    assert [p.name for p in (tmp_path / 'x').iterdir()] == ['predictions.json']
    run(*predict(images, '--classes', 'dog', '--csv'))
    assert [p.name for p in (tmp_path / 'here' / 'predictions').iterdir()] == ['predictions.csv']


def test_images_of_one_name_get_pictures_of_their_own(run, predict, images, tmp_path):
    other = tmp_path / 'other'
    other.mkdir()
    (other / 'a.png').write_bytes((images / 'a.png').read_bytes())
    run(*predict(images, other, '--classes', 'dog', '--out', tmp_path / 'x', '--save-images'))
    assert sorted(p.name for p in (tmp_path / 'x').iterdir()) == ['a.jpg', 'a_2.jpg', 'b.jpg']


def test_no_picture_takes_the_place_of_an_image(run, predict, tmp_path):
    """Nor is one that was drawn looked at as an image the next time."""
    photos = tmp_path / 'photos'
    photos.mkdir()
    for name in ('a.jpg', 'a.png', 'b.png'):
        Image.new('RGB', (90, 60)).save(photos / name)
    content = {path: path.read_bytes() for path in photos.iterdir()}
    for _ in range(2):
        ran = run(*predict(photos, '--classes', 'dog', '--out', photos / 'found', '--save-images'))
        assert 'found in 3 images' in ran.out
    assert sorted(p.name for p in (photos / 'found').iterdir()) == ['a.jpg', 'a_2.jpg', 'b.jpg']
    run(*predict(photos / 'a.jpg', photos / 'a.png', '--classes', 'dog', '--out', photos,
                 '--save-images'))
    assert {path: path.read_bytes() for path in content} == content
    assert {p.name for p in photos.iterdir()} == \
        {'a.jpg', 'a.png', 'b.png', 'found', 'a_2.jpg', 'a_3.jpg'}
    assert 'found in 3 images' in run(*predict(photos / 'found', '--classes', 'dog', '--out',
                                               photos / 'found', '--csv')).out


def test_the_weights_that_come_with_glipkit_are_used(run, files, images, monkeypatch):
    asked = []
    entry = SimpleNamespace(weights=Path(files.checkpoint))
    monkeypatch.setattr('glipkit.apis.build.entry_of', lambda path: asked.append(path) or entry)
    ran = run('predict', images / 'a.png', '--config', files.config, '--classes', 'dog')
    assert ran.code == 0
    assert [str(path) for path in asked] == [files.config]


def test_phrases():
    assert _phrases('0-5,9-20') == [(0, 5), (9, 20)]
    assert _phrases('auto') == 'auto'
    for bad in ('0', '0-5-9', 'a-b', '', '5'):
        with pytest.raises(UserError):
            _phrases(bad)


def test_classes():
    assert read_classes(' traffic light ,dog') == ['traffic light', 'dog']
    assert read_classes(' ') == []


@pytest.mark.parametrize(('words', 'said'), [
    (['--classes', ''], 'at least one class name'),
    (['--classes', 'dog,,cat'], "''"),
    (['--classes', 'dog, ??'], "'??'"),
    (['--classes', 'dog, dog'], "'dog' again"),
    (['--caption', 'a dog', '--phrases', '0-99'], 'the length of the caption'),
    (['--caption', 'a dog', '--phrases', '4-1'], '(4, 1)'),
    (['--caption', 'a dog', '--phrases', 'x'], "'x'"),
    (['--caption', 'running'], 'noun phrase'),
    (['--classes', 'dog', '--phrases', '0-1'], 'only with a caption'),
])
def test_words_that_cannot_be_asked_for(refuse, predict, images, words, said):
    assert said in refuse(*predict(images, *words))


def test_a_missing_image(refuse, predict, images):
    assert 'none.png' in refuse(*predict(images, images / 'none.png', '--classes', 'dog'))


def cut(path):
    whole = path.read_bytes()
    path.write_bytes(whole[:len(whole) // 2])


def test_a_truncated_image_is_named_and_nothing_is_saved_where_that_is_strict(
        refuse, predict, images, tmp_path):
    cut(images / 'b.png')
    assert 'b.png' in refuse(*predict(images, '--classes', 'dog', '--out', tmp_path / 'x',
                                      '--csv', '--json', '--strict'))


def test_bad_images_are_named_counted_and_left_out(run, predict, images, tmp_path):
    cut(images / 'b.png')
    (images / 'c.png').symlink_to('gone.png')
    (images / 'below').mkdir()
    (images / 'below/d.png').write_bytes((images / 'a.png').read_bytes())
    (images / 'below/._d.png').write_bytes(b'of macOS')
    ran = run(*predict(images, '--classes', 'dog', '--out', tmp_path / 'x', '--save-images',
                       '--csv', '--json', '--all-labels'))
    assert ran.code == 1
    assert '20 found in 2 images: ' in ran.out
    assert '2 of 4 images could not be read and were left out' in ran.out
    lines = ran.err.splitlines()
    assert ['b.png' in lines[0], 'c.png' in lines[1], len(lines)] == [True, True, 2]
    content = json.loads((tmp_path / 'x/predictions.json').read_text())
    assert [one['image'] for one in content] == [str(images / 'a.png'),
                                                 str(images / 'below/d.png')]
    with (tmp_path / 'x/predictions.csv').open() as file:
        assert len(list(csv.DictReader(file))) == 20
    assert sorted(p.name for p in (tmp_path / 'x').iterdir()) == \
        ['a.jpg', 'd.jpg', 'predictions.csv', 'predictions.json']


def test_only_bad_images_are_wrong_input(refuse, predict, images, tmp_path):
    for name in ('a.png', 'b.png'):
        cut(images / name)
    said = refuse(*predict(images, '--classes', 'dog', '--out', tmp_path / 'x', '--save-images'))
    assert '2 that cannot' in said and 'a.png' in said


@pytest.mark.parametrize(('error', 'kept'), [
    (KeyboardInterrupt(), True), (RuntimeError('out of memory'), True),
    (UserError('a', 'b', 'c'), False)])
def test_what_was_found_before_the_end_came(run, predict, images, tmp_path, monkeypatch, error,
                                            kept):
    detect, calls = Predictor.detect, []

    def fail_at_the_second(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise error
        return detect(*args, **kwargs)

    monkeypatch.setattr(Predictor, 'detect', fail_at_the_second)
    words = predict(images, '--classes', 'dog', '--out', tmp_path / 'x', '--json')
    if isinstance(error, RuntimeError):
        with pytest.raises(RuntimeError):
            run(*words)
    else:
        assert run(*words).code in (2, 130)
    assert (tmp_path / 'x').exists() == kept
    if kept:
        content = json.loads((tmp_path / 'x/predictions.json').read_text())
        assert [one['image'] for one in content] == [str(images / 'a.png')]
        assert len(list((tmp_path / 'x').iterdir())) == 1


def test_an_image_is_written_before_the_next_is_read(run, predict, images, tmp_path, monkeypatch):
    seen = []
    prepare = Predictor.prepare
    monkeypatch.setattr(Predictor, 'prepare', lambda *args: seen.append(
        sorted(p.name for p in tmp_path.glob('x/[ab].jpg'))) or prepare(*args))
    run(*predict(images, '--classes', 'dog', '--out', tmp_path / 'x', '--save-images'))
    assert seen == [[], ['a.jpg']]


@pytest.mark.skipif(sys.platform != 'linux', reason='other systems refuse such names')
def test_a_name_in_another_encoding(run, predict, images, tmp_path):
    name = os.fsdecode(b'caf\xe9.png')
    (images / name).write_bytes((images / 'a.png').read_bytes())
    ran = run(*predict(images, '--classes', 'dog', '--out', tmp_path / 'x', '--save-images',
                       '--csv', '--json'))
    assert ran.code == 0
    content = json.loads((tmp_path / 'x/predictions.json').read_text(encoding='utf-8'))
    assert content[2]['image'] == str(images / name)  # comes back as it was
    assert 'caf\\udce9.png' in (tmp_path / 'x/predictions.csv').read_text(encoding='utf-8')
    assert (tmp_path / 'x' / name.replace('.png', '.jpg')).is_file()


def test_folders_below_patterns_and_the_home(run, predict, images, tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(images))
    for words in (('~',), ('~/*.png',), (images / '*.png', ), (tmp_path / 'pho*',)):
        assert 'found in 2 images' in run(*predict(*words, '--classes', 'dog')).out
    (images / 'a.png').rename(images / 'b.png')
    assert 'found in 1 image' in run(*predict(tmp_path, '--classes', 'dog')).out


def test_an_address(refuse, predict):
    assert 'download it first' in refuse(*predict('https://example.org/a.jpg', '--classes', 'a'))


def test_an_empty_folder(refuse, predict, tmp_path):
    (tmp_path / 'empty').mkdir()
    assert 'none in' in refuse(*predict(tmp_path / 'empty', '--classes', 'dog'))


def test_a_missing_checkpoint(refuse, files, images):
    assert 'none.pth' in refuse('predict', images, '--config', files.config, '--checkpoint',
                                'none.pth', '--classes', 'dog')


def test_a_model_without_weights(refuse, files, images):
    assert '--checkpoint FILE' in refuse('predict', images, '--config', files.config,
                                         '--classes', 'dog')


def test_a_checkpoint_of_another_model(refuse, files, images, tmp_path):
    config = tmp_path / 'other_test.py'
    with open(files.config) as file:
        config.write_text(file.read().replace('num_blocks=1', 'num_blocks=2'))
    said = refuse('predict', images, '--config', config, '--checkpoint', files.checkpoint,
                  '--classes', 'dog')
    assert '2 blocks' in said and '1 block ' in said and 'missing: bbox_head.tower.1.' in said


def test_a_config_with_an_unknown_key(refuse, files, images, tmp_path):
    config = tmp_path / 'other_test.py'
    with open(files.config) as file:
        config.write_text(file.read().replace('max_tokens=40', 'max_token=40'))
    assert "'max_token'" in refuse('predict', images, '--config', config, '--checkpoint',
                                   files.checkpoint, '--classes', 'dog')


@pytest.mark.parametrize('words', [['--threshold', '2'], ['--batch-size', '0'],
                                   ['--device', 'nowhere'], ['--config', 'glip-none'],
                                   ['--overlap', '1.5']])
def test_arguments_outside_their_range(refuse, predict, images, words):
    refuse(*predict(images, '--classes', 'dog'), *words)


def test_out_that_is_a_file(refuse, predict, images, tmp_path):
    (tmp_path / 'x').touch()
    assert 'a folder for --out' in refuse(*predict(images, '--classes', 'dog', '--out',
                                                   tmp_path / 'x'))
    assert 'a folder that can be made' in refuse(*predict(
        images, '--classes', 'dog', '--out', tmp_path / 'x' / 'y', '--save-images'))


@pytest.mark.parametrize(('text', 'names'), [
    ('red circle , it\'s', ['red circle', "it's"]),
    ('dog, "salt, pepper and oil" ,cat', ['dog', 'salt, pepper and oil', 'cat']),
    ('"red" star, 5" pipe', ['"red" star', '5" pipe']),
    ('a "b, c" d', ['a "b', 'c" d']),
    ('say ""hi, "so ""called"" dog"', ['say ""hi', 'so "called" dog']),
    ('7" disc', ['7" disc']),
    ('dog,', ['dog']), (' , ', []), ('a,,b', ['a', '', 'b'])])
def test_class_names_of_the_command_line(text, names):
    assert read_classes(text) == names


def test_a_file_that_is_no_image_is_named_without_program_talk(refuse, predict, tmp_path):
    (tmp_path / 'letter.jpg').write_text('dear all')
    said = refuse(*predict(tmp_path / 'letter.jpg', '--classes', 'dog'))
    assert 'letter.jpg (no image of a known kind)' in said


def test_a_folder_that_cannot_be_written_to_is_refused_before_the_work(
        refuse, predict, images, tmp_path, monkeypatch):
    # Permissions mean nothing to root, who may run the tests.
    monkeypatch.setattr('os.access', lambda path, mode: False)
    assert 'can be written to' in refuse(*predict(images, '--classes', 'dog', '--out',
                                                  tmp_path / 'x' / 'y'))


def test_a_query_file_negatives_and_groups(run, predict, images, tmp_path):
    file = tmp_path / 'query.yaml'
    file.write_text('classes: {cup: [mug], plate: []}\nexclusive: [[cup, plate]]\n')
    ran = run(*predict(images / 'a.png', '--classes', file, '--negative-classes', 'bowl',
                       '--out', tmp_path / 'out', '--all-labels'))
    found = json.loads((tmp_path / 'out' / 'predictions.json').read_text())[0]['detections']
    assert ran.code == 0 and {one['name'] for one in found} <= {'cup', 'plate'}
    boxes = np.array([one['box_xyxy_px'] for one in found]).reshape(-1, 4)
    overlap = box_iou(boxes, boxes)
    np.fill_diagonal(overlap, 0)
    assert not len(found) or overlap.max() <= .5


@pytest.mark.parametrize(('words', 'said'), [
    (['--classes', 'cup', '--negative-classes', 'cup'], "'cup' as a class and as a negative"),
    (['--classes', 'cup, mug', '--exclusive', 'cup, plate'], "'plate', which is no class"),
    (['--classes', 'cup, mug', '--exclusive', 'cup'], 'two or more different classes'),
    (['--caption', 'a dog', '--negative-classes', 'cup'], 'only with classes; got a caption'),
    (['--classes', 'cup', '--segment', '--negative-classes', 'cup'], "'cup' as a class"),
    (['--classes', 'cup', '--segment', '--negative-classes', 'fox'], '--negative-classes')])
def test_parts_of_a_query_that_cannot_be_asked(refuse, predict, images, words, said):
    assert said in refuse(*predict(images, *words))
