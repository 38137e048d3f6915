"""The files of a tuning run: checked, split, thinned out to a few shots."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from glipkit.apis.checking import prompt_settings
from glipkit.data.checking import CheckSettings, DataFile, check
from glipkit.data.checking.text_report import report_lines
from glipkit.data.few_shot import few_shot_file, split_by_image, validation_images
from glipkit.data.formats.coco_json import CocoJson, read_coco_json
from glipkit.errors import UserError
from glipkit.tuning.settings import Part, TuneSettings

#: Share of the images that is set aside where there is no validation file, and the seed of the
#: draw: all seeds of a run are judged on the same images.
VAL_SHARE, SPLIT_SEED = 0.2, 0


@dataclass(frozen=True)
class TuneData:
    """Where everything is.

    Args:
        train: All that may be learned from.
        val: To choose on.
        test: To score on; None where that is ``val``.
        classes: Category id -> name of ``train``, in ascending order of ids.
        notes: What was decided for the user.
    """
    train: Part
    val: Part
    test: Part | None
    classes: dict[int, str]
    notes: tuple[str, ...]


def check_data(settings: TuneSettings, cfg: Config) -> list[str]:
    """Looks through every file for what would spoil the run, before anything is done.

    Args:
        settings: Of the run.
        cfg: The model's config, whose token limits count.

    Returns:
        What the model will read of the training set, line by line.

    Raises:
        UserError: A file, folder or image is missing, a file has errors in it, or the sets have
            different classes.
    """
    named = {'--images': settings.data, '--val-images': settings.val,
             '--test-images': settings.test, '--held-out-images': settings.held_out}
    parts = {flag: part for flag, part in named.items() if part is not None}
    found = {flag: _readable(part, flag) for flag, part in parts.items()}
    for flag in {'--val-images', '--test-images'} & set(found):
        _same_classes(found['--images'], found[flag])
    if settings.val is None:
        validation_images(found['--images'], VAL_SHARE, SPLIT_SEED)
    if settings.replay is not None and not settings.replay.images.is_dir():
        raise UserError('a folder of images', f'no folder {settings.replay.images}',
                        'check --replay-images')
    return [_checked(part, cfg) for part in parts.values()][0]


def prepare_data(settings: TuneSettings) -> TuneData:
    """Splits where there is no validation file; writes to ``out/data``.

    Raises:
        UserError: There is too little to split.
    """
    notes = []
    train = read_coco_json(settings.data.ann_file)
    val, train_part = settings.val, settings.data
    if val is None:
        files = split_by_image(settings.data.ann_file, VAL_SHARE, SPLIT_SEED,
                               settings.out / 'data')
        train_part, val = (Part(path, settings.data.images) for path in files)
        train = read_coco_json(train_part.ann_file)
        notes.append(f'no validation file: {len(read_coco_json(val.ann_file).images)} of the '
                     f'images are set aside for it (seed {SPLIT_SEED})')
    if settings.test is None:
        notes.append('no test file: the result is scored on the validation images, on which the '
                     'best weights were chosen, and looks better than it is')
    return TuneData(train_part, val, settings.test, dict(train.classes), tuple(notes))


def training_part(data: TuneData, shots: int | None, seed: int, folder: Path) -> Part:
    """What one seed trains on."""
    if shots is None:
        return data.train
    return Part(few_shot_file(data.train.ann_file, shots, seed, folder), data.train.images)


def _readable(part: Part, flag: str) -> CocoJson:
    """The file, once its images are known to be there."""
    coco = read_coco_json(part.ann_file)
    if not part.images.is_dir():
        raise UserError('a folder of images', f'no folder {part.images}', f'check {flag}')
    missing = [image['file_name'] for image in coco.images.values()
               if not (part.images / image['file_name']).is_file()]
    if missing:
        raise UserError(f'all images of {part.ann_file} in {part.images}',
                        f'{len(missing)} missing, e.g. {missing[0]}', f'check {flag}')
    return coco


def _checked(part: Part, cfg: Config) -> list[str]:
    """What ``glipkit check-data`` says of a file without errors."""
    source = DataFile(part.ann_file, part.images, settings=prompt_settings(cfg))
    report = check(source, CheckSettings(decode=False), 'coco')
    for error in report.findings.errors():
        raise UserError('data that can be learnt from and scored on',
                        f'{part.ann_file} with {error.count} {error.message} '
                        f'({error.examples[0]})',
                        f'see all with: glipkit check-data {part.ann_file} --images {part.images}')
    return list(report_lines(report, source.settings))


def _same_classes(train: CocoJson, other: CocoJson) -> None:
    ours, theirs = set(train.classes.values()), set(other.classes.values())
    if ours != theirs:
        raise UserError(f'the class names of {train.path}',
                        f'{other.path}: lacks {sorted(ours - theirs)[:5]}, has '
                        f'{sorted(theirs - ours)[:5]} besides', 'give both files the same names')
