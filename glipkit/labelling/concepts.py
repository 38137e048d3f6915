"""A pool of concepts from captions: what they name, how often, and how an encoder embeds it.

RegionCLIP, section 3.2: the words that regions may get. Counting and embedding are kept as they
proceed, so that the same call resumes after a kill.
"""
from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from glipkit.apis.tasks import fingerprint
from glipkit.common.reporter import bar, note
from glipkit.data.formats.caption_texts import caption_files, caption_texts
from glipkit.errors import UserError
from glipkit.files import check_file, make_folder, write_text
from glipkit.models.alignment.label_embeddings import LabelEmbeddings
from glipkit.runs.folder import claimed
from glipkit.text.bank import TextBank, read_names
from glipkit.text.phrases.nouns import head_nouns
from glipkit.text.templates import clean_name, find_templates

#: Names of one part, which is kept when it is done.
PART = 48
_WORK = '.work'


@dataclass(frozen=True)
class ConceptSettings:
    """What becomes a concept, and how it is embedded.

    Args:
        min_count: Captions have to name a concept this often; 100 in the paper.
        templates: Name of the templates whose embeddings are averaged.
        backend: Back end of the phrases, see `extract_phrases`.
    """

    min_count: int = 100
    templates: str = 'imagenet_and_name'
    backend: str = 'rules'

    def __post_init__(self) -> None:
        if self.min_count < 1:
            raise UserError('min_count of at least 1', str(self.min_count), 'raise it')
        find_templates(self.templates)


def make_pool(sources: Sequence[str | Path], out: str | Path, encoder: nn.Module,
              settings: ConceptSettings | None = None, names: str | Path | None = None,
              given: bool = False) -> TextBank:
    """Counts the nouns of captions, embeds the frequent ones and writes them as a `TextBank`.

    What is done lies in a folder beside ``out`` until the file is complete; another threshold or
    other templates take from it what they can.

    Args:
        sources: Files of captions or folders of them, see `caption_texts`; with ``given`` text
            files of concepts, one per line, with a count after a comma or without.
        out: The ``.safetensors`` to write.
        encoder: A text encoder of sentences, in evaluation mode.
        settings: Threshold, templates, back end.
        names: Text file to write as well: ``name,count`` per line, the most frequent first.
        given: Whether the sources name the concepts.

    Returns:
        The pool, the most frequent concept first; of equal ones in alphabetical order.

    Raises:
        UserError: Nothing is left to embed, a source cannot be read, the encoder is one of tokens,
            or nothing can be written.
    """
    settings, out = settings or ConceptSettings(), Path(out)
    files = _checked(sources, out, encoder, names, given)
    identity = dict(given=given, backend=settings.backend, sources=[
        (str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in files])
    folder = out.parent / f'.{out.name}.{_digest(identity)}{_WORK}'
    with claimed(folder, identity):
        counts = _given(files) if given else _counted(files, settings, folder)
        chosen = _frequent(counts, 1 if given else settings.min_count)
        note(f'{len(chosen)} concepts')
        encoded_by = fingerprint(encoder)
        rows = _embed([concept for concept, _ in chosen], encoder, settings, folder, encoded_by)
        concepts, numbers = zip(*chosen)
        bank = TextBank(concepts, rows, numbers if any(numbers) else None,
                        find_templates(settings.templates), encoded_by)
        bank.write(out)
        if names is not None:
            lines = [f'{c},{n}' if bank.counts else c for c, n in chosen]
            write_text(names, '\n'.join(lines) + '\n')
    for left in out.parent.glob(f'.{out.name}.*{_WORK}'):
        shutil.rmtree(left, ignore_errors=True)
    return bank


def _checked(sources: Sequence[str | Path], out: Path, encoder: nn.Module,
             names: str | Path | None, given: bool) -> list[Path]:
    """The files to read, once it is known that all can be done and written."""
    if out.suffix != '.safetensors':
        raise UserError('a pool that ends in .safetensors', str(out), 'name it so')
    for path in (out, *([] if names is None else [names])):
        check_file(path)
    if encoder.token_features:
        raise UserError('a model whose text encoder gives one row of features per text',
                        f'{type(encoder).__name__}, which gives one per token',
                        'pass a model of images and texts')
    files = [Path(source) for source in sources] if given else caption_files(sources)
    missing = [path for path in files if not path.is_file()]
    if missing:
        raise UserError('files of concepts', f'no file {missing[0]}', 'check the path')
    make_folder(out.parent)
    return files


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


def count_nouns(path: Path, backend: str) -> tuple[Counter, int]:
    """Noun -> how many captions of a file name it; and the number of captions."""
    counts: Counter = Counter()
    captions = 0
    with bar(f'counting nouns of {path.name}', None, 'caption', scale=True) as shown:
        for caption in caption_texts(path):
            captions += 1
            counts.update({cleaned for noun in head_nouns(caption, backend)
                           if (cleaned := clean_name(noun))})
            shown.update()
    return counts, captions


def _counted(files: Sequence[Path], settings: ConceptSettings, folder: Path) -> Counter:
    """Counts of all files; those of each are kept in the folder."""
    total: Counter = Counter()
    captions = 0
    for i, path in enumerate(files):
        kept = folder / f'counts-{i:05d}.json'
        if not kept.is_file():
            counts, number = count_nouns(path, settings.backend)
            write_text(kept, json.dumps([number, counts]))
        number, counts = json.loads(kept.read_text(encoding='utf-8'))
        captions += number
        total.update(counts)
    if not total:
        shutil.rmtree(folder)
    where = str(files[0]) if len(files) == 1 else f'{len(files)} files'
    if not captions:
        raise UserError('captions', f'none in {where}', 'check the sources')
    if not total:
        raise UserError('captions that name things', f'{captions} captions in {where} without a '
                        'noun', 'check their language, or pass another back end for phrases')
    return total


def _given(files: Sequence[Path]) -> Counter:
    found: Counter = Counter()
    for path in files:
        names, counts = read_names(path)
        for name, count in zip(names, counts or [0] * len(names)):
            if clean_name(name):
                found[clean_name(name)] += count
    return found


def _frequent(counts: Counter, least: int) -> list[tuple[str, int]]:
    """Concepts and their counts, the most frequent first."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    chosen = [(name, count) for name, count in ranked if count >= least or not count]
    if not chosen:
        got = f'{ranked[0][0]!r} as the most frequent, {ranked[0][1]} times' if ranked else 'none'
        raise UserError(f'a concept that {least} captions name', got,
                        'lower --min-count, or pass more captions')
    return chosen


def _embed(names: Sequence[str], encoder: nn.Module, settings: ConceptSettings,
           folder: Path, encoded_by: str) -> torch.Tensor:
    """(N, D) float32 embeddings; a part at a time, each kept in the folder."""
    embed, parts = LabelEmbeddings(max_rows=0), []
    with bar('embedding', len(names), 'concept') as shown, torch.no_grad():
        for start in range(0, len(names), PART):
            chosen = names[start:start + PART]
            name = _digest([chosen, settings.templates, encoded_by])
            kept = folder / f'part-{name}.safetensors'
            if not kept.is_file():
                rows = embed(encoder, chosen, settings.templates)
                TextBank(tuple(chosen), rows.float().cpu()).write(kept)
            parts.append(TextBank.read(kept).embeddings)
            shown.update(len(chosen))
    return torch.cat(parts)
