"""From images of every kind to boxes, by the path that evaluation takes."""
from __future__ import annotations

import copy
import dataclasses
import threading

import numpy as np
import pytest
import torch
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from PIL import Image

from glipkit.apis.asking import make_query
from glipkit.apis.images import ImageSource, list_images, to_bgr
from glipkit.apis.predictor import Predictor
from glipkit.checkpoints import save_checkpoint
from glipkit.common.boxes import box_iou
from glipkit.common.reporter import Bar, Reporter, reporting
from glipkit.errors import UserError
from glipkit.models.detectors import glip
from glipkit.registry import TRANSFORMS
from glipkit.testing.tiny_glip import picture
from glipkit.text.query import Query

CLASSES = ['red dog', 'Cat_(small)', 'traffic light']


def same(left, right) -> bool:
    return np.array_equal(left.boxes, right.boxes) and np.array_equal(
        left.scores, right.scores) and np.array_equal(left.labels, right.labels)


def save(array: np.ndarray, path) -> None:
    Image.fromarray(array[..., ::-1]).save(path)


def test_detections_are_what_the_contract_says(predictor):
    found, = predictor(picture(), classes=CLASSES)
    assert len(found) > 0
    assert found.boxes.dtype == np.float32 and found.boxes.shape == (len(found), 4)
    assert (found.boxes >= 0).all()
    assert (found.boxes[:, [0, 2]] <= 90).all() and (found.boxes[:, [1, 3]] <= 60).all()
    assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()
    assert found.names == [CLASSES[label] for label in found.labels]
    assert (np.diff(found.scores) <= 0).all()
    assert found.size == (60, 90)


def test_boxes_are_the_models_inside_the_image(predictor, folder):
    path = folder / 'a.png'
    steps = [step for step in predictor.model.cfg.test_pipeline
             if 'LoadAnnotations' not in step.type]
    with DefaultScope.overwrite_default_scope('glipkit'):
        packed = Compose([TRANSFORMS.build(step) for step in steps])(
            {'img_path': str(path), 'text': tuple(CLASSES)})
        sample, = predictor.model.test_step({'inputs': [packed['inputs']],
                                             'data_samples': [packed['data_samples']]})
    wanted = sample.pred_instances.bboxes.clamp(min=0).minimum(torch.tensor([50., 80, 50, 80]))
    found, = predictor(path, classes=CLASSES, per_object='all')
    torch.testing.assert_close(torch.from_numpy(found.boxes), wanted)
    # An image is as wide as its last pixel's number plus one; some box reaches that far.
    assert found.boxes[:, 2].max() == 50


def test_every_kind_of_image_gives_the_same(predictor, tmp_path):
    array = picture()
    save(array, tmp_path / 'a.png')
    kinds = [tmp_path / 'a.png', str(tmp_path / 'a.png'), array, Image.open(tmp_path / 'a.png'),
             [array], np.asfortranarray(array)]
    wanted, = predictor(kinds[0], classes=CLASSES)
    for kind in kinds[1:]:
        found, = predictor(kind, classes=CLASSES)
        assert same(found, wanted)
    found, = predictor(array[..., ::-1], classes=CLASSES, channel_order='rgb')
    assert same(found, wanted)
    other, = predictor(array[..., ::-1], classes=CLASSES)
    assert not same(other, wanted)


@pytest.mark.parametrize(('mode', 'suffix'), [('L', 'png'), ('P', 'png'), ('RGBA', 'png'),
                                              ('LA', 'png'), ('1', 'png'), ('CMYK', 'jpg'),
                                              ('I;16', 'png'), ('RGB', 'jpg')])
def test_pil_images_of_every_mode_are_read_as_files_are(predictor, tmp_path, mode, suffix):
    image = Image.fromarray(picture()[..., ::-1])
    if mode in ('RGBA', 'LA'):
        image.putalpha(Image.fromarray(picture(5)[..., 0]))
    image = image.convert('I').convert('I;16') if mode == 'I;16' else image.convert(mode)
    path = tmp_path / f'a.{suffix}'
    image.save(path)
    from_file = predictor._pipelines[0]({'img_path': str(path)})['img']
    from_pil = to_bgr(ImageSource(None, Image.open(path), 0), 'bgr')
    assert np.array_equal(from_file, from_pil)


def test_the_exif_orientation_is_respected(predictor, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    Image.fromarray(picture()[..., ::-1]).save(tmp_path / 'a.png', exif=exif)
    found, = predictor(tmp_path / 'a.png', classes=CLASSES)
    assert found.size == (90, 60)
    assert same(predictor(Image.open(tmp_path / 'a.png'), classes=CLASSES)[0], found)
    assert found.plot().size == (60, 90)


def test_grey_arrays(predictor):
    grey = picture()[..., 0]
    found, = predictor(grey, classes=CLASSES)
    assert same(predictor(np.repeat(grey[..., None], 3, 2), classes=CLASSES)[0], found)


def names_of(*images):
    return [source.path.name for source in list_images(list(images))]


def test_folders_are_read_in_order_and_below(folder):
    assert names_of(folder) == ['a.png', 'b.png', 'c.png', 'd.png']
    (folder / 'inside' / 'loop').symlink_to(folder)
    for left_out in ('._a.png', '__MACOSX/a.png', '.thumbnails/a.png'):
        (folder / left_out).parent.mkdir(exist_ok=True)
        (folder / left_out).write_bytes(b'no image')
    assert names_of(folder) == ['a.png', 'b.png', 'c.png', 'd.png']
    (folder / 'aa.png').symlink_to('gone.png')  # named as an image that cannot be read
    assert names_of(folder)[:2] == ['a.png', 'aa.png']


def test_orders_of_names(folder, monkeypatch):
    (folder / 'notes.txt').write_text('')
    assert names_of(folder / '[ab].p*') == ['a.png', 'b.png']
    assert names_of(str(folder / '*')) == ['a.png', 'b.png', 'c.png', 'd.png']
    assert names_of(folder / '**' / '*.png') == ['a.png', 'b.png', 'c.png', 'd.png']
    assert names_of(folder / '**') == ['a.png', 'b.png', 'c.png', 'd.png']
    (folder / 'a[1].png').write_bytes((folder / 'a.png').read_bytes())
    assert names_of(folder / 'a[1].png') == ['a[1].png']  # a file's own name is no pattern
    with pytest.raises(UserError, match='nothing that matches'):
        list_images(folder / '*.txt')


def test_the_home_of_a_user(folder, monkeypatch):
    monkeypatch.setenv('HOME', str(folder))
    assert names_of('~') == ['a.png', 'b.png', 'c.png', 'd.png']
    assert names_of('~/a.png', '~/inside/*') == ['a.png', 'd.png']
    with pytest.raises(UserError, match='known here'):
        list_images('~nobody-of-this-name/a.png')


@pytest.mark.parametrize('address', ['https://example.org/a.png', 'HTTP://example.org/', 's3://a/b'])
def test_addresses_are_called_such(address):
    with pytest.raises(UserError, match='the address .*download it'):
        list_images(address)


def test_a_mix_keeps_its_order(folder):
    mixed = list_images([folder / 'inside', picture(), str(folder / 'c.png')])
    assert [str(source).rsplit('/', 1)[-1] for source in mixed] == ['d.png', 'image 1', 'c.png']


def test_a_stream_gives_one_image_after_the_other(predictor, folder, monkeypatch):
    run = []
    forward = predictor.model.test_step
    monkeypatch.setattr(predictor.model, 'test_step', lambda data: run.append(1) or forward(data))
    stream = predictor.stream(folder, classes=CLASSES)
    assert not run
    first = next(stream)
    assert len(run) == 1 and same(first, predictor(folder / 'a.png', classes=CLASSES)[0])
    assert [found.path.name for found in stream] == ['b.png', 'c.png', 'd.png']
    with pytest.raises(UserError, match='neither'):  # before anything is asked for
        predictor.stream(folder)


@pytest.mark.parametrize('batch_size', [1, 3])
def test_a_stream_skips_what_cannot_be_read(config, predictor, folder, batch_size):
    (folder / 'b.png').write_bytes(b'no image')
    (folder / 'c.png').unlink()
    (folder / 'c.png').symlink_to('gone.png')
    skipped = []
    predict = Predictor(predictor.model, batch_size=batch_size)
    found = predict.stream(folder, classes=CLASSES,
                           skip=lambda source, error: skipped.append((source.path.name, error)))
    assert [one.path.name for one in found] == ['a.png', 'd.png']
    assert [name for name, _ in skipped] == ['b.png', 'c.png']
    assert all(isinstance(error, UserError) for _, error in skipped)
    with pytest.raises(UserError, match='b.png'):
        list(predict.stream(folder, classes=CLASSES))


def test_results_do_not_depend_on_the_batch(predictor, folder):
    alone = predictor(folder, classes=CLASSES)
    together = Predictor(predictor.model, batch_size=3, score_threshold=0.0)(folder,
                                                                             classes=CLASSES)
    assert [found.path.name for found in together] == ['a.png', 'b.png', 'c.png', 'd.png']
    for left, right in zip(alone, together):
        assert left.labels.tolist() == right.labels.tolist()
        np.testing.assert_allclose(left.boxes, right.boxes, atol=1e-3)
        np.testing.assert_allclose(left.scores, right.scores, atol=1e-5)


def test_images_of_one_size_go_through_the_model_together(predictor, folder, monkeypatch):
    sizes = []
    step = predictor.model.test_step
    monkeypatch.setattr(predictor.model, 'test_step',
                        lambda batch: sizes.append(len(batch['inputs'])) or step(batch))
    Predictor(predictor.model, batch_size=3)(folder, classes=['dog'])
    assert sizes == [1, 2, 1] or sizes == [2, 1, 1]


def test_progress_is_told_batch_by_batch(predictor, folder):
    with reporting(Recorder()) as heard:
        Predictor(predictor.model, batch_size=3)(folder, classes=['dog'])
        predictor(folder / 'a.png', classes=['dog'])  # one image needs no bar
    assert heard.bars == [('predicting', 4, [3, 1])]


class Recorder(Reporter):
    """Keeps (title, total, steps) of every bar."""

    def __init__(self):
        self.bars = []

    def bar(self, title, total=None, unit='item', done=0, scale=False):
        steps = []
        self.bars.append((title, total, steps))
        bar = Bar(done)
        bar.update = steps.append
        return bar


def test_a_vocabulary_is_encoded_once_for_all_images(predictor, folder, monkeypatch):
    model = copy.deepcopy(predictor.model)
    calls = []
    encode = model.text_encoder.forward
    monkeypatch.setattr(model.text_encoder, 'forward',
                        lambda *args, **kw: calls.append(1) or encode(*args, **kw))
    predict = Predictor(model)
    predict(folder, classes=CLASSES)
    predict(folder / 'a.png', classes=CLASSES)
    assert len(calls) == 1


def test_more_classes_than_one_prompt_holds(predictor):
    names = [f'thing number {i}' for i in range(60)]
    found, = predictor(picture(), classes=names)
    assert found.classes == tuple(names)
    assert found.labels.max() < 60


@pytest.mark.parametrize('threshold', [0.0, 0.06, 1.0])
def test_thresholds(predictor, threshold):
    everything, = predictor(picture(), classes=CLASSES)
    kept, = predictor(picture(), classes=CLASSES, score_threshold=threshold)
    assert len(kept) == (everything.scores >= threshold).sum()
    own, = Predictor(predictor.model, score_threshold=threshold)(picture(), classes=CLASSES)
    assert same(own, kept)


def test_an_object_has_one_label_where_a_person_looks(predictor):
    everything, = predictor(picture(), classes=CLASSES, per_object='all')
    one, = predictor(picture(), classes=CLASSES)
    overlaps = np.triu(box_iou(everything.boxes, everything.boxes), 1)
    assert (overlaps[everything.labels[:, None] != everything.labels] > .5).any()
    assert same(one, everything.one_per_object()) and 0 < len(one) < len(everything)
    assert (np.triu(box_iou(one.boxes, one.boxes), 1) <= .5).all()
    assert one.scores[0] == everything.scores[0]
    predict = Predictor(predictor.model, score_threshold=0., per_object='all')
    assert same(predict(picture(), classes=CLASSES)[0], everything)
    assert same(predict(picture(), classes=CLASSES, per_object='one')[0], one)
    caption, = predictor(picture(), caption='a man walks two dogs')
    assert (np.triu(box_iou(caption.boxes, caption.boxes), 1) <= .5).all()
    prepared = predictor.prepare(list_images(picture())[0], make_query(CLASSES, None, None),
                                 tuple(CLASSES))
    assert same(predictor.detect([prepared])[0], one)
    assert same(predictor.detect([prepared], per_object='all')[0], everything)


def test_a_model_may_have_a_threshold_of_its_own(config, tmp_path):
    assert Predictor(config, 'random').score_threshold == .3
    own = tmp_path / 'own_test.py'
    own.write_text(config.read_text() + 'shown_above = 0.42\n')
    assert Predictor(own, 'random').score_threshold == .42
    assert Predictor(own, 'random', score_threshold=.2).score_threshold == .2
    own.write_text(config.read_text() + 'shown_above = 42\n')
    with pytest.raises(UserError, match='between 0 and 1; got 42'):
        Predictor(own, 'random')


def test_captions(predictor):
    caption = 'a man walks two dogs'
    found, = predictor.predict(picture(), caption=caption, phrases=[(0, 5), [(12, 15), (16, 20)]])
    assert found.classes == ('a man', 'two dogs')
    automatic, = predictor(picture(), caption=caption, phrases='auto')
    assert automatic.classes == ('a man', 'two dogs')
    assert same(predictor(picture(), caption=caption)[0], automatic)
    swapped, = predictor(picture(), caption=caption, phrases=[(12, 20), (0, 5)])
    assert sorted(swapped.names) == sorted(automatic.names)
    assert sorted(swapped.labels) == sorted(1 - automatic.labels)


def test_weights_and_config_by_name(predictor, config, tmp_path):
    save_checkpoint(predictor.model, tmp_path / 'a.safetensors')
    other = Predictor(config, tmp_path / 'a.safetensors', score_threshold=0.0)
    assert same(other(picture(), classes=CLASSES)[0], predictor(picture(), classes=CLASSES)[0])


def test_the_image_that_was_passed_can_be_drawn_on(predictor, tmp_path):
    array = picture()
    save(array, tmp_path / 'a.png')
    pictures = [np.asarray(found.plot()) for found in predictor(
        [array, tmp_path / 'a.png', Image.open(tmp_path / 'a.png')], classes=CLASSES)]
    assert np.array_equal(pictures[0], pictures[1]) and np.array_equal(pictures[0], pictures[2])


@pytest.mark.parametrize('kind', ['bgr', 'rgb', 'grey', 'pil'])
def test_pixels_that_are_overwritten_afterwards(predictor, kind):
    """Frames of a camera share one array."""
    pixels = picture()[..., 0].copy() if kind == 'grey' else picture()
    image = Image.fromarray(pixels) if kind == 'pil' else pixels
    order = 'rgb' if kind == 'rgb' else 'bgr'
    found, = predictor(image, classes=CLASSES, channel_order=order)
    before = np.asarray(found.plot())
    if kind == 'pil':
        image.paste((0, 0, 0), (0, 0, *image.size))
    else:
        pixels[:] = 0
    assert np.array_equal(np.asarray(found.plot()), before) and before.any()


def test_the_order_of_channels_of_a_predictor(predictor):
    array = picture()
    rgb = Predictor(predictor.model, score_threshold=0.0, channel_order='rgb')
    wanted, = predictor(array, classes=CLASSES)
    assert same(rgb(array[..., ::-1], classes=CLASSES)[0], wanted)
    assert same(rgb(array, classes=CLASSES, channel_order='bgr')[0], wanted)
    assert not same(rgb(array, classes=CLASSES)[0], wanted)
    with pytest.raises(UserError, match="'bgr' or 'rgb'"):
        Predictor(predictor.model, channel_order='gbr')
    first = Predictor.__doc__.splitlines()[0]
    assert 'BGR' in first and 'channel_order' in first


@pytest.mark.parametrize(('arguments', 'said'), [
    (dict(classes={'dog', 'cat'}), r'a set, which has none; pass e.g. sorted'),
    (dict(classes=frozenset(['dog'])), 'a frozenset'),
    (dict(), 'neither'),
    (dict(classes=['dog'], caption='a dog'), 'both'),
    (dict(classes=[]), 'at least one class name'),
    (dict(classes='dog'), 'a list of class names'),
    (dict(classes=['dog', '??']), r"'\?\?'"),
    (dict(classes=['dog', 'cat', 'dog']), "'dog' again at index 2"),
    (dict(classes=['dog'], phrases=[(0, 1)]), 'only with a caption'),
    (dict(caption='a dog', phrases=[(0, 9)]), 'the length of the caption'),
    (dict(caption='a dog', phrases=[(3, 1)]), r'\(3, 1\)'),
    (dict(caption='a dog', phrases=[]), 'at least one phrase'),
    (dict(caption='a dog', phrases='all'), "'all'"),
    (dict(caption=''), 'noun phrase'),
    (dict(classes=['dog'], channel_order='hsv'), 'hsv'),
    (dict(classes=['dog'], score_threshold=2), 'between 0 and 1'),
    (dict(classes=['dog'], per_object='two'), "'one' or 'all' as per_object; got 'two'"),
])
def test_words_that_cannot_be_asked_for(predictor, arguments, said):
    with pytest.raises(UserError, match=said):
        predictor(picture(), **arguments)


def test_a_caption_that_is_too_long(predictor):
    with pytest.raises(UserError):
        predictor(picture(), caption='a dog ' * 600)


@pytest.mark.parametrize('kept', [0.0, 0.5, 0.95])
@pytest.mark.parametrize('suffix', ['jpg', 'png'])
def test_a_truncated_image_is_named(predictor, tmp_path, kept, suffix):
    path = tmp_path / f'cut.{suffix}'
    noise = np.random.RandomState(0).randint(0, 256, (60, 90, 3)).astype(np.uint8)
    Image.fromarray(noise).save(path)
    data = path.read_bytes()
    path.write_bytes(data[:int(len(data) * kept)])
    with pytest.raises(UserError, match=f'cut.{suffix}') as caught:
        predictor([picture(), path], classes=CLASSES)
    assert '\n' not in str(caught.value)
    if kept > 0.4:
        with pytest.raises(UserError, match='image 0'):
            predictor(Image.open(path), classes=CLASSES)


@pytest.mark.parametrize(('images', 'said'), [
    ('none.png', 'no such file at none.png'),
    ([], 'an empty list'),
    (np.zeros((4, 4, 4), np.uint8), r'\(4, 4, 4\)'),
    (np.zeros((2, 4, 4, 3), np.uint8), r'\(2, 4, 4, 3\)'),
    (np.zeros((0, 4, 3), np.uint8), r'\(0, 4, 3\)'),
    (np.zeros((4, 4, 3), np.float32), 'image 0 of float32'),
    (torch.zeros(3, 4, 4), 'Tensor'),
    (5, 'int'),
    ([None], 'NoneType'),
])
def test_images_that_are_none(predictor, images, said):
    with pytest.raises(UserError, match=said):
        predictor(images, classes=CLASSES)


def test_an_empty_folder(predictor, tmp_path):
    with pytest.raises(UserError, match='none in'):
        predictor(tmp_path, classes=CLASSES)


def test_arguments_of_the_predictor(predictor, config):
    with pytest.raises(UserError, match='batch size'):
        Predictor(predictor.model, batch_size=0)
    with pytest.raises(UserError, match='per_object'):
        Predictor(predictor.model, per_object=None)
    with pytest.raises(UserError, match='threshold'):
        Predictor(predictor.model, score_threshold=-1)
    with pytest.raises(UserError, match='a detector and a checkpoint'):
        Predictor(predictor.model, checkpoint='a.pth')
    with pytest.raises(UserError, match='no such file'):
        Predictor(config, checkpoint='a.pth')


def test_a_config_that_cannot_read_files(predictor):
    model = copy.copy(predictor.model)
    model.cfg = copy.deepcopy(predictor.model.cfg)
    model.cfg.test_pipeline = model.cfg.test_pipeline[1:]
    with pytest.raises(UserError, match='LoadImageFromFile'):
        Predictor(model)


def test_the_prompt_keeps_the_callers_strings():
    for classes in (CLASSES, np.array(CLASSES), dict.fromkeys(CLASSES), iter(CLASSES)):
        assert make_query(classes, None, None).classes == tuple(CLASSES)


def test_a_class_list_is_split_once(predictor, monkeypatch):
    splits = []
    split = glip.split_class_prompt
    monkeypatch.setattr(glip, 'split_class_prompt',
                        lambda names, *rest, **more: splits.append(names) or split(
                            names, *rest, **more))
    names = [f'new thing {i}' for i in range(30)]  # more than one prompt
    first = predictor([picture(seed) for seed in range(5)], classes=names)
    for seed in range(5):
        again, = predictor(picture(seed), classes=list(names))
        assert same(again, first[seed])
    assert splits == [names]
    predictor(picture(), classes=names, caption_prompt={names[0]: dict(name='another')})
    assert len(splits) == 2  # other words are other prompts


def test_classes_that_were_set_are_looked_for(predictor):
    predict = Predictor(predictor.model, score_threshold=0.)
    predict.set_classes(iter(CLASSES))
    assert same(predict(picture())[0], predictor(picture(), classes=CLASSES)[0])
    assert predict(picture())[0].classes == tuple(CLASSES)
    assert same(predict(picture(), task='')[0], predict(picture())[0])  # the base model
    assert set(predict(picture(), classes=['dog'])[0].names) == {'dog'}
    assert same(predict(picture(), caption='a dog')[0], predictor(picture(), caption='a dog')[0])
    with pytest.raises(UserError, match='again at index 1'):
        predict.set_classes(['dog', 'dog'])
    with pytest.raises(UserError, match='phrases only with a caption|neither'):
        predict(picture(), phrases=[(0, 1)])
    predict.set_classes(None)
    with pytest.raises(UserError, match='neither'):
        predict(picture())


def test_a_mask_of_scores_selects(predictor):
    found, = predictor(picture(), classes=CLASSES)
    best = found[found.scores >= found.scores[0]]
    assert dataclasses.asdict(best)['labels'][0] == found.labels[0]


@pytest.mark.filterwarnings('ignore:glip-mini has random weights')
def test_the_mini_model(folder):
    predict = Predictor('glip-mini', score_threshold=0.0)
    assert [found.path.name for found in predict(folder, classes=['red circle', 'blue star'])] == \
        ['a.png', 'b.png', 'c.png', 'd.png']


def test_numbers_of_numpy_are_numbers(predictor):
    predict = Predictor(predictor.model, batch_size=np.int64(2), score_threshold=np.float32(0.5))
    assert predict.batch_size == 2 and predict.score_threshold == 0.5


def test_a_module_that_is_no_detector():
    with pytest.raises(UserError, match='Linear without a config'):
        Predictor(torch.nn.Linear(2, 2))


def test_words_that_are_no_list():
    with pytest.raises(UserError, match='int 5'):
        make_query(5, None, None)
    with pytest.raises(UserError, match='int 5'):
        make_query(None, 'a dog', 5)


def test_a_call_takes_other_names_negatives_and_groups(predictor):
    image, names = picture(1), ['red dog', 'Katze', 'cup']
    plain, = predictor(image, names, per_object='all')
    mapped, = predictor(image, {'red dog': ['hound'], 'Katze': None, 'cup': ()}, per_object='all')
    assert mapped.classes == plain.classes == tuple(names) and set(mapped.labels) <= {0, 1, 2}
    query = Query.for_classes(names, synonyms={'red dog': ['hound']})
    whole, = predictor(image, query, per_object='all')
    assert same(whole, mapped)
    grouped, = predictor(image, query, exclusive=[names], per_object='all')
    assert same(grouped, whole.one_per_object())
    without, = predictor(image, names[1:], negative_classes=names[:1], per_object='all')
    assert without.classes == tuple(names[1:]) and set(without.labels) <= {0, 1}
    predictor.set_classes(query, exclusive=[names])
    try:
        assert same(predictor(image, per_object='all')[0], grouped)
    finally:
        predictor.set_classes(None)
    with pytest.raises(UserError, match='only with classes; got a caption'):
        predictor(image, caption='a dog', exclusive=[['a', 'b']])


def test_tiles_are_settled_together(predictor):
    image, names = picture(1, (100, 130)), ['red dog', 'Katze']
    found, = predictor(image, names, exclusive=[names], tile=64, per_object='all')
    assert len(found) and same(found, found.one_per_object())


@pytest.mark.parametrize('batch_size', [1, 3])
def test_many_images_are_found_side_by_side(predictor, folder, two_threads, monkeypatch,
                                            batch_size):
    """Files and one PIL image that is read lazily, several times: as one after another."""
    lazy = Image.open(folder / 'b.png')
    images = [folder / 'a.png', picture(7), lazy] * 9
    monkeypatch.setattr(predictor, 'batch_size', batch_size)
    seen, detect = set(), predictor.detect

    def watched(*args, **kwargs):
        seen.add((threading.current_thread(), torch.get_num_threads()))
        return detect(*args, **kwargs)

    monkeypatch.setattr(predictor, 'detect', watched)
    found = predictor(images, classes=CLASSES)
    assert {threads for _, threads in seen} == {1} and threading.current_thread() not in {
        thread for thread, _ in seen}
    few = predictor(images[:3], classes=CLASSES)
    assert threading.current_thread() in {thread for thread, _ in seen}
    assert len(found) == 27
    for one, other in zip(found, few * 9):
        assert one.size == other.size and len(one) == len(other) > 0
        np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-3)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)
    assert torch.get_num_threads() == 2


def test_errors_of_many_images_come_in_their_place(predictor, folder, two_threads):
    (folder / 'cut.png').write_bytes((folder / 'a.png').read_bytes()[:60])
    images = [folder / 'a.png'] * 10 + [folder / 'cut.png'] + [folder / 'b.png'] * 5
    stream = predictor.stream(images, classes=CLASSES)
    assert [len(next(stream)) > 0 for _ in range(10)] == [True] * 10
    with pytest.raises(UserError, match='cut.png'):
        next(stream)
    lost, order = [], []
    for found in predictor.stream(images, classes=CLASSES, skip=lambda *one: lost.append(one)):
        order.append((found.path.name, len(lost)))
    assert order == [('a.png', 0)] * 10 + [('b.png', 1)] * 5
    assert lost[0][0].position == 10 and 'cut.png' in str(lost[0][1])


def test_autocast_of_the_caller_holds_for_many_images(predictor, two_threads, monkeypatch):
    types = set()
    monkeypatch.setattr(predictor, 'detect', lambda prepared, *_, **__: [
        types.add(torch.is_autocast_enabled('cpu')) or one for one in prepared])
    with torch.autocast('cpu', torch.bfloat16):
        assert len(predictor([picture()] * 8, classes=CLASSES)) == 8
    assert types == {True}
