"""A report as a person reads it."""
from __future__ import annotations

from collections.abc import Iterator

from glipkit.data.checking.check import Report
from glipkit.data.checking.findings import shorten
from glipkit.data.checking.names import PromptSettings


def report_lines(report: Report, settings: PromptSettings) -> Iterator[str]:
    """Id map, prompts, findings and the verdict, line by line.

    Args:
        report: Result of `check`.
        settings: Those of the check.
    """
    counts = report.counts
    parts = [f'{counts["images"]} images', f'{counts["boxes"]} usable boxes of '
             f'{counts["boxes_in_file"]}']
    if counts['captions']:
        parts.append(f'{counts["captions"]} captions of up to {report.longest_caption} tokens')
    if report.classes:
        parts.append(f'{len(report.classes)} classes')
    yield f'{report.path} ({report.format}): ' + ', '.join(parts)
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
    for row in report.classes:
        label = '-' if row.label is None else row.label
        count = f'{len(row.tokens)} token' + ('s' if len(row.tokens) != 1 else '')
        yield (f'  {row.category_id!s:>6} -> {label!s:>4} -> {shorten(row.name, 40):40} '
               f'{count:10} {row.boxes} boxes')


def _prompt_lines(report: Report, settings: PromptSettings) -> Iterator[str]:
    if not report.prompts:
        return
    if report.classes:
        many = len(report.prompts) != 1
        yield f'{len(report.prompts)} prompt' + ('s:' if many else ':')
    else:
        yield 'first caption:'
    for prompt in report.prompts:
        tokens = settings.tokenizer.length(prompt)
        budget = settings.max_tokens if report.classes else settings.caption_tokens
        yield f'  [{tokens} of {budget} tokens] {shorten(prompt, 10**6)}'


def _finding_lines(report: Report) -> Iterator[str]:
    for finding in report.findings.sorted():
        yield f'{finding.severity}: {finding.count} {finding.message}'
        for example in finding.examples:
            yield f'    {example}'
        if finding.count > len(finding.examples):
            yield f'    and {finding.count - len(finding.examples)} more'
