"""Unpacking and checking ODinW, with small zips laid out as the official ones."""
import json
import stat
import zipfile

import pytest

import glipkit  # noqa: F401
from glipkit.cli.main import door
from glipkit.data.preparation.archives import unpack
from glipkit.data.splits.odinw import odinw_dataset, odinw_datasets
from glipkit.errors import UserError

main = door('prepare', 'odinw')

NAME = 'annotations_without_background.json'


def content_of(dataset, images=1, classes=None):
    """Files of a whole data set: so many images per split, one box of the last class on each."""
    names = classes or dataset.classes
    files = {}
    for split, (ann_file, folder) in dataset.splits.items():
        files[ann_file] = json.dumps(dict(
            images=[dict(id=i, file_name=f'{split}{i}.jpg', width=9, height=9)
                    for i in range(images)],
            annotations=[dict(id=i, image_id=i, category_id=len(names), bbox=[1, 1, 5, 5], area=25,
                              iscrowd=0) for i in range(images)],
            categories=[dict(id=i, name=n) for i, n in enumerate(names, start=1)]))
        files.update({f'{folder}/{split}{i}.jpg': f'{split} {i}' for i in range(images)})
    return files


def write_zip(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name, content)


def report(out, dataset):
    return json.loads((out / f'reports/{dataset.name}.json').read_text())['splits']


@pytest.fixture
def zips(tmp_path):
    """Aquarium and pistols of the thirteen, and the drones, whose zip holds two data sets."""
    folder = tmp_path / 'zips'
    for title in ('Aquarium', 'Pistols'):
        dataset = odinw_dataset(title)
        few_shot = {dataset.few_shot_file('train', 3, 30): '{}'}
        write_zip(folder / f'{dataset.splits["train"][1].split("/")[0]}.zip',
                  {**content_of(dataset, 2), **few_shot})
    write_zip(folder / 'AerialMaritimeDrone.zip', {
        f'odinw/{name}': text for title in ('AerialDrone', 'AerialMaritimeDrone tiled')
        for name, text in content_of(odinw_dataset(title)).items()})
    write_zip(folder / 'vector.zip', {'x': 'y'})
    return folder


def test_zips_are_unpacked_and_found(zips, tmp_path, capsys):
    out = tmp_path / 'out'
    assert main(['--zips', str(zips), '--out', str(out)]) == 0
    for title in ('Aquarium', 'Pistols', 'AerialDrone', 'AerialMaritimeDrone tiled'):
        dataset = odinw_dataset(title)
        for split in dataset.splits:
            assert dataset.find(out, split)[0].is_file()
    aquarium = report(out, odinw_dataset('Aquarium'))
    assert aquarium['val']['images'] == 2 and aquarium['val']['boxes_per_class']['stingray'] == 2
    assert aquarium['train']['few_shot_files'] == [
        'Aquarium/Aquarium Combined.v2-raw-1024.coco/train/fewshot_train_shot3_seed30.json']
    assert not (out / 'vector').exists()
    printed = capsys.readouterr().out
    assert 'train images, ' in printed and '4 data sets' in printed
    assert 'dropped 31 data sets that are not there' in printed
    # Table 9 of the paper has 448, 127 and 63 images, the small zip 2 each.
    assert 'dropped 632 images that the paper counts beyond these' in printed
    assert 'first: train has 2, published are 448' in printed


def test_a_zip_may_hold_one_of_two_data_sets(tmp_path, capsys):
    write_zip(tmp_path / 'zips/EgoHands.zip', content_of(odinw_dataset('EgoHands')))
    assert main(['--zips', str(tmp_path / 'zips'), '--out', str(tmp_path / 'out')]) == 0
    printed = capsys.readouterr().out
    assert 'EgoHands_generic.json' in printed and 'EgoHands_specific.json' not in printed


def test_unpacking_writes_checksums(zips, tmp_path):
    out = tmp_path / 'out'
    assert main(['--zips', str(zips), '--out', str(out), '--profile', '13-paper']) == 0
    listing = json.loads((out / 'unpacked/pistols.json').read_text())
    assert len(listing['sha256']) == 64 and listing['zip'] == 'pistols.zip'
    assert {f['name'] for f in listing['files']} >= {
        'pistols/export/train0.jpg', f'pistols/export/test_{NAME}'}
    assert not (out / 'reports/AerialMaritimeDrone_tiled.json').exists()


def test_a_second_run_does_nothing(zips, tmp_path, capsys):
    command = ['--zips', str(zips), '--out', str(tmp_path / 'out')]
    assert main(command) == 0
    steps = capsys.readouterr().out.count('.json: ')
    assert main(command) == 0
    assert capsys.readouterr().out.count('complete from an earlier run') == steps


def test_a_cut_run_keeps_what_is_whole(zips, tmp_path):
    archive, target = zips / 'pistols.zip', tmp_path / 'out'
    files = unpack(archive, target, 'pistols')
    first = target / next(files).name
    files.close()
    second = target / next(n for n in zipfile.ZipFile(archive).namelist()
                           if not (target / n).exists())
    before = first.stat().st_mtime_ns
    second.write_bytes(b'half')
    names = [file.name for file in unpack(archive, target, 'pistols')]
    assert len(names) == len(zipfile.ZipFile(archive).namelist())
    assert first.stat().st_mtime_ns == before
    assert second.read_bytes() == zipfile.ZipFile(archive).read(str(second.relative_to(target)))


def test_zip_without_its_top_folder(tmp_path):
    write_zip(tmp_path / 'pothole.zip', {'train/a.jpg': 'x', 'test/b.jpg': 'y'})
    assert [f.name for f in unpack(tmp_path / 'pothole.zip', tmp_path / 'out', 'pothole')] == [
        'pothole/train/a.jpg', 'pothole/test/b.jpg']


@pytest.mark.parametrize('name', ['../evil', '/etc/evil', 'a/../../evil', 'C:/evil', '..\\evil'])
def test_nothing_leaves_the_target(tmp_path, name):
    write_zip(tmp_path / 'zips/pothole.zip', {'pothole/fine.jpg': 'x', name: 'evil'})
    with pytest.raises(UserError, match='stay in its folder'):
        list(unpack(tmp_path / 'zips/pothole.zip', tmp_path / 'out', 'pothole'))
    assert not (tmp_path / 'out').exists() and not list(tmp_path.rglob('evil'))


def test_links_are_refused(tmp_path):
    link = zipfile.ZipInfo('pothole/link')
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / 'pothole.zip', 'w') as file:
        file.writestr(link, '/etc/hostname')
    with pytest.raises(UserError, match='without links'):
        list(unpack(tmp_path / 'pothole.zip', tmp_path / 'out', 'pothole'))


@pytest.mark.parametrize('damage', [lambda b: b[:len(b) // 2], lambda b: b'no zip',
                                    lambda b: b[:60] + bytes([b[60] ^ 255]) + b[61:]])
def test_damaged_zip_is_one_line(zips, tmp_path, capsys, damage):
    path = zips / 'pistols.zip'
    path.write_bytes(damage(path.read_bytes()))
    assert main(['--zips', str(zips), '--out', str(tmp_path / 'out')]) == 2
    error = capsys.readouterr().err
    assert 'pistols.zip' in error and error.count('\n') == 1


def test_an_unpacked_release_is_checked_where_it_is(tmp_path, capsys):
    rabbits, voc = odinw_dataset('Rabbits'), odinw_dataset('PascalVOC')
    for name, text in {**content_of(rabbits, classes=['rabbit']), **content_of(voc)}.items():
        path = tmp_path / 'root' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / 'root/CottontailRabbits/valid/val0.jpg').unlink()
    assert main(['--root', str(tmp_path / 'root'), '--out', str(tmp_path / 'out')]) == 0
    printed = capsys.readouterr().out
    assert 'dropped 1 images that are missing' in printed
    assert 'CottontailRabbits/valid/val0.jpg' in printed
    assert report(tmp_path / 'out', voc)['test'] == {'same as': 'val'}
    assert {p.name for p in (tmp_path / 'root').iterdir()} == {'CottontailRabbits', 'PascalVOC'}


@pytest.mark.parametrize('change, printed', [
    (lambda text: text.replace('"pistol"', '"gun"'), "class 1 of pistols_export to be 'pistol'"),
    (lambda text: text.replace('"category_id": 1', '"category_id": 2'), 'category_id 2'),
    (lambda text: text[:50], 'repair the file'),
    (None, 'the test annotations of pistols_export'),
])
def test_wrong_annotations_are_one_line(tmp_path, capsys, change, printed):
    files = content_of(odinw_dataset('Pistols'))
    name = f'pistols/export/test_{NAME}'
    if change:
        files[name] = change(files[name])
    else:
        del files[name]
    write_zip(tmp_path / 'zips/pistols.zip', files)
    assert main(['--zips', str(tmp_path / 'zips'), '--out', str(tmp_path / 'out')]) == 2
    error = capsys.readouterr().err
    assert printed in error and error.count('\n') == 1


def test_one_wrong_data_set_does_not_keep_the_others(zips, tmp_path, capsys):
    for title in ('Aquarium', 'Packages'):  # Aquarium comes before Pistols
        dataset = odinw_dataset(title)
        write_zip(zips / f'{dataset.splits["train"][1].split("/")[0]}.zip',
                  content_of(dataset, classes=['wrong']))
    assert main(['--zips', str(zips), '--out', str(tmp_path / 'out')]) == 2
    error = capsys.readouterr().err
    assert 'class 1 of Aquarium' in error and 'and 1 data sets more' in error
    assert report(tmp_path / 'out', odinw_dataset('Pistols'))['test']['images'] == 2


def test_nothing_there(tmp_path, capsys):
    (tmp_path / 'empty').mkdir()
    for option in ('--zips', '--root'):
        assert main([option, str(tmp_path / 'empty'), '--out', str(tmp_path / 'out')]) == 2
        assert 'none in' in capsys.readouterr().err


def test_every_data_set_passes_its_own_check(tmp_path):
    for dataset in odinw_datasets():
        for name, text in content_of(dataset).items():
            path = tmp_path / 'root' / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    assert main(['--root', str(tmp_path / 'root'), '--out', str(tmp_path / 'out')]) == 0
    assert len(list((tmp_path / 'out/reports').glob('*.json'))) == 35
