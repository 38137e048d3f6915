"""What a benchmark asks of a model: which images, which words, in which precision."""
from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from glipkit.apis import class_lists
from glipkit.errors import UserError
from glipkit.text.prompts import class_prompt
from glipkit.text.tokenizers import BertTokenizer

DTYPES = {'float32': torch.float32, 'bf16': torch.bfloat16}
THREE = ('person', 'dog', 'traffic light')
PROMPTS = ('three', 'coco80', 'lvis1203')

# Captions for training with the boxes of their phrases, as fractions (x1, y1, x2, y2) of an image.
# Phrases are parted as class names are: mmdet's GLIP can train on no other text.
CAPTIONS = (
    (('a man in a red jacket', (.10, .20, .35, .90)), ('two brown dogs', (.40, .55, .58, .85)),
     ('two brown dogs', (.60, .50, .80, .88)), ('a yellow frisbee', (.45, .15, .55, .22)),
     ('a wooden bench', (.70, .60, .98, .95))),
    (('a woman with an umbrella', (.05, .30, .25, .95)), ('a blue taxi', (.30, .50, .75, .85)),
     ('the traffic light', (.80, .05, .86, .25)), ('a crowded street', (.00, .45, 1.0, 1.0))),
)


@dataclass(frozen=True)
class Workload:
    """One setting that all candidates of a run share.

    Attributes:
        config: Model name or config path of ours.
        image: Height and width in pixels.
        classes: Class names to look for; none means that captions are trained on.
        batch: Images in one call.
        dtype: ``'float32'``, or ``'bf16'`` for autocast to bfloat16.
        device: Device of torch.
        compile: Whether modules go through torch.compile.
        threads: Threads of torch in each process.
        seed: Seed of weights and images.
        count: Whether a call before the timed ones counts operations.
        graphs: Whether our predictions on a GPU are recorded, see `GLIP.use_graphs`.
    """
    config: str
    image: tuple[int, int]
    classes: tuple[str, ...] = ()
    batch: int = 1
    dtype: str = 'float32'
    device: str = 'cpu'
    compile: bool = False
    threads: int = 1
    seed: int = 0
    count: bool = True
    graphs: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For JSON; ``Workload.from_dict`` reads it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Workload:
        """What :meth:`as_dict` made, lists for tuples as JSON has them."""
        return cls(**{key: tuple(value) if isinstance(value, list) else value
                      for key, value in content.items()})

    def images(self) -> Tensor:
        """Normalised noise (batch, 3, height, width): its values cost what a photograph's do."""
        generator = torch.Generator().manual_seed(self.seed)
        return torch.randn(self.batch, 3, *self.image, generator=generator).to(self.device)

    def captions(self) -> list[GroundedText]:
        """One caption with boxes per image."""
        return [grounded_text(CAPTIONS[i % len(CAPTIONS)], self.image) for i in range(self.batch)]


@dataclass(frozen=True)
class GroundedText:
    """A caption whose phrases have boxes.

    Attributes:
        caption: The phrases, joined as class names are.
        spans: Half-open character span of each box's phrase.
        labels: Index of each box's phrase among the different ones.
        boxes: (G, 4) xyxy pixels, exclusive right and bottom edge.
    """
    caption: str
    spans: list[tuple[int, int]]
    labels: list[int]
    boxes: Tensor


def grounded_text(regions: Any, size: tuple[int, int]) -> GroundedText:
    """A caption of (phrase, box in fractions) pairs for an image of ``size`` (height, width)."""
    phrases = list(dict.fromkeys(phrase for phrase, _ in regions))
    prompt = class_prompt(phrases)
    labels = [phrases.index(phrase) for phrase, _ in regions]
    height, width = size
    boxes = torch.tensor([box for _, box in regions]) * torch.tensor([width, height] * 2)
    return GroundedText(prompt.caption, [prompt.spans[label][0] for label in labels], labels, boxes)


def read_classes(prompt: str, classes: str | None) -> tuple[str, ...]:
    """The class names of the command line.

    Args:
        prompt: Name of a list, one of :data:`PROMPTS`.
        classes: Instead of it, names or a file of them, as `class_lists.read_classes` takes them.

    Raises:
        UserError: For names no prompt can be made of, or a file that cannot be read.
    """
    if classes is None:
        return _known_classes(prompt)
    names = tuple(class_lists.read_classes(classes))
    class_prompt(names)
    return names


def _known_classes(prompt: str) -> tuple[str, ...]:
    if prompt == 'three':
        return THREE
    from mmdet.datasets import CocoDataset, LVISV1Dataset
    dataset = CocoDataset if prompt == 'coco80' else LVISV1Dataset
    return tuple(dataset.METAINFO['classes'])


def read_size(text: str) -> tuple[int, int]:
    """Height and width of ``'800x1216'``.

    Raises:
        UserError: For anything else, or sides that are no multiples of 32, to which every
            candidate would pad differently.
    """
    match = re.fullmatch(r'(\d+)x(\d+)', text)
    size = (int(match[1]), int(match[2])) if match else (0, 0)
    if min(size) < 32 or any(side % 32 for side in size):
        raise UserError('an image size as 800x1216 (height x width, multiples of 32)', repr(text),
                        'pass another --image')
    return size


def count_tokens(classes: tuple[str, ...]) -> int:
    """Word pieces of a class list as one prompt, [CLS] and [SEP] included."""
    return BertTokenizer().length(class_prompt(classes).caption)
