"""What a detector answers that learns names from examples; part of the contract."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from mmdet.structures import DetDataSample
from torch import Tensor

from glipkit.common.settling import settle_learned
from glipkit.errors import UserError
from glipkit.text.prompts import check_class_names
from glipkit.text.query import Query
from glipkit.text.structures import Prompt


class LearnsNames:
    """The part of `GroundingDetector` for names that examples show instead of words.

    A name that was learned has features of its own in a prompt of its own: no word's features
    change.

    Attributes:
        learned_prompts: Prompts of the names that this model, a view of another one, has learned,
            see :meth:`learned_parts`; labels count the names, -1 is an entity that must not be
            found.
    """

    learned_prompts: tuple[Prompt, ...] = ()
    #: Whether steps of :meth:`prompt_loss` make what :meth:`start_rows` gives better.
    refines_names: ClassVar[bool] = False

    def example_maps(self, images: Tensor) -> tuple[Tensor, ...]:
        """What learning needs of images (B, 3, H, W), normalised, and no learning changes."""
        return tuple(self.extract_feat(images))

    def example_prompts(self, names: Sequence[str], negatives: Sequence[str]) -> list[Prompt]:
        """The prompts in which names stand that are learned from examples.

        Args:
            names: Names in an order; labels count them.
            negatives: Names for what must not be found, with the label -1.

        Raises:
            UserError: The model cannot learn names, or not so many of them.
        """
        raise self._no_examples()

    def start_rows(self, prompt: Prompt, maps: Sequence[Sequence[Tensor]],
                   samples: Sequence[DetDataSample]) -> Tensor:
        """Features of a prompt that need no training, from the boxes of examples.

        Args:
            prompt: One of :meth:`example_prompts`.
            maps: Of each image, what `example_maps` gives for it alone.
            samples: Of each image ``gt_instances`` with ``bboxes`` (G, 4), exclusive xyxy pixels of
                the input image, and ``labels`` (G,), indices into the entities of the prompt; and
                ``scale_factor`` where it was resized.

        Returns:
            (T, C).
        """
        raise self._no_examples()

    def prompt_loss(self, prompt: Prompt, rows: Tensor, maps: Sequence[Tensor],
                    samples: Sequence[DetDataSample]) -> dict[str, Tensor]:
        """Losses of one prompt with given features, for maps of images that are there already.

        Args:
            prompt: One of :meth:`example_prompts`.
            rows: Its features (T, C), as one learns them.
            maps: What `example_maps` gives for B images.
            samples: As for :meth:`start_rows`; labels index the entities of this prompt.
        """
        raise self._no_examples()

    def learned_parts(self, prompts: Sequence[Prompt], rows: Sequence[Tensor]) -> dict[str, Any]:
        """Children and attributes of a view of this model that knows names by features.

        Args:
            prompts: From :meth:`example_prompts`.
            rows: Features (T, C) of each.

        Returns:
            Name of the child or attribute -> its value in the view, ``learned_prompts`` among them.

        Raises:
            UserError: Features of another shape than the model has.
        """
        raise self._no_examples()

    def _no_examples(self) -> UserError:
        return UserError('a model that learns names from examples',
                         f'a {type(self).__name__}, which does not', 'name another model')

    def with_learned(self, query: Query,
                     ask: Callable[[Query], list[Prompt]]) -> list[Prompt]:
        """Prompts of the words as without learned names, then those of the names that are learned.

        So words of GLIP have the scores that they always have, whatever was learned beside them; in
        a softmax over classes a learned name takes its share, as one more word does.

        Args:
            query: The whole question.
            ask: Builds the prompts of a query of words.
        """
        learned = {name for prompt in self.learned_prompts
                   for name, label in zip(prompt.names, prompt.labels) if label >= 0}
        if query.is_caption or not learned.intersection(name for name, _ in query.asked):
            return ask(query)
        check_class_names([name for name, _ in query.asked])
        words, labels = query.without(learned)
        found = [] if words is None else [
            replace(prompt, labels=tuple(labels[label] for label in prompt.labels))
            for prompt in ask(words)]
        label_of = dict(query.asked)
        free = max(label_of.values()) + 1
        for prompt in self.learned_prompts:
            entities = [(span, name, label_of[name] if label >= 0 else None)
                        for span, name, label in zip(prompt.spans, prompt.names, prompt.labels)
                        if label < 0 or name in label_of]
            if max(prompt.labels) >= 0 and all(label is None for _, _, label in entities):
                continue
            spans, names, own = zip(*entities)
            avoided = iter(range(free, free + len(own)))
            own = tuple(next(avoided) if label is None else label for label in own)
            free = max(free, *(label + 1 for label in own))
            found.append(replace(prompt, spans=spans, names=names, labels=own))
        return found

    def settle_learned(self, sample: DetDataSample) -> None:
        """Takes out of a sample's detections what was learned not to be found, with its share of
        the scores of learned names, see :func:`~glipkit.common.settling.settle_learned`."""
        found = sample.get('pred_instances')
        if found is None or (query := Query.of_sample(sample)).is_caption:
            return
        learned, avoided = self.learned_labels(query)
        if avoided is None or not (found.labels >= avoided).any():
            return
        kept, scores = settle_learned(*(found[key].detach().float().cpu().numpy()
                                        for key in ('bboxes', 'scores', 'labels')), learned,
                                      avoided)
        chosen = found[torch.from_numpy(kept).to(found.labels.device)]
        chosen.scores = torch.from_numpy(scores).to(chosen.scores)
        sample.pred_instances = chosen

    def learned_labels(self, query: Query) -> tuple[tuple[int, ...], int | None]:
        """The labels of a question's names that were learned, and the one from which on labels are
        learned negatives; None where nothing was learned not to be found."""
        names = {name for one in self.learned_prompts
                 for name, label in zip(one.names, one.labels) if label >= 0}
        some = any(label < 0 for one in self.learned_prompts for label in one.labels)
        return (tuple(label for name, label in query.asked if name in names),
                len(query.classes) + len(query.negatives) if some else None)
