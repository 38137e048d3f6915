"""A base for metrics: each process sends a few arrays, and the first process scores them."""
from __future__ import annotations

import logging
from abc import abstractmethod
from typing import Any

from mmengine.dist import broadcast_object_list, gather_object, is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from glipkit.errors import UserError


class ArrayMetric(BaseMetric):
    """A metric that stores results in arrays, not in a list.

    mmengine makes one object per image, and pickles all of them through a folder that the processes
    must share. Here every process sends one bundle of arrays to the first, which
    scores. Samplers of several processes repeat images to even out the ranks: subclasses drop
    those in `compute_metrics`, by the image's id.

    Subclasses define `state`, `reset`, `process` and `compute_metrics`; the last takes the states
    of all processes and sets ``protocol``.

    Attributes:
        protocol: After an evaluation, in the first process: what the numbers are, in one line.
    """

    protocol: str | None = None

    @abstractmethod
    def state(self) -> Any:
        """Results of this process: a picklable value of few, large arrays."""

    @abstractmethod
    def reset(self) -> None:
        """Removes all results."""

    def evaluate(self, size: int) -> dict[str, float]:
        """Scores what all processes found; every one of them gets the metrics.

        Args:
            size: Number of images of the data set; not used, as ids show repeated images.

        Raises:
            UserError: An error of `compute_metrics`, raised in every process: if only the first
                stopped, the others would wait.
        """
        states = gather_object(self.state(), dst=0)
        answer: list[Any] = [None]
        if is_main_process():
            try:
                found = self.compute_metrics(states)
                answer = [{f'{self.prefix}/{name}': value for name, value in found.items()}]
                print_log(f'Protocol: {self.protocol}', 'current', logging.INFO)
            except UserError as error:
                answer = [error]
        broadcast_object_list(answer)
        self.reset()
        if isinstance(answer[0], UserError):
            raise answer[0]
        return answer[0]
