"""COCO json as training or test set."""
from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from mmengine.logging import print_log

from glipkit.data import sample_keys as keys
from glipkit.data.formats.coco_json import CocoJson, box_in_image, check_names, read_coco_json
from glipkit.data.formats.reading import summary
from glipkit.data.grounding_dataset import GroundingDataset
from glipkit.errors import UserError
from glipkit.registry import DATASETS
from glipkit.text.splits.open_vocabulary import split_classes


@DATASETS.register_module()
class CocoDetection(GroundingDataset):
    """Images with boxes of named classes, from a COCO json with any category ids.

    The text of every sample is the tuple of all class names in ascending order of their ids, and
    labels are 0-based indices into it; a class without a box that is the super-category of another
    one is left out. ``metainfo=dict(classes=[...])`` takes a subset, in the given order, and
    ``classes='ov-coco/base'`` that of a benchmark (`text.splits.open_vocabulary`): boxes of other
    classes are dropped, so that a detector trains on the base classes and is tested on all. Crowd
    boxes are dropped in training and flagged ``ignore_flag=1`` in test mode. Boxes are clipped to
    the image, and dropped where a side of at most one pixel is left.

    Args: those of `GroundingDataset`. ``filter_cfg`` is off by default: images without boxes are
    negatives that training can use.
        max_boxes: Boxes of an image that training keeps at most, the first of the file; None keeps
            all. Test sets keep all.
        with_masks: Whether instances carry the outline of their thing, which
            ``mmdet.LoadAnnotations(with_mask=True)`` reads.
    """

    def __init__(self, *args: Any, metainfo: Mapping[str, Any] | None = None,
                 max_boxes: int | None = None, with_masks: bool = False,
                 **kwargs: Any) -> None:
        if max_boxes is not None and max_boxes < 1:
            raise UserError('max_boxes of at least 1, or None', repr(max_boxes), 'correct it')
        self.max_boxes, self.with_masks = max_boxes, with_masks
        names = (metainfo or {}).get('classes')
        if isinstance(names, str):
            metainfo = {**metainfo, 'classes': split_classes(names)}
        super().__init__(*args, metainfo=metainfo, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Reads the file; see the class for what is kept."""
        coco = read_coco_json(self.ann_file, need_annotations=not self.test_mode)
        self._class_names = self._choose_classes(coco)
        self._metainfo['classes'] = self._class_names
        label_of_name = {name: label for label, name in enumerate(self._class_names)}
        label_of = {category_id: label_of_name[name] for category_id, name in coco.classes.items()
                    if name in label_of_name}
        dropped = Counter({'boxes of images that are not listed': coco.orphans})
        dropped.update(f'super-category without a box ({coco.classes[i]!r})'
                       for i in coco.umbrellas if i not in label_of)
        instances: dict[int, list[dict]] = defaultdict(list)
        for record in coco.annotations:
            label = label_of.get(record['category_id'])
            instance = self._instance(record, coco.images[record['image_id']], label, dropped)
            if instance:
                instances[record['image_id']].append(instance)
        data_list = []
        for image_id, image in coco.images.items():
            sample = self._sample(image_id, image, self._limit(instances[image_id], dropped))
            if self._complete(sample, image, label_of, dropped):
                data_list.append(sample)
        counts = {'images': len(data_list), 'boxes': sum(map(len, instances.values())),
                  'classes': len(self._class_names)}
        print_log(summary(self.ann_file, counts, dropped), 'current')
        return data_list

    def get_data_info(self, idx: int) -> dict:
        """Sample ``idx`` before the pipeline."""
        # Added here, for a copy of the names in every stored sample would fill the memory.
        return {**super().get_data_info(idx), keys.TEXT: self._class_names}

    def get_cat_ids(self, idx: int) -> list[int]:
        """Labels of sample ``idx``, which mmengine's ``ClassBalancedDataset`` asks for."""
        return [i['bbox_label'] for i in self.get_data_info(idx)[keys.INSTANCES]]

    def _complete(self, sample: dict, image: dict, label_of: Mapping[int, int],
                  dropped: Counter) -> bool:
        """Adds what only some files hold of an image; False leaves the image out.

        Args:
            sample: Sample so far, changed in place.
            image: Record of the image in the file.
            label_of: Category id -> label, of the classes asked for.
            dropped: Counter of what is left out.
        """
        return True

    def _limit(self, instances: list[dict], dropped: Counter) -> list[dict]:
        """The boxes of an image that are kept, at most ``max_boxes`` in training."""
        most = None if self.test_mode else self.max_boxes
        if most is not None and len(instances) > most:
            dropped[f'boxes beyond {most} of an image'] += len(instances) - most
            del instances[most:]
        return instances

    def _choose_classes(self, coco: CocoJson) -> tuple[str, ...]:
        names = tuple(coco.classes.values())
        wanted = self._metainfo.get('classes')
        if wanted is None:
            return tuple(coco.real_classes.values())
        check_names(list(wanted), 'metainfo classes')
        absent = [name for name in wanted if name not in names]
        if absent:
            raise UserError(f'metainfo classes that {coco.path} has', f'{absent}',
                            'spell them as in the file')
        return tuple(wanted)

    def _instance(self, record: dict, image: dict, label: int | None,
                  dropped: Counter) -> dict | None:
        crowd = bool(record.get('iscrowd'))
        box = box_in_image(record, image)
        if label is None:
            dropped['boxes of classes not asked for'] += 1
        elif crowd and not self.test_mode:
            dropped['crowd boxes'] += 1
        elif box is None:
            dropped['degenerate boxes'] += 1
        else:
            return dict(bbox=box, bbox_label=label, ignore_flag=int(crowd), **self._mask(record))
        return None

    def _mask(self, record: dict) -> dict:
        """The outline of a thing, polygons or run lengths; empty where none is wanted."""
        outline = record.get('segmentation')
        if not self.with_masks:
            return {}
        if not isinstance(outline, (list, dict)) or not outline:
            raise UserError('annotations with a segmentation, as with_masks asks for',
                            f'{self.ann_file}: annotation {record.get("id")}: {outline!r}'[:120],
                            'take a file with masks, or a model without a mask head')
        return dict(mask=outline)

    def _sample(self, image_id: int, image: dict, instances: list[dict]) -> dict:
        sample = {
            keys.IMG_ID: image_id,
            keys.IMG_PATH: self.image_path(image['file_name']),
            keys.INSTANCES: instances
        }
        sizes = {keys.HEIGHT: image['height'], keys.WIDTH: image['width']}
        return {**sample, **{key: side for key, side in sizes.items() if side is not None}}
