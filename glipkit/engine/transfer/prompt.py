"""Prompt tuning: the features of the prompts train, the model does not change."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from glipkit.engine.transfer.learned_prompt import LearnedPrompt
from glipkit.engine.transfer.strategy import Overrides, Strategy, TrainedGroup, refuse_fixed_text
from glipkit.errors import UserError
from glipkit.models.contract import GroundingDetector
from glipkit.text.structures import Prompt


@dataclass(frozen=True)
class PromptStrategy(Strategy):
    """The official language_prompt_v2 (GLIP appendix C.2).

    The text encoder reads the task's prompts once and is dropped; a table that is added to its
    output trains: 768,000 parameters in GLIP-T. A task file stores the sum, one row per token.

    Args:
        lr: Learning rate.
        weight_decay: Weight decay of the table.
        rows: Number of rows of the table; it has more where the prompts have more tokens.
    """
    lr: float = 0.05
    weight_decay: float = 0.25
    rows: int = 1000

    name: ClassVar[str] = 'prompt'
    closed: ClassVar[bool] = True

    def check(self, model: GroundingDetector) -> None:
        """Refuses a model that never trains its text encoder."""
        refuse_fixed_text(model, self.name)

    def add(self, model: GroundingDetector, prompts: Sequence[Prompt]) -> None:
        """Puts a :class:`LearnedPrompt` in the text encoder's place."""
        encoder = model.text_encoder
        device = next(encoder.parameters()).device
        was_training = encoder.training
        encoder.eval()
        ids, hidden = [], []
        # One by one: a prompt's features must not depend on its neighbours' padding.
        for prompt in prompts:
            tokens = model.tokenize([prompt])
            with torch.no_grad():
                hidden.append(encoder(tokens.to(device)).hidden[0].float())
            ids.append(tokens.ids[0].tolist())
        encoder.train(was_training)
        model.text_encoder = LearnedPrompt(ids, hidden, self.rows, encoder)
        model.text_encoder.to(device)

    def trained(self, model: GroundingDetector) -> list[TrainedGroup]:
        """The table. Its name has no ``bias`` in it, and no rule for biases applies."""
        return [TrainedGroup('prompt', model.layer_groups()['text_encoder'], self.lr,
                             self.weight_decay, bias_rule=False)]

    def state(self, model: GroundingDetector) -> dict[str, Tensor]:
        """Features (T, C) of each prompt, as the text encoder's stand-in gives them."""
        return {f'prompt.{i}': rows.detach().clone()
                for i, rows in enumerate(model.text_encoder.features())}

    def overrides(self, model: GroundingDetector, state: Mapping[str, Tensor],
                  prompts: Sequence[Prompt]) -> Overrides:
        """A text encoder that gives the learned features and nothing else."""
        encoder = model.text_encoder
        ids = [model.tokenize([prompt]).ids[0].tolist() for prompt in prompts]
        hidden = [state.get(f'prompt.{i}') for i in range(len(prompts))]
        wanted = [(len(piece) if encoder.token_features else 1, encoder.hidden_size)
                  for piece in ids]
        if len(state) != len(prompts) or any(
                h is None or tuple(h.shape) != w for h, w in zip(hidden, wanted)):
            raise UserError(f'prompt features of shapes {wanted}',
                            f'{[tuple(v.shape) for v in state.values()]}',
                            'load the task into the model it was made with')
        learned = LearnedPrompt(ids, hidden, 0, encoder).requires_grad_(False)
        return Overrides(modules={
            'text_encoder': learned.to(next(encoder.parameters()).device).eval()})
