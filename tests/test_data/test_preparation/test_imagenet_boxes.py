"""ImageNet's boxes: an xml per image in a folder per WordNet id."""
import json

import pytest

from glipkit.cli.main import door
from glipkit.data import CocoDetection, OdvgGrounding
from glipkit.data.preparation.sources import imagenet_boxes


def voc(boxes, size=(500, 333), name='n01440764_18'):
    """boxes: (WordNet id, xmin, ymin, xmax, ymax)."""
    things = ''.join(
        f'\t<object>\n\t\t<name>{wnid}</name>\n\t\t<pose>Unspecified</pose>\n\t\t<bndbox>\n'
        f'\t\t\t<xmin>{a}</xmin>\n\t\t\t<ymin>{b}</ymin>\n\t\t\t<xmax>{c}</xmax>\n'
        f'\t\t\t<ymax>{d}</ymax>\n\t\t</bndbox>\n\t</object>\n' for wnid, a, b, c, d in boxes)
    return (f'<annotation>\n\t<folder>n01440764</folder>\n\t<filename>{name}</filename>\n\t<size>\n'
            f'\t\t<width>{size[0]}</width>\n\t\t<height>{size[1]}</height>\n\t\t<depth>3</depth>\n'
            f'\t</size>\n\t<segmented>0</segmented>\n{things}</annotation>\n')


WORDS = ('n01440764 tench, Tinca tinca\nn02012849 crane\nn03126707 crane\nn03710637 maillot\n'
         'n03710721 maillot, tank suit\n')
FILES = {
    'n01440764/n01440764_18.xml': voc([('n01440764', 13, 30, 500, 333), ('n01440764', 0, 0, 1, 9)]),
    'n01440764/n01440764_37.xml': voc([('n01440764', 1, 1, 40, 50)], name='%s'),
    'n02012849/n02012849_1.xml': voc([('n02012849', 0, 0, 10, 20), ('n99999999', 0, 0, 9, 9)]),
    'n03126707/n03126707_2.xml': voc([('n03126707', 5, 5, 10, 20)]),
    'n03710637/n03710637_3.xml': voc([('n03710637', 5, 5, 10, 20)]),
    'n03710721/n03710721_4.xml': voc([('n03710721', 5, 5, 10, 20)]),
}


main = door('prepare', 'imagenet-boxes')


@pytest.fixture
def command(tmp_path, write):
    def call(*options, files=FILES, words=WORDS):
        (tmp_path / 'xml').mkdir(exist_ok=True)
        for name, content in files.items():
            write(f'xml/{name}', content)
        return main(['--xml', str(tmp_path / 'xml'), '--words', write('words.txt', words), '--out',
                     str(tmp_path / 'out'), *options])

    return call


def test_lines_named_by_the_words(command, tmp_path, lines_of, manifest_of):
    assert command() == 0
    stem = tmp_path / 'out/annotations/imagenet_boxes_train'
    lines = lines_of(f'{stem}.jsonl')
    assert lines[0] == dict(
        filename='n01440764/n01440764_18.JPEG', height=333, width=500,
        detection=dict(instances=[dict(bbox=[13, 30, 500, 333], label=0, category='tench')]))
    assert [line['filename'][10:] for line in lines[1:]] == [
        'n01440764_37.JPEG', 'n02012849_1.JPEG', 'n03126707_2.JPEG', 'n03710637_3.JPEG',
        'n03710721_4.JPEG']
    # The two cranes have but one word; of the two swim suits one has another.
    assert [line['detection']['instances'][0]['category'] for line in lines[2:]] == [
        'crane', 'crane', 'maillot', 'tank suit']
    dropped = manifest_of(tmp_path / 'out')['annotations/imagenet_boxes_train.jsonl']['dropped']
    assert {reason: entry['count'] for reason, entry in dropped.items()} == {
        'boxes of ids without words': 1, 'degenerate boxes': 1}
    data = OdvgGrounding(f'{stem}.jsonl', label_map_file=f'{stem}_label_map.json',
                         serialize_data=False)
    assert data.metainfo['classes'] == ('tench', 'crane', 'maillot', 'tank suit')


def test_coco_layout(command, tmp_path):
    assert command('--layout', 'coco', '--suffix', '.jpg') == 0
    path = str(tmp_path / 'out/annotations/imagenet_boxes_train.json')
    data = CocoDetection(path, serialize_data=False)
    assert len(data) == 6 and data.get_data_info(0)['img_path'].endswith('n01440764_18.jpg')
    assert data.get_data_info(0)['instances'] == [
        dict(bbox=[13, 30, 500, 333], bbox_label=0, ignore_flag=0)]


def test_words_with_a_tab(write):
    words = write('words.txt', 'n00001740\tentity\nn02123045\ttabby,  tabby cat\n\njunk\n')
    assert imagenet_boxes.read_synonyms(words) == {
        'n00001740': ['entity'], 'n02123045': ['tabby', 'tabby cat']}


def test_a_new_file_is_seen_and_an_old_run_is_kept(command, tmp_path, capsys):
    assert command() == 0
    assert command() == 0
    assert capsys.readouterr().out.count('earlier run') == 2
    more = {'n02012849/n02012849_9.xml': voc([('n02012849', 0, 0, 10, 20)])}
    assert command(files=more) == 0
    assert '7 images' in capsys.readouterr().out


def test_a_damaged_file_is_left_out_and_named(command, tmp_path, capsys):
    broken = {'n01440764/n01440764_90.xml': '<annotation><size>',
              'n01440764/n01440764_91.xml': voc([('n01440764', 1, 1, 'x', 9)]),
              'n01440764/n01440764_92.xml': voc([('n01440764', 1, 1, 9, 9)], size=(0, 5))}
    assert command(files={**FILES, **broken}) == 0
    printed = capsys.readouterr().out
    assert 'dropped 3 unusable xml files, first: n01440764/n01440764_90.xml' in printed
    assert '6 images' in printed


@pytest.mark.parametrize('change, complaint', [
    (dict(words='tench\n'), 'a file of words'),
    (dict(files={}), 'a folder with n02123045/n02123045_1.xml'),
    (dict(files={'n01440764/a.xml': '<'}), 'at least one box with a known name'),
])
def test_damaged_sources_are_one_line(command, tmp_path, capsys, change, complaint):
    assert command(**change) == 2
    printed = capsys.readouterr().err
    assert complaint in printed and printed.count('\n') == 1
    assert not (tmp_path / 'out').exists()


def test_manifest_names_the_output(command, tmp_path):
    assert command() == 0
    manifest = json.loads((tmp_path / 'out/manifest.json').read_text())
    assert manifest['source'] == 'imagenet_boxes'
