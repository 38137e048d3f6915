"""Damaged annotation files and images: every one a clear refusal, a counted drop, or read right.

About 150 cases run in the suite. The environment variable ``GLIPKIT_FUZZ=2000`` runs that many,
with the seeds 0, 1, 2...; a failure names its seed, and ``run_case`` repeats it.
"""
from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

import glipkit  # noqa: F401
from glipkit.data.checking import CheckSettings, DataFile, check
from glipkit.registry import DATASETS
from tests.fuzz.runner import PIPELINE, Counts, run_case
from tests.fuzz.worlds import FORMATS, NAMES, make

CASES = int(os.environ.get('GLIPKIT_FUZZ', 153))


@pytest.mark.parametrize('kind', FORMATS)
def test_the_sound_world_is_sound(kind, tmp_path, monkeypatch):
    """Without damage nothing is found and nothing is lost; else the fuzzing would prove little."""
    world = make(kind)
    (tmp_path / 'images').mkdir()
    for name, content in [(world.file, world.encode()), *world.extra.items()]:
        (tmp_path / name).write_bytes(content)
    for name, image in world.images.items():
        (tmp_path / 'images' / name).write_bytes(image)
    files = {key: tmp_path / name for key, name in world.arguments.items()}
    report = check(DataFile(
        tmp_path / world.file, files.get('img_file', tmp_path / 'images'),
        label_map=files.get('label_map_file'), sizes=files.get('hw_file')), CheckSettings())
    assert report.format == world.file_format
    # The few boxes of a world are repeated.
    usual = {'crowd', 'empty_image', 'low_score', 'same_box'}
    assert {f.kind for f in report.findings.sorted()} <= usual
    counts = Counts(monkeypatch)
    dataset = DATASETS.build(dict(
        type=world.reader, ann_file=world.file, data_root=str(tmp_path),
        data_prefix=dict(img='images'), pipeline=PIPELINE, serialize_data=False,
        **world.arguments))
    assert len(dataset) == len(NAMES) == report.counts['images']
    assert counts.said[0][0]['boxes'] == report.counts['boxes'] > 0
    assert all(dataset[i]['img'].shape == (30, 40, 3) for i in range(len(dataset)))


@pytest.mark.slow
def test_damage_never_goes_unnoticed(tmp_path: Path, monkeypatch, capsys):
    counts = Counts(monkeypatch)
    kinds, codes, cleaned = Counter(), Counter(), Counter()
    for seed in range(CASES):
        folder = tmp_path / str(seed)
        outcome = run_case(seed, folder, counts)
        kinds[outcome.kind] += 1
        codes[outcome.exit_code] += 1
        cleaned[outcome.cleaned] += 1
        shutil.rmtree(folder)
    with capsys.disabled():
        if CASES > 153:
            print(f'\n{CASES} cases: reader {dict(kinds)}, exit codes of the check {dict(codes)}, '
                  f'of cleaned copies {dict(cleaned)}')
    # Damage of every degree was drawn.
    assert min(kinds[k] for k in ('refused', 'dropped', 'read')) >= CASES // 20
    assert min(codes[c] for c in (0, 1, 2)) >= CASES // 20
