"""Videos: frames of every kind of file, what is found in them, tracks, rows, and drawn videos."""
from __future__ import annotations

import io
import itertools
import json
import struct
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glipkit.apis.detections import Detections
from glipkit.apis.video.live import Newest
from glipkit.apis.video.reading import FrameSource, UnreadableVideo, VideoFrame, open_video
from glipkit.apis.video.recording import record
from glipkit.apis.video.rows import Rows
from glipkit.apis.video.sources import (
    identity_of,
    result_names,
    split_videos,
    title_of,
    unnamed_videos,
)
from glipkit.apis.video.tracks import Tracker
from glipkit.apis.video.watching import watch
from glipkit.apis.video.writing import VideoFile
from glipkit.errors import UserError

SIZE = (46, 62)  # height, width
COUNT = 24


def number_picture(number: int, size=SIZE) -> np.ndarray:
    """A picture that tells its number: a white column under each bit of it."""
    image = np.zeros((*size, 3), np.uint8)
    for bit in range(6):
        if number >> bit & 1:
            image[:, bit * 10:bit * 10 + 8] = 255
    return image


def number_of(image: np.ndarray) -> int:
    return sum(1 << bit for bit in range(6) if image[image.shape[0] // 2, bit * 10 + 4, 1] > 127)


def write(path: Path, numbers, fps=10., size=SIZE, times=None) -> Path:
    with VideoFile(path, fps) as video:
        for i, number in enumerate(numbers):
            video.add(number_picture(number, size), i / fps if times is None else times[i])
    return path


def read(path) -> tuple[list[VideoFrame], FrameSource]:
    with open_video(path) as source:
        return list(source), source


@pytest.fixture(scope='module')
def clip(tmp_path_factory) -> Path:
    """Frames that tell their numbers."""
    return write(tmp_path_factory.mktemp('videos') / 'clip.mp4', range(COUNT))


def test_frames_numbers_times_and_sizes(clip):
    frames, source = read(clip)
    assert [number_of(frame.image) for frame in frames] == list(range(COUNT))
    assert [frame.index for frame in frames] == list(range(COUNT))
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(COUNT) / 10, atol=1e-3)
    assert frames[0].image.shape == (46, 62, 3) and frames[0].image.dtype == np.uint8
    assert (source.fps, source.count, source.live, source.problems()) == (10, COUNT, False, [])


@pytest.mark.parametrize('name', ['a.mkv', 'a.mov', 'ü [1] 50%.mp4'])
def test_odd_sizes_uneven_times_and_other_containers(tmp_path, name):
    times = [0, .1, .5, .55, 2.]
    path = write(tmp_path / name, range(5), size=(45, 61), times=times)
    frames, _ = read(path)
    assert [number_of(frame.image) for frame in frames] == list(range(5))
    np.testing.assert_allclose([frame.time for frame in frames], times, atol=2e-3)
    assert frames[0].image.shape == (46, 62, 3)  # H.264 has even sides
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_video_of_a_telephone_is_turned_upright(clip, tmp_path):
    content = bytearray(clip.read_bytes())
    matrix = content.find(b'tkhd') + 44  # behind versions, times, ids and the volume
    assert struct.unpack('>9i', content[matrix:matrix + 36])[0] == 65536
    content[matrix:matrix + 36] = struct.pack('>9i', 0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    path = tmp_path / 'turned.mp4'
    path.write_bytes(content)
    frames, _ = read(path)
    assert frames[0].image.shape == (62, 46, 3)
    # A quarter to the right: what was on the left is at the top now.
    assert [number_of(np.rot90(frame.image)) for frame in frames] == list(range(COUNT))


def damaged(content: bytes, begin: float, end: float) -> bytes:
    spoiled = bytearray(content)
    for place in np.random.default_rng(0).integers(begin * len(content), end * len(content), 25):
        spoiled[place] ^= 0xff
    return bytes(spoiled)


def test_damaged_frames_are_left_out_and_the_good_ones_keep_their_numbers(clip, tmp_path):
    path = tmp_path / 'spoiled.mp4'
    path.write_bytes(damaged(clip.read_bytes(), .5, .55))
    frames, source = read(path)
    assert 3 < len(frames) < COUNT and 0 < source.damaged <= COUNT - len(frames)
    said = 'frame is' if source.damaged == 1 else 'frames are'
    assert source.problems()[0] == f'spoiled.mp4: {source.damaged} {said} damaged and left out'
    good = [frame for frame in frames if number_of(frame.image) == round(frame.time * 10)]
    assert len(good) > len(frames) / 2 and good[0].index == 0
    assert all(before.index < after.index <= round(after.time * 10)
               for before, after in zip(good, good[1:]))


def test_a_file_that_is_cut_off_gives_what_it_has(tmp_path):
    path = write(tmp_path / 'cut.mkv', range(COUNT))
    content = path.read_bytes()
    path.write_bytes(content[:len(content) * 6 // 10])
    frames, source = read(path)
    assert 0 < len(frames) < COUNT
    assert [number_of(frame.image) for frame in frames] == [round(f.time * 10) for f in frames]
    assert source.problems() == [f'cut.mkv ends after {len(frames)} of about {COUNT} frames']


@pytest.mark.parametrize('content', [b'', b'no video', None])
def test_what_is_no_video_is_one_line(tmp_path, clip, content):
    path = tmp_path / 'bad.mp4'
    path.write_bytes(clip.read_bytes()[:500] if content is None else content)
    with pytest.raises(UnreadableVideo, match='a video that can be read.*bad.mp4'):
        open_video(path)


def test_a_playlist_under_the_name_of_a_video_opens_no_other_file(tmp_path, clip):
    path = tmp_path / 'list.mp4'
    path.write_text(f'#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nhttp://127.0.0.1:9/{clip.name}'
                    '\n#EXT-X-ENDLIST\n')
    with pytest.raises(UserError):
        frames, _ = read(path)
        assert not frames
        raise UserError('a', 'b', 'c')


def test_places_without_a_video():
    for place in ('none.mp4', 'stream:http://127.0.0.1:9/a', 'rtsp://127.0.0.1:9/a'):
        with pytest.raises(UnreadableVideo):
            open_video(place)
    with pytest.raises(UserError, match='download it first'):
        open_video('http://127.0.0.1:9/a.jpg')


def test_a_camera_that_is_not_there():
    with pytest.raises(UnreadableVideo, match='camera:97'):
        open_video('camera:97')


@contextmanager
def serving(handler):
    """The address of a server in this process."""
    server = ThreadingHTTPServer(('127.0.0.1', 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f'http://127.0.0.1:{server.server_port}'
    finally:
        server.shutdown()
        server.server_close()


def test_a_video_on_a_server(clip):
    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(clip.parent))

        def log_message(self, *_):
            pass

    with serving(Handler) as address:
        frames, source = read(f'{address}/clip.mp4')
        assert [number_of(frame.image) for frame in frames] == list(range(COUNT))
        assert not source.live


def test_a_web_camera():
    """JPEG after JPEG over HTTP: a live source, whose times are those of its frames' coming."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header('Content-Type', 'multipart/x-mixed-replace; boundary=frame')
            self.end_headers()
            for i in range(12):
                picture = io.BytesIO()
                Image.fromarray(number_picture(i)).save(picture, 'JPEG')
                content = picture.getvalue()
                self.wfile.write(b'--frame\r\nContent-Type: image/jpeg\r\nContent-Length: '
                                 b'%d\r\n\r\n%s\r\n' % (len(content), content))

        def log_message(self, *_):
            pass

    with serving(Handler) as address:
        began = time.monotonic()
        frames, source = read(f'stream:{address}/feed')
        assert source.live and [number_of(frame.image) for frame in frames] == list(range(12))
        assert 0 <= frames[-1].time <= time.monotonic() - began
        assert not source.problems() or 'breaks off' in source.problems()[0]


class Live(FrameSource):
    """A source that gives frames at its own pace."""

    def __init__(self, count: int, pause: float) -> None:
        super().__init__('live', 30., live=True)
        self._total, self._pause = count, pause

    def __iter__(self):
        for i in range(self._total):
            time.sleep(self._pause)
            self.read += 1
            yield VideoFrame(i, i / 30, number_picture(i % 60))


def test_of_a_live_source_the_newest_frame_is_taken():
    newest = Newest(Live(30, .01))
    seen = []
    for frame in newest:
        seen.append(frame.index)
        time.sleep(.05)
    newest.close()
    assert seen == sorted(set(seen)) and 2 < len(seen) < 20
    assert newest.missed == 30 - len(seen)
    with pytest.raises(ZeroDivisionError):
        list(Newest(type('Broken', (), {'__iter__': lambda self: iter([1 / 0])})()))


def one_box(index: int, label: int = 0) -> Detections:
    return Detections(np.float32([[index, 5, index + 20, 25]]), np.float32([.75]),
                      np.array([label]), ('dog', 'cat'), SIZE)


class Model:
    """Finds a box where the number in a picture says."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    def __call__(self, frames) -> list[Detections]:
        numbers = [number_of(frame.image) for frame in frames]
        self.batches.append(numbers)
        return [replace(one_box(number), image=frame.image)
                for number, frame in zip(numbers, frames)]


def watched(path, every=1, **more):
    model = Model()
    with open_video(path) as source:
        rows = [(frame.index, float(found.boxes[0, 0]), new)
                for frame, found, new in watch(source, source, model, every, **more)]
    return rows, model.batches


def test_every_third_frame_is_asked_and_others_have_the_last_boxes(clip):
    asked, batches = watched(clip, 3)
    assert asked == [(i, i, True) for i in range(0, COUNT, 3)]
    assert batches == [[i] for i in range(0, COUNT, 3)]
    rows, _ = watched(clip, 3, between=True)
    assert rows == [(i, i - i % 3, i % 3 == 0) for i in range(COUNT)]
    together, batches = watched(clip, 3, between=True, batch_size=4)
    assert together == rows and [len(one) for one in batches] == [4, 4]


def test_a_missing_frame_is_replaced_by_the_next_one():
    frames = [VideoFrame(i, i / 10, number_picture(i)) for i in range(12) if i not in (4, 8, 9)]
    rows = [frame.index for frame, _, _ in watch(frames, Live(0, 0), Model(), 4)]
    assert rows == [0, 5, 10]


def test_frames_are_not_kept():
    """However long a video is: no more frames are alive than a batch and those between."""
    alive = itertools.count()
    living = set()

    class Pixels(np.ndarray):
        def __new__(cls):
            one = np.zeros((*SIZE, 3), np.uint8).view(cls)
            one.number = next(alive)
            living.add(one.number)
            return one

        def __array_finalize__(self, _):
            self.number = None

        def __del__(self):
            living.discard(self.number)

    most = 0
    frames = (VideoFrame(i, i / 10, Pixels()) for i in range(1000))
    for _ in watch(frames, FrameSource('nothing', 10.), lambda some: [one_box(0)] * len(some), 5,
                   batch_size=2, between=True):
        most = max(most, len(living))
    assert next(alive) == 1000 and most <= 2 * 5 + 2


def pair(left: float, right: float) -> Detections:
    return Detections(np.float32([[left, 5, left + 20, 25], [right, 60, right + 20, 80]]),
                      np.float32([.5, .9]), np.array([0, 1]), ('dog', 'cat'), (100, 200))


def test_numbers_of_things_on_known_ways():
    pytest.importorskip('trackers')
    track = Tracker(10.)
    # Past each other, one after the other found first in the list.
    ways = [pair(2 * i, 150 - 3 * i)[[0, 1] if i % 2 else [1, 0]] for i in range(20)]
    found = [track(one, i / 10) for i, one in enumerate(ways)]
    assert found[0].tracks.tolist() == [-1, -1]
    numbers = {name: {int(one.tracks[one.names.index(name)]) for one in found[1:]}
               for name in ('dog', 'cat')}
    assert sorted(numbers.values(), key=min) == [{1}, {2}]
    assert track.counts() == {'dog': 1, 'cat': 1}
    # Gone for half a second, it is the same; after two seconds it is another.
    empty = pair(0, 0)[[]]
    for i in range(20, 25):
        assert track(empty, i / 10).tracks.tolist() == []
    assert set(track(pair(50, 75), 2.5).tracks.tolist()) == {1, 2}
    assert track(pair(52, 72), 4.6).tracks.tolist() == [-1, -1]


def test_things_that_pass_through_each_other_keep_their_numbers():
    pytest.importorskip('trackers')
    track = Tracker(25.)
    numbers = []
    for i in range(50):
        found = Detections(np.float32([[6 * i, 50, 6 * i + 40, 90], [300 - 6 * i, 50, 340 - 6 * i,
                                                                     90]]),
                           np.float32([.9, .8]), np.array([0, 1]), ('dog', 'cat'), (200, 400))
        found = track(found.one_per_object(), i / 25)  # for some frames one hides the other
        numbers.append(dict(zip(found.names, found.tracks.tolist())))
    assert min(map(len, numbers)) == 1
    for name in ('dog', 'cat'):
        assert len({one[name] for one in numbers[1:] if name in one}) == 1
    assert numbers[-1]['dog'] != numbers[-1]['cat']


def test_without_the_tracker_there_is_one_line(monkeypatch):
    monkeypatch.setattr('glipkit.apis.video.tracks.find_spec', lambda name: None)
    with pytest.raises(UserError, match="pip install 'trackers"):
        Tracker(10.)


class Asker:
    """As much of a predictor as a recording needs."""

    def __init__(self, model, batch_size=1) -> None:
        self.model, self.batch_size = model, batch_size

    def ask_frames(self, question):
        return self.model


QUESTION = type('Question', (), {'names': ('dog', 'cat'), 'channel_order': 'bgr'})()
WHAT = {'classes': 'dog, cat'}


def rows_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_recording(clip, tmp_path):
    pytest.importorskip('trackers')
    done = record(Asker(Model()), clip, QUESTION, every=2, track=True, rows=tmp_path / 'a.jsonl',
                  video=tmp_path / 'a.mp4')
    assert (done.frames, done.asked, done.counts, done.tracks) == (24, 12, {'dog': 12}, {'dog': 1})
    assert not done.problems and not done.interrupted
    rows = rows_of(tmp_path / 'a.jsonl')
    assert [row['frame'] for row in rows] == list(range(0, COUNT, 2))
    assert rows[3] == {'frame': 6, 'time_s': .6, 'detections': [
        {'box_xyxy_px': [6, 5, 26, 25], 'score': .75, 'label': 0, 'name': 'dog', 'track': 1}]}
    drawn, _ = read(tmp_path / 'a.mp4')
    assert len(drawn) == COUNT and drawn[0].image.shape == (46, 62, 3)
    assert np.abs(drawn[10].image.astype(int) - read(clip)[0][10].image).max() > 80
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a.jsonl', 'a.mp4']


def fail_at(number: int, error: BaseException):
    model = Model()

    def ask(frames):
        if number_of(frames[0].image) >= number:
            raise error
        return model(frames)

    return ask


@pytest.mark.parametrize('track', [True, False])
def test_a_killed_run_goes_on_and_ends_as_one_that_was_not(clip, tmp_path, track):
    if track:
        pytest.importorskip('trackers')
    rows, whole = tmp_path / 'a.jsonl', tmp_path / 'whole.jsonl'
    asked = dict(track=track, identity=WHAT)
    record(Asker(Model()), clip, QUESTION, rows=whole, **asked)
    with pytest.raises(RuntimeError):
        record(Asker(fail_at(15, RuntimeError())), clip, QUESTION, rows=rows,
               video=tmp_path / 'a.mp4', **asked)
    assert len(rows_of(rows)) == 15 and not (tmp_path / 'a.mp4').exists()
    with rows.open('a') as file:  # as a full disk leaves it
        file.write('{"frame": 15, "ti')
    model = Model()
    done = record(Asker(model), clip, QUESTION, rows=rows, video=tmp_path / 'a.mp4', **asked)
    assert sum(model.batches, []) == list(range(15, COUNT)) and done.resumed == 15
    assert done.asked == COUNT and rows.read_text() == whole.read_text()
    assert len(read(tmp_path / 'a.mp4')[0]) == COUNT
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a.jsonl', 'a.mp4', 'whole.jsonl']
    # It is finished: the same command asks anew.
    model = Model()
    record(Asker(model), clip, QUESTION, rows=rows, **asked)
    assert len(model.batches) == COUNT and rows.read_text() == whole.read_text()


def test_another_question_begins_anew(clip, tmp_path):
    rows = tmp_path / 'a.jsonl'
    with pytest.raises(RuntimeError):
        record(Asker(fail_at(15, RuntimeError())), clip, QUESTION, rows=rows, identity=WHAT)
    model = Model()
    record(Asker(model), clip, QUESTION, rows=rows, identity={'classes': 'fox'})
    assert len(model.batches) == COUNT and len(rows_of(rows)) == COUNT


def test_an_interruption_keeps_rows_and_a_video_that_plays(clip, tmp_path):
    done = record(Asker(fail_at(12, KeyboardInterrupt())), clip, QUESTION,
                  rows=tmp_path / 'a.jsonl', video=tmp_path / 'a.mp4', identity=WHAT)
    assert done.interrupted and done.asked == 12
    assert len(rows_of(tmp_path / 'a.jsonl')) == 12 == len(read(tmp_path / 'a.mp4')[0])
    model = Model()
    record(Asker(model), clip, QUESTION, rows=tmp_path / 'a.jsonl', identity=WHAT)
    assert len(model.batches) == COUNT - 12


def test_a_place_where_nothing_can_be_written(clip, tmp_path):
    (tmp_path / 'file').write_text('')
    for wrong in (dict(rows=tmp_path / 'file/a.jsonl'), dict(video=tmp_path / 'file/a.mp4'),
                  dict(video=tmp_path / 'a.gif')):
        with pytest.raises(UserError):
            record(Asker(Model()), clip, QUESTION, **wrong)
    assert [path.name for path in tmp_path.iterdir()] == ['file']


def test_rows_of_another_video_are_refused(tmp_path):
    frame = VideoFrame(5, .5, number_picture(5))
    path = tmp_path / 'a.jsonl'
    with Rows(path, WHAT, ('dog', )) as rows:
        rows.add(replace(frame, index=4), one_box(4))
    with Rows(path, WHAT, ('dog', )) as rows, pytest.raises(UserError, match='frame 4'):
        rows.asking(Model())([frame])


def test_which_words_are_videos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('a.jpg', 'b.mp4', 'c.MOV', '._b.mp4', 'below/d.mp4'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('')
    assert split_videos(['a.jpg', 'b.mp4', 'none.mkv', 'below', 'camera:1', 'rtsp://a/b',
                         'http://a/b.jpg', 'https://a/b.m3u8']) == (
        ['a.jpg', 'below', 'http://a/b.jpg'],
        ['b.mp4', 'none.mkv', 'camera:1', 'rtsp://a/b', 'https://a/b.m3u8'])
    assert split_videos(['*.*']) == (['*.*'], ['b.mp4', 'c.MOV'])
    assert split_videos(['*.mp4']) == ([], ['b.mp4'])
    assert split_videos(['*.xyz']) == (['*.xyz'], [])
    assert unnamed_videos(['.', 'a.jpg']) == 3
    assert result_names(['x/a.mp4', 'y/a.mov', 'camera:0']) == ['a', 'a_2', 'camera_0']
    assert title_of('rtsp://user:secret@host/door') == 'host_door'


def test_what_rows_depend_on(tmp_path):
    path, task = tmp_path / 'a.mp4', tmp_path / 'task.safetensors'
    path.write_text('1')
    task.write_text('1')
    before = identity_of(str(path), {'task': task, 'every': 2})
    assert before == identity_of(str(path), {'task': task, 'every': 2})
    assert before != identity_of(str(path), {'task': task, 'every': 3})
    task.write_text('22')
    assert before != identity_of(str(path), {'task': task, 'every': 2})
    assert identity_of('camera:0', {}) is None
