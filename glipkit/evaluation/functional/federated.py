"""Ground truth of a federated data set, in which an image is annotated for some classes only.

LVIS (arXiv 1908.03195, section 3) says per image which classes are there and complete, there but
not exhaustively annotated, or certainly absent. About all others it says nothing, and detections
of them count neither for nor against a model. I images, C classes, G boxes.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

#: Classes by the number of training images that show them: under 10, under 100, and more.
FREQUENCIES = ('r', 'c', 'f')


@dataclass(frozen=True)
class FederatedTruth:
    """Flat arrays; images and classes are indices into the sorted ids.

    Args:
        image_ids: (I,) ascending.
        category_ids: (C,) ascending.
        names: Name of each class.
        frequency: (C,) one of `FREQUENCIES` for each class.
        boxes: (G, 4) float64 xywh pixels, sorted by class, then image, then place in the file.
        areas: (G,) float64 pixels, as annotated: of the mask, not of the box.
        ignore: (G,) bool: the box counts neither as found nor as missed.
        image: (G,) image of each box.
        first: (C + 1,) where the boxes of each class begin.
        judged: (C, I) bool: the class is annotated in the image, or certainly absent.
        lenient: (C, I) bool: more objects of the class may be there than are annotated.
        negative: (C, I) bool: the class is certainly absent.
    """
    image_ids: np.ndarray
    category_ids: np.ndarray
    names: tuple[str, ...]
    frequency: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray
    ignore: np.ndarray
    image: np.ndarray
    first: np.ndarray
    judged: np.ndarray
    lenient: np.ndarray
    negative: np.ndarray

    @classmethod
    def from_records(cls, images: Sequence[Mapping], annotations: Iterable[Mapping],
                     categories: Sequence[Mapping]) -> FederatedTruth:
        """Builds the arrays from the records of an LVIS json.

        Args:
            images: ``id``, ``neg_category_ids``, ``not_exhaustive_category_ids``.
            annotations: ``image_id``, ``category_id``, ``bbox`` xywh, ``area`` and, optionally,
                ``ignore``. Those without area are left out, as in the ``lvis`` package.
            categories: ``id``, ``name``, ``frequency``.
        """
        categories = sorted(categories, key=lambda category: category['id'])
        image_ids = np.array(sorted(image['id'] for image in images), dtype=np.int64)
        category_ids = np.array([category['id'] for category in categories], dtype=np.int64)
        row = {int(category_id): c for c, category_id in enumerate(category_ids)}
        column = {int(image_id): i for i, image_id in enumerate(image_ids)}
        kept = [(row[a['category_id']], column[a['image_id']], a['area'], bool(a.get('ignore')),
                 *a['bbox']) for a in annotations if a['area'] > 0]
        table = np.array(kept, dtype=np.float64).reshape(-1, 8)
        table = table[np.lexsort((table[:, 1], table[:, 0]))]  # stable: keeps the file's order
        category, image = table[:, 0].astype(np.int64), table[:, 1].astype(np.int64)

        negative = np.zeros((len(category_ids), len(image_ids)), dtype=bool)
        lenient = np.zeros_like(negative)
        for record in images:
            i = column[record['id']]
            negative[[row[c] for c in record['neg_category_ids']], i] = True
            lenient[[row[c] for c in record['not_exhaustive_category_ids']], i] = True
        judged = negative.copy()
        judged[category, image] = True
        return cls(
            image_ids=image_ids, category_ids=category_ids,
            names=tuple(category['name'] for category in categories),
            frequency=np.array([category['frequency'] for category in categories], dtype='<U1'),
            boxes=table[:, 4:], areas=table[:, 2], ignore=table[:, 3].astype(bool), image=image,
            first=np.searchsorted(category, np.arange(len(category_ids) + 1)), judged=judged,
            lenient=lenient, negative=negative)
