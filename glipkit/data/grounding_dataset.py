"""What all training and test sets have in common, whatever format they were read from."""
from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from glipkit.data import sample_keys as keys
from glipkit.data.transforms.loading import LoadImage, load_image
from glipkit.errors import UserError

#: Keys that ``filter_cfg`` may have.
FILTERS = ('filter_empty_gt', 'min_size', 'in_test')


class UnreadableImageError(UserError):
    """An image file that is missing, damaged or no image."""


class DamagedRecordError(UserError):
    """A record of an annotation file that is read at access, and cannot be."""


class GroundingDataset(BaseDataset):
    """mmengine's ``BaseDataset`` with errors that name files.

    An image that cannot be read raises in test mode, and so does a damaged record of a file that
    is read at access. In training it is named in one warning and another image, drawn with numpy's
    global generator, takes its place; inside `MixedDataset` that generator is seeded per draw, so
    that the replacement is always the same.

    Args:
        ann_file: Annotation file, relative to ``data_root`` or absolute.
        data_prefix: ``dict(img=folder)`` of the images, relative to ``data_root`` or absolute; and
            of what else a subclass names in ``folders``.
        max_refetch: Draws without any usable image, in a row, after which training stops.
        **kwargs: data_root, pipeline, metainfo, filter_cfg, indices, test_mode, serialize_data
            and lazy_init of ``BaseDataset``.

    Raises:
        UserError: A file or folder is missing or damaged, or no image is left.
    """

    #: Keys of ``data_prefix``.
    folders: ClassVar[tuple[str, ...]] = ('img', )

    def __init__(self,
                 ann_file: str,
                 data_prefix: Mapping[str, str] | None = None,
                 max_refetch: int = 20,
                 **kwargs: Any) -> None:
        prefix = dict(data_prefix or dict.fromkeys(self.folders, ''))
        if set(prefix) != set(self.folders):
            wanted = ', '.join(f"{key}='folder'" for key in self.folders)
            keys_ = ' and '.join(repr(key) for key in self.folders)
            raise UserError(f'data_prefix=dict({wanted})', repr(prefix),
                            f'use the key{"s" * (len(self.folders) > 1)} {keys_}')
        self._unreadable: set[str] = set()
        self._damaged: set[str] = set()
        super().__init__(
            ann_file=ann_file, data_prefix=prefix, max_refetch=max_refetch, **kwargs)

    def full_init(self) -> None:
        """Reads the annotation file, once."""
        if self._fully_initialized:
            return
        unknown = set(self.filter_cfg or {}) - set(FILTERS)
        if unknown:
            raise UserError(f'filter_cfg with {", ".join(FILTERS)}', f'{sorted(unknown)}',
                            'remove the unknown keys')
        for key in self.folders:
            folder = self.data_prefix[key]
            if folder and '://' not in folder and not os.path.isdir(folder):
                raise UserError(f'a folder of {"images" if key == "img" else key}',
                                f'no folder {folder}', 'check data_root and data_prefix')
        super().full_init()

    def filter_data(self) -> list[dict]:
        """All samples, or in training those that `keeps` lets through.

        ``filter_cfg=dict(in_test=True)`` filters test sets as well: benchmarks that drop images
        without a box of their classes do so.
        """
        data_list = self.data_list
        if not self.test_mode or (self.filter_cfg or {}).get('in_test', False):
            data_list = [sample for sample in data_list if self.keeps(sample)]
        if len(data_list) < len(self.data_list):
            print_log(f'{self.ann_file}: {len(self.data_list) - len(data_list)} images left out '
                      f'by {self._filters()}', 'current')
        if not data_list:
            raise UserError('at least one image', f'none in {self.ann_file}',
                            f'check the file and {self._filters()}')
        return data_list

    def _filters(self) -> str:
        """What `keeps` goes by, for messages."""
        return f'filter_cfg {self.filter_cfg}' if self.filter_cfg else 'filter_cfg'

    def keeps(self, sample: Mapping) -> bool:
        """Whether training uses a sample.

        ``filter_cfg=dict(filter_empty_gt=True)`` drops images without boxes and
        ``dict(min_size=32)`` those with a shorter side; without it nothing is dropped.
        """
        config = self.filter_cfg or {}
        min_size = config.get('min_size', 0)
        sides = sample.get(keys.HEIGHT, min_size), sample.get(keys.WIDTH, min_size)
        return bool((sample[keys.INSTANCES] or not config.get('filter_empty_gt', False))
                    and min(sides) >= min_size)

    def draw_sample(self, idx: int) -> dict | None:
        """Sample ``idx`` as the pipeline gets it; None where it is none to use."""
        return self.get_data_info(idx)

    def image_path(self, file_name: str) -> str:
        """Path of an image that the annotation file names."""
        return os.path.join(self.data_prefix['img'], file_name)

    def prepare_data(self, idx: int) -> Any:
        """Runs the pipeline on sample ``idx``; None where a transform drops the sample.

        Raises:
            UnreadableImageError: The image file cannot be read.
            DamagedRecordError: The record cannot.
        """
        data = self.draw_sample(idx)
        if data is None:
            return None
        for transform in self.pipeline.transforms:
            if isinstance(transform, LoadImageFromFile):
                data = _load_image(transform, data)
            else:
                data = transform(data)
            if data is None:
                return None
        return data

    def __getitem__(self, idx: int) -> Any:
        """Sample ``idx``, or in training the one that takes its place."""
        self.full_init()
        if self.test_mode:
            data = self.prepare_data(idx)
            if data is None:
                raise UserError('a test pipeline that keeps every image',
                                f'sample {idx} of {self.ann_file} was dropped',
                                'remove filtering transforms from the test pipeline')
            return data
        reason = ''
        for _ in range(self.max_refetch + 1):
            try:
                data = self.prepare_data(idx)
                reason = 'filters or the pipeline dropped every one of them'
            except (UnreadableImageError, DamagedRecordError) as error:
                data, reason = None, str(error)
                self._report(error)
            if data is not None:
                return data
            idx = int(np.random.randint(len(self)))
        raise UserError('usable training images',
                        f'{self.max_refetch + 1} unusable ones in a row in {self.ann_file} '
                        f'({reason})', 'check the image folder and the pipeline')

    def _report(self, error: UserError) -> None:
        """Names an unreadable file or a damaged record once per process."""
        if isinstance(error, DamagedRecordError):
            seen, title, things = self._damaged, f'Damaged record: {error}', 'records'
        else:
            seen, title, things = self._unreadable, f'Unreadable image: {error.got}', 'files'
        if error.got not in seen:
            seen.add(error.got)
            print_log(f'{title}; another one takes its place ({len(seen)} such {things} so far)',
                      'current', logging.WARNING)


def _load_image(load: LoadImageFromFile, data: dict) -> dict | None:
    if keys.IMG_BYTES in data and not isinstance(load, LoadImage):
        raise UserError("a pipeline with dict(type='LoadImage') for images inside other files",
                        f'{type(load).__name__} and {data[keys.IMG_PATH]}',
                        'replace it; LoadImage reads image files as well')
    try:
        return load_image(load, data)
    except Exception as error:  # decoders answer damaged files with almost any type of error
        cause = re.sub(r' <\S+ object at 0x\w+>', '', ' '.join(str(error).split()))
        raise UnreadableImageError('an image that can be read',
                                   f'{data[keys.IMG_PATH]} ({cause or type(error).__name__})',
                                   'restore the file or remove it from the annotations') from error
