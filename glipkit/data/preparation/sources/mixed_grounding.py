"""The mixed grounding set: captions over Visual Genome, GQA and RefCOCO, one json as MDETR's.

Cleans the published final_mixed_train*.json, or makes one from the sources themselves."""
from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from glipkit.data.preparation import Preparation, Step
from glipkit.data.preparation.boxes import area, xywh
from glipkit.data.preparation.captions import Sentence, merge_sentences
from glipkit.data.preparation.gqa_questions import read_gqa
from glipkit.data.preparation.grounding_sources import (
    Filed,
    Key,
    PictureIndex,
    read_excluded_ids,
    read_refs,
    read_regions,
)
from glipkit.data.preparation.mixed_cleaning import clean_ready
from glipkit.errors import UserError

EXAMPLES = """examples:
  glipkit prepare mixed-grounding --ready final_mixed_train.json --out data/mixed \\
      --exclude-coco instances_val2017.json --exclude-coco instances_val2014.json
  glipkit prepare mixed-grounding --out data/mixed --no-coco --vg-images image_data.json \\
      --vg-regions region_descriptions.json --exclude-coco instances_val2017.json
  glipkit prepare mixed-grounding --out data/mixed --vg-images image_data.json \\
      --vg-regions region_descriptions.json --gqa-scenes train_sceneGraphs.json \\
      --gqa-questions train_balanced_questions.json --refs refcoco.json --refs refcocog.json \\
      --coco instances_train2014.json --exclude-coco instances_val2014.json

Pictures of Visual Genome that are COCO pictures too, as image_data.json tells, count as COCO's:
--exclude-coco and --no-coco leave them out. With --coco they are filed under COCO as well."""

Picture = tuple[Key, list[Sentence]]


class Builder:
    """Merges the sentences of each picture and numbers captions and boxes.

    Args:
        step: Takes counts and drops.
        index: Which picture is which, where and how large.
        no_coco: Leave out pictures that COCO has.
    """

    def __init__(self, step: Step, index: PictureIndex, no_coco: bool) -> None:
        self._step, self._index, self._no_coco = step, index, no_coco
        self._captions = self._boxes = 0

    def write(self, pictures: Iterator[Picture]) -> None:
        """Writes all; boxes wait in a temporary file, because they follow the captions."""
        self._step.path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile('w+', encoding='utf-8', dir=self._step.path.parent) as spool:
            self._step.write_json(dict(images=self._images(pictures, spool),
                                       annotations=_spooled(spool), categories=[]))

    def _images(self, pictures: Iterator[Picture], spool: TextIO) -> Iterator[dict]:
        for key, sentences in pictures:
            filed = self._index.file(key)
            if filed.excluded:
                self._step.drop('sentences of excluded pictures', filed.file_name, len(sentences))
            elif self._no_coco and filed.in_coco:
                self._step.drop('sentences of COCO pictures', '', len(sentences))
            else:
                self._step.count('pictures')
                yield from self._merged(filed, sentences, spool)

    def _merged(self, filed: Filed, sentences: list[Sentence], spool: TextIO) -> Iterator[dict]:
        inside = [s for s in map(filed.fit, sentences) if s is not None]
        lost = len(sentences) - len(inside)
        if lost:
            self._step.drop('sentences whose boxes are outside the picture or empty',
                            filed.file_name, lost)
        for merged in merge_sentences(inside):
            self._captions += 1
            self._step.count('captions')
            for spans, box in merged.regions:
                self._boxes += 1
                self._step.count('boxes')
                spool.write(json.dumps(dict(
                    id=self._boxes, image_id=self._captions, category_id=1, iscrowd=0,
                    bbox=xywh(box), area=area(box),
                    tokens_positive=[list(span) for span in spans])) + '\n')
            yield dict(id=self._captions, file_name=filed.file_name, height=filed.height,
                       width=filed.width, original_id=filed.original_id, caption=merged.text,
                       tokens_negative=[[0, len(merged.text)]], data_source=filed.data_source,
                       dataset_name='mixed')


def build(step: Step, options: argparse.Namespace, excluded: frozenset[int]) -> None:
    """Writes the set that the sources make together."""
    index = PictureIndex(excluded)
    held: dict[Key, list[Sentence]] = {}
    refs = [read_refs(path, step) for path in options.refs]
    if options.coco:
        index.read_coco(options.coco, step, {ref.ann_id for part in refs for ref in part.kept})
    if options.vg_images:
        index.read_vg(options.vg_images, step)
    for part in refs:
        index.exclude(part.excluded)
        for key, sentence in index.sentences(part.kept, step):
            held.setdefault(key, []).append(sentence)
    if options.gqa_questions:
        for key, sentence in read_gqa(options.gqa_questions, options.gqa_scenes, index, step):
            held.setdefault(key, []).append(sentence)
    Builder(step, index, options.no_coco).write(_pictures(options, index, held, step))


def prepare(options: argparse.Namespace) -> Preparation:
    """One json."""
    _check(options)
    prep = Preparation(options.out, 'mixed_grounding', options.redo)
    name = f'final_mixed_train{"_no_coco" if options.no_coco else ""}.json'
    sources = [options.ready, options.vg_images, options.vg_regions, options.gqa_questions,
               options.gqa_scenes, options.coco, *options.refs, *options.exclude_coco]
    with prep.step(name, inputs=[path for path in sources if path],
                   settings={'no_coco': options.no_coco, 'ready': bool(options.ready)}) as step:
        if not step.done:
            excluded = read_excluded_ids(options.exclude_coco, step)
            if options.ready:
                clean_ready(step, Path(options.ready), excluded, options.no_coco)
            else:
                build(step, options, excluded)
    return prep


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this source."""
    for option, what in (
            ('--ready', 'a published final_mixed_train*.json to clean'),
            ('--vg-images', "Visual Genome's image_data.json"),
            ('--vg-regions', "Visual Genome's region_descriptions.json"),
            ('--gqa-questions', "GQA's train_balanced_questions.json"),
            ('--gqa-scenes', "GQA's train_sceneGraphs.json"),
            ('--coco', "COCO's instances_train2014.json: sizes of pictures, boxes of --refs")):
        parser.add_argument(option, metavar='FILE', help=what)
    parser.add_argument('--refs', metavar='FILE', action='append', default=[],
                        help='RefCOCO expressions as json; may be repeated')
    parser.add_argument('--exclude-coco', metavar='FILE', action='append', default=[],
                        help='COCO json whose images are left out; may be repeated')
    parser.add_argument('--no-coco', action='store_true', help='leave out all COCO pictures')


def _check(options: argparse.Namespace) -> None:
    """Checks which files are needed together.

    Raises:
        UserError: Something is missing, or --ready stands beside sources.
    """
    made_from = [options.vg_regions, options.gqa_questions, *options.refs]
    needs = [('--vg-regions', options.vg_regions, '--vg-images', options.vg_images),
             ('--gqa-questions', options.gqa_questions, '--gqa-scenes', options.gqa_scenes),
             ('--gqa-questions', options.gqa_questions, '--vg-images', options.vg_images),
             ('--gqa-scenes', options.gqa_scenes, '--gqa-questions', options.gqa_questions),
             ('--refs', options.refs, '--coco', options.coco)]
    if bool(options.ready) == any(made_from):
        raise UserError('either --ready, or some of --vg-regions, --gqa-questions and --refs',
                        'both' if options.ready else 'neither', 'see --help')
    for option, given, other, needed in needs:
        if given and not needed:
            raise UserError(f'{other} beside {option}', 'none', f'add {other} FILE')


def _pictures(options: argparse.Namespace, index: PictureIndex, held: dict[Key, list[Sentence]],
              step: Step) -> Iterator[Picture]:
    """(picture, its sentences of all sources); Visual Genome's millions one picture at a time."""
    if options.vg_regions:
        for key, sentences in read_regions(options.vg_regions, index, step):
            yield key, [*held.pop(key, ()), *sentences]
    yield from held.items()


def _spooled(spool: TextIO) -> Iterator[dict[str, Any]]:
    # Runs when all captions are through: values of the object are written in order.
    spool.seek(0)
    yield from map(json.loads, spool)
