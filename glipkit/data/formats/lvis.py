"""LVIS json as training or test set: a federated one, in which absence has to be verified."""
from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from glipkit.data import sample_keys as keys
from glipkit.data.formats.coco import CocoDetection
from glipkit.errors import UserError
from glipkit.registry import DATASETS

_NEGATIVE, _PARTIAL = 'neg_category_ids', 'not_exhaustive_category_ids'


@DATASETS.register_module()
class LvisDetection(CocoDetection):
    """Images with boxes of named classes, from an LVIS json (v0.5 or v1).

    As `CocoDetection`, with what the images tell about classes without boxes (LVIS paper section
    3.1): those of ``neg_category_ids`` are verified to be absent, of those of
    ``not_exhaustive_category_ids`` some objects have no box, and of all others nothing is known.
    Samples carry both as labels, so that `SampleClassPrompt` asks for no class that may be there.
    Images with neither boxes nor absent classes could be asked about nothing and are dropped in
    training.

    The image file is ``file_name``, or where there is none the last two parts of ``coco_url``
    ('val2017/000000397133.jpg'), in ``data_prefix=dict(img='coco/')``.

    Args: those of `CocoDetection`.
    """

    def _complete(self, sample: dict, image: dict, label_of: Mapping[int, int],
                  dropped: Counter) -> bool:
        for key, name in ((keys.ABSENT_LABELS, _NEGATIVE), (keys.NOT_EXHAUSTIVE_LABELS, _PARTIAL)):
            ids = image.get(name)
            if not isinstance(ids, list) or not all(type(i) is int for i in ids):
                raise UserError(f'an LVIS json, whose images have a list {name!r}',
                                f'{self.ann_file}: image {image["id"]}: {ids!r}',
                                'read files without these lists with CocoDetection')
            sample[key] = sorted({label_of[i] for i in ids if i in label_of})
        unusable = not sample[keys.INSTANCES] and not sample[keys.ABSENT_LABELS]
        if unusable and not self.test_mode:
            dropped['images without boxes and absent classes'] += 1
            return False
        return True
