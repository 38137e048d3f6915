"""Visual Genome, from small files as objects.json and image_data.json (version 1.4)."""
import json

import pytest

from glipkit.cli.main import door
from glipkit.data import OdvgGrounding


def thing(number, name, x=5, y=6, w=20, h=10):
    return dict(synsets=[], h=h, object_id=number, merged_object_ids=[], names=[name], w=w, y=y,
                x=x)


OBJECTS = [
    dict(image_id=1, image_url='u', objects=[
        thing(1, 'Window  Pane'), thing(2, 'window pane', x=30), thing(3, 'man'),
        thing(4, 'man'), thing(5, '7'), thing(6, '7', x=1), thing(7, 'tree')]),
    dict(image_id=2, image_url='u', objects=[thing(8, 'guy.'), thing(9, 'man', x=-3, w=10)]),
    dict(image_id=3, image_url='u', objects=[thing(10, 'man'), thing(11, 'cat'), thing(12, 'cat')]),
]
IMAGE_DATA = [
    dict(width=100, url='https://cs.stanford.edu/people/rak248/VG_100K_2/1.jpg', height=80,
         image_id=1, coco_id=None, flickr_id=None),
    dict(width=90, url='https://cs.stanford.edu/people/rak248/VG_100K/2.jpg', height=70,
         image_id=2, coco_id=547168, flickr_id=8505158818),
    dict(width=90, url='https://cs.stanford.edu/people/rak248/VG_100K/3.jpg', height=70,
         image_id=3, coco_id=139, flickr_id=1),
]
ALIASES = 'window pane,windowpane,pane\nman,guy,man in suit\nguy,chap\n'


main = door('prepare', 'visual-genome')


@pytest.fixture
def command(tmp_path, write):
    def call(*options, objects=OBJECTS, image_data=IMAGE_DATA, aliases=ALIASES):
        return main(['--objects', write('objects.json', objects), '--image-data',
                     write('image_data.json', image_data), '--aliases', write('a.txt', aliases),
                     '--min-count', '2', '--out', str(tmp_path / 'out'), *options])

    return call


@pytest.fixture
def result(tmp_path, lines_of):
    """result(): the vocabulary, and per file name the (class, box) pairs."""

    def read():
        folder = tmp_path / 'out/annotations'
        vocabulary = json.loads((folder / 'visual_genome_vocabulary.json').read_text())
        lines = lines_of(folder / 'visual_genome_train.jsonl')
        return vocabulary, {line['filename']: [
            (i['category'], i['bbox']) for i in line['detection']['instances']] for line in lines}

    return read


def test_frequent_names_become_classes(command, result, tmp_path, manifest_of):
    assert command() == 0
    vocabulary, images = result()
    assert list(vocabulary.items()) == [('man', 5), ('cat', 2), ('window pane', 2)]
    assert images == {
        'VG_100K_2/1.jpg': [('window pane', [5, 6, 25, 16]), ('window pane', [30, 6, 50, 16]),
                            ('man', [5, 6, 25, 16])],
        'VG_100K/2.jpg': [('man', [5, 6, 25, 16]), ('man', [0, 6, 7, 16])],
        'VG_100K/3.jpg': [('man', [5, 6, 25, 16]), ('cat', [5, 6, 25, 16])]}
    steps = manifest_of(tmp_path / 'out')
    dropped = steps['annotations/visual_genome_train.jsonl']['dropped']
    assert {reason: entry['count'] for reason, entry in dropped.items()} == {
        'objects whose name is not in the vocabulary': 3, 'repeated boxes': 2}
    rare = steps['annotations/visual_genome_vocabulary.json']['dropped']
    assert rare['names that are too rare or have no letter'] == dict(
        count=2, examples=["'7'", "'tree'"])


def test_the_reader_reads_it(command, tmp_path):
    assert command() == 0
    stem = str(tmp_path / 'out/annotations/visual_genome_train')
    data = OdvgGrounding(f'{stem}.jsonl', label_map_file=f'{stem}_label_map.json',
                         serialize_data=False)
    assert data.metainfo['classes'] == ('man', 'cat', 'window pane') and len(data) == 3
    assert [i['bbox_label'] for i in data.get_data_info(2)['instances']] == [0, 1]


def test_images_of_coco_can_be_left_out(command, result, write, capsys):
    assert command('--without-coco') == 0
    vocabulary, images = result()
    assert list(images) == ['VG_100K_2/1.jpg'] and vocabulary == {'man': 2, 'window pane': 2}
    # The same folder with other options: made again, from what remains.
    assert command('--leave-out', write('ids.json', [139])) == 0
    vocabulary, images = result()
    assert list(images) == ['VG_100K_2/1.jpg', 'VG_100K/2.jpg']
    assert vocabulary == {'man': 4, 'window pane': 2}
    assert 'images of COCO left out as asked for, first: 3 (COCO 139)' in capsys.readouterr().out


def test_a_second_run_does_nothing_and_another_threshold_does(command, result, capsys):
    assert command() == 0
    assert command() == 0
    assert capsys.readouterr().out.count('earlier run') == 3
    assert command('--min-count', '3') == 0
    assert result()[0] == {'man': 5}
    assert 'earlier run' not in capsys.readouterr().out


@pytest.mark.parametrize('change, complaint', [
    (dict(objects='[{"image_id": 1, "objects": ['), 'cut off'),
    (dict(objects=[dict(image_id=1)]), "'objects' (list)"),
    (dict(objects=[dict(image_id=1, objects=[dict(names='man')])]), "'names' (list)"),
    (dict(image_data=OBJECTS), "'url' (str)"),
    (dict(objects=[dict(image_id=1, objects=[thing(1, 'man', w=None), thing(2, 'man')])]),
     'four finite numbers'),
])
def test_damaged_sources_are_one_line(command, tmp_path, capsys, change, complaint):
    assert command(**change) == 2
    printed = capsys.readouterr().err
    assert complaint in printed and printed.count('\n') == 1
    assert not (tmp_path / 'out/annotations/visual_genome_train.jsonl').exists()


@pytest.mark.parametrize('options, complaint', [
    (['--min-count', '0'], 'at least 1'), (['--min-count', '9'], 'names of at least 9 objects')])
def test_wrong_threshold(command, capsys, options, complaint):
    assert command(*options) == 2
    assert complaint in capsys.readouterr().err
