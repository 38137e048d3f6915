"""Caption shards from a folder, from lists, and from addresses of a server on this machine."""
import io
import json
import struct
import tarfile
import threading
import time
import zlib
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

import glipkit  # noqa: F401
from glipkit.cli.main import door
from glipkit.data.formats.captioned import open_captioned
from glipkit.data.preparation.sources import captions
from glipkit.data.preparation.web_images import ImageProblem, Limits, fetch, measure

main = door('prepare', 'captions')


def picture(kind='JPEG', size=(40, 30), **options):
    target = io.BytesIO()
    Image.new('RGB', size, 'green').save(target, kind, **options)
    return target.getvalue()


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding='utf-8').splitlines()]


@pytest.fixture
def photos(tmp_path):
    """Five images in a folder: two whole with captions, one each cut, silent and with no word."""
    folder = tmp_path / 'photos'
    for name, content, caption in (
            ('a.jpg', picture(), 'A  green\nfield'), ('sub/b.png', picture('PNG', (8, 9)), 'köy'),
            ('cut.jpg', picture(size=(90, 90))[:300], 'cut'), ('silent.jpg', picture(), None),
            ('dots.jpg', picture(), ' ... ')):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        if caption is not None:
            path.with_suffix('.txt').write_text(caption, encoding='utf-8')
    return folder


@pytest.fixture
def server():
    """Serves `server.answers`: path -> (status, bytes) or a function that answers; counts asks."""

    class Handler(BaseHTTPRequestHandler):

        def do_GET(self):  # noqa: N802
            self.server.asked[self.path] += 1
            answer = self.server.answers.get(self.path, (404, b''))
            if callable(answer):
                answer = answer(self)
            if answer is not None:
                self.send_response(answer[0])
                self.send_header('Content-Length', str(len(answer[1])))
                self.end_headers()
                self.wfile.write(answer[1])

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    server.daemon_threads, server.block_on_close = True, False
    server.answers, server.asked = {}, Counter()
    server.url = f'http://127.0.0.1:{server.server_port}'
    thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': .01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


FAST = Limits(timeout=2, deadline=2, max_bytes=100_000, retries=1, pause=0)

# --- images on disk -------------------------------------------------------------------------------


def test_folder(photos, tmp_path, capsys):
    out = tmp_path / 'out'
    assert main(['--folder', str(photos), '--out', str(out)]) == 0
    assert lines(out / 'shards/00000.jsonl') == [
        dict(filename='a.jpg', height=30, width=40, caption='A green field'),
        dict(filename='sub/b.png', height=9, width=8, caption='köy')]
    assert {(x['source'], x['reason']) for x in lines(out / 'dropped/00000.jsonl')} == {
        ('cut.jpg', 'unreadable image'), ('silent.jpg', 'empty caption'),
        ('dots.jpg', 'empty caption')}
    printed = capsys.readouterr().out
    assert 'shards/00000.jsonl: 2 captions' in printed
    assert 'dropped 2 pairs with empty caption' in printed
    assert 'dropped 1 pairs with unreadable image, first: cut.jpg' in printed


def test_shards_open(photos, tmp_path):
    out = tmp_path / 'out'
    assert main(['--folder', str(photos), '--out', str(out), '--tar', '--shard-size', '3']) == 0
    manifest = json.loads((out / 'shards/manifest.json').read_text())
    assert [(s['name'], s['count']) for s in manifest['shards']] == [
        ('00000.jsonl', 1), ('00001.jsonl', 1)]
    shards = open_captioned([out / 'shards'], images=photos)
    assert [(s[0].captions, s[0].image.relative_to(photos).name) for s in shards] == [
        (('A green field', ), 'a.jpg'), (('köy', ), 'b.png')]
    tars = open_captioned([out / 'tars'])
    assert [s[0].captions for s in tars] == [('A green field', ), ('köy', )]
    assert tars[0][0].image.read() == (photos / 'a.jpg').read_bytes()
    with tarfile.open(out / 'tars/00000.tar') as tar:
        assert tar.getnames() == [f'00000000001.{kind}' for kind in ('jpg', 'txt', 'json')]
        assert tar.extractfile('00000000001.txt').read() == b'A green field'


@pytest.mark.parametrize('name, content', [
    ('list.jsonl', '{"filename": "a.jpg", "caption": "one \\ud800"}\n'
                   '{"filename": "../out.jpg", "caption": "two"}\n'
                   '{"filename": "gone.jpg", "caption": "three"}\n'),
    ('list.tsv', 'a.jpg\tone ?\n\n../out.jpg\ttwo\ngone.jpg\tthree\n'),
])
def test_lists(photos, tmp_path, name, content):
    (tmp_path / name).write_text(content)
    (tmp_path / 'out.jpg').write_bytes(picture())
    out = tmp_path / 'out'
    assert main(['--captions', str(tmp_path / name), '--images', str(photos),
                 '--out', str(out)]) == 0
    assert [line['caption'] for line in lines(out / 'shards/00000.jsonl')] == ['one ?']
    assert [x['reason'] for x in lines(out / 'dropped/00000.jsonl')] == [
        'file name that leads out of the image folder', 'missing image']


def test_second_run_does_nothing_and_other_settings_need_redo(photos, tmp_path, capsys):
    command = ['--folder', str(photos), '--out', str(tmp_path / 'out'), '--tar']
    assert main([*command, '--shard-size', '1']) == 0
    tar = tmp_path / 'out/tars/00000.tar'
    before = (tar.stat().st_mtime_ns, tar.read_bytes())
    capsys.readouterr()
    assert main([*command, '--shard-size', '1']) == 0
    printed = capsys.readouterr().out
    assert printed.count('complete from an earlier run') == 1 + 2 * 5 + 2
    assert (tar.stat().st_mtime_ns, tar.read_bytes()) == before
    assert main(command) == 2
    assert 'pass --redo' in capsys.readouterr().err
    assert main([*command, '--redo']) == 0
    assert [p.name for p in (tmp_path / 'out/shards').glob('*.jsonl')] == ['00000.jsonl']


def test_tars_hold_other_kinds_of_images_as_png(tmp_path):
    (tmp_path / 'images').mkdir()
    (tmp_path / 'real.bmp').write_bytes(picture('BMP', (6, 4)))
    (tmp_path / 'images/a.bmp').symlink_to(tmp_path / 'real.bmp')
    (tmp_path / 'images/a.txt').write_text('a green thing')
    out = tmp_path / 'out'
    assert main(['--folder', str(tmp_path / 'images'), '--out', str(out), '--tar']) == 0
    (shard, ), = open_captioned([out / 'tars'])
    assert shard.filename == '00000000001.png'
    assert measure(shard.image.read()) == ('PNG', 6, 4)


def test_a_lost_tar_is_written_again(photos, tmp_path):
    command = ['--folder', str(photos), '--out', str(tmp_path / 'out'), '--tar']
    assert main(command) == 0
    tar = tmp_path / 'out/tars/00000.tar'
    before = tar.read_bytes()
    tar.unlink()
    assert main(command) == 0
    assert tar.read_bytes() == before


@pytest.mark.parametrize('content, printed', [
    (picture('JPEG', (40, 30)), ('JPEG', 40, 30)),
    (picture('GIF', (7, 5)), ('GIF', 7, 5)),
])
def test_measure(content, printed):
    assert measure(content) == printed


def test_measure_turns_as_viewers_do():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert measure(picture(size=(40, 30), exif=exif)) == ('JPEG', 30, 40)


def test_measure_refuses_bombs():
    png = bytearray(picture('PNG'))
    png[16:24] = struct.pack('>II', 9400, 9400)
    png[29:33] = struct.pack('>I', zlib.crc32(png[12:29]))
    with pytest.raises(ImageProblem, match='too many pixels'):
        measure(bytes(png))


# --- addresses ------------------------------------------------------------------------------------


def test_downloads(server, tmp_path, capsys):
    server.answers = {'/a.jpg': (200, picture()), '/b': (200, picture('GIF')),
                      '/page': (200, b'<html>'), '/dr%C3%B6m.png': (200, picture('PNG'))}
    table = tmp_path / 'table.tsv'
    table.write_text(f'a field\t{server.url}/a.jpg\n{server.url}/b\ta gif\n'  # either order
                     f'gone\t{server.url}/gone.jpg\na page\t{server.url}/page\n'
                     f'a dream\t{server.url}/dröm.png\nlocal\tfile:///etc/hostname\n',
                     encoding='utf-8')
    command = ['--urls', str(table), '--out', str(tmp_path / 'out'), '--download', '--tar',
               '--retries', '0']
    assert main(command) == 0
    kept = lines(tmp_path / 'out/shards/00000.jsonl')
    assert [line['caption'] for line in kept] == ['a field', 'a gif', 'a dream']
    assert [Path(line['filename']).suffix for line in kept] == ['.jpg', '.png', '.png']
    assert {x['reason'] for x in lines(tmp_path / 'out/dropped/00000.jsonl')} == {
        'answer 404', 'unreadable image', 'address that is not http or https'}
    shard, = open_captioned([tmp_path / 'out/shards'], images=tmp_path / 'out/images')
    assert all(pair.image.is_file() for pair in shard)
    asked = server.asked.copy()
    assert main(command) == 0
    assert server.asked == asked


def test_a_cut_download_goes_on(server, tmp_path, monkeypatch):
    server.answers = {f'/{i}.jpg': (200, picture()) for i in range(4)}
    table = tmp_path / 'table.tsv'
    table.write_text(''.join(f'image {i}\t{server.url}/{i}.jpg\n' for i in range(4)))
    command = ['--urls', str(table), '--out', str(tmp_path / 'out'), '--download',
               '--shard-size', '2', '--threads', '1']

    with monkeypatch.context() as patch:
        patch.setattr(captions.Converter, '_locate',
                      stop_after(captions.Converter._locate, 3))
        assert main(command) == 130
    assert (tmp_path / 'out/shards/00000.jsonl').exists()
    assert not (tmp_path / 'out/shards/00001.jsonl').exists()
    assert main(command) == 0
    assert len(lines(tmp_path / 'out/shards/00001.jsonl')) == 2
    assert set(server.asked.values()) == {1}


def stop_after(locate, number):
    """`Converter._locate` that is interrupted after so many images in all."""
    left = [number]

    def wrapped(self, pairs):
        for path in locate(self, pairs):
            left[0] -= 1
            yield path
            if left[0] == 0:
                raise KeyboardInterrupt

    return wrapped


def test_without_download_only_kept_images_count(server, tmp_path):
    server.answers = {'/a.jpg': (200, picture())}
    table = tmp_path / 'table.tsv'
    table.write_text(f'a field\t{server.url}/a.jpg\nb\t{server.url}/b.jpg\n')
    images = ['--images', str(tmp_path / 'images')]
    assert main(['--urls', str(table), '--out', str(tmp_path / 'one'), '--download', *images]) == 0
    asked = server.asked.copy()
    assert main(['--urls', str(table), '--out', str(tmp_path / 'two'), *images]) == 0
    assert server.asked == asked
    assert len(lines(tmp_path / 'two/shards/00000.jsonl')) == 1
    assert lines(tmp_path / 'two/dropped/00000.jsonl')[0]['reason'] == 'image not downloaded'


def test_server_errors_are_tried_again_and_refusals_are_not(server):
    def recovers(handler):
        return (503, b'') if handler.server.asked['/busy'] < 2 else (200, b'fine')

    server.answers = {'/busy': recovers}
    assert fetch(f'{server.url}/busy', FAST) == b'fine'
    with pytest.raises(ImageProblem, match='answer 404'):
        fetch(f'{server.url}/gone', FAST)
    assert server.asked == {'/busy': 2, '/gone': 1}


def drip(handler):
    handler.send_response(200)
    handler.end_headers()
    for _ in range(50):
        try:
            handler.wfile.write(b'x')
        except OSError:
            return
        time.sleep(.05)


def cut(handler):
    handler.send_response(200)
    handler.send_header('Content-Length', '100')
    handler.end_headers()
    handler.wfile.write(b'x' * 10)


@pytest.mark.parametrize('answer, limits, printed', [
    ((200, b'x' * 2000), Limits(max_bytes=1000), 'too large'),
    (drip, Limits(deadline=.2), 'too slowly'),
    (lambda handler: time.sleep(.5), Limits(timeout=.1, retries=0), 'no answer in time'),
    (cut, Limits(retries=0), 'no connection'),
])
def test_limits(server, answer, limits, printed):
    server.answers = {'/x': answer}
    with pytest.raises(ImageProblem, match=printed):
        fetch(f'{server.url}/x', limits)


def test_nobody_answers():
    with pytest.raises(ImageProblem, match='no connection'):
        fetch('http://127.0.0.1:1/x.jpg', FAST)


# --- wrong use ------------------------------------------------------------------------------------


@pytest.mark.parametrize('options, printed', [
    (['--captions', 'none.jsonl', '--images', '{photos}'], 'none.jsonl'),
    (['--captions', '{bad}', '--images', '{photos}'], 'bad.jsonl:1'),
    (['--captions', '{bad}'], '--images beside'),
    (['--folder', '{photos}/gone'], 'no folder'),
    (['--folder', '{photos}/sub/..', '--images', '{photos}'], 'either --folder or --images'),
    (['--folder', '{empty}'], 'none in'),
    (['--urls', '{one}'], '1 columns'),
    (['--folder', '{photos}', '--download'], '--download beside'),
])
def test_wrong_use_is_one_line(photos, tmp_path, capsys, options, printed):
    (tmp_path / 'bad.jsonl').write_text('{"filename": 3}\n')
    (tmp_path / 'one.tsv').write_text('a caption without address\n')
    (tmp_path / 'empty').mkdir()
    places = dict(photos=photos, bad=tmp_path / 'bad.jsonl', one=tmp_path / 'one.tsv',
                  empty=tmp_path / 'empty')
    command = [option.format(**places) for option in options]
    assert main([*command, '--out', str(tmp_path / 'out')]) == 2
    error = capsys.readouterr().err
    assert printed in error and error.count('\n') == 1
    assert not list((tmp_path / 'out').glob('shards/*'))


@pytest.mark.parametrize('options', [
    [], ['--folder', 'x', '--urls', 'y'], ['--folder', 'x', '--shard-size', '0'],
    ['--folder', 'x', '--retries', '-1'], ['--folder', 'x', '--timeout', 'nan']])
def test_wrong_options_exit_with_2(options, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*options, '--out', str(tmp_path / 'out')])
    assert stop.value.code == 2


def test_a_byte_order_mark_is_no_part_of_a_caption(tmp_path):
    (tmp_path / 'images').mkdir()
    (tmp_path / 'images/a.jpg').write_bytes(picture())
    (tmp_path / 'images/a.txt').write_bytes(b'\xef\xbb\xbfa green thing\r\n')
    out = tmp_path / 'out'
    assert main(['--folder', str(tmp_path / 'images'), '--out', str(out)]) == 0
    (prepared, ), = open_captioned([out / 'shards'], tmp_path / 'images')
    (direct, ), = open_captioned([tmp_path / 'images'])
    assert prepared.captions == direct.captions == ('a green thing', )
