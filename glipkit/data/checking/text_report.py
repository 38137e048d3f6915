"""A report as a person reads it."""
from __future__ import annotations

from collections.abc import Iterator

from glipkit.common.visible import visible
from glipkit.data.checking.check import Report
from glipkit.data.checking.findings import shorten
from glipkit.data.checking.names import ClassRow, PromptSettings

#: Lines of classes and of prompts that a person is shown.
MOST_CLASSES, MOST_PROMPTS = 100, 10


def report_lines(report: Report, settings: PromptSettings) -> Iterator[str]:
    """Id map, prompts, findings and the verdict, line by line.

    Args:
        report: What `check` found.
        settings: Those of the check.
    """
    counts = report.counts
    parts = [f'{counts["images"]} images', f'{counts["boxes"]} usable boxes of '
             f'{counts["boxes_in_file"]}']
    if counts['captions']:
        parts.append(f'{counts["captions"]} captions of up to {report.longest_caption} tokens')
    if report.classes:
        parts.append(f'{len(report.classes)} classes')
    yield f'{visible(report.path)} ({report.format}): ' + ', '.join(parts)
    yield from _class_lines(report)
    yield from _prompt_lines(report, settings)
    yield from _finding_lines(report)
    yield verdict(report)


def verdict(report: Report) -> str:
    """One line: whether training may start."""
    errors = report.findings.errors()
    if errors:
        return f'training should not start: {len(errors)} kinds of errors'
    return 'training may start'


def _class_lines(report: Report) -> Iterator[str]:
    if not report.classes:
        return
    yield 'category id -> label -> name'
    lines = (_class_line(row) for row in report.classes)
    yield from _abridged(lines, len(report.classes), MOST_CLASSES)


def _class_line(row: ClassRow) -> str:
    label = '-' if row.label is None else row.label
    count = f'{len(row.tokens)} token' + ('s' if len(row.tokens) != 1 else '')
    return (f'  {row.category_id!s:>6} -> {label!s:>4} -> {shorten(row.name, 40):40} '
            f'{count:10} {row.boxes} boxes')


def _prompt_lines(report: Report, settings: PromptSettings) -> Iterator[str]:
    if not report.prompts:
        return
    if report.classes:
        many = len(report.prompts) != 1
        yield f'{len(report.prompts)} prompt' + ('s:' if many else ':')
    else:
        yield 'first caption:'
    budget = settings.max_tokens if report.classes else settings.caption_tokens
    lines = (f'  [{settings.tokenizer.length(prompt)} of {budget} tokens] '
             f'{shorten(prompt, 10**6)}' for prompt in report.prompts)
    yield from _abridged(lines, len(report.prompts), MOST_PROMPTS)


def _abridged(lines: Iterator[str], count: int, most: int) -> Iterator[str]:
    """All lines, or the first ``most`` less one and the last, with their number between."""
    for number, line in enumerate(lines):
        if count <= most or number < most - 1 or number == count - 1:
            yield line
        elif number == most - 1:
            yield f'  ... {count - most} more; --json FILE writes all'


def _finding_lines(report: Report) -> Iterator[str]:
    for finding in report.findings.sorted():
        yield f'{finding.severity}: {finding.count} {finding.message}'
        for example in finding.examples:
            yield f'    {example}'
        if finding.count > len(finding.examples):
            yield f'    and {finding.count - len(finding.examples)} more'
