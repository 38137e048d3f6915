"""A random federated data set with the cases that an evaluation can get wrong."""
from __future__ import annotations

import numpy as np

SIDES = [6, 20, 32, 60, 96, 200]


def random_world(seed: int, num_images: int = 30, num_classes: int = 12, per_image: int = 8,
                 junk: int = 25) -> tuple[dict, dict[str, np.ndarray]]:
    """Ground truth as an LVIS json, and detections.

    Category and image ids have gaps and no order. Scores repeat; sides lie on the borders of the
    area ranges; boxes without area or to be ignored, detections of classes that nobody judged,
    doubles, crowded images and empty ones are among them.

    Returns:
        The json, and arrays image_id (M,), category_id (M,), boxes (M, 4) xywh float32 and
        scores (M,) float32 in groups by image.
    """
    rng = np.random.default_rng(seed)
    image_ids = rng.permutation(np.arange(num_images) * 7 + 3).tolist()
    category_ids = rng.permutation(np.arange(num_classes) * 2 + 1).tolist()
    categories = [dict(id=c, name=f'thing_{c}', frequency='rcf'[k % 3])
                  for k, c in enumerate(category_ids)]

    def box():
        return np.round([*rng.uniform(0, 300, 2), *(rng.choice(SIDES, 2) + rng.integers(0, 2, 2))])

    images, annotations, found = [], [], []
    for image_id in image_ids:
        present = rng.choice(category_ids, min(rng.integers(0, 6), num_classes), replace=False)
        absent = [c for c in category_ids if c not in present and rng.random() < .3]
        loose = [int(c) for c in present if rng.random() < .3]
        images.append(dict(id=image_id, height=400, width=500, neg_category_ids=absent,
                           not_exhaustive_category_ids=loose))
        for category_id in present.tolist():
            for _ in range(rng.integers(1, per_image)):
                xywh = box()
                annotations.append(dict(
                    id=len(annotations) + 1, image_id=image_id, category_id=category_id,
                    bbox=xywh.tolist(), ignore=int(rng.random() < .1),
                    area=float(xywh[2] * xywh[3] * rng.choice([1, .5, 0], p=[.5, .47, .03]))))
                for _ in range(rng.integers(0, 4)):
                    moved = xywh + np.round(rng.normal(0, .08, 4) * np.tile(xywh[2:], 2))
                    found.append((image_id, category_id, moved, rng.random()))
        found += [(image_id, int(rng.choice(category_ids)), box(), rng.random() ** 2)
                  for _ in range(rng.integers(0, junk))]
        found += [(image_id, c, np.array([5, 5, 0, 9]), .99) for c in category_ids[:1]]
    detections = dict(
        image_id=np.array([f[0] for f in found]), category_id=np.array([f[1] for f in found]),
        boxes=np.array([f[2] for f in found], dtype=np.float32),
        scores=np.array([f[3] for f in found]).round(2).astype(np.float32))
    return dict(images=images, categories=categories, annotations=annotations), detections
