"""One tokenizer and agreeing budgets for all parts of a run."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from glipkit.errors import UserError
from glipkit.models.contract import GroundingDetector
from glipkit.text.tokenizers import Tokenizer


class PromptMaker(Protocol):
    """A part of the data pipeline that fits prompts into a number of tokens.

    Attributes:
        tokenizer: Tokenizer that counts the tokens.
        prompt_budget: Largest number of tokens of one of its prompts, special ones included.
    """

    tokenizer: Tokenizer
    prompt_budget: int


def share_tokenizer(model: GroundingDetector, dataset: Any) -> None:
    """Hands the text encoder's tokenizer to all that make prompts for it, and compares budgets.

    To be called before worker processes begin.

    Args:
        model: The detector of the run, not wrapped.
        dataset: Training set of the run, or a dataset that holds others.

    Raises:
        UserError: A part counts with another tokenizer, or makes prompts that the model would cut.
    """
    tokenizer = model.text_encoder.tokenizer
    for part in prompt_makers(dataset):
        name = type(part).__name__
        if dict(part.tokenizer.config) != dict(tokenizer.config):
            raise UserError(f"the text encoder's tokenizer in {name} ({dict(tokenizer.config)})",
                            f'{dict(part.tokenizer.config)}',
                            'write the same tokenizer in both places of the config, or in neither')
        part.tokenizer = tokenizer
        if part.prompt_budget > model.max_tokens:
            raise UserError(f'prompts of at most {model.max_tokens} tokens, which the model reads '
                            'in training', f'{name} with a budget of {part.prompt_budget}, special '
                            'tokens included', 'lower its max_tokens or raise that of the model')


def prompt_makers(dataset: Any) -> Iterator[PromptMaker]:
    """All parts of a dataset, of its pipeline and of the datasets in it that make prompts."""
    inside = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    for other in inside:
        if other is not None:
            yield from prompt_makers(other)
    transforms = getattr(getattr(dataset, 'pipeline', None), 'transforms', ())
    for part in (*transforms, getattr(dataset, 'packer', None)):
        if hasattr(part, 'prompt_budget') and hasattr(part, 'tokenizer'):
            yield part
