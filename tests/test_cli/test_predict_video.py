"""``glipkit predict`` on videos, tiles and devices."""
from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from glipkit.apis.build import checkpoint_for
from glipkit.apis.detections import Detections
from glipkit.apis.predictor import Predictor
from glipkit.apis.video.reading import open_video
from glipkit.apis.video.writing import VideoFile
from glipkit.benchmarks.video import NAMES, Judge, draw_video
from glipkit.testing.tiny_glip import picture

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def clip(tmp_path) -> Path:
    """Five frames."""
    path = tmp_path / 'clip.mp4'
    with VideoFile(path, 10.) as video:
        for i in range(5):
            video.add(picture(i), i / 10)
    return path


@pytest.fixture
def predict(files):
    """The words of a command line with the tiny model."""

    def words(*rest: object) -> list[object]:
        return ['predict', *rest, '--config', files.config, '--checkpoint', files.checkpoint,
                '--threshold', '0', '--classes', 'dog']

    return words


def rows_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_rows_and_a_video(run, predict, clip, tmp_path):
    ran = run(*predict(clip, '--every', '2', '--out', tmp_path / 'out', '--save-video'))
    assert ran.code == 0, ran
    assert re.search(r'\d+ found in 3 of 5 frames of clip.mp4: \d+ x dog', ran.out)
    assert f'saved to {tmp_path / "out/clip.jsonl"}' in ran.out
    assert names_in(tmp_path / 'out') == ['clip.found.mp4', 'clip.jsonl']
    assert [row['frame'] for row in rows_of(tmp_path / 'out/clip.jsonl')] == [0, 2, 4]
    with open_video(tmp_path / 'out/clip.found.mp4') as video:
        assert len(list(video)) == 5


def test_files_of_their_own_names(run, predict, clip, tmp_path):
    ran = run(*predict(clip, '--out', tmp_path / 'a/rows.jsonl', '--save-video',
                       tmp_path / 'b/drawn.mkv'))
    assert ran.code == 0, ran
    assert names_in(tmp_path / 'a') == ['rows.jsonl'] and names_in(tmp_path / 'b') == ['drawn.mkv']
    assert 'found in 5 frames' in run(*predict(clip)).out
    assert not list((tmp_path / 'here').iterdir())


def test_images_and_videos_and_bad_ones_of_both(run, predict, clip, images, tmp_path):
    (images / 'a.png').write_bytes(b'no image')
    bad = tmp_path / 'bad.mp4'
    bad.write_bytes(clip.read_bytes()[:300])
    (images / 'more.mp4').write_bytes(clip.read_bytes())
    ran = run(*predict(images, bad, clip, '--out', tmp_path / 'out'))
    assert ran.code == 1
    assert 'found in 1 image' in ran.out and 'found in 5 frames of clip.mp4' in ran.out
    assert 'a.png' in ran.err and 'left out' in ran.err and 'bad.mp4' in ran.err
    assert '1 videos in folders are left out' in ran.err
    assert names_in(tmp_path / 'out') == ['clip.jsonl', 'predictions.json']


def test_tiles_and_precision(run, predict, images, tmp_path):
    ran = run(*predict(images / 'a.png', '--tile', '40', '--dtype', 'bf16', '--batch-size', '4',
                       '--device', 'auto', '--out', tmp_path / 'out'))
    assert ran.code == 0 and 'found in 1 image' in ran.out


@pytest.mark.parametrize(('words', 'said'), [
    (('--track', ), 'images alone'),
    (('--save-video', 'a.mp4'), 'images alone'),
    (('--tile', '5'), 'at least 32 pixels'),
    (('--tile', '100', '--overlap', '1'), 'overlap'),
    (('--dtype', 'half', '--device', 'cpu'), 'a GPU for dtype half'),
    (('--dtype', 'float8'), "'float8'"),
])
def test_options_that_do_not_fit_images(refuse, predict, images, words, said):
    assert said in refuse(*predict(images, *words))


@pytest.mark.parametrize(('words', 'said'), [
    (('--csv', ), 'videos alone'),
    (('--every', '0'), 'from 1'),
    (('--segment', ), 'leave videos out'),
    (('--save-video', 'a.gif'), '.mp4'),
    (('none.mp4', ), 'none.mp4'),
    (('camera:97', '--strict'), 'camera:97'),
    (('https://example.org/a.jpg', ), 'download it first'),
])
def test_options_that_do_not_fit_videos(refuse, predict, clip, words, said):
    if words[0].startswith('--'):
        words = (clip, *words)
    assert said in refuse(*predict(*words))


def test_names_that_would_be_written_twice_or_over_the_video(refuse, predict, clip, tmp_path):
    assert 'the video itself' in refuse(*predict(clip, '--save-video', clip))
    assert 'several videos' in refuse(*predict(clip, clip, '--save-video', tmp_path / 'a.mp4'))
    assert 'more than one video' in refuse(*predict(clip, clip, '--out', tmp_path / 'a.jsonl'))


class Capture:
    """OpenCV's camera, which is pulled out after some frames."""

    def __init__(self, number: int) -> None:
        self.left = 12

    def isOpened(self) -> bool:
        return True

    def get(self, _: int) -> float:
        return 30.

    def read(self) -> tuple[bool, np.ndarray | None]:
        time.sleep(.05)
        self.left -= 1
        return (True, picture(self.left)) if self.left >= 0 else (False, None)

    def release(self) -> None:
        self.left = None


def test_a_camera(run, predict, tmp_path, monkeypatch):
    monkeypatch.setattr('cv2.VideoCapture', Capture)
    ran = run(*predict('camera:0', '--out', tmp_path / 'out', '--save-video'))
    assert ran.code == 1 and 'camera:0 stopped after 12 frames' in ran.err
    rows = rows_of(tmp_path / 'out/camera_0.jsonl')
    missed = re.search(r'(\d+) frames came while the model was at work', ran.out)
    assert len(rows) + (int(missed[1]) if missed else 0) == 12
    with open_video(tmp_path / 'out/camera_0.found.mp4') as video:
        assert len(list(video)) == len(rows)
    assert names_in(tmp_path / 'out') == ['camera_0.found.mp4', 'camera_0.jsonl']


def test_without_the_tracker_nothing_is_begun(refuse, predict, clip, monkeypatch):
    monkeypatch.setattr('glipkit.apis.video.tracks.find_spec', lambda name: None)
    assert "pip install 'trackers" in refuse(*predict(clip, '--track'))


@pytest.mark.slow
def test_a_drawn_world_with_known_tracks(run, tmp_path):
    """Frame count, boxes and numbers of the shipped model, against the truth."""
    pytest.importorskip('trackers')
    clip = tmp_path / 'moving.mp4'
    truth = draw_video(clip, 40, seed=0, speed=6.)
    classes = ', '.join(dict.fromkeys(NAMES))
    ran = run('predict', clip, '--model', 'glip-mini', '--checkpoint', checkpoint_for('glip-mini'),
              '--classes', classes, '--track', '--every', '2', '--save-video', '--out',
              tmp_path / 'out')
    assert ran.code == 0, ran
    assert '3 tracks: 2 x large red plain circle, 1 x large blue striped star' in ran.out
    rows = rows_of(tmp_path / 'out/moving.jsonl')
    assert [row['frame'] for row in rows] == list(range(0, 40, 2))
    judge = Judge(NAMES)
    for row in rows:
        judge.add(truth[row['frame']], as_detections(row))
    assert judge.row() == {'found': '60 of 60', 'boxes too many': 0, 'tracks': 3, 'changes': 0}
    with open_video(tmp_path / 'out/moving.found.mp4') as video:
        assert len(list(video)) == 40


def as_detections(row: dict) -> Detections:
    things, classes = row['detections'], tuple(dict.fromkeys(NAMES))
    return Detections(
        np.float32([one['box_xyxy_px'] for one in things]).reshape(-1, 4),
        np.float32([one['score'] for one in things]), np.int64([one['label'] for one in things]),
        classes, (240, 320), tracks=np.int64([one['track'] or -1 for one in things]))


def test_an_interruption_keeps_what_there_is(run, predict, clip, tmp_path, monkeypatch):
    detect, calls = Predictor.detect, []

    def interrupted(*args, **kwargs):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return detect(*args, **kwargs)

    monkeypatch.setattr(Predictor, 'detect', interrupted)
    words = predict(clip, '--out', tmp_path / 'out', '--save-video')
    ran = run(*words)
    assert ran.code == 130 and 'interrupted; the same command resumes' in ran.err
    assert len(rows_of(tmp_path / 'out/clip.jsonl')) == 3
    with open_video(tmp_path / 'out/clip.found.mp4') as video:
        assert len(list(video)) == 3
    ran = run(*words)
    assert ran.code == 0 and '3 frames had been answered' in ran.out
    assert len(calls) == 4 + 2 and len(rows_of(tmp_path / 'out/clip.jsonl')) == 5
    assert names_in(tmp_path / 'out') == ['clip.found.mp4', 'clip.jsonl']


@pytest.mark.slow
def test_a_killed_run_goes_on(predict, run, tmp_path):
    clip, out = tmp_path / 'long.mp4', tmp_path / 'out'
    with VideoFile(clip, 10.) as video:
        for i in range(40):
            video.add(picture(i), i / 10)
    words = [str(word) for word in predict(clip, '--out', out)]
    rows = out / 'long.jsonl'
    process = subprocess.Popen(
        [sys.executable, '-m', 'glipkit.cli.main', *words], cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': str(REPOSITORY), 'OMP_NUM_THREADS': '1'})
    while process.poll() is None and not (rows.exists() and rows.read_bytes().count(b'\n') > 4):
        time.sleep(.01)
    process.kill()
    assert process.wait(timeout=60) != 0
    written = len(rows_of(rows))
    assert 4 < written < 40
    ran = run(*words)
    assert ran.code == 0 and f'{written} frames had been answered' in ran.out
    assert [row['frame'] for row in rows_of(rows)] == list(range(40))
    assert names_in(out) == ['long.jsonl']
