"""Images with label PNGs: the class of every pixel, in the conventions of ADE20K and COCO-Stuff."""
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from glipkit.common.image_files import IMAGE_SUFFIXES
from glipkit.compat import import_mmdet
from glipkit.data import sample_keys as keys
from glipkit.data.formats.coco_json import check_names
from glipkit.data.formats.reading import open_text
from glipkit.data.grounding_dataset import GroundingDataset
from glipkit.errors import UserError
from glipkit.registry import DATASETS

#: Values of COCO-Stuff's pixels (category id - 1) that no class has: ids that COCO gave up.
_COCO_GAPS = {11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90}


@dataclass(frozen=True)
class Convention:
    """What the values of label PNGs mean.

    Args:
        ignore: Value of pixels that are not scored.
        first: Value of the first class; the others follow.
        values: Value of each class, instead of ``first``.
    """
    ignore: int = 255
    first: int = 0
    values: tuple[int, ...] | None = None

    def labels(self, count: int) -> dict[int, int]:
        """Value -> label of ``count`` classes, -1 for the ignored one.

        Raises:
            UserError: Another number of values than classes, or a class with the ignored value.
        """
        values = self.values or range(self.first, self.first + count)
        if len(values) != count or self.ignore in values:
            raise UserError(f'a value for each of {count} classes, and {self.ignore} for what is '
                            'not scored', f'{len(values)} values', 'correct the convention')
        return {**{value: label for label, value in enumerate(values)}, self.ignore: -1}


#: Name -> convention: ADE20K's releases, COCO-Stuff's ``*_labelTrainIds.png``, its
#: ``stuffthingmaps`` as they are, and worlds of more than 254 classes or less.
CONVENTIONS = {
    'ade20k': Convention(ignore=0, first=1),
    'coco-stuff': Convention(),
    'coco-stuff-ids': Convention(values=tuple(i for i in range(182) if i not in _COCO_GAPS)),
}


def class_list(name: str) -> tuple[str, ...]:
    """Class names of a data set, from mmdet: 'ade20k' (150) or 'coco-stuff' (171).

    Raises:
        UserError: Another name.
    """
    import_mmdet()
    from mmdet.datasets import ADE20KSegDataset
    from mmdet.datasets.coco_semantic import CocoSegDataset
    lists = {'ade20k': ADE20KSegDataset, 'coco-stuff': CocoSegDataset}
    if name not in lists:
        raise UserError(f'class names, or a list of them ({", ".join(lists)})', repr(name),
                        'choose one')
    return tuple(one.strip() for one in lists[name].METAINFO['classes'])


@DATASETS.register_module()
class SemanticLabels(GroundingDataset):
    """Images with a label PNG each, in two folders of the same inner structure.

    The text of a sample is the tuple of all class names, and labels index it.
    ``glipkit.LoadLabels`` reads the PNG.

    Args:
        data_prefix: ``dict(img=folder, seg=folder)``.
        metainfo: ``dict(classes=...)``: names, a text file with a name per line, 'ade20k' or
            'coco-stuff'.
        convention: Name from `CONVENTIONS`, or arguments of :class:`Convention`.
        ann_file: Text file with the names of images, without ending, one per line; '' takes all
            images that have labels.
        image_suffix: Ending of images; '' for any.
        label_suffix: What follows the name of an image in that of its labels.
        **kwargs: As in `GroundingDataset`.

    Raises:
        UserError: No classes, no image with labels, or a listed image without.
    """

    folders = ('img', 'seg')

    def __init__(self, metainfo: Mapping[str, Any], convention: str | Mapping[str, Any] = 'ade20k',
                 ann_file: str = '', image_suffix: str = '.jpg', label_suffix: str = '.png',
                 **kwargs: Any) -> None:
        if isinstance(convention, str) and convention not in CONVENTIONS:
            raise UserError(f'a convention ({", ".join(CONVENTIONS)})', repr(convention),
                            'choose one, or write dict(ignore=..., first=...)')
        self.convention = CONVENTIONS[convention] if isinstance(convention, str) \
            else Convention(**convention)
        self.suffixes = image_suffix, label_suffix
        names = self._names = _names(metainfo.get('classes'), kwargs.get('data_root'))
        self._label_map = self.convention.labels(len(names))
        super().__init__(ann_file=ann_file, metainfo={**metainfo, 'classes': names}, **kwargs)

    def load_data_list(self) -> list[dict]:
        """One sample per image that has labels."""
        samples = [{keys.IMG_ID: i, keys.IMG_PATH: str(image), keys.INSTANCES: [],
                    keys.SEG_MAP_PATH: str(labels)}
                   for i, (image, labels) in enumerate(self._pairs())]
        print_log(f'{self.data_prefix["seg"]}: {len(samples)} images, {len(self._names)} classes',
                  'current')
        return samples

    def _pairs(self) -> list[tuple[Path, Path]]:
        images, labels = (Path(self.data_prefix[key]) for key in self.folders)
        ending, after = self.suffixes
        if self.ann_file and os.path.basename(self.ann_file):
            with open_text(self.ann_file, 'a list of images') as file:
                names = [line.strip() for line in file if line.strip()]
            pairs = [(images / f'{name}{ending}', labels / f'{name}{after}') for name in names]
            missing = [mask for _, mask in pairs if not mask.is_file()]
            if missing:
                raise UserError(f'labels of every image in {self.ann_file}', f'no {missing[0]}',
                                'correct the list or the folder')
            return pairs
        found = sorted(path for path in images.rglob(f'*{ending}')
                       if path.suffix.lower() in IMAGE_SUFFIXES)
        pairs = [(path, labels / path.relative_to(images).with_suffix('').with_name(
            path.stem + after)) for path in found]
        pairs = [(image, mask) for image, mask in pairs if mask.is_file()]
        if not pairs:
            raise UserError('images with a label PNG of the same name',
                            f'none in {images} and {labels}', 'check data_prefix and suffixes')
        return pairs

    def get_data_info(self, idx: int) -> dict:
        """Sample ``idx`` before the pipeline."""
        return {**super().get_data_info(idx), keys.TEXT: self._names,
                keys.LABEL_OF_VALUE: self._label_map}


def _names(classes: Sequence[str] | str | None, root: str | None) -> tuple[str, ...]:
    if classes is None:
        raise UserError('class names', 'none', 'set metainfo=dict(classes=...)')
    if isinstance(classes, str) and classes.endswith('.txt'):
        with open_text(os.path.join(root or '', classes), 'a list of class names') as file:
            classes = [line.strip() for line in file if line.strip()]
    elif isinstance(classes, str):
        classes = class_list(classes)
    check_names(list(classes), 'metainfo classes')
    return tuple(classes)
