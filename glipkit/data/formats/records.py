"""Sets that are sequences of records: checked whole when small, read at access when large."""
from __future__ import annotations

import logging
from abc import abstractmethod
from collections import Counter
from typing import Protocol

from mmengine.dataset.base_dataset import force_full_init
from mmengine.logging import print_log

from glipkit.data import sample_keys as keys
from glipkit.data.formats.reading import summary
from glipkit.data.grounding_dataset import DamagedRecordError, GroundingDataset
from glipkit.errors import UserError

CHECK_BYTES = 20 << 20
"""Size of annotations up to which every record is read on opening."""

_PROBED = 100


class Records(Protocol):
    """What a line format reads: any number of records, with the size of all of them."""

    num_bytes: int

    def __len__(self) -> int:
        ...


class RecordDataset(GroundingDataset):
    """A set whose annotations are a sequence of records, each one sample.

    Up to `CHECK_BYTES` of annotations every record is read and checked on opening, and a damaged
    one is an error. Of larger ones the first and the last hundred are; the others are read when
    they are drawn, and nothing of them stays in memory. What is wrong with one then raises in
    test mode, and in training it is named in a warning, counted, and replaced by another
    (`GroundingDataset`). ``filter_cfg`` acts when a sample is drawn, in the same way. Boxes and
    regions left out are counted in a log line: all of them on opening, or the 1st, 10th, 100th...
    of each process.

    Subclasses give `open_records` and `parse`, and set ``_class_names`` where samples have no
    caption.
    """

    _class_names: tuple[str, ...] = ()

    @abstractmethod
    def open_records(self) -> Records:
        """Opens the annotation files."""

    @abstractmethod
    def parse(self, row: int, dropped: Counter) -> dict:
        """Sample of one record.

        Args:
            row: Index into what `open_records` gave, kept in ``self.records``.
            dropped: Counts what is left out, by reason.

        Raises:
            UserError: The record is damaged; names file and line.
        """

    def load_data_list(self) -> list[dict] | range:
        """All samples of a small set; the rows of a large one."""
        self.records = self.open_records()
        rows = range(len(self.records))
        self._losses: Counter = Counter()
        self.reads_at_access = self.records.num_bytes > CHECK_BYTES
        if self.reads_at_access:
            for row in {*rows[:_PROBED], *rows[-_PROBED:]}:
                self.parse(row, Counter())
            # mmengine's serialisation would read everything into memory.
            self.serialize_data = False
            print_log(f'{self.ann_file}: {len(rows)} images, read at access', 'current')
            return rows
        dropped: Counter = Counter()
        samples = [self.parse(row, dropped) for row in rows]
        counts = {'images': len(samples),
                  'captions': sum(keys.TEXT in sample for sample in samples),
                  'boxes': sum(len(sample[keys.INSTANCES]) for sample in samples)}
        print_log(summary(self.ann_file, counts, dropped), 'current')
        return samples

    def filter_data(self) -> list[dict] | range:
        """Filters a small set; a large one is filtered by `draw_sample`."""
        if not self.reads_at_access:
            return super().filter_data()
        return self.data_list

    @force_full_init
    def get_data_info(self, idx: int) -> dict:
        """Sample ``idx`` before the pipeline.

        Raises:
            DamagedRecordError: A record that is read at access cannot be.
        """
        if self.reads_at_access:
            sample = self._read(self.data_list[idx])
            sample['sample_idx'] = idx % len(self)
        else:
            sample = super().get_data_info(idx)
        return {keys.TEXT: self._class_names, **sample}

    def draw_sample(self, idx: int) -> dict | None:
        """Sample ``idx``; None where training filters it out."""
        sample = self.get_data_info(idx)
        if self.reads_at_access and not self.test_mode and not self.keeps(sample):
            self._count({'images that filters leave out': 1})
            return None
        return sample

    def _read(self, row: int) -> dict:
        dropped: Counter = Counter()
        try:
            sample = self.parse(row, dropped)
        except UserError as error:
            raise DamagedRecordError(error.expected, error.got, error.fix) from error
        self._count(dropped)
        return sample

    def _count(self, losses: Counter | dict[str, int]) -> None:
        """Adds to the losses of this process, and logs those that reach a power of ten."""
        for thing, number in losses.items():
            before = self._losses[thing]
            self._losses[thing] += number
            grown = len(str(self._losses[thing])) > len(str(before))
            if number and (grown or not before):
                print_log(f'{self.ann_file}: left out {self._losses[thing]} {thing} in the '
                          'samples drawn so far', 'current', logging.INFO)
