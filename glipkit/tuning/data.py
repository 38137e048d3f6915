"""The files of a tuning run: checked, split, thinned out to a few shots."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from glipkit.apis.checking import prompt_settings
from glipkit.data.checking import CheckSettings, DataFile, Report, check
from glipkit.data.checking.text_report import report_lines
from glipkit.data.few_shot import few_shot_file, split_by_image, validation_images
from glipkit.data.formats.coco_json import CocoJson, read_coco_json
from glipkit.errors import UserError
from glipkit.tuning.settings import AnnotatedImages, TuneSettings

#: Share of the images that is set aside where there is no validation file, and the seed of the
#: draw: all seeds of a run are judged on the same images.
VAL_SHARE, SPLIT_SEED = 0.2, 0


@dataclass(frozen=True)
class TuneData:
    """The images of a run.

    Args:
        train: All images that may be learned from.
        val: Images to choose the best weights on.
        test: Images to score on; None where that is ``val``.
        classes: Category id -> name of the classes to tune for, in ascending order of ids.
        notes: What was decided for the user, in sentences.
    """
    train: AnnotatedImages
    val: AnnotatedImages
    test: AnnotatedImages | None
    classes: dict[int, str]
    notes: tuple[str, ...]


def check_data(settings: TuneSettings, cfg: Config) -> list[str]:
    """Checks every file before anything is done.

    Args:
        settings: Settings of the run.
        cfg: Config of the model, whose token limits count.

    Returns:
        Lines that describe what the model will read of the training set.

    Raises:
        UserError: A file, folder or image is missing, a file has errors in it, or the sets have
            different classes.
    """
    named = {'--images': settings.data, '--val-images': settings.val,
             '--test-images': settings.test, '--held-out-images': settings.held_out}
    sets = {flag: images for flag, images in named.items() if images is not None}
    settings_of_prompts = prompt_settings(cfg)
    reports: dict[AnnotatedImages, Report] = {}
    found = {}
    for flag, images in sets.items():
        if images not in reports:
            # First, since it reads the text of the file too; its result is reported last.
            reports[images] = check(
                DataFile(images.ann_file, images.images, settings=settings_of_prompts),
                CheckSettings(decode=False, headers=True), 'coco')
        found[flag] = readable(images, flag)
    for flag in {'--val-images', '--test-images'} & set(found):
        _same_classes(found['--images'], found[flag])
    if settings.val is None:
        validation_images(found['--images'], VAL_SHARE, SPLIT_SEED)
    if settings.replay is not None and not settings.replay.images.is_dir():
        raise UserError('a folder of images', f'no folder {settings.replay.images}',
                        'check --replay-images')
    for images, report in reports.items():
        _refuse_errors(report, images)
    return list(report_lines(reports[settings.data], settings_of_prompts))


def prepare_data(settings: TuneSettings) -> TuneData:
    """Splits where there is no validation file; writes to ``out/data``.

    Raises:
        UserError: There is too little to split, or a part that was there already has no box.
    """
    notes = []
    train = read_coco_json(settings.data.ann_file)
    val, kept = settings.val, settings.data
    if val is None:
        files = split_by_image(settings.data.ann_file, VAL_SHARE, SPLIT_SEED,
                               settings.out / 'data')
        kept, val = (AnnotatedImages(path, settings.data.images) for path in files)
        notes.append(f'no validation file: {len(read_coco_json(val.ann_file).images)} of the '
                     f'images are set aside for it (seed {SPLIT_SEED})')
    if settings.test is None:
        notes.append('no test file: the result is scored on the validation images, on which the '
                     'best weights were chosen, and looks better than it is')
    for images in (kept, val):
        _require_boxes(images.ann_file)
    if train.umbrellas:
        names = ', '.join(repr(train.classes[i]) for i in sorted(train.umbrellas))
        notes.append(f'left out, for it has no box and is the super-category of others: {names}')
    return TuneData(kept, val, settings.test, train.real_classes, tuple(notes))


def training_images(data: TuneData, shots: int | None, seed: int,
                    folder: Path) -> AnnotatedImages:
    """The images that one seed trains on: all, or a few shots, drawn into ``folder``.

    Raises:
        UserError: A few-shot file that was there already has no box.
    """
    if shots is None:
        return data.train
    file = few_shot_file(data.train.ann_file, shots, seed, folder)
    _require_boxes(file)
    return AnnotatedImages(file, data.train.images)


def _require_boxes(ann_file: Path) -> None:
    """Refuses a set with nothing to learn from or to find: the best weights could not be told."""
    if not read_coco_json(ann_file).examples():
        raise UserError('boxes besides crowds, to learn from or to find', f'none in {ann_file}',
                        'remove that file, and another part is drawn; or pass another file')


def readable(data: AnnotatedImages, flag: str) -> CocoJson:
    """The content of the file, after a check that its images exist.

    Args:
        data: File and folder.
        flag: Option of the command line that names the folder, for messages.

    Raises:
        UserError: Images are missing.
    """
    coco = read_coco_json(data.ann_file)
    if not data.images.is_dir():
        raise UserError('a folder of images', f'no folder {data.images}', f'check {flag}')
    missing = [image['file_name'] for image in coco.images.values()
               if not (data.images / image['file_name']).is_file()]
    if missing:
        raise UserError(f'all images of {data.ann_file} in {data.images}',
                        f'{len(missing)} missing, e.g. {missing[0]}', f'check {flag}')
    return coco


def _refuse_errors(report: Report, data: AnnotatedImages) -> None:
    for error in report.findings.errors():
        raise UserError('data that can be learnt from and scored on',
                        f'{data.ann_file} with {error.count} {error.message} '
                        f'({error.examples[0]})',
                        f'see all with: glipkit check-data {data.ann_file} --images {data.images}')


def _same_classes(train: CocoJson, other: CocoJson) -> None:
    ours, theirs = set(train.real_classes.values()), set(other.classes.values())
    # What no box belongs to and another class is a kind of, only one of the files may have.
    lacks, besides = ours - theirs, set(other.real_classes.values()) - ours
    if lacks or besides:
        raise UserError(f'the class names of {train.path}',
                        f'{other.path}: lacks {sorted(lacks)[:5]}, has '
                        f'{sorted(besides)[:5]} besides', 'give both files the same names')
