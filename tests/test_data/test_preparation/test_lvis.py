"""LVIS v1, whose images have addresses instead of file names."""
import json

import pytest

from glipkit.cli.main import door
from glipkit.data.formats.lvis import LvisDetection


def lvis(images):
    """images: (id, folder), one box and one absent class each, as in lvis_v1_val.json."""
    return dict(
        info=dict(version='1.0'), licenses=[],
        annotations=[dict(area=50.5, id=n, segmentation=[[1, 1, 2, 2, 3, 1]], image_id=i,
                          bbox=[5.5, 6, 20.25, 10], category_id=3)
                     for n, (i, _) in enumerate(images, 1)],
        images=[dict(date_captured='2013', neg_category_ids=[1], id=i, license=1, height=48,
                     width=64, flickr_url='f', not_exhaustive_category_ids=[3],
                     coco_url=f'http://images.cocodataset.org/{folder}/{i:012d}.jpg')
                for i, folder in images],
        categories=[dict(image_count=64, synonyms=['aerosol_can'], name='aerosol_can', id=1,
                         frequency='c', synset='aerosol.n.02', instance_count=109),
                    dict(image_count=1, synonyms=['bow'], name='bow_(weapon)', id=3, frequency='r',
                         synset='bow.n.04', instance_count=3)])


VAL = lvis([(397133, 'val2017'), (9, 'train2017'), (37777, 'val2017')])


main = door('prepare', 'lvis')


def images_of(path):
    return [image['file_name'] for image in json.loads(path.read_text())['images']]


def test_names_and_minival_come_from_the_addresses(tmp_path, write, capsys):
    out = tmp_path / 'out'
    assert main(['--val', write('lvis_v1_val.json', VAL), '--out', str(out)]) == 0
    both = ['val2017/000000397133.jpg', 'val2017/000000037777.jpg']
    assert images_of(out / 'annotations/lvis_v1_minival.json') == both
    assert images_of(out / 'annotations/lvis_v1_val.json') == [
        both[0], 'train2017/000000000009.jpg', both[1]]
    assert 'lvis_v1_minival.json: 2 images, 2 boxes, 2 classes' in capsys.readouterr().out


@pytest.mark.parametrize('listed', [[37777], lvis([(37777, 'val2017')])])
def test_minival_from_a_list(tmp_path, write, listed, capsys):
    out, val = tmp_path / 'out', write('lvis_v1_val.json', VAL)
    assert main(['--val', val, '--minival', write('m.json', listed), '--out', str(out)]) == 0
    assert images_of(out / 'annotations/lvis_v1_minival.json') == ['val2017/000000037777.jpg']
    assert main(['--val', val, '--minival', write('m.json', [37777, 5]), '--out', str(out)]) == 2
    assert '1 others, such as 5' in capsys.readouterr().err


def test_the_reader_of_the_format_reads_it(tmp_path, write):
    out = tmp_path / 'out'
    source = write('lvis_v1_train.json', VAL)
    assert main(['--train', source, '--val', source, '--out', str(out)]) == 0
    for name in ('train', 'val'):
        data = LvisDetection(str(out / f'annotations/lvis_v1_{name}.json'), serialize_data=False)
        assert data.metainfo['classes'] == ('aerosol_can', 'bow_(weapon)')
        sample = data.get_data_info(0)
        assert sample['img_path'] == 'val2017/000000397133.jpg'
        assert sample['instances'] == [
            dict(bbox=[5.5, 6, 25.75, 16], bbox_label=1, ignore_flag=0)]
    content = json.loads((out / 'annotations/lvis_v1_val.json').read_text())
    assert content['categories'] == VAL['categories']
    assert content['images'][0]['neg_category_ids'] == [1]
    assert content['images'][0]['not_exhaustive_category_ids'] == [3]
    assert content['annotations'][0]['area'] == 50.5


def test_training_images_can_be_left_out(tmp_path, write):
    source = write('lvis_v1_train.json', VAL)
    assert main(['--train', source, '--leave-out', write('x.json', [9]), '--out',
                 str(tmp_path / 'out')]) == 0
    assert len(images_of(tmp_path / 'out/annotations/lvis_v1_train.json')) == 2


def test_a_second_run_reads_nothing(tmp_path, write, monkeypatch):
    command = ['--val', write('lvis_v1_val.json', VAL), '--out', str(tmp_path / 'out')]
    assert main(command) == 0
    monkeypatch.setattr('glipkit.data.preparation.steps.stream_json', None)
    assert main(command) == 0


@pytest.mark.parametrize('command, complaint', [
    ([], 'got neither'), (['--minival', 'm.json', '--train', 't.json'], 'got no --val'),
    (['--val', '/no/such.json'], '/no/such.json'),
])
def test_wrong_options(tmp_path, capsys, command, complaint):
    assert main([*command, '--out', str(tmp_path / 'out')]) == 2
    assert complaint in capsys.readouterr().err


def test_damaged_sources(tmp_path, write, capsys):
    content = lvis([(1, 'train2017')])
    assert main(['--val', write('a.json', content), '--out', str(tmp_path / 'out')]) == 2
    assert "addresses of COCO's val2017" in capsys.readouterr().err
    del content['images'][0]['coco_url']
    assert main(['--train', write('b.json', content), '--out', str(tmp_path / 'out')]) == 2
    assert 'an image with a file name' in capsys.readouterr().err
