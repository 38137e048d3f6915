"""What GLIP reads of a query or a sample in training, and as one whole prompt."""
from __future__ import annotations

from mmdet.structures import DetDataSample

from glipkit.text.prompts import class_prompt, clean_name
from glipkit.text.query import Query
from glipkit.text.structures import Prompt


def words_of_labels(query: Query) -> tuple[frozenset[str], ...]:
    """The words of each class of a query, in all its names, and of each negative."""
    words: dict[int, frozenset[str]] = {}
    for name, label in query.asked:
        words[label] = words.get(label, frozenset()) | set(clean_name(name).lower().split())
    return tuple(words.values())


def whole_prompt(query: Query) -> Prompt:
    """One prompt for a caption (without entities) or a class list."""
    if query.is_caption:
        return Prompt(query.caption, (), ())
    return class_prompt([name for name, _ in query.asked], caption_prompt=query.caption_prompt,
                        labels=[label for _, label in query.asked])


def box_spans(sample: DetDataSample, prompt: Prompt) -> list:
    """Character spans of each ground-truth box."""
    instances = sample.gt_instances
    if not len(prompt):  # a caption
        return list(instances.get('tokens_positive', sample.get('tokens_positive', ())))
    # Every name of a class is true of its boxes.
    spans: dict[int, tuple] = {}
    for label, own in zip(prompt.labels, prompt.spans):
        spans[label] = (*spans.get(label, ()), *own)
    return [spans[label] for label in instances.labels.tolist()]
