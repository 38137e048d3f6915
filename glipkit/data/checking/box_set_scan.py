"""Checks of data in the layouts of other programs, which a reader has made COCO records of."""
from __future__ import annotations

from glipkit.data.checking.coco_scan import CocoScan
from glipkit.data.formats.box_sets.structures import coco_content


class BoxSetScan(CocoScan):
    """A part of a data set; every place is one of the files that it was read from.

    A cleaned copy is a COCO json.
    """

    def load(self) -> dict:
        """The records, and what the reader could not make records of."""
        data, part = self.data_file.boxes
        content, self._places = coco_content(data, part)
        for problem in data.parts[part].problems:
            self.findings.add(*problem)
        return content

    def place(self, key: str, number: int) -> str:
        """File and line of a record."""
        return self._places[key][number]
