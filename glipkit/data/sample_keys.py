"""The keys of a sample on its way from an annotation file to the model, one constant per key.

Formats write the first group, mmdet's and our transforms the second, `PackGrounding` turns both
into a ``DetDataSample``. No transform may ask which format a sample came from: what it needs to
know is in the type of ``text``. Constants serve code that reads or writes keys by hand; in the
docstrings of transforms the plain strings are used.

Frames: boxes are xyxy absolute pixels with exclusive right and bottom edge (w = x2 - x1), first of
the original image, after a resize of the resized one; in packed samples as in the last results
dict. N boxes, K class names, P phrases.
"""

# --- written by the formats ---------------------------------------------------------------------

IMG_PATH = 'img_path'
"""str: where the image file is."""

IMG_ID = 'img_id'
"""int: the image's id in its annotation file (COCO: ``id``; line formats: the line number)."""

HEIGHT = 'height'
"""int, optional: height of the original image in pixels, as the annotation file states it."""

WIDTH = 'width'
"""int, optional: width of the original image."""

TEXT = 'text'
"""tuple of K class names (detection) or one caption string (grounding)."""

PHRASES = 'phrases'
"""Captions only. List of P phrases, each a list of half-open character spans (start, end)."""

UNGROUNDED = 'ungrounded'
"""Captions only, optional. Spans (start, end) of phrases without boxes that may well be in the
image: no loss counts their tokens as absent."""

CAPTION_PROMPT = 'caption_prompt'
"""Class lists only, optional. Hand-written prompts: name -> dict(prefix=, name=, suffix=)."""

ABSENT_LABELS = 'absent_labels'
"""Federated class lists only (LVIS). List of labels whose absence from the image was verified:
the only ones that may serve as negatives. Without the key every class that has no box may."""

NOT_EXHAUSTIVE_LABELS = 'not_exhaustive_labels'
"""Federated class lists only. Labels not all of whose objects have a box: never negatives."""

IMG_BYTES = 'img_bytes'
"""Optional: the encoded image where it is not a file of its own, as bytes or as an object whose
``read()`` gives them; ``img_path`` then only names it."""

CROP_BOX = 'crop_box'
"""Optional: [x1, y1, x2, y2] of the one thing that the sample is about; `CropToBox` cuts it out."""

CAPTIONS = 'captions'
"""Image-text pairs only. Tuple of all captions of the image; ``text`` is the one that was drawn."""

TAGS = 'tags'
"""Image-text pairs only, optional. One string of words that belong to the image."""

PROPOSALS = 'proposals'
"""Optional. Boxes from elsewhere that may hold things: in a record a list of [x1, y1, x2, y2] in
the original image; for transforms (N, 4) ``HorizontalBoxes``, which `WithProposals` moves
with the image; in a packed sample ``InstanceData`` with ``bboxes``."""

CROPS = 'crops'
"""Optional: (N, 3, S, S) uint8 array, a picture of each of N ``proposals``, in BGR order. Cut at
``crop_boxes``, (N, 4) xyxy in the original image, which may be larger than the proposals."""

SEG_MAP_PATH = 'seg_map_path'
"""Optional: where the PNG is that has a label or a segment's id for every pixel."""

SEGMENTS = 'segments'
"""Panoptic files only. List of dicts ``id`` (of the pixels of the PNG), ``label`` int, ``iscrowd``
bool, ``bbox`` [x, y, w, h] as the file has it or None."""

MASKS, MASK_MAP_PATH = 'mask_ids', 'mask_map_path'
"""Optional: ids of segments of a second PNG, which are to be named, and where it is."""

THINGS = 'things'
"""Panoptic files only. Tuple of K bools, which classes are things; the others are stuff."""

LABEL_OF_VALUE = 'label_of_value'
"""Label PNGs only. Value of a pixel -> label, -1 for what is not scored."""

INSTANCES = 'instances'
"""list of N dicts ``bbox`` [x1, y1, x2, y2], ``bbox_label`` int, ``ignore_flag`` 0 or 1."""

# --- written by transforms ----------------------------------------------------------------------

IMG = 'img'
"""(H, W, 3) uint8 array in BGR order: the image as it is now."""

ORI_SHAPE = 'ori_shape'
"""(height, width) of the image as it was read."""

IMG_SHAPE = 'img_shape'
"""(height, width) of the image as it is now."""

SCALE_FACTOR = 'scale_factor'
"""(w, h) factors from the original image to the image as it is now, also after several resizes."""

FLIP = 'flip'
"""bool: whether the image was mirrored."""

FLIP_DIRECTION = 'flip_direction'
"""'horizontal', 'vertical', 'diagonal' or None."""

GT_BBOXES = 'gt_bboxes'
"""(N, 4) ``HorizontalBoxes`` float32, in the frame of the image as it is now."""

GT_LABELS = 'gt_bboxes_labels'
"""(N,) int64 array of 0-based indices into ``text`` (detection) or ``phrases`` (captions)."""

GT_IGNORE_FLAGS = 'gt_ignore_flags'
"""(N,) bool array: True for boxes that are neither objects nor background (crowds)."""

ELEMENTS = 'elements'
"""Optional: name -> ``InstanceData`` or ``PixelData``, which `PackGrounding` puts into the data
sample as they are, in the frame of the original image: ``gt_sem_seg``, ``gt_regions``..."""

ASK = 'ask'
"""Optional: dict, what the sample asks for instead of boxes: ``answer`` 'pixels', 'regions' or
'segments', and how; see :class:`glipkit.models.detectors.dense_words.DenseWords`."""

# --- in the packed data sample ------------------------------------------------------------------

TOKENS_POSITIVE = 'tokens_positive'
"""Field of ``gt_instances``, captions only: per box the list of spans of its phrase."""
