"""Scores of many data sets as one: the ODinW benchmarks.

The benchmark's score is the plain mean of the COCO AP of its data sets (arXiv 2112.03857, appendix
D). A mean over some of them is another number, and is marked as such.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median

from glipkit.data.splits.odinw import OdinwDataset, PublishedScores, odinw_datasets
from glipkit.data.splits.rf100_vl import RF100, categories
from glipkit.errors import UserError
from glipkit.odinw.world_tasks import WORLD

_SPLITS = {
    '13-paper': 'test splits, manual prompts',
    '13-yaml': 'validation splits, bare class names',
    '35': 'test splits, manual prompts',
    WORLD: 'its validation pictures, bare class names',
    RF100: 'test splits, bare class names',
}


@dataclass(frozen=True)
class ScoreRow:
    """One data set; AP from 0 to 1, None where there is none.

    Args:
        name: Name of the official config file.
        title: Title for tables.
        ap: Measured AP.
        published: Published AP of the same model.
        category: Kind of the data set; '' for none.
    """
    name: str
    title: str
    ap: float | None
    published: float | None
    category: str = ''


@dataclass(frozen=True)
class Scoreboard:
    """Data sets of a profile in the official order, and their means.

    Args:
        protocol: Line that says how the scores were computed.
        profile: '13-paper', '13-yaml', '35', 'rf100-vl' or 'world'.
        rows: All data sets of the profile, those without score included.
        average: Mean over the data sets with a score; None without any.
        median: Median over the same data sets.
        published_source: Source of the published figures; None without any.
        shared: Means of ours and of the published figures over the data sets that have both;
            None where there is none.
        categories: Kind of data sets -> mean over those of its data sets that have a score.
    """
    protocol: str
    profile: str
    rows: tuple[ScoreRow, ...]
    average: float | None
    median: float | None
    published_source: str | None
    shared: tuple[float, float] | None
    categories: Mapping[str, float] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Title of the scoreboard."""
        return _title(self.profile)

    @property
    def missing(self) -> tuple[str, ...]:
        """Titles of the data sets without score."""
        return tuple(row.title for row in self.rows if row.ap is None)

    @property
    def partial(self) -> bool:
        """Whether data sets are missing, so that the means cannot be compared with others'."""
        return bool(self.missing)


def odinw_scoreboard(profile: str, scores: Mapping[str, float],
                     published: PublishedScores | None = None,
                     datasets: Sequence[OdinwDataset] | None = None) -> Scoreboard:
    """Puts the scores of a profile together.

    Args:
        profile: '13-paper', '13-yaml', '35'; or 'rf100-vl' or 'world', with its data sets.
        scores: Name or title of a data set -> COCO AP from 0 to 1. -1, which stands for "no ground
            truth", counts as missing.
        published: Published figures to show beside them.
        datasets: Data sets of the profile; None looks them up, but those of a folder must be
            given.

    Raises:
        UserError: An unknown profile, a data set that it lacks or that comes twice, or a score
            that is neither -1 nor from 0 to 1, e.g. a percentage.
    """
    datasets = odinw_datasets(profile) if datasets is None else datasets
    name_of = {key: dataset.name for dataset in datasets for key in (dataset.name, dataset.title)}
    ap: dict[str, float] = {}
    for key, score in scores.items():
        if key not in name_of or name_of[key] in ap:
            raise UserError(f'data sets of the profile {profile}, each once', repr(key),
                            f'use {", ".join(dataset.title for dataset in datasets)}')
        if score != -1 and not 0 <= score <= 1:
            raise UserError('AP from 0 to 1', f'{score} of {key}', 'divide percentages by 100')
        if score != -1:
            ap[name_of[key]] = float(score)
    theirs = {} if published is None else published.scores
    rows = tuple(
        ScoreRow(d.name, d.title, ap.get(d.name),
                 theirs[d.name] / 100 if d.name in theirs else None, d.category)
        for d in datasets)
    both = [row for row in rows if row.ap is not None and row.published is not None]
    scope = f'{len(ap)} of {len(rows)} data sets'
    if profile == RF100:
        scope += f' in this folder (the benchmark has {len(categories())})'
    return Scoreboard(
        protocol=f'{_title(profile)}: unweighted mean of COCO box AP, {_SPLITS[profile]}, {scope}',
        profile=profile, rows=rows, average=fmean(ap.values()) if ap else None,
        median=median(ap.values()) if ap else None,
        published_source=published and f'{published.model}, {published.tuning}, '
        f'{"all data" if published.shots is None else f"{published.shots} shots"}',
        shared=(fmean(r.ap for r in both), fmean(r.published for r in both)) if both else None,
        categories=_means(rows))


def _means(rows: Sequence[ScoreRow]) -> dict[str, float]:
    """Mean of each kind of data sets, in the order of the rows."""
    found: dict[str, list[float]] = {}
    for row in rows:
        if row.category and row.ap is not None:
            found.setdefault(row.category, []).append(row.ap)
    return {kind: fmean(values) for kind, values in found.items()}


def _title(profile: str) -> str:
    return {WORLD: 'Kinds of things of a world', RF100: 'Roboflow100-VL'}.get(
        profile, f'ODinW {profile}')
