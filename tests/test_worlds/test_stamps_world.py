"""The stamps world, from a made-up stamps folder: sources, cut-outs, honest splits."""
import json
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from glipkit.errors import UserError
from glipkit.testing.toy_stamps import TOYS, draw_toy_stamps
from glipkit.worlds import stamp_source, stamps

SIZES = dict(num_train_det=12, num_train_grd=12, num_val=16, image_size=128)
NAMES = {'red apple', 'green apple', 'banana', 'plum', 'leek', 'onion', 'hazelnut', 'wren', 'finch',
         'carp', 'pike', 'lamp', 'tongs', 'halt sign', 'bend sign'}


@pytest.fixture(scope='module')
def toys(tmp_path_factory):
    return draw_toy_stamps(tmp_path_factory.mktemp('toys'))


@pytest.fixture(scope='module')
def built(toys, tmp_path_factory):
    folder = tmp_path_factory.mktemp('world')
    return folder, stamps.build(folder, 5, **SIZES, stamps_dir=toys, workers=1)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob('*')) if path.is_file()}


def test_only_usable_stamps_are_listed(toys):
    listed = stamp_source.list_stamps(toys)
    assert {stamp.name for stamp in listed} == NAMES
    assert len(listed) == len(NAMES) + 1, 'two pictures of the wren'
    by_name = {stamp.name: stamp for stamp in listed}
    assert by_name['wren'].folder == 'animals/birds' and by_name['lamp'].folder == 'household'
    assert by_name['wren'].may_mirror and not by_name['halt sign'].may_mirror


def test_same_seed_same_files_however_many_workers(built, toys, tmp_path):
    stamps.build(tmp_path, 5, **SIZES, stamps_dir=toys, workers=2)
    assert contents(tmp_path) == contents(built[0])


def test_groups_are_kept_apart(built):
    folder, manifest = built
    load = {path.name: path.read_text() for path in (folder / 'annotations').iterdir()}
    groups = {group: set(names) for group, names in json.loads(load['splits.json']).items()}
    assert set().union(*groups.values()) == NAMES and all(groups.values())
    det, val = json.loads(load['det_train.json']), json.loads(load['val.json'])
    assert {item['name'] for item in det['categories']} == groups['seen']
    assert {item['name'] for item in val['categories']} == NAMES
    names = {item['id']: item['name'] for item in val['categories']}
    assert {names[item['category_id']] for item in det['annotations']} <= groups['seen']
    phrases = {region['phrase'] for line in load['grd_train.jsonl'].splitlines()
               for region in json.loads(line)['grounding']['regions']}
    assert phrases and not phrases & groups['unseen']
    shown = {names[item['category_id']] for item in val['annotations']}
    assert all(shown & group for group in groups.values())
    assert manifest['counts']['train_det'].keys() == {'pictures', 'boxes', 'seen'}


def test_fruit_is_detected_and_vegetables_are_in_captions_alone(toys, tmp_path):
    stamps.build(tmp_path, 5, **SIZES, stamps_dir=toys, grouping='food', workers=1)
    groups = json.loads((tmp_path / 'annotations/splits.json').read_text())
    assert groups['caption_only'] == ['leek', 'onion']
    assert sorted(groups['seen'] + groups['unseen']) == ['banana', 'green apple', 'plum',
                                                         'red apple']
    shown = json.loads((tmp_path / 'annotations/val.json').read_text())['categories']
    assert {item['name'] for item in shown} == {n for names in groups.values() for n in names}
    captions = (tmp_path / 'annotations/grd_train.jsonl').read_text()
    assert 'leek' in captions and 'wren' not in captions
    detected = json.loads((tmp_path / 'annotations/det_train.json').read_text())['categories']
    assert [item['name'] for item in detected] == groups['seen']
    # Another grouping is another world.
    before = (tmp_path / 'annotations/val.json').read_text()
    stamps.build(tmp_path, 5, **SIZES, stamps_dir=toys, workers=1)
    assert (tmp_path / 'annotations/val.json').read_text() != before


def test_groupings_that_cannot_be_made(toys, tmp_path):
    with pytest.raises(UserError, match='all, food'):
        stamps.build(tmp_path / 'w', 5, **SIZES, stamps_dir=toys, grouping='drink')
    with pytest.raises(UserError, match='1 and 0'):
        stamps.fruit_and_vegetables({'plum': 'food/fruit', 'wren': 'animals/birds'})
    assert not (tmp_path / 'w').exists()


def test_box_is_tight_to_the_cutout(toys):
    rng = np.random.default_rng(0)
    for stamp in stamp_source.list_stamps(toys):
        patch = stamps.cut_patch(stamp, 256, rng)
        x1, y1, x2, y2 = (int(edge) for edge in patch.box)
        visible = patch.alpha[..., 0] >= stamps.VISIBLE
        assert visible[y1:y2, x1:x2].sum() == visible.sum()
        inside = visible[y1:y2, x1:x2]
        assert inside[0].any() and inside[-1].any() and inside[:, 0].any() and inside[:, -1].any()
        assert patch.colour.min() >= 0 and patch.colour.max() <= 255


def test_changed_pictures_make_a_new_world(built, toys, tmp_path):
    copy = tmp_path / 'toys'
    shutil.copytree(toys, copy)
    world = tmp_path / 'world'
    shutil.copytree(built[0], world)
    picture = world / 'images/val/000001.jpg'
    picture.write_bytes(b'kept')
    stamps.build(world, 5, **SIZES, stamps_dir=copy)
    assert picture.read_bytes() == b'kept'
    Image.new('RGBA', (50, 50), 'red').save(copy / 'household/lamp.png')
    stamps.build(world, 5, **SIZES, stamps_dir=copy)
    assert picture.read_bytes() != b'kept'


def test_transparent_stamp_is_named(toys, tmp_path):
    shutil.copytree(toys, tmp_path / 'toys')
    for path in (tmp_path / 'toys').rglob('*.png'):
        Image.new('RGBA', (50, 50)).save(path)
    with pytest.raises(UserError, match='wholly transparent'):
        stamps.build(tmp_path / 'world', 5, 1, 1, 1, stamps_dir=tmp_path / 'toys')


@pytest.fixture
def deb(toys, tmp_path):
    """A package of the toys, laid out as the real one, with a sound in it."""
    if shutil.which('dpkg-deb') is None:
        pytest.skip('needs dpkg-deb')
    root = tmp_path / 'root'
    shutil.copytree(toys, root / stamp_source.INSIDE)
    (root / stamp_source.INSIDE / 'household/lamp.ogg').write_bytes(b'click')
    (root / 'DEBIAN').mkdir()
    (root / 'DEBIAN/control').write_text(
        f'Package: {stamp_source.PACKAGE}\nVersion: 1.2-3\nArchitecture: all\n'
        'Maintainer: Nobody <nobody@example.com>\nDescription: toys\n')
    file = tmp_path / f'{stamp_source.PACKAGE}_1.2-3_all.deb'
    subprocess.run(['dpkg-deb', '-Znone', '--root-owner-group', '-b', root, file], check=True,
                   capture_output=True)
    return file


def test_package_is_unpacked_once_and_recorded(built, deb, tmp_path, monkeypatch):
    world = tmp_path / 'world'
    manifest = stamps.build(world, 5, **SIZES, deb=deb)
    assert manifest['package']['version'] == '1.2-3' and len(manifest['package']['sha256']) == 64
    assert manifest['settings'] == built[1]['settings'], 'the source makes no difference'
    assert (world / 'source/stamps/household/lamp.png').exists()
    assert not list(world.rglob('*.ogg'))
    assert {path.name for path in world.iterdir()} == {
        'annotations', 'images', 'manifest.json', 'source'}
    monkeypatch.setenv('PATH', str(tmp_path / 'nothing'))
    assert stamps.build(world, 5, **SIZES, deb=deb) == manifest
    deb.unlink()
    assert stamps.build(world, 5, **SIZES) == manifest


def test_bad_requests_are_refused_before_the_package_is_touched(deb, tmp_path):
    with pytest.raises(UserError, match='seed'):
        stamps.build(tmp_path / 'new', -1, deb=deb)
    assert not (tmp_path / 'new').exists()
    (tmp_path / 'mine/images').mkdir(parents=True)
    with pytest.raises(UserError, match='choose another output folder'):
        stamps.build(tmp_path / 'mine', deb=deb)
    assert [path.name for path in (tmp_path / 'mine').iterdir()] == ['images']


def test_missing_programs_and_files_are_explained(tmp_path, monkeypatch):
    with pytest.raises(UserError, match='existing .deb file'):
        stamps.build(tmp_path / 'a', deb=tmp_path / 'none.deb')
    with pytest.raises(UserError, match='--stamps'):
        stamps.build(tmp_path / 'a', stamps_dir=tmp_path / 'none')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(UserError, match='PNG stamps'):
        stamps.build(tmp_path / 'a', stamps_dir=tmp_path / 'empty')
    monkeypatch.setenv('PATH', str(tmp_path / 'empty'))
    with pytest.raises(UserError, match='dpkg-deb'):
        stamps.build(tmp_path / 'a')
    assert not (tmp_path / 'a').exists()


def test_failing_download_leaves_nothing(tmp_path, monkeypatch):
    programs = tmp_path / 'programs'
    programs.mkdir()
    for name in ('apt-get', 'dpkg-deb'):
        (programs / name).write_text('#!/bin/sh\necho "E: no network here" >&2\nexit 100\n')
        (programs / name).chmod(0o755)
    monkeypatch.setenv('PATH', str(programs), prepend=':')
    with pytest.raises(UserError, match='E: no network here.*--deb'):
        stamps.build(tmp_path / 'world')
    assert not list((tmp_path / 'world').iterdir())


def test_toys_cover_every_kind_of_stamp_that_is_left_out():
    assert {'military', 'seasonal', 'symbols', 'animals'} <= {name.split('/')[0] for name in TOYS}
