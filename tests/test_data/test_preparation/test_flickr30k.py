"""Flickr30k Entities, on two pictures in the release's own format."""
import json

import pytest

import glipkit  # noqa: F401
from glipkit.cli.main import door
from glipkit.data.formats.mdetr import FlickrGrounding
from glipkit.data.preparation.sources.flickr30k import merge_boxes, parse_sentence
from glipkit.errors import UserError

main = door('prepare', 'flickr30k')

# Entity 1 has two boxes, 2 shares the place of the first of them, 3 is the scene, 4 has no box.
XML_36 = """<annotation>
  <filename>36.jpg</filename>
  <size><width>200</width><height>100</height><depth>3</depth></size>
  <object><name>1</name><bndbox><xmin>10</xmin><ymin>20</ymin><xmax>60</xmax><ymax>90</ymax></bndbox></object>
  <object><name>1</name><bndbox><xmin>100</xmin><ymin>20</ymin><xmax>150</xmax><ymax>90</ymax></bndbox></object>
  <object><name>2</name><name>5</name><bndbox><xmin>10</xmin><ymin>20</ymin><xmax>60</xmax><ymax>91</ymax></bndbox></object>
  <object><name>3</name><scene>1</scene><nobndbox>0</nobndbox></object>
  <object><name>4</name><scene>0</scene><nobndbox>1</nobndbox></object>
</annotation>"""  # noqa: E501
SENTENCES_36 = (
    '[/EN#1/people Two men] with [/EN#2/clothing/other hats] in [/EN#3/scene a park] .\n'
    'They sit on [/EN#4/other nothing] while [/EN#0/notvisual it] rains .\n')
XML_7 = """<annotation><size><width>50</width><height>40</height><depth>3</depth></size>
  <object><name>8</name><bndbox><xmin>0</xmin><ymin>0</ymin><xmax>50</xmax><ymax>40</ymax></bndbox></object>
  <object><name>9</name><bndbox><xmin>5</xmin><ymin>5</ymin><xmax>5</xmax><ymax>9</ymax></bndbox></object>
</annotation>"""  # noqa: E501
SENTENCES_7 = '[/EN#8/animals A dog] sees [/EN#8/animals itself] and [/EN#9/other a speck] .\n'


@pytest.fixture
def release(tmp_path):
    root = tmp_path / 'entities'
    for name, content in {
            'Annotations/36.xml': XML_36, 'Sentences/36.txt': SENTENCES_36,
            'Annotations/7.xml': XML_7, 'Sentences/7.txt': SENTENCES_7,
            'train.txt': '36\n7\n', 'val.txt': '36\n', 'test.txt': '7\n'}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content, encoding='utf-8')
    return root


def read(path):
    return json.loads(path.read_text(encoding='utf-8'))


@pytest.mark.parametrize('line, text, phrases', [
    ('[/EN#1/people A man] sits .', 'A man sits .', [('1', ('people', ), 'A man')]),
    ('In [/EN#2/clothing/other red hats] , [/EN#0/notvisual who] ?', 'In red hats , who ?',
     [('2', ('clothing', 'other'), 'red hats'), ('0', ('notvisual', ), 'who')]),
    ('Nothing here .', 'Nothing here .', []),
    ('A sign [sic] .', 'A sign [sic] .', []),
])
def test_parse_sentence(line, text, phrases):
    found, brackets = parse_sentence(line, 'x')
    assert found == text
    assert [(p.entity, p.types, text[slice(*p.span)]) for p in brackets] == phrases


@pytest.mark.parametrize('line', ['[/EN#1/people A man sits', '[/EN#x/people a] .'])
def test_broken_brackets_are_named(line):
    with pytest.raises(UserError, match='a.txt:3'):
        parse_sentence(line, 'a.txt:3')


def test_merge_boxes():
    a, b, c = (0., 0., 10., 10.), (0., 0., 10., 9.8), (20., 0., 30., 10.)
    assert merge_boxes([(a, 0), (c, 0), (b, 1)], .95) == [(a, [0, 1]), (c, [0])]
    assert merge_boxes([(a, 0), (b, 1)], 1.) == [(a, [0]), (b, [1])]
    assert merge_boxes([(a, 0), (a, 1)], 1.) == [(a, [0, 1])]
    # The last box joins two groups that did not touch.
    p, q, r = (0., 0., 10., 10.), (0., 4., 10., 14.), (0., 2., 10., 12.)
    assert merge_boxes([(p, 0), (q, 1), (r, 2)], .6) == [(p, [0, 1, 2])]


def test_training_split(release, tmp_path, capsys):
    assert main([str(release), '--out', str(tmp_path / 'out'), '--splits', 'train']) == 0
    content = read(tmp_path / 'out/final_flickr_separateGT_train.json')
    first, second, third = content['images']
    assert first['caption'] == 'Two men with hats in a park .'
    assert (first['file_name'], first['height'], first['width']) == ('36.jpg', 100, 200)
    assert first['tokens_positive_eval'] == [[[0, 7]], [[13, 17]]]
    assert first['phrase_types'] == [['people'], ['clothing', 'other']]
    assert second['tokens_positive_eval'] == [] and second['sentence_id'] == 1
    assert third['original_img_id'] == 7 and third['id'] == 2
    # The hats are where the first man is: one object with two phrases.
    assert [(a['image_id'], a['bbox'], a['tokens_positive']) for a in content['annotations']] == [
        (0, [10, 20, 50, 70], [[0, 7], [13, 17]]), (0, [100, 20, 50, 70], [[0, 7]]),
        (2, [0, 0, 50, 40], [[0, 5], [11, 17]])]
    assert content['categories'][0]['id'] == 1
    printed = capsys.readouterr().out
    for line in ('2 pictures', '3 captions', '4 phrases', '1 phrases with several boxes',
                 '1 captions without any box', 'dropped 1 phrases of the whole scene',
                 'dropped 1 phrases without a box', 'dropped 1 phrases of nothing visible',
                 'dropped 1 phrases whose boxes are degenerate', 'dropped 1 degenerate boxes'):
        assert line in printed


def test_evaluation_keeps_every_box_and_opens(release, tmp_path):
    assert main([str(release), '--out', str(tmp_path / 'out'), '--splits', 'val', 'test']) == 0
    path = tmp_path / 'out/final_flickr_separateGT_val.json'
    assert [a['bbox'] for a in read(path)['annotations']] == [
        [10, 20, 50, 70], [100, 20, 50, 70], [10, 20, 50, 71]]
    dataset = FlickrGrounding(str(path), test_mode=True, serialize_data=False)
    sample = dataset.get_data_info(0)
    assert sample['phrases'] == [[(0, 7)], [(13, 17)]]
    assert [(i['bbox_label'], i['bbox']) for i in sample['instances']] == [
        (0, [10, 20, 60, 90]), (0, [100, 20, 150, 90]), (1, [10, 20, 60, 91])]


def test_a_second_run_does_nothing_and_a_cut_one_goes_on(release, tmp_path, capsys):
    command = [str(release), '--out', str(tmp_path / 'out')]
    (release / 'Annotations/7.xml').rename(release / 'Annotations/7.away')
    assert main([*command, '--splits', 'val', 'test']) == 2
    done = tmp_path / 'out/final_flickr_separateGT_val.json'
    assert done.exists()
    assert not (tmp_path / 'out/final_flickr_separateGT_test.json').exists()
    assert 'Annotations/7.xml' in capsys.readouterr().err
    (release / 'Annotations/7.away').rename(release / 'Annotations/7.xml')
    assert main(command) == 0
    before = done.stat().st_mtime_ns
    assert main(command) == 0
    assert capsys.readouterr().out.count('complete from an earlier run') == 3
    assert done.stat().st_mtime_ns == before


@pytest.mark.parametrize('name, content, printed', [
    ('Annotations/36.xml', XML_36[:300], '36.xml'),
    ('Annotations/36.xml', '<annotation/>', '36.xml'),
    ('Sentences/36.txt', '[/EN#1/people cut', '36.txt:1'),
    ('val.txt', '\n', 'val.txt'),
    ('val.txt', '36\n99\n', '99.xml'),
])
def test_damaged_files_are_one_line(release, tmp_path, capsys, name, content, printed):
    (release / name).write_text(content)
    assert main([str(release), '--out', str(tmp_path / 'out'), '--splits', 'val']) == 2
    error = capsys.readouterr().err
    assert printed in error and error.count('\n') == 1
    assert not list((tmp_path / 'out').glob('final*'))


def test_images_can_be_checked(release, tmp_path, capsys):
    (tmp_path / 'images').mkdir()
    (tmp_path / 'images/36.jpg').touch()
    assert main([str(release), '--out', str(tmp_path / 'out'), '--splits', 'train',
                 '--check-images', str(tmp_path / 'images')]) == 0
    assert '1 of 2 images missing' in capsys.readouterr().out
