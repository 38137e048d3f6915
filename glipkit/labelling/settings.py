"""Settings of a pseudo-label run, which every manifest keeps."""
from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from glipkit.errors import UserError
from glipkit.text.phrases import extract_phrases


@dataclass(frozen=True)
class LabelSettings:
    """Settings of pseudo-labelling (GLIP paper, section 3.3; threshold 0.5 as in section 4).

    Args:
        score: Score above which boxes are kept.
        phrase_nms: IoU above which the worse of two boxes of one phrase is dropped; 1 is off.
        cross_nms: The same between boxes of different phrases; 1 is off.
        leftover: Score above which a phrase that is sure of no box takes boxes that no other
            phrase has; 1 is off. For teachers that do not know the words of the captions.
        leftover_share: Of these, boxes below this share of the phrase's best score are dropped.
        min_boxes: Least number of boxes; images with fewer are left out.
        strong_score: Score of a strong box, for ``min_strong``.
        min_strong: Least number of boxes above ``strong_score``; images with fewer are left out.
        backend: Back end of `extract_phrases`.
        picture_words: Whether 'a photo' of 'a photo of a dog' is grounded.
        max_tokens: Largest number of word pieces of one prompt. Captions of one image are packed
            together up to it; text of longer captions beyond it is not grounded, and counted.
        batch_size: Number of images that go through the teacher together.
    """

    score: float = 0.5
    phrase_nms: float = 0.5
    cross_nms: float = 0.9
    leftover: float = 1.
    leftover_share: float = 0.7
    min_boxes: int = 1
    strong_score: float = 0.7
    min_strong: int = 0
    backend: str = 'rules'
    picture_words: bool = False
    max_tokens: int = 256
    batch_size: int = 8

    def __post_init__(self) -> None:
        for name in ('score', 'phrase_nms', 'cross_nms', 'leftover', 'leftover_share',
                     'strong_score'):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not 0 <= value <= 1:
                raise UserError(f'{name} from 0 to 1', repr(value), 'pass e.g. 0.5')
        for name, least in (('min_boxes', 0), ('min_strong', 0), ('max_tokens', 8),
                            ('batch_size', 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise UserError(f'{name} of at least {least}', repr(value), 'raise it')
        extract_phrases('', self.backend)  # refuses what is unknown or not installed

    def record(self) -> dict[str, Any]:
        """The settings as plain values, for the manifest."""
        return asdict(self)
