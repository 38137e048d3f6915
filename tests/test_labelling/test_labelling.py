"""Self-training's first half: captions become grounding data, whatever happens on the way."""
from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from glipkit.apis import build
from glipkit.apis.index import shipped_weights
from glipkit.apis.predictor import Predictor
from glipkit.claims.pseudo_labels import hits
from glipkit.cli.main import main
from glipkit.common.reporter import reporting
from glipkit.data.formats.caption_shards import CaptionShards
from glipkit.data.formats.captioned import CaptionedShard, open_captioned
from glipkit.errors import UserError
from glipkit.labelling import LabelSettings, Teacher, pseudo_label
from glipkit.labelling.grounder import CaptionGrounder
from glipkit.labelling.screening import screen
from glipkit.reports.browse import browse, mark_phrases
from glipkit.runs.folder import LOCK
from glipkit.runs.locks import locked
from glipkit.text.phrases import extract_phrases
from glipkit.worlds import shapes
from tests.recorder import Recorder

TEACHER = Teacher('glip-mini', str(shipped_weights('glip-mini')))
PAIRS = 12


@pytest.fixture(scope='module')
def predictor():
    return Predictor(TEACHER.config, TEACHER.checkpoint)


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    """Captioned pictures, the captions in a jsonl and the boxes' truth aside."""
    folder = tmp_path_factory.mktemp('world')
    shapes.build(folder, seed=5, num_train_det=1, num_train_grd=PAIRS, num_val=1, workers=1)
    lines = (folder / 'annotations/grd_train.jsonl').read_text().splitlines()
    records = [json.loads(line) for line in lines]
    with (folder / 'web.jsonl').open('w') as file:
        for record in records:
            file.write(json.dumps({'filename': record['filename'],
                                   'caption': record['grounding']['caption']}) + '\n')
    return folder, records


def label(world, out, **kwargs):
    return pseudo_label([world[0] / 'web.jsonl'], out, TEACHER, kwargs.pop('settings', None),
                        world[0] / 'images/train_grd', kwargs.pop('part_size', 2), **kwargs)


@pytest.fixture(scope='module')
def labelled(world, tmp_path_factory):
    out = tmp_path_factory.mktemp('labelled') / 'out'
    return out, label(world, out)


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob('*') if p.is_file()}


def test_boxes_agree_with_the_hidden_truth(labelled, world):
    """At least 0.8 of the boxes overlap an object of their phrase at IoU 0.5."""
    truth = {record['filename']: record['grounding'] for record in world[1]}
    lines = [json.loads(line) for shard in sorted(labelled[0].glob('*.jsonl'))
             for line in shard.read_text().splitlines()]
    for line in lines:
        assert line['grounding']['caption'] == truth[line['filename']]['caption']
    found = [hit for line in lines for hit in hits(line, truth)]
    assert len(found) > 2 * PAIRS and np.mean(found) >= 0.8


def test_the_student_reads_what_was_written(labelled):
    out, manifest = labelled
    dataset = CaptionShards(str(out), pipeline=[], data_prefix=dict(img='/'), score_thr=None)
    assert len(dataset) == manifest['counts']['labelled captions'] == sum(
        shard['count'] for shard in manifest['shards'])
    boxes = sum(len(dataset.get_data_info(i)['instances']) for i in range(len(dataset)))
    assert boxes == manifest['counts']['boxes']
    assert manifest['teacher']['fingerprint'] and manifest['settings']['score'] == 0.5


def test_nothing_is_done_twice(labelled, world):
    before = {p: p.stat().st_mtime_ns for p in labelled[0].glob('*.jsonl')}
    with reporting(Recorder()) as heard:
        label(world, labelled[0])
    # A bar that is full from the beginning, and never moves.
    assert [(bar.total, bar.begun, bar.moves) for bar in heard.bars] == [(PAIRS, PAIRS, [])]
    assert {p: p.stat().st_mtime_ns for p in labelled[0].glob('*.jsonl')} == before


def test_the_teacher_is_loaded_once(world, tmp_path, monkeypatch):
    loaded = []

    def load_and_count(*args, **kwargs):
        loaded.append(args)
        return load_checkpoint(*args, **kwargs)

    load_checkpoint = build.load_checkpoint
    monkeypatch.setattr(build, 'load_checkpoint', load_and_count)
    label(world, tmp_path / 'out', part_size=PAIRS)
    assert len(loaded) == 1


def test_another_process_is_kept_out(labelled, world):
    with locked(labelled[0] / LOCK), pytest.raises(UserError, match='no other process'):
        label(world, labelled[0])


def test_other_settings_need_another_folder(labelled, world):
    with pytest.raises(UserError, match='settings'):
        label(world, labelled[0], settings=LabelSettings(score=0.6))


def test_a_damaged_result_is_made_again(labelled, world, tmp_path):
    out = tmp_path / 'out'
    label(world, out)
    whole = contents(out)
    (out / 'web-00002.jsonl').write_text('{}')
    (out / '.parts/web-00003.json').write_text('{"rows"')
    label(world, out)
    assert contents(out) == whole == contents(labelled[0])


@pytest.mark.parametrize('workers', [1, 3])
def test_any_number_of_workers_gives_the_same_files(labelled, world, tmp_path, workers):
    out = tmp_path / 'out'
    label(world, out, workers=workers)
    assert contents(out) == contents(labelled[0])


def test_sizes_and_ranges_are_kept_apart(predictor, world, tmp_path):
    """Batches hold images of one size and one range; each pair's lines are those it has alone."""
    shard = pairs_of(tmp_path, [])
    names = [record['filename'] for record in world[1][:9]]
    for number, name in enumerate(names):
        with Image.open(world[0] / 'images/train_grd' / name) as image:
            image.resize((96, 96 + 32 * (number % 3))).save(tmp_path / name)
    shard.path.write_text(''.join(
        json.dumps({'filename': name, 'captions': [record['grounding']['caption']] * 2}) + '\n'
        for name, record in zip(names, world[1])))
    shard = CaptionedShard(shard.path)
    settings = LabelSettings(score=0.05, batch_size=2, max_tokens=24)  # a prompt for each caption
    grounder = CaptionGrounder(predictor, settings, 2)
    parts = [range(5), range(5, 5), range(5, 9)]
    found = list(grounder.label_ranges((shard, rows) for rows in parts))
    assert [one.counts['pairs'] for one in found] == [5, 0, 4]
    assert sum(one.counts['captions'] for one in found) > 9
    for one, rows in zip(found, parts):
        alone = [grounder.label(shard, range(row, row + 1)) for row in rows]
        lines = [line for labels in alone for line in labels.lines]
        assert [row for row, _ in one.lines] == [row for row, _ in lines]
        for (_, mine), (_, other) in zip(one.lines, lines):
            for region, same in zip(mine['grounding']['regions'], other['grounding']['regions'],
                                    strict=True):
                assert region['phrase'] == same['phrase']
                np.testing.assert_allclose(region['bbox'], same['bbox'], atol=0.02)


@pytest.mark.slow
def test_killed_and_run_again(labelled, world, tmp_path):
    """SIGKILL in the middle; the rest is done, and every byte is that of an uninterrupted run."""
    out = tmp_path / 'out'
    command = [sys.executable, '-m', 'glipkit.cli.main', 'pseudo-label', world[0] / 'web.jsonl',
               '--images', world[0] / 'images/train_grd', '--out', out, '--part-size', '2']
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.time() + 120
    while not list(out.glob('.parts/web-*.json')):
        assert process.poll() is None and time.time() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = len(list(out.glob('.parts/web-*.json')))
    assert done < PAIRS // 2 and not (out / 'manifest.json').exists()
    label(world, out)
    assert contents(out) == contents(labelled[0])


def ray_workers():
    """Process ids of Ray's actors that run our code (their title names the class)."""
    found = []
    for folder in Path('/proc').iterdir():
        if folder.name.isdigit():
            try:
                title = (folder / 'cmdline').read_bytes()
            except OSError:
                continue
            if title.startswith(b'ray::') and b'RayLabeller' in title:
                found.append(int(folder.name))
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != 'linux', reason='finds the workers in /proc')
def test_ray_with_a_worker_killed(labelled, world, tmp_path):
    """Ray Data on this machine, two actors, one of them killed at work: nothing lost or doubled."""
    out = tmp_path / 'out'
    killed = []

    class Killer(Recorder):
        def moved(self, bar):
            if not killed:
                killed.append(ray_workers()[0])
                os.kill(killed[0], signal.SIGKILL)

    with reporting(Killer()):
        label(world, out, engine='ray', workers=2)
    assert killed
    assert contents(out) == contents(labelled[0])


@pytest.mark.parametrize('home, made', [('', False), ('file/home', True)])
def test_a_cluster_of_our_own_has_its_secret_where_no_home_keeps_it(
        tmp_path, monkeypatch, home, made):
    from glipkit.labelling import engines
    (tmp_path / 'file').touch()
    seen = []
    ray = SimpleNamespace(init=lambda **_: seen.append(os.environ.get('RAY_AUTH_TOKEN', '')))
    for address, settings in (('a cluster of others', {}), (None, {}),
                              (None, {'RAY_AUTH_MODE': 'disabled'})):
        monkeypatch.setattr(os, 'environ', {'HOME': str(tmp_path / home), **settings})
        engines._start(ray, address)
    assert [len(token) for token in seen] == [0, 64 if made else 0, 0]


def pairs_of(folder, captions, image=None):
    """A shard of the same picture with these captions."""
    (image or Image.new('RGB', (64, 48), 'white')).save(folder / 'a.jpg')
    path = folder / 'some.jsonl'
    path.write_text(''.join(json.dumps({'filename': 'a.jpg', 'caption': c}) + '\n'
                            for c in captions), encoding='utf-8')
    return CaptionedShard(path)


def test_hostile_captions(predictor, tmp_path):
    from tests.test_text.test_phrase_backends import hostile_captions
    captions = hostile_captions(40)
    shard = pairs_of(tmp_path, captions)
    found = CaptionGrounder(predictor, LabelSettings(score=0.0, cross_nms=1.0)).label(
        shard, range(len(captions)))
    assert found.counts['pairs'] == len(captions)
    for row, record in found.lines:
        assert record['grounding']['caption'] == captions[row]
        for region in record['grounding']['regions']:
            (begin, end), = region['tokens_positive']
            assert captions[row][begin:end] == region['phrase']
        grounded = {tuple(region['tokens_positive'][0])
                    for region in record['grounding']['regions']}
        left = {tuple(span) for span in record['grounding']['ungrounded']}
        assert not grounded & left
        assert grounded | left <= set(extract_phrases(captions[row], picture_words=False))
    lost = found.counts['empty captions'] + found.counts['captions without a phrase']
    assert lost + len(found.lines) + found.counts['captions without a box'] == len(captions)


def test_bad_images_and_empty_captions_are_listed(predictor, tmp_path):
    shard = pairs_of(tmp_path, ['a red circle', '  ', 'a dog'])
    (tmp_path / 'cut.jpg').write_bytes((tmp_path / 'a.jpg').read_bytes()[:200])
    with shard.path.open('a') as file:
        file.write('{"filename": "cut.jpg", "caption": "a cat"}\n')
        file.write('{"filename": "gone.jpg", "caption": "a cat"}\n')
        file.write('{"filename": 3, "caption": "a cat"}\nno json\n')
    shard = CaptionedShard(shard.path)
    found = CaptionGrounder(predictor, LabelSettings()).label(shard, range(len(shard)))
    counts = found.counts
    assert (counts['pairs'], counts['bad images'], counts['empty captions'],
            counts['damaged records'], counts['captions without a box']) == (7, 2, 1, 2, 2)
    # Each of the seven gave nothing, and is there once, in its order.
    assert [reason.partition(':')[0] for _, reason in found.problems] == [
        'captions without a box', 'empty captions', 'captions without a box', 'bad images',
        'bad images', 'damaged records', 'damaged records']
    assert len({pair for pair, _ in found.problems}) == 7
    assert all('some.jsonl' in pair for pair, _ in found.problems)


def test_problems_are_the_pairs_that_gave_nothing(labelled, world):
    out, manifest = labelled
    gave = {json.loads(line)['filename'] for shard in out.glob('*.jsonl')
            for line in shard.read_text().splitlines()}
    listed = (out / 'problems.txt').read_text().splitlines()
    assert len(gave) + len(listed) == PAIRS == manifest['counts']['pairs']
    assert len(listed) == manifest['problems']


def test_a_pair_with_a_damaged_caption_is_listed_and_the_others_are_labelled(
        predictor, world, tmp_path):
    """JSON may hold half of a surrogate pair, which nothing can write."""
    line = (world[0] / 'annotations/grd_train.jsonl').read_text().splitlines()[0]
    record = json.loads(line)
    picture = world[0] / 'images/train_grd' / record['filename']
    shown = record['grounding']['caption']
    shard = pairs_of(tmp_path, [], Image.open(picture))
    shard.path.write_text(
        '{"filename": "a.jpg", "captions": ["a \\ud83d dog", ' + json.dumps(shown) + ']}\n'
        '{"filename": "a.jpg", "caption": "caf\\udce9"}\n'
        + json.dumps(dict(filename='a.jpg', caption=shown)) + '\n')
    settings = LabelSettings(score=0.0, cross_nms=1.0)
    found = CaptionGrounder(predictor, settings).label(CaptionedShard(shard.path), range(3))
    assert [row for row, _ in found.lines] == [0, 2]
    assert [line['grounding']['caption'] for _, line in found.lines] == [shown] * 2
    assert found.counts['damaged captions'] == 2
    assert ['line 1' in pair or ':1' in pair for pair, _ in found.problems] == [True, False]
    assert all(reason.startswith('damaged captions: ') for _, reason in found.problems)


@pytest.mark.parametrize('name', ['../secret.jpg', 'a/../../secret.jpg', '/etc/secret.jpg', '.',
                                  'x' * 300, 'a\\u0000.jpg'])
def test_names_that_lead_out_of_the_folder_are_not_followed(predictor, tmp_path, name):
    images = tmp_path / 'images'
    images.mkdir()
    shard = pairs_of(images, [])
    (images / 'a.jpg').rename(tmp_path / 'secret.jpg')
    name = name.replace('/etc', str(tmp_path))
    shard.path.write_text(f'{{"filename": "{name}", "caption": "a red circle"}}\n')
    found = CaptionGrounder(predictor, LabelSettings(score=0.0)).label(
        CaptionedShard(shard.path), range(1))
    assert not found.lines and len(found.problems) == 1
    inside = len(name) > 200 or 'u0000' in name
    assert ('leads out of it' in found.problems[0][1]) != inside


def test_absolute_and_winding_names_inside_the_folder_are_followed(tmp_path):
    shard = pairs_of(tmp_path, [])
    (tmp_path / 'below').mkdir()
    for name in (str(tmp_path / 'a.jpg'), 'below/../a.jpg', './a.jpg'):
        shard.path.write_text(json.dumps({'filename': name, 'caption': 'a dog'}) + '\n')
        assert CaptionedShard(shard.path)[0].image.is_file()


@pytest.mark.skipif(sys.platform != 'linux', reason='other systems refuse such names')
@pytest.mark.parametrize('kind', ['jsonl', 'tar', 'folder'])
def test_a_file_name_in_another_encoding_costs_nothing(world, tmp_path, kind):
    record = world[1][0]
    image = (world[0] / 'images/train_grd' / record['filename']).read_bytes()
    name, caption = os.fsdecode(b'caf\xe9\n.jpg'), record['grounding']['caption']
    source = tmp_path / 'web'
    source.mkdir()
    (source / name).write_bytes(image)
    if kind == 'folder':
        (source / name).with_suffix('.txt').write_text(caption)
        (source / os.fsdecode(b'\xe9\t.jpg')).write_bytes(b'no image')
    elif kind == 'jsonl':
        (source / 'w.jsonl').write_text(json.dumps({'filename': name, 'caption': caption}) + '\n')
    else:
        with tarfile.open(source / 'w.tar', 'w') as tar:
            for member, data in ((name, image),
                                 (name.replace('jpg', 'json'),
                                  json.dumps({'caption': caption}).encode())):
                info = tarfile.TarInfo(member)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    out = tmp_path / 'out'
    manifest = pseudo_label([source], out, TEACHER, LabelSettings(score=0.1))
    assert manifest['counts']['labelled captions'] == 1
    listed = (out / 'problems.txt').read_text(encoding='utf-8').splitlines()
    assert len(listed) == manifest['problems'] == (kind == 'folder')
    if kind == 'folder':
        assert '\\udce9\\t.jpg' in listed[0] and listed[0].count('\t') == 1
    dataset = CaptionShards(str(out), pipeline=[], data_prefix=dict(img=str(source)))
    sample = dataset.get_data_info(0)
    assert kind == 'tar' or Path(sample['img_path']).read_bytes() == image


def test_several_captions_of_one_image_share_a_prompt(predictor, world, tmp_path):
    picture = sorted((world[0] / 'images/train_grd').iterdir())[0]
    shard = pairs_of(tmp_path, [], Image.open(picture))
    shard.path.write_text(json.dumps(
        {'filename': 'a.jpg', 'captions': ['a red circle', 'two blue stars!', 'a dog']}) + '\n')
    settings = LabelSettings(score=0.0, cross_nms=1.0, phrase_nms=0.01)
    found = CaptionGrounder(predictor, settings).label(CaptionedShard(shard.path), range(1))
    assert found.counts['captions'] == 1 and found.counts['phrases'] == 3
    assert found.lines[0][1]['grounding']['caption'] == 'a red circle. two blue stars! a dog'


def test_a_long_caption_is_grounded_as_far_as_the_budget(predictor, tmp_path):
    caption = 'a red circle and ' * 300
    shard = pairs_of(tmp_path, [caption])
    found = CaptionGrounder(predictor, LabelSettings(score=0.0, max_tokens=32)).label(
        shard, range(1))
    assert found.counts['phrases'] == 7  # 4 word pieces each, 30 besides [CLS] and [SEP]
    assert found.counts['phrases beyond the token limit'] == 293


def test_tars_give_tars(world, tmp_path):
    shard = tmp_path / 'web.tar'
    with tarfile.open(shard, 'w') as tar:
        for record in world[1][:5]:
            image = (world[0] / 'images/train_grd' / record['filename']).read_bytes()
            stem = record['filename'].split('.')[0]
            caption = json.dumps({'caption': record['grounding']['caption']}).encode()
            for name, data in ((f'{stem}.jpg', image), (f'{stem}.json', caption)):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    out = tmp_path / 'out'
    manifest = pseudo_label([shard], out, TEACHER, part_size=3)
    assert [s['name'] for s in manifest['shards']] == ['web-00000.tar', 'web-00001.tar']
    dataset = CaptionShards(str(out), pipeline=[dict(type='glipkit.LoadImage')])
    assert dataset[0]['img'].shape == (192, 192, 3)
    assert browse(out, tmp_path / 'page.html') == len(dataset)


def test_folders_of_images_with_captions(tmp_path):
    Image.new('RGB', (8, 8)).save(tmp_path / 'b.png')
    Image.new('RGB', (8, 8)).save(tmp_path / 'a.jpg')
    (tmp_path / 'a.txt').write_text('a dog\n')
    shard, = open_captioned([tmp_path])
    assert [(pair.filename, pair.captions) for pair in shard] == [
        ('a.jpg', ('a dog',)), ('b.png', ('',))]


def test_screening_by_hand():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 10], [20, 0, 30, 10]], float)
    scores = np.array([0.9, 0.8, 0.7, 0.5])
    labels = np.array([0, 0, 1, 1])
    # 1 repeats 0's phrase at IoU 0.9; 2 has another phrase, at IoU 1; 3 does not score above 0.5.
    assert screen(boxes, scores, labels, LabelSettings()).tolist() == [0]
    assert screen(boxes, scores, labels, LabelSettings(cross_nms=1)).tolist() == [0, 2]
    assert screen(boxes, scores, labels, LabelSettings(cross_nms=1, phrase_nms=1)).tolist() == [
        0, 1, 2]
    assert screen(boxes, scores, labels, LabelSettings(score=0.4)).tolist() == [0, 3]
    assert screen(boxes, scores, labels, LabelSettings(min_boxes=2)).size == 0
    assert screen(boxes, scores, labels, LabelSettings(cross_nms=1, min_strong=2)).size == 0
    assert screen(boxes[:0], scores[:0], labels[:0], LabelSettings(min_boxes=0)).size == 0


def test_an_unknown_word_takes_what_known_words_leave_over():
    # Boxes 0, 1 and 2 stand apart; phrase 0 is known, phrases 1 and 2 are one unknown word.
    boxes = np.array([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]], float)[
        [0, 0, 1, 2, 1, 0]]
    scores = np.array([.9, .30, .25, .22, .20, .01])
    labels = np.array([0, 1, 1, 1, 2, 2])
    texts = ['pear', 'carrot', 'carrot']

    def kept(texts=texts, **settings):
        return screen(boxes, scores, labels, LabelSettings(**settings), texts).tolist()

    assert kept() == kept(leftover=1) == [0]
    # Its best box lies on the pear; of the others, .22 is above .7 * .25.
    assert kept(leftover=.1) == [0, 2, 3, 4]
    assert kept(leftover=.1, leftover_share=.9) == [0, 2, 4]
    assert kept(leftover=.24) == [0, 2]
    # As words of their own they are rivals, and the better one gets the box.
    assert kept(leftover=.1, texts=None) == [0, 2, 3]
    # A second mention of a known thing takes nothing from others.
    assert kept(leftover=.1, texts=['pear', 'pear', 'pear']) == [0]
    # Without a sure box the best of all phrases comes first.
    assert kept(score=.95, leftover=.1) == [0, 2, 3, 4]
    assert kept(leftover=.1, min_strong=2) == []


def test_a_page_obeys_no_control_characters():
    assert mark_phrases('a \x1b[2Jred\x00 dog\u202e\n cat\ud800\U0001f469\u200d\U0001f9b0',
                        [[(2, 9)]]) == (
        'a <b style="color:#e6194b">\\x1b[2Jred</b>\\x00 dog\\u202e  cat\\ud800'
        '\U0001f469\u200d\U0001f9b0')


def test_phrases_are_marked_in_html():
    assert mark_phrases('a <b> & a', [[(3, 4)], [(8, 9)]]) == (
        'a &lt;<b style="color:#e6194b">b</b>&gt; &amp; <b style="color:#3cb44b">a</b>')


def test_control_characters_do_not_reach_the_page(tmp_path):
    Image.new('RGB', (64, 48)).save(tmp_path / 'a.jpg')
    caption = 'a \x00\x1b[31m\u202edog\x85'
    (tmp_path / 'some.jsonl').write_text(json.dumps(dict(
        filename='a.jpg', height=48, width=64, grounding=dict(caption=caption, regions=[dict(
            bbox=[1, 2, 30, 40], score=0.9, phrase='a', tokens_positive=[[0, 1]])]))) + '\n')
    assert browse(tmp_path / 'some.jsonl', tmp_path / 'page.html') == 1
    page = (tmp_path / 'page.html').read_text(encoding='utf-8')
    assert not [char for char in page if not char.isprintable() and char != '\n']
    assert '\\x00\\x1b[31m\\u202edog\\x85' in page


def test_one_bad_image_costs_no_page(tmp_path, capsys):
    Image.new('RGB', (64, 48)).save(tmp_path / 'a.jpg')
    (tmp_path / 'cut.jpg').write_bytes((tmp_path / 'a.jpg').read_bytes()[:300])
    lines = [json.dumps(dict(filename=name, height=48, width=64, grounding=dict(
        caption='a dog', regions=[dict(bbox=[1, 2, 30, 40], score=0.9, phrase='a dog',
                                       tokens_positive=[[0, 5]])]))) + '\n'
             for name in ('a.jpg', 'cut.jpg', 'gone.jpg', 'a.jpg')]
    (tmp_path / 'some.jsonl').write_text(''.join(lines))
    page = tmp_path / 'page.html'
    words = ['browse', str(tmp_path / 'some.jsonl'), '--out', str(page)]
    assert main(words) == 1
    heard = capsys.readouterr()
    assert page.read_text().count('<figure>') == 2 and '2 samples' in heard.out
    assert ['cut.jpg' in heard.err, 'gone.jpg' in heard.err] == [True, True]
    page.unlink()
    (tmp_path / 'some.jsonl').write_text(lines[1])
    assert main(words) == 2 and not page.exists()


def test_commands(world, tmp_path, capsys):
    images = str(world[0] / 'images/train_grd')
    assert main(['pseudo-label', str(world[0] / 'web.jsonl'), '--images', images, '--out',
                 str(tmp_path / 'out'), '--part-size', '6', '--max-tokens', '64', '--workers', '2',
                 '--leftover', '0.2', '--leftover-share', '0.6', '--dtype', 'bf16']) == 0
    assert 'labelled captions' in capsys.readouterr().out
    manifest = json.loads((tmp_path / 'out/manifest.json').read_text())
    assert manifest['teacher']['dtype'] == 'bf16'
    assert [manifest['settings'][key] for key in ('leftover', 'leftover_share')] == [0.2, 0.6]
    page = tmp_path / 'page.html'
    assert main(['browse', str(tmp_path / 'out/web-00000.jsonl'), '--images', images, '--out',
                 str(page), '--count', '3']) == 0
    text = page.read_text()
    assert text.count('<figure>') == 3 and 'data:image/jpeg;base64' in text


@pytest.mark.parametrize('change, words', [
    (['nowhere.jsonl'], 'nothing there'),
    (['--threshold', '2'], 'score from 0 to 1'),
    (['--phrases', 'magic'], 'back end'),
    (['--teacher', 'glip-t-c'], 'checkpoint'),
    (['--part-size', '0'], 'part_size'),
    (['--workers', '0'], 'workers'),
    (['--dtype', 'half'], 'dtype half'),
])
def test_bad_input(world, tmp_path, capsys, change, words):
    source = [] if change[0] == 'nowhere.jsonl' else [str(world[0] / 'web.jsonl')]
    out = tmp_path / 'out'
    assert main(['pseudo-label', *source, '--out', str(out), *change]) == 2
    assert words in capsys.readouterr().err and not out.exists()
