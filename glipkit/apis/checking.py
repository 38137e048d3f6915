"""Checks of training data: for the command, and before every training."""
from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmengine.config import Config

from glipkit.apis.build import find_config, read_config
from glipkit.data.checking import CheckSettings, DataFile, PromptSettings, Report, check, clean
from glipkit.data.formats.coco_json import read_coco_json
from glipkit.data.formats.detect import READERS
from glipkit.errors import UserError
from glipkit.files import atomic, make_folder
from glipkit.registry import MODELS
from glipkit.text.encoders.contract import encoder_tokenizer
from glipkit.text.tokenizers import build_tokenizer

#: Before a training, files of formats that are read whole are checked up to this size. Reading
#: them takes as long as the training's own reading does.
QUICK_BYTES = 256 << 20
#: Images whose files are looked for before a training, and lines that are read.
QUICK_IMAGES = 1000
QUICK_RECORDS = 20_000

_LINE_FORMATS = {'odvg', 'caption-shards', 'tsv'}
_LOG_LEVELS = {'warning': logging.WARNING, 'note': logging.INFO}


def prompt_settings(config: str | Path | Config) -> PromptSettings:
    """The settings by which the model of a config makes prompts for classes.

    Args:
        config: Name or path of a config, or a config that was read.

    Raises:
        UserError: No such config.
    """
    cfg = config if isinstance(config, Config) else read_config(find_config(config))
    max_tokens = cfg.model.get('max_tokens', 256)
    test = (cfg.model.get('test_cfg') or {}).get('max_tokens') or max_tokens
    training = cfg.get('train_dataloader')
    samples = any(_name(part) == 'SampleClassPrompt' for part in _parts(training))
    encoder = cfg.model.get('text_encoder') or {}
    tokenizer, joined = build_tokenizer(), True
    if 'type' in encoder:
        tokenizer = encoder_tokenizer(encoder)
        joined = getattr(MODELS.get(encoder['type']), 'token_features', True)
    whole = bool(training) and not samples and joined
    return PromptSettings(test, max_tokens, max_tokens if whole else None, tokenizer, joined)


def find_label_map(path: Path) -> Path | None:
    """The label map beside an ODVG file; None where there is none.

    Its name is ``<stem>_label_map.json`` or ``label_map.json``, or it is the only file with both
    words in its name.
    """
    for name in (f'{path.stem}_label_map.json', 'label_map.json'):
        if (path.parent / name).is_file():
            return path.parent / name
    found = list(path.parent.glob('*label*map*.json'))
    return found[0] if len(found) == 1 else None


def write_clean(data_file: DataFile, report: Report, out: str | Path,
                settings: CheckSettings) -> tuple[list[str], Report]:
    """Writes a cleaned copy, complete or not at all, and checks it.

    Args:
        data_file: File that was checked.
        report: Report of that check.
        out: New file of the same format.
        settings: Settings for the check of the copy.

    Returns:
        The changes, and the report of the copy.

    Raises:
        UserError: The file exists, has another ending, or cannot be written.
    """
    converted = data_file.boxes is not None
    out = check_out(Path('coco.json') if converted else data_file.path, out)
    make_folder(out.parent)
    with atomic(out) as temporary:
        changes = clean(data_file, report, temporary)
    return changes, check(replace(data_file, path=out, boxes=None), settings,
                          'coco' if converted else report.format)


def check_out(path: Path, out: str | Path) -> Path:
    """The path of a cleaned copy, after a check that it may be written.

    Raises:
        UserError: It exists, or its ending belongs to another format.
    """
    out = Path(out)
    if path.is_dir() or path.suffix in ('.yaml', '.yml'):
        raise UserError('a single annotation file to clean', str(path),
                        'pass one shard, or the label table with --images and --label-map')
    if out.exists():
        raise UserError('a new file for the cleaned copy', f'{out}, which exists',
                        'choose another name; nothing is overwritten')
    if out.suffix != path.suffix:
        raise UserError(f'a name that ends in {path.suffix}, as the original', str(out),
                        'choose another name')
    return out


def check_training_data(cfg: Config, logger: logging.Logger) -> None:
    """Refuses training sets that cannot be trained on; logs a line for other findings.

    Reads annotations and the headers of some of the images, without decoding them.
    `QUICK_BYTES`, `QUICK_IMAGES` and `QUICK_RECORDS` limit the time. Datasets of other libraries
    are not checked.

    Args:
        cfg: Config with ``train_dataloader``.
        logger: Logger of the run.

    Raises:
        UserError: Training would be impossible, wrong or useless.
    """
    settings = prompt_settings(cfg)
    reports = [_quick_check(name, dataset, settings, logger)
               for name, dataset in _datasets(cfg.train_dataloader.get('dataset', {}))]
    reports = [report for report in reports if report is not None]
    boxes = sum(report.counts['boxes'] for report in reports)
    for report in reports:
        for finding in report.findings.sorted():
            # A set of nothing but negatives is of use beside others; and a large one survives a
            # few turned photographs.
            survivable = finding.kind == 'exif_turns' or finding.kind == 'no_box' and boxes
            if finding.severity == 'error' and not survivable:
                raise _refusal(report)
            level = _LOG_LEVELS.get(finding.severity, logging.WARNING)
            logger.log(level, f'{report.path}: {finding.count} {finding.message} '
                       f'({finding.examples[0]})')


def check_validation_data(cfg: Config) -> None:
    """Refuses COCO validation sets with nothing to find, such as crowds alone.

    Their AP is -1 whatever the model does: no best checkpoint could be told. Sets of other kinds,
    large ones, and those that are scored by other metrics alone are not checked.

    Args:
        cfg: Config; without evaluations during training there is nothing to check.

    Raises:
        UserError: With the file.
    """
    metrics = {_name(part) for part in _parts(cfg.get('val_evaluator'))}
    if cfg.get('val_cfg') is None or 'GroundingCocoMetric' not in metrics:
        return
    for file_format, dataset in _datasets((cfg.get('val_dataloader') or {}).get('dataset', {})):
        path = Path(os.path.join(dataset.get('data_root') or '', dataset['ann_file']))
        large = path.is_file() and path.stat().st_size > QUICK_BYTES
        if file_format == 'coco' and not large and not _has_examples(path, dataset):
            raise UserError('boxes besides crowds, to validate on', f'none in {path}',
                            'pass another validation set, or train without (val_cfg=None, '
                            'val_dataloader=None, val_evaluator=None)')


def _has_examples(path: Path, dataset: Mapping) -> bool:
    """Whether a box that counts is in the images and of the classes that a dataset asks for."""
    coco = read_coco_json(path)
    images, indices = list(coco.images), dataset.get('indices')
    if isinstance(indices, int):
        images = images[:indices] if indices >= 0 else images[indices:]
    elif indices is not None:
        images = [images[index] for index in indices]
    shown = set(images)
    asked = set((dataset.get('metainfo') or {}).get('classes') or coco.real_classes.values())
    return any(record['image_id'] in shown and coco.classes[record['category_id']] in asked
               for record in coco.examples())


def _refusal(report: Report) -> UserError:
    errors = report.findings.errors()
    first = errors[0]
    more = f', and {len(errors) - 1} other kinds of errors' if len(errors) > 1 else ''
    return UserError('training data that can be learnt from',
                     f'{report.path} with {first.count} {first.message} ({first.examples[0]})'
                     f'{more}', f'see all with: glipkit check-data {report.path}')


def _quick_check(file_format: str, dataset: Mapping, settings: PromptSettings,
                 logger: logging.Logger) -> Report | None:
    """The report of one training set; None for one that is too large to read twice."""
    data_file = _source(dataset, settings)
    large = data_file.path.is_file() and data_file.path.stat().st_size > QUICK_BYTES
    if large and file_format not in _LINE_FORMATS:
        logger.info(f'{data_file.path} is large and not checked; '
                    'glipkit check-data reads all of it')
        return None
    return check(data_file, CheckSettings(decode=False, headers=True), file_format)


def _source(dataset: Mapping, settings: PromptSettings) -> DataFile:
    """The file that a dataset's config reads."""
    root = dataset.get('data_root') or ''

    def path(file: str | None) -> Path | None:
        return Path(os.path.join(root, file)) if file else None

    if not dataset['ann_file']:
        raise UserError('a training set with an ann_file', f'{_name(dataset)} with an empty one',
                        'fill in ann_file')
    folder = os.path.join(root, (dataset.get('data_prefix') or {}).get('img') or '')
    images = path(dataset.get('img_file')) or (Path(folder) if folder else None)
    classes = (dataset.get('metainfo') or {}).get('classes')
    return DataFile(
        path=path(dataset['ann_file']), images=images,
        label_map=path(dataset.get('label_map_file')), sizes=path(dataset.get('hw_file')),
        source_prefix=dataset.get('source_prefix'), score_thr=dataset.get('score_thr', 0.5),
        classes=None if classes is None else tuple(classes), settings=settings, quick=True,
        limit=QUICK_IMAGES, max_records=QUICK_RECORDS)


def _datasets(value: Any) -> Iterator[tuple[str, Mapping]]:
    """Format and config of every set of ours inside a dataset's config."""
    formats = {reader: name for name, reader in READERS.items()}
    for part in _parts(value):
        if _name(part) in formats and isinstance(part.get('ann_file'), str):
            yield formats[_name(part)], part


def _parts(value: Any) -> Iterator[Mapping]:
    """All dicts inside a config."""
    if isinstance(value, Mapping):
        yield value
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _parts(item)


def _name(part: Mapping) -> str:
    """Type of a part of a config, without its scope."""
    return str(part.get('type', '')).rpartition('.')[2]
