"""Layouts of other programs with everything that goes wrong in them: one bad item never loses the
good ones, and every finding names file and line."""
from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from glipkit.data.checking import CheckSettings, DataFile, check
from glipkit.data.formats.box_sets.find import find_data_set, read_boxes
from glipkit.errors import UserError
from tests.box_sets import draw

SIZE = (100, 50)


@pytest.fixture
def put(tmp_path):
    """Writes files below the test's folder; names of images get a picture of `SIZE`."""
    def write(**files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix in ('.jpg', '.png'):
                draw(path, SIZE)
            else:
                path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path

    return write


def boxes_of(data, part='train'):
    """Name of an image -> class and x, y, width, height of its boxes."""
    return {image.path.name: [(data.classes[box.key], *box.xywh) for box in image.boxes]
            for image in data.parts[part].images}


def findings_of(data, part='train'):
    """Kind -> the examples of a whole check."""
    own = data.parts[part]
    report = check(DataFile(own.source, own.root, boxes=(data, part)), CheckSettings())
    return {finding.kind: finding.examples for finding in report.findings.sorted()}, report


def read(path):
    return read_boxes(find_data_set(path))


def test_yolo_lines_of_every_kind(put):
    root = put(**{
        'data.yaml': 'path: .\ntrain: images/train\nval:\nnames: {0: dog, 3: no}\n',
        'images/train/a.png': '', 'images/train/sub/a.png': '', 'images/train/c.png': '',
        'labels/train/a.txt': '\ufeff'
        '0 0.5 0.5 0.2 0.4\r\n'          # 1: a box
        '3.0 0.5 0.5 0.2 0.4 0.93\r\n'   # 2: with a score, the class as floats are saved
        '\r\n'
        '0 0.1 0.2 0.5 0.2 0.5 0.8\r\n'  # 4: an outline
        '1 0.5 0.5 0.2 0.4\r\n'          # 5: no such class
        '0 0.5 0.5 0.2\r\n'              # 6: a column is missing
        'dog 0.5 0.5 0.2 0.4\r\n'        # 7: a name for a number
        '0 nan 0.5 0.2 0.4\r\n'          # 8
        '0 5 5 0.1 0.1\r\n'              # 9: outside
        '0 0.5 0.5 0.2 0.4\r\n',         # 10: the first once more
        'labels/train/sub/a.txt': '', 'labels/train/left.txt': '0 0 0 1 1', 'classes.txt': 'x',
        'labels/train/classes.txt': 'dog'})
    data = read(root)
    assert data.form == 'yolo' and data.classes == {0: 'dog', 3: 'no'}
    dog = ('dog', 40, 15, 20, 20)
    images = data.parts['train'].images
    assert [[(data.classes[box.key], *box.xywh) for box in image.boxes] for image in images] == [
        [dog, ('no', 40, 15, 20, 20), ('dog', 10, 10, 40, 30), ('dog', 495, 247.5, 10, 5), dog],
        [], []]
    found, report = findings_of(data)
    place = 'labels/train/a.txt'
    assert found['unknown_category'] == [f'{place}:5: class 1']
    assert found['bad_columns'] == [f'{place}:6: 4 columns: 0 0.5 0.5 0.2']
    assert found['bad_line'][0].startswith(f'{place}:7: dog')
    assert found['bad_box'][0].startswith(f'{place}:8: 0 nan')
    assert found['box_outside'][0].startswith(f'{place}:9: ')
    assert found['same_box'][0].startswith(f'{place}:10: ')
    assert found['outline'][0].startswith(f'{place}:4: ')
    assert found['no_label_file'] == ['images/train/c.png: labels/train/c.txt']
    assert found['orphan'][0].startswith('labels/train/left.txt')
    assert report.exit_code == 1 and report.counts['boxes'] == 4


@pytest.mark.parametrize(('listed', 'place'), [
    ('train: images', 'images'), ('train: ../train/images', 'train/images'),
    ('path: nowhere\ntrain: [one, two]', 'one'), ('train: list.txt', 'pics'),
    ('train: train\\images', 'train/images')])
def test_yolo_finds_its_folders(put, listed, place):
    root = put(**{'data.yaml': f'{listed}\nnames: [dog]\n', f'{place}/a.jpg': '',
                  'two/b.jpg': '', 'list.txt': './pics/a.jpg\n',
                  f'{place.replace("images", "labels")}/a.txt': '0 0.5 0.5 0.2 0.4\n'})
    assert boxes_of(read(root))['a.jpg'] == [('dog', 40, 15, 20, 20)]


def test_yolo_without_a_yaml_and_with_key_points(put):
    root = put(**{'classes.txt': 'dog\nno\n\n', 'images/a.png': '',
                  'labels/a.txt': '1 0.5 0.5 0.2 0.4\n'})
    assert boxes_of(read(root)) == {'a.png': [('no', 40, 15, 20, 20)]}
    put(**{'data.yaml': 'train: images\nnames: [dog, cat]\nkpt_shape: [2, 3]\n',
           'labels/a.txt': '1 0.5 0.5 0.2 0.4 0 0 2 1 1 2\n'})
    assert boxes_of(read(root)) == {'a.png': [('cat', 40, 15, 20, 20)]}


def test_yolo_measures_images_as_they_are_seen(put, tmp_path):
    """Turned upright by their EXIF tag, as the pipelines turn them."""
    root = put(**{'data.yaml': 'train: images\nnames: [dog]', 'images/x.png': '',
                  'images/cut.png': '', 'labels/cut.txt': '0 0.5 0.5 0.2 0.4',
                  'labels/a.txt': '0 0.5 0.5 0.2 0.4'})
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', (100, 50)).save(root / 'images/a.jpg', exif=exif)
    (root / 'images/cut.png').write_bytes(b'\x89PNG')
    data = read(root)
    assert boxes_of(data)['a.jpg'] == [('dog', 20, 30, 10, 40)]
    assert findings_of(data)[0]['unmeasured_image'] == ['images/cut.png: boxes of labels/cut.txt']


@pytest.mark.parametrize(('text', 'said'), [
    ('names: [dog', 'data.yaml'), ('names: 3\ntrain: images', "'names' as a list"),
    ('names: {a: dog}\ntrain: images', 'as numbers'), ('names: [dog]', 'no folder'),
    ('names: [dog]\ntrain: none', 'train: none'), ('a: &a [x]\nnames: [*a, *a]', 'references'),
])
def test_a_yolo_yaml_that_cannot_be_used(put, text, said):
    root = put(**{'data.yaml': text, 'images/a.png': ''})
    with pytest.raises(UserError, match=said):
        found = find_data_set(root / 'data.yaml')
        if found is None:
            raise UserError('x', 'data.yaml', 'y')
        read_boxes(found)


VOC = '''<?xml version="1.0"?>
<annotation><folder>VOC2007</folder><filename>{name}</filename>
<size><width>100</width><height>50</height></size>
{objects}
</annotation>'''
OBJECT = ('<object><name>{}</name><difficult>{}</difficult><part><name>head</name><bndbox>'
          '<xmin>1</xmin></bndbox></part><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax>'
          '<ymax>{}</ymax></bndbox></object>')


def voc(*objects, name='a.jpg'):
    return VOC.format(name=name, objects='\n'.join(objects))


def test_voc_objects_of_every_kind(put):
    root = put(**{
        'JPEGImages/a.jpg': '', 'JPEGImages/b.jpg': '',
        'Annotations/a.xml': voc(
            OBJECT.format('dog', 0, 1, 1, 100, 50), OBJECT.format('cat ', 1, 10.5, 11, 20, 21),
            OBJECT.format('dog', 0, 'x', 1, 2, 3), OBJECT.format('', 0, 1, 1, 9, 9),
            '<object><name>dog</name></object>', OBJECT.format('dog', 0, 300, 1, 400, 9)),
        'Annotations/b.xml': voc(name='C:\\pictures\\b.jpg'),
        'Annotations/cut.xml': voc()[:80],
        'Annotations/bomb.xml': '<!DOCTYPE a [<!ENTITY x "lol"><!ENTITY y "&x;&x;&x;">]>'
                                '<annotation><filename>&y;</filename></annotation>',
        'Annotations/file.xml': '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
                                '<annotation><filename>&x;</filename></annotation>',
        'Annotations/gone.xml': voc(OBJECT.format('dog', 0, 1, 1, 9, 9), name='gone.jpg')})
    data = read(root)
    assert list(data.classes) == ['cat', 'dog']
    assert boxes_of(data)['a.jpg'] == [
        ('dog', 0, 0, 100, 50), ('cat', 9.5, 10, 10.5, 11), ('dog', 299, 0, 101, 9)]
    assert [box.ignore for box in data.parts['train'].images[0].boxes] == [False, True, False]
    assert boxes_of(data)['b.jpg'] == []
    found, report = findings_of(data)
    broken = {line.partition(': ')[0] for line in found['broken_record']}
    place = 'Annotations/a.xml'
    assert broken == {'Annotations/bomb.xml', 'Annotations/cut.xml', 'Annotations/file.xml',
                      f'{place}:7', f'{place}:8'}
    assert found['bad_box'][0].startswith(f'{place}:6: ')
    assert found['box_outside'][0].startswith(f'{place}:9: ')
    assert found['crowd'] == [f'{place}:5']
    assert found['missing_image'][0].startswith('Annotations/gone.xml: ')
    assert report.counts['boxes'] == 2


def test_voc_lists_of_images_tell_the_parts(put):
    root = put(**{
        **{f'JPEGImages/{name}.jpg': '' for name in 'abc'},
        **{f'Annotations/{name}.xml': voc(OBJECT.format('dog', 0, 1, 1, 9, 9), name=f'{name}.jpg')
           for name in 'abc'},
        'ImageSets/Main/train.txt': 'a  1\nmissing\n', 'ImageSets/Main/val.txt': 'c\n',
        'ImageSets/Main/dog_train.txt': 'b 1\n'})
    data = read(root)
    assert {part: list(boxes_of(data, part)) for part in data.parts} == \
        {'train': ['a.jpg'], 'val': ['c.jpg']}
    assert 'Annotations/missing.xml' in str(findings_of(data)[0]['broken_record'])


def test_voc_lists_of_the_folders_inside_and_undivided_ones(put):
    """Otherwise all images, those for tests too, would be for training."""
    root = put(**{name: text for year, image in (('VOC2007', 'a'), ('VOC2012', 'b'))
                  for name, text in {
                      f'kit/{year}/JPEGImages/{image}.jpg': '',
                      f'kit/{year}/JPEGImages/{image}2.jpg': '',
                      f'kit/{year}/Annotations/{image}.xml': voc(
                          OBJECT.format('dog', 0, 1, 1, 9, 9), name=f'{image}.jpg'),
                      f'kit/{year}/Annotations/{image}2.xml': voc(
                          OBJECT.format('dog', 0, 1, 1, 9, 9), name=f'{image}2.jpg'),
                      f'kit/{year}/ImageSets/Main/trainval.txt': f'{image}\n'}.items()},
               **{'kit/VOC2007/ImageSets/Main/test.txt': 'a2\n'})
    data = read(root)
    assert {part: list(boxes_of(data, part)) for part in data.parts} == \
        {'train': ['a.jpg', 'b.jpg'], 'test': ['a2.jpg']}


def labelme(*shapes, **more):
    return json.dumps(dict(dict(shapes=list(shapes), imagePath='..\\pics\\a.jpg', imageHeight=50,
                                imageWidth=100, imageData='x' * 100), **more))


def shape(kind, points, label='dog', **more):
    return dict(label=label, points=points, shape_type=kind, **more)


def test_labelme_shapes_of_every_kind(put):
    root = put(**{
        'pics/a.jpg': '',
        'marks/a.json': labelme(
            shape('rectangle', [[60, 40], [20, 10]]),
            shape('polygon', [[1, 2], [30, 4], [9, 44]], 'cat', group_id=3),
            shape('polygon', [[50, 2], [60, 4], [59, 10]], 'cat', group_id=3),
            shape('circle', [[50, 25], [53, 29]]), shape('point', [[1, 1]]),
            shape('rotation', [[5, 5], [9, 1], [13, 5], [9, 9]], 'kite', direction=.7),
            shape('rectangle', [[1, 1]]), shape('rectangle', [['a', 1], [2, 3]]), dict(points=[]),
            shape(None, [[1, 1], [5, 1], [5, 9]], ' dog ')),
        'marks/bad.json': '{"shapes": [', 'marks/other.json': '{"a": 1}',
        'marks/none.json': labelme(imagePath='../pics/none.jpg', imageHeight=None)})
    data = read(root)
    assert boxes_of(data)['a.jpg'] == [
        ('dog', 20, 10, 40, 30), ('cat', 1, 2, 59, 42), ('dog', 45, 20, 10, 10),
        ('kite', 5, 1, 8, 8), ('dog', 1, 1, 4, 8)]
    found, _ = findings_of(data)
    assert [line.partition(': ')[0] for line in found['broken_record']] == \
        ['marks/a.json', 'marks/bad.json']
    assert found['broken_record'][0].startswith('marks/a.json: shapes[8]')
    assert len(found['bad_box']) == 2 and found['bad_box'][0].startswith('marks/a.json: shapes[6]')
    assert found['other_shape'] == ['marks/a.json: shapes[4]: point of dog']
    assert found['foreign_json'][0].startswith('marks/other.json')
    assert found['missing_image'][0].startswith('marks/none.json')


@pytest.mark.parametrize('text', [
    'filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,100,50,dog,20,10,60,40\n',
    '\ufeffimage;label;x;y;w;h\r\na.jpg;dog;20;10;40;30\r\n',
    'Image_Path\tClass Name\tx1\ty1\tx2\ty2\n/else/where/a.jpg\tdog\t20\t10\t60\t40\n',
    'label_name,bbox_x,bbox_y,bbox_width,bbox_height,image_name,image_width,image_height\n'
    'dog,20,10,40,30,a.jpg,100,50\n',
    'image,x1_px,y1_px,x2_px,y2_px,score,label,name\nphotos/a.jpg,20,10,60,40,0.9,0,dog\n',
    'photos/a.jpg,20,10,60,40,dog\n',
    'file,xmin,ymin,width,height,category\na.jpg,20,10,40,30,dog\n',
])
def test_tables_of_every_tool(put, text):
    root = put(**{'t.csv': text, 'photos/a.jpg': ''})
    data = read(root)
    assert boxes_of(data) == {'a.jpg': [('dog', 20, 10, 40, 30)]}
    assert data.parts['train'].images[0].size == SIZE


def test_rows_of_every_kind(put):
    root = put(**{
        'a.jpg': '', 'b, c.jpg': '',
        't.csv': 'image,class,xmin,ymin,xmax,ymax\n'
                 'a.jpg,"big\ndog",1,2,30,40\n'    # 2 and 3
                 '"b, c.jpg",,,,,\n'               # 4: an image without boxes
                 'a.jpg,dog,1,2,30\n'              # 5
                 'a.jpg,dog,1,x,30,40\n'           # 6
                 ',dog,1,2,30,40\n'                # 7
                 'a.jpg,,1,2,30,40\n'              # 8
                 'gone.jpg,dog,1,2,30,40\n'        # 9
                 'a.jpg,dog,90,2,120,40\n'})       # 10: over the edge
    data = read(root / 't.csv')
    assert boxes_of(data)['a.jpg'] == [('big\ndog', 1, 2, 29, 38), ('dog', 90, 2, 30, 38)]
    assert boxes_of(data)['b, c.jpg'] == []
    found, _ = findings_of(data)
    assert found['bad_columns'] == ['t.csv:5: 5 columns instead of 6']
    assert found['bad_box'][0].startswith('t.csv:6: ')
    assert [line.partition(': ')[0] for line in found['broken_record']] == ['t.csv:7', 't.csv:8']
    assert found['missing_image'][0].startswith('t.csv:9: ')
    assert found['box_over_edge'][0].startswith('t.csv:10: ')


def test_boxes_of_open_images_as_released(put):
    """Codes, shares of the image, xmax before ymin, groups; names are in a table of their own."""
    root = put(**{
        'images/0a1.jpg': '',
        'train-annotations-bbox.csv':
        'ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,'
        'IsDepiction,IsInside\n'
        '0a1,xclick,/m/0bt9lr,1,0.200000,0.600000,0.200000,0.800000,0,0,0,0,0\n'
        '0a1,xclick,/m/01yrx,1,0.0,0.5,0.0,1.0,0,0,1,0,0\n'
        '0a2,xclick,/m/01yrx,1,0.0,0.5,0.0,1.0,0,0,1,0,0\n'})
    with pytest.raises(UserError, match='class-descriptions-boxable.csv'):
        read(root)
    data = read(put(**{'class-descriptions-boxable.csv': '/m/0bt9lr,Dog\n/m/01yrx,Cat\n'}))
    assert boxes_of(data)['0a1.jpg'] == [('Dog', pytest.approx(20), pytest.approx(10),
                                          pytest.approx(40), pytest.approx(30)),
                                         ('Cat', 0, 0, 50, 50)]
    assert [box.ignore for box in data.parts['train'].images[0].boxes] == [False, True]
    assert findings_of(data)[0]['missing_image'][0].startswith('train-annotations-bbox.csv:4: ')


def test_a_table_with_other_columns_says_which_are_expected(put):
    root = put(**{'t.csv': 'image,colour\na.jpg,red\n'})
    with pytest.raises(UserError, match=r'xmin, ymin, xmax, ymax or x, y.*columns image, colour'):
        find_data_set(root / 't.csv')


def test_tables_that_do_not_say_which_part_they_are(put):
    head = 'image,class,xmin,ymin,xmax,ymax\n'
    root = put(**{'a.csv': head, 'b.csv': head})
    with pytest.raises(UserError, match=r'a\.csv, b\.csv'):
        find_data_set(root)
    root = put(**{'notes.csv': 'a,b\n'})
    (root / 'a.csv').rename(root / 'train_labels.csv')
    (root / 'b.csv').rename(root / 'my-val.csv')
    assert list(find_data_set(root).files) == ['train', 'val']


def test_an_export_of_roboflow_as_it_comes(put):
    """The project is category 0, without a box and without an image of its own."""
    content = dict(
        info={}, licenses=[], categories=[dict(id=0, name='fish-ab12', supercategory='none'),
                                          dict(id=1, name='cod', supercategory='fish-ab12')],
        images=[dict(id=0, license=1, file_name='a_jpg.rf.0f.jpg', height=50, width=100,
                     date_captured='')],
        annotations=[dict(id=0, image_id=0, category_id=1, bbox=[20, 10, 40, 30.5], area=1220,
                          segmentation=[], iscrowd=0)])
    files = {}
    for part in ('train', 'valid', 'test'):
        files[f'{part}/_annotations.coco.json'] = json.dumps(content)
        files[f'{part}/a_jpg.rf.0f.jpg'] = ''
    root = put(**files, **{'README.roboflow.txt': 'x', 'README.dataset.txt': 'x'})
    found = find_data_set(root)
    assert found.form == 'coco' and list(found.files) == ['train', 'val', 'test']
    report = check(DataFile(found.files['val'], root / 'valid'), CheckSettings())
    assert [row.name for row in report.classes] == ['cod'] and report.exit_code == 0


def test_coco_files_by_their_names(put):
    content = json.dumps(dict(images=[dict(id=1, file_name='a.jpg')], annotations=[],
                              categories=[]))
    root = put(**{'annotations/instances_train2017.json': content,
                  'annotations/person_keypoints_train2017.json': content,
                  'annotations/instances_val2017.json': content, 'train2017/a.jpg': '',
                  'val2017/a.jpg': '', 'other.yaml': 'a: 1'})
    found = find_data_set(root)
    assert {part: path.name for part, path in found.files.items()} == {
        'train': 'instances_train2017.json', 'val': 'instances_val2017.json'}
    put(**{'annotations/instances_train_b.json': content})
    with pytest.raises(UserError, match='one COCO json for the part train'):
        find_data_set(root)


def test_other_yamls_and_files_are_left_to_others(put):
    root = put(**{'a.yaml': 'img: x\nlabel: y\n', 'b.json': '{}', 'c.yaml': '[1, 2]'})
    for name in ('a.yaml', 'b.json', 'c.yaml', 'none'):
        assert find_data_set(Path(root, name)) is None
