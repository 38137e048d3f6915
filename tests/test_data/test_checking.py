"""What a check finds in each format, what makes it refuse, and what a cleaned copy holds."""
import copy
import io
import json
import tarfile

import pytest
from PIL import Image

from glipkit.data import CocoDetection
from glipkit.data.checking import KINDS, CheckSettings, DataFile, PromptSettings, check, clean
from glipkit.data.checking.text_report import report_lines
from glipkit.data.formats.reading import as_size, clip_box
from glipkit.errors import UserError
from glipkit.evaluation import GroundingCocoMetric
from glipkit.text.prompts import class_prompt

NO_LOOK = CheckSettings(decode=False)


@pytest.fixture
def folder(tmp_path, write_image):
    for i in range(4):
        write_image(f'{i}.png', seed=i)
    return tmp_path


@pytest.fixture
def sound(coco):
    """Four images of 64 x 48, three boxes, three classes with odd ids."""
    return coco([(i, f'{i}.png', 64, 48) for i in range(4)],
                [(0, 5, [30, 15, 20, 30]), (1, 9, [40, 10, 20, 20]), (2, 70, [0, 0, 64, 48])],
                [(5, 'red dog'), (9, 'cat'), (70, 'traffic_light')])


@pytest.fixture
def look(folder, write_json):
    """look(content) -> report of a COCO file."""

    def run(content, looks=NO_LOOK, **kwargs):
        write_json('ann.json', content)
        return check(DataFile(folder / 'ann.json', folder / 'images', **kwargs), looks)

    return run


def kinds(report, *severities):
    return {f.kind for f in report.findings.sorted()
            if f.severity in (severities or ('error', 'warning'))}


def test_a_sound_file(look, sound):
    report = look(sound, CheckSettings())
    assert report.exit_code == 0 and not kinds(report)
    assert [(f.kind, f.count) for f in report.findings.sorted()] == [('empty_image', 1)]
    assert report.counts == dict(images=4, captions=0, boxes=3, boxes_in_file=3)
    assert [(c.category_id, c.label, c.name, c.boxes) for c in report.classes] == [
        (5, 0, 'red dog', 1), (9, 1, 'cat', 1), (70, 2, 'traffic_light', 1)]
    assert report.classes[2].tokens == ('traffic', 'light')
    assert report.prompts == ['red dog. cat. traffic light']


def change(content, path, value):
    """Sets one value deep inside a copy; a value of ... removes it."""
    content = copy.deepcopy(content)
    parent = content
    for key in path[:-1]:
        parent = parent[key]
    if value is ...:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    return content


BOX = ('annotations', 0, 'bbox')


@pytest.mark.parametrize('path, value, kind, code', [
    (('annotations', 0, 'category_id'), 6, 'unknown_category', 1),
    (('annotations', 0, 'category_id'), ..., 'unknown_category', 1),
    (('annotations', 0, 'image_id'), 99, 'orphan', 0),
    (('annotations', 0, 'image_id'), 'a', 'broken_record', 1),
    (('annotations', 0), None, 'broken_record', 1),
    (BOX, [1, 2, 3], 'bad_box', 1),
    (BOX, [1, 2, float('nan'), 4], 'bad_box', 1),
    (BOX, [1, 2, 10**400, 4], 'bad_box', 1),
    (BOX, [5, 5, 0, 20], 'flat_box', 0),
    (BOX, [5, 5, -10, 20], 'flat_box', 0),
    (BOX, [70, 5, 10, 20], 'box_outside', 0),
    (BOX, [50, 5, 16, 20], 'box_over_edge', 0),
    (('images', 0, 'id'), 1, 'duplicate_image_id', 1),
    (('images', 0, 'file_name'), ..., 'broken_record', 1),
    (('images', 0, 'width'), -64, 'bad_size', 1),
    (('images', 0, 'file_name'), 'no.png', 'missing_image', 0),
    (('categories', 1, 'id'), 5, 'bad_category_id', 1),
    (('categories', 1, 'name'), None, 'bad_name', 1),
    (('categories', 1, 'name'), '', 'no_token', 1),
    (('categories', 1, 'name'), '(cat)', 'no_token', 1),
    (('categories', 1, 'name'), 'red dog', 'duplicate_name', 1),
    (('categories', 1, 'name'), 'Red_DOG', 'same_words', 1),
    (('categories', 1, 'name'), 'red dog (big)', 'same_prompt', 1),
    (('categories', 1, 'name'), 'rëd dog', 'same_prompt', 1),
    (('categories', 1, 'name'), 'cat \U0001f436', 'unknown_word', 0),
    (('categories', 1, 'name'), 'cat ' * 300, 'class_too_long', 1),
    (('categories',), [], 'no_class', 1),
    (('images',), [], 'no_image', 1),
    (('annotations',), [], 'no_box', 1),
])
def test_what_is_wrong_has_a_name_and_a_place(look, sound, path, value, kind, code):
    report = look(change(sound, path, value))
    assert kind in kinds(report)
    assert report.exit_code == code
    finding = next(f for f in report.findings.sorted() if f.kind == kind)
    assert finding.severity == KINDS[kind].severity and finding.message == KINDS[kind].message
    assert finding.count == len(finding.examples) == 1 and finding.examples[0]
    assert any(finding.message in line for line in report_lines(report, PromptSettings()))


def test_findings_are_counted_and_the_first_examples_kept(look, sound):
    sound['annotations'] += [dict(sound['annotations'][0], bbox=[0, 0, 0, 0], id=10 + k)
                             for k in range(9)]
    finding, = (f for f in look(sound).findings.sorted() if f.kind == 'flat_box')
    assert finding.count == 9
    assert [e.split(':')[0] for e in finding.examples] == [
        f'annotations[{i}]' for i in range(3, 8)]


def test_a_class_without_boxes_and_a_subset(look, sound):
    sound['annotations'].pop()
    assert kinds(look(sound)) == {'class_without_box'}
    report = look(sound, classes=('cat', 'red dog'))
    assert not kinds(report)
    assert [(c.category_id, c.label) for c in report.classes] == [(9, 0), (5, 1)]
    with pytest.raises(UserError, match='bird'):
        look(sound, classes=('bird', ))


@pytest.mark.parametrize('convert, kind', [
    (lambda x, y, w, h: [x, y, x + w, y + h], 'boxes_are_xyxy'),
    (lambda x, y, w, h: [x / 64, y / 48, w / 64, h / 48], 'boxes_are_fractions'),
    (lambda x, y, w, h: [x + 64, y, w, h], 'all_boxes_lost'),
])
def test_boxes_that_are_wrong_as_a_whole(look, sound, convert, kind, folder):
    boxes = [a['bbox'] for a in sound['annotations']]
    for annotation, box in zip(sound['annotations'], boxes):
        annotation['bbox'] = convert(*box)
    report = look(sound)
    assert kind in kinds(report, 'error')
    clean(DataFile(folder / 'ann.json', folder / 'images'), report, folder / 'out.json')
    fixed = [a['bbox'] for a in json.loads((folder / 'out.json').read_text())['annotations']]
    assert fixed == ([] if kind == 'all_boxes_lost' else [pytest.approx(b) for b in boxes])


def test_true_widths_are_not_taken_for_corners(look, sound):
    sound['annotations'][0]['bbox'] = [50, 20, 40, 40]
    sound['annotations'][1]['bbox'] = [40, 30, 10, 10]
    assert kinds(look(sound)) == {'box_over_edge'}


def test_a_cleaned_copy_can_be_trained_on(look, sound, folder):
    bad = copy.deepcopy(sound)
    first = bad['annotations'][0]
    bad['categories'] += [dict(id=80, name='Cat'), dict(id=90, name='()')]
    bad['annotations'] += [dict(first, category_id=80), dict(first, category_id=90),
                           dict(first, category_id=3), dict(first, bbox=[0, 0, 0, 0]),
                           dict(first, bbox=[-5, 0, 30, 20]), dict(first, image_id=50), 7]
    bad['images'] += [dict(bad['images'][0]), dict(id=9, file_name='no.png'), {}]
    report = look(bad)
    assert report.exit_code == 1
    source = DataFile(folder / 'ann.json', folder / 'images')
    changes = clean(source, report, folder / 'out.json')
    assert any('class 80 merged into class 9' in line for line in changes)
    again = check(DataFile(folder / 'out.json', folder / 'images'), NO_LOOK)
    assert again.exit_code == 0 and not kinds(again)
    content = json.loads((folder / 'out.json').read_text())
    assert content['images'] == sound['images'] and content['categories'] == sound['categories']
    assert content['annotations'][:3] == sound['annotations']
    assert content['annotations'][3:] == [dict(first, category_id=9),
                                          dict(first, bbox=[0, 0, 25, 20])]
    data = CocoDetection('out.json', data_root=str(folder), data_prefix=dict(img='images'))
    assert len(data) == 4


def test_keys_that_stand_twice(look, sound):
    text = json.dumps(sound)
    assert kinds(look(text[:-1] + ', "annotations": []}')) == {'repeated_list', 'no_box'}
    assert kinds(look(text.replace('"id": 5', '"id": 4, "id": 5'))) == {'repeated_key'}


@pytest.mark.parametrize('content', ['', '{"images": [', '[1]', '{"images": [], "x": 1}',
                                     '[' * 100000, '{"images": [' + '9' * 5000 + ']}'])
def test_what_is_no_such_file_is_refused(look, content):
    with pytest.raises(UserError):
        look(content)


def test_prompts_are_split_by_the_budget(look, sound):
    settings = PromptSettings(max_tokens=8, training_tokens=6)
    report = look(sound, settings=settings)
    assert report.prompts == ['red dog. cat', 'traffic light']
    assert kinds(report) == {'prompt_too_long'}  # 2 + 1 + 2 words, 2 dots, [CLS] and [SEP]
    assert not kinds(look(sound, settings=PromptSettings(max_tokens=8, training_tokens=9)))


def test_lvis_has_homonyms_and_lists_of_absent_classes(look, sound):
    for image in sound['images']:
        image.update(neg_category_ids=[9], not_exhaustive_category_ids=[])
    sound['categories'][0]['name'] = 'bow_(weapon)'
    sound['categories'][1]['name'] = 'bow_(ribbon)'
    report = look(sound)
    assert report.format == 'lvis' and report.exit_code == 0
    assert kinds(report) == {'homonym'}
    sound['images'][2]['neg_category_ids'] = None
    assert kinds(look(sound), 'error') == {'no_absence_list'}


LINE = dict(filename='0.png', width=64, height=48)
CAPTION = 'a red dog and two cats'


def grounding(caption=CAPTION, **region):
    region = {**dict(bbox=[1, 2, 20, 30], phrase='red dog'), **region}
    return dict(LINE, grounding=dict(caption=caption, regions=[region]))


@pytest.mark.parametrize('line, kind, code', [
    (grounding(), None, 0),
    (grounding(tokens_positive=[[2, 9]]), None, 0),
    (grounding(tokens_positive=[[2, 8]]), 'span_cuts_word', 0),
    (grounding('一只猫在桌子上', phrase='桌子'), None, 0),
    (grounding('一只猫在桌子上', tokens_positive=[[2, 3]]), None, 0),
    (grounding('cafe\u0301', tokens_positive=[[0, 4]]), 'span_cuts_word', 0),
    (grounding(tokens_positive=[[2, 9], [9, 10]]), 'span_without_word', 0),
    (grounding(tokens_positive=[[9, 10]]), 'no_span', 0),
    (grounding(tokens_positive=[[2, 2]]), 'bad_span', 1),
    (grounding(tokens_positive=[[9, 2]]), 'bad_span', 1),
    (grounding(tokens_positive=[[2, 99]]), 'bad_span', 1),
    (grounding(tokens_positive='all'), 'bad_span', 1),
    (grounding(phrase='bird'), 'no_phrase', 0),
    (grounding(phrase=None), 'broken_record', 1),
    (grounding(bbox=[20, 30, 1, 2]), 'flat_box', 0),
    (grounding(caption=None), 'no_caption', 1),
    (grounding(caption='...'), 'empty_caption', 0),
    (grounding(caption='dog ' * 300 + ' red dog'), 'long_caption', 0),
    (grounding(caption='dog ' * 300, tokens_positive=[[1190, 1199]]), 'span_beyond_limit', 0),
    (dict(LINE), 'broken_record', 1),
    ('{"filename"', 'broken_line', 1),
    ('[]', 'broken_line', 1),
])
def test_captions(folder, write_lines, line, kind, code):
    sound = dict(grounding(), filename='1.png')
    path = folder / 'ann.jsonl'
    write_lines('ann.jsonl', [sound, line, sound])
    source = DataFile(path, folder / 'images')
    report = check(source, NO_LOOK)
    assert report.format == 'odvg' and report.exit_code == code
    assert kind in kinds(report) if kind else not kinds(report)
    assert kind is None or any('line 2' in e for f in report.findings.sorted()
                               if f.kind == kind for e in f.examples)
    changes = clean(source, report, folder / 'out.jsonl')
    copied = [json.loads(text) for text in (folder / 'out.jsonl').read_text().splitlines()]
    assert copied[0] == copied[-1] == sound
    assert check(DataFile(folder / 'out.jsonl', folder / 'images'), NO_LOOK).exit_code == 0
    assert bool(changes) == any(KINDS[f.kind].remedy for f in report.findings.sorted())


def test_labels_of_a_label_map(folder, write_lines, write_json):
    def line(**instance):
        return dict(LINE, detection=dict(instances=[dict(bbox=[1, 2, 20, 30], **instance)]))

    write_json('labels.json', {'0': 'dog', '1': 'cat'})
    write_lines('ann.jsonl', [line(label=0, category='dog'), line(label='1'), line(label=2),
                              line(label=1, category='dog')])
    source = DataFile(folder / 'ann.jsonl', folder / 'images', label_map=folder / 'labels.json')
    report = check(source, NO_LOOK)
    assert kinds(report, 'error') == {'unknown_category', 'label_name_differs'}
    assert [c.boxes for c in report.classes] == [1, 1]
    assert report.counts['boxes'] == 2
    assert kinds(check(DataFile(folder / 'ann.jsonl', folder / 'images'), NO_LOOK), 'error') == {
        'no_label_map'}


def test_mixed_grounding_in_the_folders_of_its_sources(folder, write_json):
    (folder / 'images' / 'vg').mkdir()
    (folder / 'images' / '0.png').rename(folder / 'images' / 'vg' / '0.png')
    image = dict(id=1, file_name='0.png', width=64, height=48, caption=CAPTION, data_source='vg')
    annotation = dict(id=1, image_id=1, bbox=[1, 2, 30, 30], tokens_positive=[[2, 9]])
    write_json('ann.json', dict(images=[image], annotations=[annotation], categories=[]))

    def run(**kwargs):
        return check(DataFile(folder / 'ann.json', folder / 'images', **kwargs), CheckSettings())

    report = run(source_prefix={'vg': 'vg'})
    assert report.format == 'mdetr' and not kinds(report)
    assert report.prompts == [CAPTION] and report.longest_caption == 8
    assert kinds(run(), 'error') == {'no_usable_image'}
    assert 'broken_record' in kinds(run(source_prefix={'coco': 'coco'}), 'error')


def write_tar(path, parts):
    with tarfile.open(path, 'w') as tar:
        for name, content in parts:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def test_tar_shards_survive_a_cut(folder):
    picture = (folder / 'images' / '0.png').read_bytes()
    record = json.dumps(grounding(score=0.9)).encode()
    path = folder / 'ann.tar'
    write_tar(path, [part for i in range(4) for part in (
        (f'{i}.png', b'no image' if i == 1 else picture), (f'{i}.json', record))])
    source = DataFile(path)
    report = check(source, CheckSettings())
    assert kinds(report) == {'unreadable_image'} and report.bad_images == {'1.png'}
    assert report.counts['boxes'] == 4
    path.write_bytes(path.read_bytes()[:-12_000])
    report = check(source, CheckSettings())
    assert {'cut_shard'} <= kinds(report, 'error')
    clean(source, report, folder / 'out.tar')
    again = check(DataFile(folder / 'out.tar'), CheckSettings())
    assert not kinds(again) and again.counts['images'] == report.counts['images'] - 1 > 0


def test_the_layout_of_a_table(folder, write_json):
    from tests.fuzz.worlds import make
    world = make('tsv')
    for name, content in [(world.file, world.encode()), *world.extra.items()]:
        (folder / name).write_bytes(content)
    (folder / 'set.yaml').write_text('img: images.tsv\nlabel: train.label.tsv\n'
                                     'hw: train.hw.tsv\nlabelmap: labels.json\n')
    report = check(DataFile(folder / 'set.yaml'), CheckSettings())
    assert report.format == 'tsv' and not kinds(report) and report.counts['boxes'] == 6
    write_json('labels.json', {'bird': 1})
    report = check(DataFile(folder / 'set.yaml'), CheckSettings())
    assert kinds(report, 'error') == {'foreign_label_map', 'all_boxes_lost'}


def test_sizes_and_pixels(look, sound, folder):
    images = folder / 'images'
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', (64, 48)).save(images / '0.jpg', exif=exif)
    Image.new('I;16', (64, 48)).save(images / '1.png')
    sound['images'][0]['file_name'] = '0.jpg'
    report = look(sound, CheckSettings())
    assert kinds(report) == {'exif_turns', 'deep_pixels'} and report.exit_code == 1
    assert kinds(report, 'error') == {'exif_turns'}
    assert '0.jpg is 48x64, the file says 64x48' in report.findings.errors()[0].examples[0]
    # The headers tell as much.
    by_header = look(sound, CheckSettings(decode=False, headers=True))
    assert kinds(by_header) == {'exif_turns'}
    assert by_header.findings.errors() == report.findings.errors()
    sound['images'][0].update(width=48, height=64)
    assert 'exif_turns' not in kinds(look(sound, CheckSettings()))
    assert 'exif_turns' not in kinds(look(sound, CheckSettings(decode=False, headers=True)))
    sound['images'][0].update(width=64, height=48)
    for image in sound['images'][1:]:
        image['width'] = 65
    report = look(sound, CheckSettings())
    assert kinds(report, 'error') == {'most_sizes_differ', 'exif_turns'}
    assert 'size_differs' in kinds(report)


def test_files_that_are_no_images(look, sound, folder):
    images = folder / 'images'
    (images / '0.png').write_bytes(b'')
    (images / '1.png').write_bytes((images / '1.png').read_bytes()[:300])
    report = look(sound, CheckSettings())
    assert kinds(report) == {'empty_file', 'unreadable_image'}
    assert report.bad_images == {'0.png', '1.png'}
    (images / '2.png').unlink()
    assert kinds(look(sound), 'error') == {'many_bad_images'}
    source = DataFile(folder / 'ann.json', images)
    clean(source, look(sound, CheckSettings()), folder / 'out.json')
    copied = json.loads((folder / 'out.json').read_text())
    assert [i['file_name'] for i in copied['images']] == ['3.png']
    assert copied['annotations'] == []


def test_processes_find_what_one_finds(look, coco, folder, write_image):
    for i in range(70):
        write_image(f'{i}.png', 8, 8, seed=i)
    for i in (3, 40):
        (folder / 'images' / f'{i}.png').write_bytes(b'x')
    content = coco([(i, f'{i}.png', 8, 8) for i in range(70)], [(1, 1, [0, 0, 8, 8])],
                   [(1, 'dog')])
    alone, many = (look(content, CheckSettings(workers=n)) for n in (1, 2))
    assert alone.bad_images == many.bad_images == {'3.png', '40.png'}
    assert alone.findings.as_dicts() == many.findings.as_dicts()
    few = look(content, CheckSettings(max_images=5))
    assert 'unreadable_image' not in kinds(few) or few.findings.count('unreadable_image') <= 2


def test_readers_refuse_numbers_beyond_all_bounds():
    with pytest.raises(UserError, match='width'):
        as_size(10**400, 'images[0]', 'width')
    assert clip_box([1e308, 0, 1e308 + 1e308, 9], None, None) is None
    with pytest.raises(UserError, match='strings'):
        class_prompt([['dog'], 'cat'])


def test_boxes_that_stand_twice(look, sound, folder):
    sound['annotations'] += [dict(sound['annotations'][0], id=90),
                             dict(sound['annotations'][0], id=91, category_id=9)]
    report = look(sound)
    assert report.exit_code == 0 and report.counts['boxes'] == 5
    assert kinds(report) == {'same_box'} and report.findings.count('same_box') == 1
    changes = clean(DataFile(folder / 'ann.json', folder / 'images'), report, folder / 'out.json')
    assert changes == ['1 second boxes left out (boxes that stand twice: same image, class and '
                       'place)']
    kept = json.loads((folder / 'out.json').read_text())['annotations']
    assert [a['id'] for a in kept] == [a['id'] for a in sound['annotations'] if a['id'] != 90]


@pytest.mark.parametrize('value, expected', [('0', set()), ('1', {'class_without_box'}),
                                             ('x', {'broken_record', 'class_without_box'})])
def test_crowd_flags_are_read_as_training_reads_them(look, sound, folder, value, expected):
    sound['annotations'][0]['iscrowd'] = value
    report = look(sound)
    assert kinds(report) == expected
    clean(DataFile(folder / 'ann.json', folder / 'images'), report, folder / 'out.json')
    kept = json.loads((folder / 'out.json').read_text())['annotations']
    assert [a['iscrowd'] for a in kept if 'iscrowd' in a] == {'0': [0], '1': [1]}.get(value, []) + [
        a['iscrowd'] for a in sound['annotations'][1:] if 'iscrowd' in a]
    CocoDetection(str(folder / 'out.json'))


@pytest.mark.parametrize('key', ['iscrowd', 'area', 'bbox', 'width'])
@pytest.mark.parametrize('value', [float('nan'), float('inf'), [400], '4x'])
def test_what_a_table_writes_for_nothing_is_no_value(look, sound, folder, key, value):
    record = sound['images' if key == 'width' else 'annotations'][0]
    record[key] = value
    if key == 'bbox' and isinstance(value, float):
        record[key] = [1, value, 20, 20]
    report = look(sound)
    kind = {'area': 'bad_area', 'bbox': 'bad_box', 'width': 'bad_size'}.get(
        key, 'empty_mark' if value != value else 'broken_record')
    assert report.exit_code == 1 and kind in kinds(report)
    if key != 'area':  # which training does not read
        with pytest.raises(UserError, match=key.replace('bbox', 'box')):
            CocoDetection(str(folder / 'ann.json'))
    with pytest.raises(UserError, match=key.replace('bbox', 'box')):
        GroundingCocoMetric(str(folder / 'ann.json'))
    boxes = len(sound['annotations'])
    clean(DataFile(folder / 'ann.json', folder / 'images'), report, folder / 'out.json')
    assert not check(DataFile(folder / 'out.json', folder / 'images'), NO_LOOK).exit_code
    kept = GroundingCocoMetric(str(folder / 'out.json')).ground_truth.annotations
    lost = key == 'bbox' or kind == 'broken_record'
    assert len(kept) == boxes - lost and not any(a['iscrowd'] for a in kept[:1])


def test_a_super_category_without_a_box_is_told(look, sound, folder):
    sound['categories'] += [dict(id=1, name='animals')]
    for record in sound['categories']:
        record['supercategory'] = 'animals' if record['id'] == 9 else 'none'
    report = look(sound)
    assert report.exit_code == 0 and kinds(report, 'note') >= {'super_category'}
    assert report.prompts == ['red dog. cat. traffic light']
    assert [row.name for row in report.classes] == list(
        CocoDetection(str(folder / 'ann.json')).metainfo['classes'])
    assert 'class_without_box' not in kinds(look(sound))


def test_a_long_class_list_is_abridged(look, sound):
    sound['categories'] = [dict(id=i, name=f'thing {i}') for i in range(3000)]
    report = look(sound, settings=PromptSettings(max_tokens=12))
    lines = list(report_lines(report, PromptSettings()))
    assert len(lines) < 150 and len(report.classes) == 3000 == len(report.as_dict()['classes'])
    shown = [line for line in lines if '-> thing' in line]
    assert len(shown) == 100 and 'thing 98 ' in shown[98] and 'thing 2999 ' in shown[99]
    assert '  ... 2900 more; --json FILE writes all' in lines
    assert f'  ... {len(report.prompts) - 10} more; --json FILE writes all' in lines


def test_a_report_obeys_no_control_characters(look, sound):
    sound['categories'][0]['name'] = 'red\x1b[31m dog\u202e'
    sound['images'][0]['file_name'] = 'gone\x1b]0;x\x07.png'
    text = '\n'.join(report_lines(look(sound), PromptSettings()))
    assert r'red\x1b[31m dog\u202e' in text and r'gone\x1b]0;x\x07.png' in text
    assert not [c for c in text if c < ' ' and c != '\n' or c == '\u202e']


def test_a_byte_order_mark_is_accepted(look, sound, folder):
    look(sound)
    path = folder / 'bom.json'
    path.write_bytes(b'\xef\xbb\xbf' + (folder / 'ann.json').read_bytes())
    assert not kinds(check(DataFile(path, folder / 'images'), NO_LOOK))


def test_a_tar_sample_with_dots_in_its_name_is_reported(tmp_path):
    path = tmp_path / 'x.tar'
    with tarfile.open(path, 'w') as tar:
        for name in ('photo.v2.png', 'photo.v2.json'):
            info = tarfile.TarInfo(name)
            info.size = 2
            tar.addfile(info, io.BytesIO(b'{}'))
    report = check(DataFile(path), NO_LOOK, 'caption-shards')
    assert report.exit_code == 1 and report.findings.count('half_sample') == 1


def test_an_odd_data_source_is_a_broken_record(folder, write_json):
    image = dict(id=1, file_name='0.png', width=64, height=48, caption='a dog')
    box = dict(id=1, image_id=1, bbox=[1, 1, 30, 30], tokens_positive=[[2, 5]])
    write_json('mixed.json', dict(images=[dict(image, data_source=['vg'])], annotations=[box]))
    source = DataFile(folder / 'mixed.json', folder / 'images', source_prefix={'vg': ''})
    assert 'broken_record' in kinds(check(source, NO_LOOK, 'mdetr'))


def test_a_sentence_encoder_is_asked_for_one_class_at_a_time(look, sound):
    report = look(sound, settings=PromptSettings(77, 77, joined=False))
    assert report.prompts == ['red dog', 'cat', 'traffic light']
