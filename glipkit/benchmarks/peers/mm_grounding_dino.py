"""MM-Grounding-DINO-T of Hugging Face's transformers, random weights."""
from __future__ import annotations

from math import ceil
from typing import Any

import torch
from torch import Tensor

from glipkit.benchmarks.workload import GroundedText, Workload
from glipkit.errors import UserError
from glipkit.text.prompts import split_class_prompt
from glipkit.text.tokenizers import BertTokenizer

MAX_TOKENS = 256
PROMPT_END = '.'
STRIDES = (8, 16, 32, 64)


class Model:
    """A candidate; see :class:`glipkit.benchmarks.tasks.Candidate`."""

    def __init__(self, work: Workload) -> None:
        try:
            import transformers
            from transformers import MMGroundingDinoConfig, MMGroundingDinoForObjectDetection
        except ImportError as error:
            raise UserError('transformers with MM-Grounding-DINO (4.54 or newer)', str(error),
                            "pip install 'transformers>=4.54'") from error
        config = MMGroundingDinoConfig()
        _check_positions(work.image, config.num_queries)
        self.model = MMGroundingDinoForObjectDetection(config).to(work.device)
        self.compilable = [self.model]
        self._work, self._images = work, work.images()
        self._tokenizer = BertTokenizer()
        self._prompts = [self._tokens([prompt.caption + PROMPT_END] * work.batch)
                         for prompt in self._class_prompts()]
        self.details: dict[str, Any] = {
            'transformers': transformers.__version__,
            'passes of the whole model': len(self._prompts) or 1,
            'text': 'encoded in every call',
        }

    def _class_prompts(self) -> list[Any]:
        if not self._work.classes:
            return []
        # One token for the end that our prompts do without.
        return split_class_prompt(self._work.classes, self._tokenizer, MAX_TOKENS - 1)

    def _tokens(self, captions: list[str]) -> dict[str, Tensor]:
        tokens = self._tokenizer(captions, MAX_TOKENS)
        device = self._work.device
        return {'input_ids': tokens.ids.to(device), 'attention_mask': tokens.mask.long().to(device),
                'token_type_ids': torch.zeros_like(tokens.ids).to(device)}

    def predict(self) -> None:
        """Outputs of the model, once per prompt: it has no use for an image it has seen."""
        for tokens in self._prompts:
            self.model(pixel_values=self._images, **tokens)

    def loss(self) -> Tensor:
        """The model's own loss, matching included."""
        texts = self._work.captions()
        tokens = self._tokens([text.caption + PROMPT_END for text in texts])
        labels = [_labels(text, self._work) for text in texts]
        return self.model(pixel_values=self._images, labels=labels, **tokens).loss


def _check_positions(size: tuple[int, int], queries: int) -> None:
    """Its queries are chosen among the positions of its maps: there have to be as many."""
    positions = sum(ceil(size[0] / stride) * ceil(size[1] / stride) for stride in STRIDES)
    if positions < queries:
        raise UserError(f'an image with {queries} positions for MM-Grounding-DINO',
                        f'{size[0]}x{size[1]} with {positions}', 'pass a larger --image')


def _labels(text: GroundedText, work: Workload) -> dict[str, Tensor]:
    """Boxes as centre and size in fractions of the image."""
    height, width = work.image
    x1, y1, x2, y2 = (text.boxes / torch.tensor([width, height] * 2)).unbind(1)
    boxes = torch.stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], dim=1)
    return {'boxes': boxes.to(work.device),
            'class_labels': torch.tensor(text.labels, device=work.device)}
