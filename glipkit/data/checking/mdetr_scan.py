"""Checks of MDETR's json files: mixed grounding and Flickr30k separateGT."""
from __future__ import annotations

import os
from typing import Any

from glipkit.data.checking.boxes import Size
from glipkit.data.checking.coco_scan import CocoScan
from glipkit.data.formats.reading import as_crowd


class MdetrScan(CocoScan):
    """Images with a caption each, boxes with spans in it; no classes."""

    lists = ('images', 'annotations')
    can_merge = False

    def make_table(self, content: dict) -> None:
        """There are no classes to ask for."""

    def kept_categories(self, content: dict) -> dict:
        """Stays as it is."""
        return {}

    def file_name(self, record: dict) -> Any:
        """Name of an image's file, in the folder of its source."""
        name, prefixes = super().file_name(record), self.data_file.source_prefix
        if prefixes is None or not isinstance(name, str) or not name:
            return name
        source = record.get('data_source')
        known = isinstance(source, str) and source in prefixes
        return os.path.join(prefixes[source], name) if known else None

    def judge_image(self, record: dict, where: str) -> dict | None:
        """Checks the caption."""
        usable = self.captions.judge(record.get('caption'), where)
        self.counts['captions'] += usable
        return record if usable else None

    def judge_category(self, record: dict, where: str) -> bool:
        """Categories are copied from the sources of the file and mean nothing."""
        return True

    def judge_annotation(self, record: dict, image: dict, size: Size, where: str) -> dict | None:
        """Checks box and spans."""
        record = self.judged_values(record, where)
        if record is None:
            return None
        if as_crowd(record.get('iscrowd'), where):
            self.findings.add('crowd', where)
            return record
        box = self.boxes.judge(record.get('bbox'), size, where)
        spans = self.captions.spans(image['caption'], record.get('tokens_positive'), where)
        if box is None:
            return None
        if not spans:
            self.findings.add('no_span', where, record.get('tokens_positive'))
            self.boxes.kept -= 1
            return None
        return {**record, 'bbox': box, 'tokens_positive': spans}


class FlickrScan(MdetrScan):
    """As mixed grounding; test sets list the phrases to find beside."""

    def judge_image(self, record: dict, where: str) -> dict | None:
        """Checks the caption and the phrases of a test."""
        record = super().judge_image(record, where)
        if record is None or record.get('tokens_positive_eval') is None:
            return record
        phrases = record['tokens_positive_eval']
        if not isinstance(phrases, list):
            self.findings.add('bad_span', where, f'tokens_positive_eval {phrases!r}')
            phrases = []
        place = f'{where}: tokens_positive_eval'
        kept = [self.captions.spans(record['caption'], spans, place) for spans in phrases]
        return {**record, 'tokens_positive_eval': [spans for spans in kept if spans]}
