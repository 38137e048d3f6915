"""Hand-written prompts: reading them, and finding the best of several."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from glipkit.data.formats.reading import open_text
from glipkit.errors import UserError
from glipkit.text.prompts import class_prompt
from glipkit.text.structures import CaptionPrompt

Choices = Mapping[str, Sequence[Mapping[str, str]]]
"""Class name -> its prompts to choose from, any number; each a dict(prefix=, name=, suffix=)."""


def read_prompts(path: str | Path, classes: Sequence[str]) -> list[Choices]:
    """Reads hand-written prompts.

    The file is a mapping of class names, or a list of such mappings, each a separate candidate.
    The value of a class is a text that replaces its name, a mapping with ``prefix``, ``name`` and
    ``suffix``, or a list of these to choose from. Classes that are left out keep their name.

    Args:
        path: YAML file.
        classes: Class names of the task.

    Raises:
        UserError: No such file, or something in it that cannot be a prompt.
    """
    where = 'a YAML file of prompts'
    with open_text(path, where) as file:
        try:
            content = yaml.safe_load(file)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UserError(where, f'{path} ({" ".join(str(error).split())[:100]})',
                            'repair the file') from error
    candidates = content if isinstance(content, list) else [content]
    if not candidates or not all(isinstance(c, dict) and c for c in candidates):
        raise UserError('a mapping of class names to prompts, or a list of these', str(path),
                        'see docs/transfer.md')
    return [_choices(candidate, classes, path) for candidate in candidates]


def _choices(candidate: Mapping[Any, Any], classes: Sequence[str], path: str | Path) -> Choices:
    unknown = [name for name in candidate if name not in classes]
    if unknown:
        raise UserError(f'classes of the task ({", ".join(classes)})', f'{path}: {unknown[:5]}',
                        'spell and quote them as in the annotation file')
    choices = {}
    for name, given in candidate.items():
        given = given if isinstance(given, list) else [given]
        choices[name] = [{'name': one} if isinstance(one, str) else one for one in given]
        for written in choices[name]:
            if not isinstance(written, dict) or not all(isinstance(text, str)
                                                        for text in written.values()):
                raise UserError('words, or prefix, name and suffix as text',
                                f'{path}: {name}: {written}', 'quote them')
            class_prompt([name], caption_prompt={name: written})  # refuses what is not a prompt
    return choices


def one_prompt(candidates: Sequence[Choices], path: str | Path) -> CaptionPrompt:
    """The prompts of a file that leaves no choice.

    Raises:
        UserError: The file leaves a choice.
    """
    if len(candidates) > 1 or any(len(given) > 1 for given in candidates[0].values()):
        raise UserError('one prompt for each class', f'{path} with several',
                        "find the best with --strategy manual first, and pass its prompts.yaml")
    return {name: given[0] for name, given in candidates[0].items()}


@dataclass(frozen=True)
class Scored:
    """Prompts and their score."""
    prompts: CaptionPrompt
    score: float


def search_prompts(candidates: Sequence[Choices],
                   score: Callable[[CaptionPrompt], float]) -> list[Scored]:
    """Scores the plain names and every candidate, and in the best one the other choices.

    Where classes have several prompts to choose from, they are tried class by class, in order,
    with the best found so far for the others: the evaluations are as many as the prompts, not as
    their product.

    Args:
        candidates: Candidates from :func:`read_prompts`.
        score: Function that gives the score of a complete set of prompts; more is better.

    Returns:
        Everything that was scored, in that order; of equals the first is the best.
    """
    tried = [Scored({}, score({}))]
    for choices in candidates:
        first = {name: given[0] for name, given in choices.items()}
        best = Scored(first, score(first))
        tried.append(best)
        for name, given in choices.items():
            for written in given[1:]:
                other = {**best.prompts, name: written}
                tried.append(Scored(other, score(other)))
                if tried[-1].score > best.score:
                    best = tried[-1]
    return tried


def best_prompts(tried: Sequence[Scored]) -> Scored:
    """The first of the best."""
    return max(tried, key=lambda one: one.score)
