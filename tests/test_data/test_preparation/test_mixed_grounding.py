"""The mixed grounding set, from small files in the formats of its sources."""
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import glipkit  # noqa: F401
from glipkit.cli.main import door
from glipkit.common.boxes import box_iou
from glipkit.data.formats.mdetr import MdetrGrounding
from glipkit.data.preparation.captions import Sentence, merge_sentences, whole_words

main = door('prepare', 'mixed-grounding')


@pytest.fixture
def files(tmp_path):
    """files(name=content, ...) writes name.json each and returns command line options for all."""

    def write(**contents):
        options = []
        for option, content in contents.items():
            path = tmp_path / f'{option}.json'
            path.write_text(content if isinstance(content, str) else json.dumps(content))
            options += [f'--{option.rstrip("2").replace("_", "-")}', str(path)]
        return [*options, '--out', str(tmp_path / 'out')]

    return write


def result(tmp_path, name='final_mixed_train.json'):
    content = json.loads((tmp_path / 'out' / name).read_text())
    regions = {image['id']: [] for image in content['images']}
    for record in content['annotations']:
        regions[record['image_id']].append((record['bbox'], record['tokens_positive']))
    return {(i['data_source'], i['original_id'], i['caption']): regions[i['id']]
            for i in content['images']}


def spoken(caption, spans):
    return [caption[start:end] for start, end in spans]


# --- parts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize('start, end, words', [
    (4, 8, 'dogs'), (4, 7, 'dogs'), (5, 8, 'dogs'), (3, 9, 'dogs'), (0, 5, 'two'),
    (4, 10, 'dogs'), (4, 12, 'dogs run'), (7, 9, None), (8, 9, None), (12, 13, None),
    (5, 5, None), (-1, 3, None), (9, 30, None),
])
def test_whole_words(start, end, words):
    found = whole_words('two dogs run.', start, end)
    assert words == (found and 'two dogs run.'[slice(*found)])


@given(st.text('ab .-', min_size=1, max_size=12), st.data())
def test_whole_words_cut_nothing_and_keep_what_fits(caption, data):
    start = data.draw(st.integers(0, len(caption) - 1))
    end = data.draw(st.integers(start + 1, len(caption)))
    found = whole_words(caption, start, end)
    if found is None:
        return
    first, last = found
    assert caption[first].isalnum() and caption[last - 1].isalnum()
    assert first == 0 or not caption[first - 1].isalnum()
    assert last == len(caption) or not caption[last].isalnum()
    assert whole_words(caption, *found) == found


def sentence(text, *boxes):
    return Sentence(text, tuple((((0, len(text)), ), box) for box in boxes))


def test_merge_keeps_apart_what_overlaps():
    left, same, right = (0, 0, 10, 10), (1, 0, 11, 10), (50, 0, 60, 10)
    captions = merge_sentences([sentence('a cat', left), sentence('a tom', same),
                                sentence('why?', right)])
    # The cat and the tom are in conflict; the question goes into the first caption.
    assert [c.text for c in captions] == ['a cat. why?', 'a tom.']
    assert captions[0].regions == ((((0, 5), ), left), (((7, 11), ), right))


def test_merge_counts_characters():
    words = [sentence('x' * 100, (i * 20, 0, i * 20 + 10, 10)) for i in range(2)]
    assert len(merge_sentences([words[0], sentence('y' * 148, (90, 0, 99, 9))])) == 1
    assert len(merge_sentences([words[0], sentence('y' * 149, (90, 0, 99, 9))])) == 2
    assert len(merge_sentences([words[0], words[0]])) == 1
    assert merge_sentences([]) == []


corner = st.integers(0, 20)
box_strategy = st.tuples(corner, corner, st.integers(1, 20), st.integers(1, 20)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))


@given(st.lists(st.builds(sentence, st.text('abc', min_size=1, max_size=9), box_strategy),
                max_size=8, unique=True))
def test_merge_loses_nothing(sentences):
    captions = merge_sentences(sentences, max_length=40)
    found = [(c.text[slice(*span)], box)
             for c in captions for spans, box in c.regions for span in spans]
    assert sorted(found) == sorted((s.text, box) for s in sentences for _, box in s.regions)
    for caption in captions:
        boxes = [box for _, box in caption.regions]
        assert all(box_iou(a, b).item() <= .5 for i, a in enumerate(boxes) for b in boxes[:i])


# --- from the sources -----------------------------------------------------------------------------

VG_IMAGES = [dict(image_id=1, width=100, height=80, coco_id=None, url='x'),
             dict(image_id=2, width=100, height=80, coco_id=700, url='x'),
             dict(image_id=3, width=100, height=80, coco_id=800, url='x')]


def region(number, phrase, *box):
    return dict(region_id=number, image_id=0, phrase=phrase,
                **dict(zip(('x', 'y', 'width', 'height'), box, strict=True)))


VG_REGIONS = [
    dict(id=1, regions=[region(10, 'a red  bus on the road', 10, 10, 30, 20),
                        region(11, 'the bus is red', 11, 10, 30, 20),
                        region(12, 'white clouds', 0, 0, 100, 8),
                        region(13, 'no size', 5, 5, 0, 4), region(14, ' ', 5, 5, 4, 4),
                        region(15, 'far away', 200, 5, 9, 9)]),
    dict(id=2, regions=[region(20, 'a dog', 10, 8, 20, 40)]),
    dict(id=3, regions=[region(30, 'a cat', 10, 8, 20, 40)]),
    dict(id=9, regions=[region(90, 'a ghost', 1, 1, 9, 9)]),
]
COCO = dict(
    images=[dict(id=700, file_name='COCO_train2014_000000000700.jpg', width=200, height=160),
            dict(id=701, file_name='COCO_train2014_000000000701.jpg', width=64, height=64)],
    annotations=[dict(id=5, image_id=700, bbox=[100, 16, 40, 80]),
                 dict(id=6, image_id=701, bbox=[1, 2, 30, 40])], categories=[])


def test_regions(files, tmp_path, capsys):
    assert main(files(vg_images=VG_IMAGES, vg_regions=VG_REGIONS,
                      exclude_coco=dict(images=[dict(id=800)], annotations=[]))) == 0
    found = result(tmp_path)
    first = ('vg', 1, 'a red bus on the road. white clouds.')
    assert found[first] == [([10, 10, 30, 20], [[0, 9]]), ([0, 0, 100, 8], [[23, 35]])]
    assert found['vg', 1, 'the bus is red.'] == [([11, 10, 30, 20], [[0, 7]])]
    # Picture 2 is COCO's 700, but nothing says how large COCO has it.
    assert found['vg', 2, 'a dog.'] == [([10, 8, 20, 40], [[0, 5]])]
    assert len(found) == 3
    printed = capsys.readouterr().out
    for line in ('2 pictures', '3 captions', '4 boxes', '2 regions without words or box',
                 '1 sentences whose boxes are outside', '1 sentences of excluded pictures',
                 '1 pictures that are not in image_data.json'):
        assert line in printed


def test_questions(files, tmp_path):
    scenes = {'1': dict(width=100, height=80, objects={
        '71': dict(name='bus', x=10, y=10, w=30, h=20), '72': dict(name='man', x=60, y=10, w=9, h=9)
    })}
    ask = dict(imageId='1', question='What is to the left of the tall man?', annotations=dict(
        question={'7:9': '72', '30': '72'}, answer={'0': '71'}, fullAnswer={'1': '71'}))
    questions = {'a': ask, 'b': dict(imageId='1', question='Is it sunny?', annotations={}),
                 'c': dict(ask, imageId='n5')}
    assert main(files(vg_images=VG_IMAGES, gqa_scenes=scenes, gqa_questions=questions)) == 0
    (key, regions), = result(tmp_path).items()
    assert key == ('vg', 1, ask['question'])
    assert [(box, spoken(key[2], spans)) for box, spans in regions] == [
        ([60, 10, 9, 9], ['tall man']), ([10, 10, 30, 20], ['What'])]


def test_expressions_join_the_regions_of_the_same_picture(files, tmp_path, capsys):
    refs = [dict(ref_id=1, ann_id=5, image_id=700, split='train', category_id=1, sentences=[
                 dict(sent='man in blue shirt', raw='Man', tokens=[], sent_id=1),
                 dict(sent='man in blue shirt', raw='x', tokens=[], sent_id=2)]),
            dict(ref_id=2, ann_id=6, image_id=701, split='val', sentences=[dict(sent='left')]),
            dict(ref_id=3, ann_id=99, image_id=700, split='train', sentences=['lost'])]
    assert main(files(vg_images=VG_IMAGES, vg_regions=VG_REGIONS, refs=refs, coco=COCO)) == 0
    found = result(tmp_path)
    # Boxes of picture 2 are twice as large in COCO's copy.
    caption = 'man in blue shirt. a dog.'
    assert [(box, spoken(caption, spans)) for box, spans in found['coco', 700, caption]] == [
        ([100, 16, 40, 80], ['man']), ([20, 16, 40, 80], ['a dog'])]
    assert ('vg', 3, 'a cat.') in found
    assert '1 expressions without a box in --coco' in capsys.readouterr().out


@pytest.mark.parametrize('known', [{}, dict(coco=COCO)])
def test_no_coco_leaves_them_out(files, tmp_path, known):
    assert main([*files(vg_images=VG_IMAGES, vg_regions=VG_REGIONS, **known), '--no-coco']) == 0
    found = result(tmp_path, 'final_mixed_train_no_coco.json')
    assert {key[:2] for key in found} == {('vg', 1)}


def test_pictures_of_test_expressions_stay_out(files, tmp_path):
    refs = [dict(ann_id=5, image_id=700, split='testA', sentences=[dict(sent='dog')])]
    assert main(files(vg_images=VG_IMAGES, vg_regions=VG_REGIONS, coco=COCO, refs=refs)) == 0
    assert {key[:2] for key in result(tmp_path)} == {('vg', 1), ('vg', 3)}


# --- from the published file ----------------------------------------------------------------------


def image(number, caption, source='vg', original=1, **more):
    return dict(id=number, file_name=f'{original}.jpg', height=80, width=100, caption=caption,
                original_id=original, tokens_negative=[[0, len(caption)]], data_source=source,
                dataset_name='mixed', **more)


def box(number, image_id, bbox, *spans):
    return dict(id=number, image_id=image_id, category_id=3, bbox=bbox, iscrowd=0,
                area=0, tokens_positive=[list(span) for span in spans])


READY = dict(
    info={}, licenses=[], categories=[],
    images=[image(1, 'two dogs run.'), image(2, 'a cat.', 'coco', 700),
            image(3, 'a bird.', 'coco', '800'), image(4, 'nothing.')],
    annotations=[
        box(1, 1, [10, 10, 20, 20], (4, 7)), box(2, 1, [90, 70, 50, 50], (0, 3), (9, 12)),
        box(3, 1, [100, 10, 9, 9], (0, 3)), box(4, 1, [1, 1, 9, 9], (8, 9)),
        box(5, 1, [1, 1, 0, 9], (0, 3)), box(6, 2, [1, 1, 9, 9], (2, 5)),
        box(7, 3, [1, 1, 9, 9], (2, 6)), box(8, 4, [1, 1, 9, 9]),
    ])


def test_ready_made_file_is_cleaned(files, tmp_path, capsys):
    options = files(ready=READY, exclude_coco=dict(images=[dict(id=1)]),
                    exclude_coco2=dict(images=[dict(id=800)]))
    assert main(options) == 0
    assert result(tmp_path) == {
        ('vg', 1, 'two dogs run.'): [([10, 10, 20, 20], [[4, 8]]),
                                     ([90, 70, 10, 10], [[0, 3], [9, 12]])],
        ('coco', 700, 'a cat.'): [([1, 1, 9, 9], [[2, 5]])]}
    printed = capsys.readouterr().out
    for line in ('2 captions', '3 boxes', '1 phrases whose ends were moved',
                 '1 captions of excluded pictures', '1 boxes of captions left out',
                 '2 boxes outside the picture or empty', '2 boxes without a phrase',
                 '1 phrases that fit no word', '1 captions without any box'):
        assert line in printed


def test_result_opens(files, tmp_path):
    assert main(files(ready=READY)) == 0
    dataset = MdetrGrounding(str(tmp_path / 'out/final_mixed_train.json'), serialize_data=False)
    sample = dataset.get_data_info(0)
    assert sample['text'] == 'two dogs run.'
    assert [(i['bbox'], sample['phrases'][i['bbox_label']]) for i in sample['instances']] == [
        ([10, 10, 30, 30], [(4, 8)]), ([90, 70, 100, 80], [(0, 3), (9, 12)])]


def test_a_second_run_does_nothing_and_a_new_setting_something(files, tmp_path, capsys):
    options = files(ready=READY)
    assert main(options) == main(options) == 0
    assert capsys.readouterr().out.count('complete from an earlier run') == 1
    assert main([*options, '--no-coco']) == 0
    assert {key[0] for key in result(tmp_path, 'final_mixed_train_no_coco.json')} == {'vg'}


@pytest.mark.parametrize('contents, printed', [
    (dict(ready='{"images": [{"id": 1, "caption": "a'), 'ready.json, character'),
    (dict(ready=dict(images=[dict(id=1)])), 'image 1'),
    (dict(ready=dict(pictures=[])), 'without any'),
    (dict(ready=READY, vg_images=VG_IMAGES, vg_regions=VG_REGIONS), 'got both'),
    (dict(vg_images=VG_IMAGES), 'got neither'),
    (dict(vg_regions=VG_REGIONS), '--vg-images beside --vg-regions'),
    (dict(vg_regions=[dict(id=1)], vg_images=VG_IMAGES), 'region_descriptions.json'),
    (dict(vg_regions=VG_REGIONS, vg_images=[dict(image_id=1, width=3)]), 'image 1'),
    (dict(refs=[dict(ann_id=1)], coco=COCO), 'ann_id'),
    (dict(ready=READY, exclude_coco=dict(annotations=[])), 'to exclude'),
])
def test_damaged_input_is_one_line(files, tmp_path, capsys, contents, printed):
    assert main(files(**contents)) == 2
    error = capsys.readouterr().err
    assert printed in error and error.count('\n') == 1
    assert not list((tmp_path / 'out').glob('*'))
