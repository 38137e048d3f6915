"""``glipkit check-data`` from the outside: what it prints, its exit codes, copies and reports."""
import json

import pytest
from PIL import Image

from glipkit.testing.tiny_glip import picture


@pytest.fixture
def content():
    return dict(
        images=[dict(id=i, file_name=name, width=90, height=60)
                for i, name in enumerate(['a.png', 'b.png'])],
        annotations=[dict(id=k, image_id=k, category_id=4 + k, bbox=[5, 5, 30, 20], iscrowd=0)
                     for k in range(2)],
        categories=[dict(id=5, name='red dog'), dict(id=4, name='traffic_light')])


@pytest.fixture
def write(tmp_path):

    def put(content, name='ann.json'):
        (tmp_path / name).write_text(json.dumps(content))
        return tmp_path / name

    return put


def test_a_sound_file(run, images, write, content):
    ran = run('check-data', write(content), '--images', images)
    assert ran.code == 0, ran
    lines = [' '.join(line.split()) for line in ran.out.splitlines()]
    assert '4 -> 0 -> traffic_light 2 tokens 1 boxes' in lines
    assert '5 -> 1 -> red dog 2 tokens 1 boxes' in lines
    assert '[7 of 256 tokens] traffic light. red dog' in lines
    assert lines[-1] == 'training may start'


def test_errors_warnings_and_the_report(run, images, write, content, tmp_path):
    content['categories'][0]['name'] = 'Traffic Light'
    content['annotations'][0]['bbox'] = [200, 5, 30, 20]
    (images / 'b.png').unlink()
    ran = run('check-data', write(content), '--images', images, '--json', tmp_path / 'r.json')
    assert ran.code == 1
    assert "'Traffic Light' and 'traffic_light'" in ran.out
    assert 'warning: 1 boxes outside their image' in ran.out
    assert ran.out.splitlines()[-1].startswith('training should not start')
    report = json.loads((tmp_path / 'r.json').read_text())
    assert report['exit_code'] == 1 and report['bad_images'] == ['b.png']
    assert {f['kind'] for f in report['findings']} >= {'same_words', 'box_outside',
                                                       'missing_image', 'many_bad_images'}


def test_the_model_of_a_config_sets_the_budget(run, images, write, content, files):
    from pathlib import Path
    config = Path(files.config)
    small = config.with_name('small_test.py')
    small.write_text(config.read_text().replace('max_tokens=40', 'max_tokens=6'))
    ran = run('check-data', write(content), '--images', images, '--config', small)
    assert ran.code == 0 and '2 prompts:' in ran.out and '[4 of 6 tokens] red dog' in ran.out


def test_fix_writes_a_copy_that_passes(run, refuse, images, write, content, tmp_path):
    content['annotations'].append(dict(content['annotations'][0], category_id=77))
    path, out = write(content), tmp_path / 'clean.json'
    ran = run('check-data', path, '--images', images, '--fix', out)
    assert ran.code == 0, ran
    assert 'left out' in ran.out and ran.out.splitlines()[-1] == 'the copy may be trained on'
    assert run('check-data', out, '--images', images).code == 0
    assert len(json.loads(out.read_text())['annotations']) == 2
    before = out.read_text()
    assert 'exists' in refuse('check-data', path, '--images', images, '--fix', out)
    assert out.read_text() == before
    assert '.json' in refuse('check-data', path, '--images', images, '--fix', tmp_path / 'a.txt')


def test_what_fix_cannot_mend_is_said(run, images, write, content, tmp_path):
    content['categories'][0]['name'] = 'traffic light (old)'
    ran = run('check-data', write(content), '--images', images, '--fix', tmp_path / 'c.json')
    assert ran.code == 1
    assert 'left for you to mend: 1 different classes that the model reads as the same' in ran.out


@pytest.mark.parametrize('words, said', [
    (['none.json'], 'none.json'),
    (['{file}', '--images', 'nowhere'], 'nowhere'),
    (['{file}', '--workers', '0'], '--workers'),
    (['{file}', '--max-images', '-1'], '--max-images'),
    (['{file}', '--config', 'glip-x'], 'glip-x'),
    (['{file}', '--source-prefix', 'vg'], '--source-prefix'),
])
def test_bad_usage_is_one_line(refuse, write, content, words, said):
    path = write(content)
    assert said in refuse('check-data', *[word.format(file=path) for word in words])


def test_the_label_map_beside_an_odvg_file_is_found(run, images, write, tmp_path):
    line = dict(filename='a.png', width=90, height=60, detection=dict(instances=[
        dict(bbox=[5, 5, 35, 25], label=0)]))
    path = write(line, 'ann.jsonl')
    ran = run('check-data', path, '--images', images)
    assert ran.code == 1 and 'without a label map' in ran.out
    write({'0': 'dog'}, 'label_map.json')
    assert run('check-data', path, '--images', images).code == 0


def test_images_that_no_decoder_takes(run, images, write, content):
    Image.fromarray(picture(0)).save(images / 'b.png')
    (images / 'b.png').write_bytes((images / 'b.png').read_bytes()[:60])
    path = write(content)
    assert 'cut off, damaged' in run('check-data', path, '--images', images).out
    assert 'cut off' not in run('check-data', path, '--images', images, '--max-images', 0).out
