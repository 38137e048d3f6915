"""Output files that are made once, step by step, and remembered in a manifest."""
from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from glipkit import files
from glipkit.common.reporter import track
from glipkit.data.preparation.json_stream import stream_json, stream_lines
from glipkit.errors import UserError
from glipkit.files import make_folder
from glipkit.runs.folder import kept_manifest
from glipkit.runs.results import is_intact
from glipkit.version import __version__

MANIFEST = 'manifest.json'
_EXAMPLES = 3  # per reason; enough to look one up, few enough to read


class Preparation:
    """A folder of prepared annotations, one step per file.

    ::

        prep = Preparation(options.out, 'coco', redo=options.redo)
        with prep.step('annotations/train.json', inputs=[path], settings={'min_side': 1}) as step:
            if not step.done:
                for record in step.track(records, 'box'):
                    if bad(record):
                        step.drop('degenerate boxes', f'annotation {record["id"]}')
                step.count('boxes', len(kept))
                step.write_json({'images': images, 'annotations': kept})
        print(prep.report())

    ``manifest.json`` in the folder is rewritten after every step. A run after a kill therefore
    resumes with the step that was cut off, and a second run does nothing. A step is made again
    when its settings, one of its inputs (path, size or time of change), glipkit's version or the
    content of its output differ.

    Args:
        out: The folder; made where there is none.
        source: Name of the data set; a folder of another source is refused.
        redo: Make every step again.

    Raises:
        UserError: The folder cannot be made, or belongs to something else.
    """

    def __init__(self, out: str | Path, source: str, redo: bool = False) -> None:
        self.out, self.source, self.redo = Path(out), source, redo
        manifest = kept_manifest(self.out / MANIFEST, 'source', source, source, {'steps': dict})
        self._steps: dict[str, dict[str, Any]] = manifest['steps'] if manifest else {}
        self._used: list[Step] = []
        self._checks: list[str] = []

    def path(self, name: str) -> Path:
        """Where the output of a step is, e.g. to read it as input of a later one."""
        return self.out / name

    @contextmanager
    def step(self, name: str, inputs: Sequence[str | Path] = (),
             settings: Mapping[str, Any] | None = None) -> Iterator[Step]:
        """One output file.

        Args:
            name: Path of the output relative to the folder ('annotations/train.json').
            inputs: Files that it is made from; a missing one is an error. For a folder of many
                files, pass the folder: it counts by its name and time of change alone.
            settings: Everything but the inputs that shapes the output, as plain JSON types.

        Yields:
            The step. Where ``step.done`` is False, the block has to write the output.

        Raises:
            UserError: An input is missing, or the output exists and was not made by this command.
        """
        key = _plain({'settings': settings or {}, 'inputs': [_fingerprint(p) for p in inputs],
                      'glipkit': __version__})
        record = self._steps.get(name)
        output = self.path(name)
        if record is None and output.exists():
            raise UserError('an output folder of this command', f'{output} of unknown origin',
                            'choose another --out, or move the file away')
        done = not self.redo and record is not None and (
            record.get('key') == key and is_intact(output, record))

        def commit() -> None:
            self._steps[name] = {'key': key, **step.as_record()}
            self._write_manifest()

        step = Step(name, output, record if done else None, commit)
        self._used.append(step)
        yield step
        if not done and not step.written:
            raise RuntimeError(f'step {name} ended without writing its output')
        if not done:
            commit()

    def check_images(self, folder: str | Path) -> None:
        """Searches for every image that the outputs name, and adds what is missing to the report.

        Outputs are read as COCO json (``images[].file_name``) or as lines (``filename``).

        Raises:
            UserError: There is no such folder, or it holds none of the images.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise UserError('a folder of images', f'no folder {folder}', 'check --check-images')
        all_names, all_missing = 0, []
        for step in self._used:
            names = {n for n in step.track(_image_names(step.path), 'image') if n}
            missing = sorted(n for n in names if not (folder / n).is_file())
            all_names, all_missing = all_names + len(names), [*all_missing, *missing]
            if names:
                found = f'{step.name}: {len(missing)} of {len(names)} images missing in {folder}'
                examples = f' ({", ".join(missing[:_EXAMPLES])})' if missing else ''
                self._checks.append(found + examples)
        if all_missing and len(all_missing) == all_names:
            raise UserError(f'images of the prepared files under {folder}',
                            f'none of {all_names}, such as {all_missing[0]}',
                            'pass the folder that these names are relative to')

    def report(self) -> str:
        """What each output of this run holds, and what was dropped and why; several lines."""
        lines = [f'{self.source} in {self.out}']
        for step in self._used:
            counts = ', '.join(f'{n:,} {what}' for what, n in step.counts.items())
            earlier = ' (complete from an earlier run)' if step.done else ''
            lines.append(f'  {step.name}: {counts}{earlier}')
            for reason, dropped in sorted(step.dropped.items()):
                examples = ', '.join(dropped['examples'])
                lines.append(f'    dropped {dropped["count"]:,} {reason}'
                             + (f', first: {examples}' if examples else ''))
        return '\n'.join([*lines, *(f'  {check}' for check in self._checks)])

    def _write_manifest(self) -> None:
        content = {'source': self.source, 'steps': self._steps}
        with atomic(self.out / MANIFEST) as file:
            file.write((json.dumps(content, indent=1, ensure_ascii=False) + '\n').encode())


class Step:
    """One output while it is made: its counts, what was dropped, and the writing.

    Args:
        name: Relative path of the output.
        path: Path of the output.
        record: Its entry in the manifest, where an earlier run made it.
        commit: Puts `as_record` into the manifest.

    Attributes:
        done: Whether an earlier run made it; then there is nothing to do.
    """

    def __init__(self, name: str, path: Path, record: Mapping[str, Any] | None,
                 commit: Callable[[], None]) -> None:
        self.name, self.path, self.done, self._commit = name, path, record is not None, commit
        self.counts: dict[str, int] = dict((record or {}).get('counts', {}))
        self.dropped: dict[str, dict[str, Any]] = dict((record or {}).get('dropped', {}))
        self.written = False
        self._sha256, self._size = '', 0

    def count(self, what: str, number: int = 1) -> None:
        """Adds to a count of the report: 'images', 'boxes', 'phrases', 'classes'..."""
        self.counts[what] = self.counts.get(what, 0) + number

    def drop(self, reason: str, example: str = '', number: int = 1) -> None:
        """Counts things left out, under a reason in the plural ('degenerate boxes').

        Args:
            reason: Reason as in the line 'dropped 12 degenerate boxes' of the report.
            example: Name of the thing ('annotation 17'); the first few are kept.
            number: Number of things.
        """
        entry = self.dropped.setdefault(reason, {'count': 0, 'examples': []})
        entry['count'] += number
        if example and len(entry['examples']) < _EXAMPLES:
            entry['examples'].append(example)

    def track(self, items: Iterable, unit: str, total: int | None = None) -> Iterator:
        """The same items, while the current reporter tells how many have been taken."""
        return track(items, self.name, total, unit)

    def read_json(self, path: str | Path, what: str) -> Iterator[tuple[str, Any]]:
        """`stream_json` with a bar."""
        return stream_json(path, what, description=self.name)

    def read_lines(self, path: str | Path, what: str) -> Iterator[tuple[int, str]]:
        """`stream_lines` with a bar."""
        return stream_lines(path, what, description=self.name)

    def write_json(self, content: Mapping[str, Any]) -> None:
        """Writes a JSON object, atomically.

        Args:
            content: Lists, tuples and iterators among its values are written one element a line
                and need never be in memory whole.
        """
        self._write(_json_parts(content))

    def write_lines(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Writes one JSON object a line, atomically; ``records`` may be a generator."""
        self._write(_dumps(record) + '\n' for record in records)

    def as_record(self) -> dict[str, Any]:
        """What the manifest keeps."""
        return {'sha256': self._sha256, 'size': self._size, 'counts': self.counts,
                'dropped': self.dropped}

    def _write(self, parts: Iterable[str]) -> None:
        digest, size = hashlib.sha256(), 0
        with atomic(self.path) as file:
            for part in parts:
                # Half of a surrogate pair is no UTF-8, but its escape is good JSON.
                block = part.encode(errors='backslashreplace')
                file.write(block)
                digest.update(block)
                size += len(block)
            self._sha256, self._size, self.written = digest.hexdigest(), size, True
            # Before the file takes its place: killed in between, the next run finds a file that
            # does not fit its record and makes it again, not a file that nobody knows.
            self._commit()


@contextmanager
def atomic(path: Path) -> Iterator[BinaryIO]:
    """A file to write to that takes the place of ``path`` when the block ends well.

    As `glipkit.files.atomic`, whose folder is made where there is none.

    Raises:
        UserError: Nothing can be written there, or the disk is full.
    """
    make_folder(path.parent)
    with files.atomic(path) as temporary, temporary.open('wb') as file:
        yield file


def _json_parts(content: Mapping[str, Any]) -> Iterator[str]:
    yield '{'
    for i, (key, value) in enumerate(content.items()):
        yield ('' if i == 0 else ',') + f'\n{_dumps(key)}: '
        if isinstance(value, (list, tuple, Iterator)):
            yield '['
            for j, element in enumerate(value):
                yield ('\n' if j == 0 else ',\n') + _dumps(element)
            yield ']'
        else:
            yield _dumps(value)
    yield '\n}\n'


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    """As it will be read back from the manifest, so that tuples compare equal to lists."""
    return json.loads(json.dumps(value))


def _fingerprint(path: str | Path) -> dict[str, Any]:
    try:
        status = os.stat(path)
    except OSError as error:
        raise UserError('an input that exists', f'{path} ({error.strerror})',
                        'check the path') from error
    # Absolute, for the same command may be given from another folder.
    return {'path': os.path.abspath(path), 'size': status.st_size, 'mtime_ns': status.st_mtime_ns}


def _image_names(path: Path) -> Iterator[str]:
    """File names of the images of a COCO json or a line file."""
    if path.suffix == '.jsonl':
        for _, line in stream_lines(path, 'an annotation file'):
            yield json.loads(line).get('filename', '')
    else:
        for key, value in stream_json(path, 'an annotation file'):
            if key == 'images' and isinstance(value, dict):
                yield value.get('file_name', '')
