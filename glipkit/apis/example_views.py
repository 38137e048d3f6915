"""Example images as a model sees them: whole, mirrored, smaller, with their boxes."""
from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.structures import InstanceData

from glipkit.apis.batches import Pipelines, as_read, pack_image
from glipkit.apis.examples import ExampleSet, ShownImage
from glipkit.apis.images import ImageSource
from glipkit.common import reporter
from glipkit.engine.transfer.refinement import View
from glipkit.models.contract import GroundingDetector
from glipkit.text.query import Query

#: (mirrored, size) of the views to learn from, the first one the image itself; and of those to look
#: at, one of each image in turn. No whole image is held out to look at: one of five pictures says
#: less of the others than it teaches, and would end the learning by chance.
LEARNT = ((False, 1.), (True, 1.), (False, .75), (True, .75))
HELD = ((False, .87), (True, .87))
#: Most bytes of maps that are kept, and the share of the time in which views are made.
MOST_BYTES, MOST_TIME = 1 << 30, .25


def make_views(model: GroundingDetector, pipelines: Pipelines, examples: ExampleSet,
               seconds: float | None = None, learn: bool = True) -> list[View]:
    """The views of all images, each through the image tower once.

    Args:
        model: Detector, in evaluation mode.
        pipelines: From `build_pipelines`.
        examples: What is learned.
        seconds: Time for everything; views beyond the images themselves end after a share of it.
            None makes all views.
        learn: Whether there will be steps; for none the images as they are suffice.
    """
    begin = time.monotonic()
    views: list[View] = []
    wanted = list(_plan(len(examples.images)))
    with reporter.bar('seeing the examples', len(wanted), 'view') as bar:
        for number, mirrored, size, is_held in wanted:
            first = not mirrored and size == 1 and not is_held
            full = sum(m.numel() * m.element_size() for v in views for m in v.maps) > MOST_BYTES
            late = seconds is not None and time.monotonic() - begin > MOST_TIME * seconds
            if not learn and not first or not (first or is_held) and (full or late):
                break
            views.append(_view(model, pipelines, examples.images[number], examples.names,
                               mirrored, size, is_held))
            bar.update()
    return views


def _plan(images: int) -> Iterator[tuple[int, bool, float, bool]]:
    """(image, mirrored, size, held) of every view, the most needed first."""
    yield from ((i, *LEARNT[0], False) for i in range(images))
    yield from ((i, *HELD[i % 2], True) for i in range(images))
    for form in LEARNT[1:]:
        yield from ((i, *form, False) for i in range(images))


@torch.no_grad()
def _view(model: GroundingDetector, pipelines: Pipelines, image: ShownImage,
          names: Sequence[str], mirrored: bool, size: float, held: bool) -> View:
    pixels, boxes = image.pixels, torch.from_numpy(image.boxes.copy())
    if mirrored:
        boxes[:, [0, 2]] = pixels.shape[1] - boxes[:, [2, 0]]
        pixels = np.ascontiguousarray(pixels[:, ::-1])
    source = ImageSource(None, pixels, 0)
    packed = pack_image(pipelines, as_read(pixels, source), source, Query.for_classes(names),
                        tuple(names), 'bgr').packed
    inputs, sample = packed['inputs'], packed['data_samples']
    scale = tuple(sample.get('scale_factor', (1., 1.)))
    if size != 1:
        height, width = (max(1, round(side * size)) for side in inputs.shape[-2:])
        scale = (scale[0] * width / inputs.shape[2], scale[1] * height / inputs.shape[1])
        inputs = F.interpolate(inputs[None].float(), (height, width), mode='bilinear',
                               antialias=True)[0].round().clamp(0, 255).to(inputs.dtype)
        sample.set_metainfo(dict(scale_factor=scale, img_shape=(height, width)))
    sample.gt_instances = InstanceData(bboxes=boxes * boxes.new_tensor(scale).repeat(2),
                                       labels=torch.from_numpy(image.labels))
    batch = model.data_preprocessor(dict(inputs=[inputs], data_samples=[sample]), False)
    return View(tuple(model.example_maps(batch['inputs'])), batch['data_samples'][0].cpu(), held,
                not mirrored and size == 1)
