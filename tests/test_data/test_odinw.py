"""The table of ODinW data sets, against figures copied from the release and the paper."""
import json
from statistics import mean

import pytest

from glipkit.data.splits.odinw import (
    PROFILES,
    SEEDS,
    SHOTS,
    odinw_dataset,
    odinw_datasets,
    published_average,
    published_scores,
    released_zero_shot,
)
from glipkit.errors import UserError
from glipkit.text.prompts import class_prompt

# Names of the official config files, with the number of classes of each.
CLASSES = {
    'AerialMaritimeDrone_large': 5, 'AerialMaritimeDrone_tiled': 5,
    'AmericanSignLanguageLetters_American_Sign_Language_Letters.v1-v1.coco': 26,
    'Aquarium_Aquarium_Combined.v2-raw-1024.coco': 7, 'BCCD_BCCD.v3-raw.coco': 3,
    'ChessPieces_Chess_Pieces.v23-raw.coco': 13, 'CottontailRabbits': 1,
    'DroneControl_Drone_Control.v3-raw.coco': 8, 'EgoHands_generic': 1, 'EgoHands_specific': 4,
    'HardHatWorkers_raw': 3, 'MaskWearing_raw': 2, 'MountainDewCommercial': 1,
    'NorthAmericaMushrooms_North_American_Mushrooms.v1-416x416.coco': 2, 'OxfordPets_by-breed': 37,
    'OxfordPets_by-species': 2, 'PKLot_640': 2, 'Packages_Raw': 1, 'PascalVOC': 20,
    'Raccoon_Raccoon.v2-raw.coco': 1, 'ShellfishOpenImages_raw': 3, 'ThermalCheetah': 2,
    'UnoCards_raw': 15, 'VehiclesOpenImages_416x416': 5, 'WildfireSmoke': 1,
    'boggleBoards_416x416AutoOrient_export_': 36, 'brackishUnderwater_960x540': 6,
    'dice_mediumColor_export': 6, 'openPoetryVision_512x512': 43, 'pistols_export': 1,
    'plantdoc_416x416': 30, 'pothole': 1, 'selfdrivingCar_fixedLarge_export_': 11,
    'thermalDogsAndPeople': 2, 'websiteScreenshots': 8,
}  # yapf: disable
THIRTEEN = ['AerialDrone', 'Aquarium', 'Rabbits', 'EgoHands', 'Mushrooms', 'Packages', 'PascalVOC',
            'Raccoon', 'Shellfish', 'Vehicles', 'Pistols', 'Pothole', 'Thermal']
MINIVAL = {'DroneControl_Drone_Control.v3-raw.coco', 'EgoHands_generic', 'EgoHands_specific',
           'OxfordPets_by-breed', 'OxfordPets_by-species', 'PKLot_640', 'UnoCards_raw',
           'VehiclesOpenImages_416x416', 'brackishUnderwater_960x540', 'openPoetryVision_512x512',
           'websiteScreenshots'}
IN_ONE_FOLDER = {'boggleBoards_416x416AutoOrient_export_', 'dice_mediumColor_export',
                 'pistols_export', 'selfdrivingCar_fixedLarge_export_'}


def test_names_and_numbers_of_classes():
    datasets = odinw_datasets()
    assert {d.name: len(d.classes) for d in datasets} == CLASSES
    assert [d.name for d in datasets] == list(CLASSES)
    assert all(len(set(d.classes)) == len(d.classes) for d in datasets)


@pytest.mark.parametrize('profile', ['13-paper', '13-yaml'])
def test_the_thirteen(profile):
    assert [d.title for d in odinw_datasets(profile)] == THIRTEEN


def test_titles_tell_data_sets_apart():
    titles = [d.title for d in odinw_datasets()]
    assert len(set(titles)) == 35


def test_classes_that_are_easily_lost():
    boggle = odinw_dataset('boggleBoards_416x416AutoOrient_export_').classes
    assert boggle[19:21] == ('o', 'o ') and boggle[26:29] == ('t', 't\\', 'th')
    assert odinw_dataset('ChessPieces').wordless == ('  ', )
    assert [d.title for d in odinw_datasets() if d.wordless] == ['ChessPieces']
    assert odinw_dataset('UnoCards').classes == tuple(map(str, range(15)))


def test_splits_of_a_folder_layout():
    assert odinw_dataset('Aquarium').splits == {
        s: (f'Aquarium/Aquarium Combined.v2-raw-1024.coco/{folder}/'
            'annotations_without_background.json',
            f'Aquarium/Aquarium Combined.v2-raw-1024.coco/{folder}')
        for s, folder in [('train', 'train'), ('val', 'valid'), ('test', 'test')]
    }


def test_splits_that_are_laid_out_otherwise():
    for dataset in odinw_datasets():
        assert ('minival' in dataset.splits) == (dataset.name in MINIVAL)
        folders = {folder for _, folder in dataset.splits.values()}
        assert (len(folders) == 1) == (dataset.name in IN_ONE_FOLDER)
    assert odinw_dataset('Pistols').splits['test'] == (
        'pistols/export/test_annotations_without_background.json', 'pistols/export')
    voc = odinw_dataset('PascalVOC').splits
    assert voc['test'] == voc['val'] and voc['val'][1] == 'PascalVOC/valid'


def test_few_shot_files_stand_beside_their_split():
    assert odinw_dataset('EgoHands').few_shot_file('minival', 10, 300) == (
        'EgoHands/generic/mini_val/fewshot_minival_shot10_seed300.json')
    assert odinw_dataset('Rabbits').few_shot_file('val', 1, 3) == (
        'CottontailRabbits/valid/fewshot_val_shot1_seed3.json')
    assert odinw_dataset('Pistols').few_shot_file('train', 3, 30) == (
        'pistols/export/fewshot_train_shot3_seed30.json')
    assert (SHOTS, SEEDS) == ((1, 3, 5, 10), (3, 30, 300))


def test_profiles_differ_in_split_and_prompts():
    paper, yaml = odinw_datasets('13-paper'), odinw_datasets('13-yaml')
    assert {d.eval_split for d in paper} == {'test'}
    assert {d.title for d in yaml if d.eval_split == 'minival'} == {'EgoHands', 'Vehicles'}
    assert {d.eval_split for d in yaml} == {'val', 'minival'}
    assert {d.title for d in paper if d.caption_prompt} == {
        'Aquarium', 'EgoHands', 'Packages', 'Pothole', 'Rabbits', 'Mushrooms'}
    assert not any(d.caption_prompt for d in yaml)


@pytest.mark.parametrize('title, caption, spanned', [
    ('Aquarium', ' fish. jellyfish. penguin , which is black and white. puffin with orange beaks . '
     'shark. starfish. stingray which is flat and round',
     ['fish', 'jellyfish', 'penguin', 'puffin', 'shark', 'starfish', 'stingray']),
    ('EgoHands', ' hand of a person', ['hand']),
    ('Packages', 'there is a package on the porch', ['package']),
    ('Pothole', 'there are some holes on the road', ['holes']),
    ('Rabbits', 'rabbit', ['rabbit']),
    ('Mushrooms', 'flat mushroom. yellow mushroom', ['flat mushroom', 'yellow mushroom']),
])
def test_manual_prompts(title, caption, spanned):
    dataset = odinw_dataset(title, '13-paper')
    prompt = class_prompt(dataset.classes, caption_prompt=dataset.caption_prompt)
    assert prompt.caption == caption
    assert [caption[slice(*span)] for entity in prompt.spans for span in entity] == spanned


def test_models_without_captions_get_changed_names_only():
    prompted = {d.title: d.caption_prompt for d in odinw_datasets('13-paper', sentences=False)
                if d.caption_prompt}
    assert prompted == {
        'Rabbits': {'Cottontail-Rabbit': {'name': 'rabbit'}},
        'Mushrooms': {'CoW': {'name': 'flat mushroom'}, 'chanterelle': {'name': 'yellow mushroom'}}}


def test_image_counts_of_the_paper():
    assert odinw_dataset('Aquarium').images == {'train': 448, 'val': 127, 'test': 63}
    assert odinw_dataset('PascalVOC').images == {'train': 13690, 'val': 3422}
    assert [d.title for d in odinw_datasets() if d.images] == THIRTEEN


def test_find(tmp_path):
    rabbits = odinw_dataset('Rabbits')
    with pytest.raises(UserError, match='no folder .*CottontailRabbits/test'):
        rabbits.find(tmp_path, 'test')
    folder = tmp_path / 'CottontailRabbits/test'
    folder.mkdir(parents=True)
    with pytest.raises(UserError, match='no file .*annotations_without_background.json'):
        rabbits.find(tmp_path, 'test')
    ann_file = folder / 'annotations_without_background.json'
    ann_file.write_text(json.dumps({}))
    assert rabbits.find(tmp_path, 'test') == (ann_file, folder)
    with pytest.raises(UserError, match="train, val, test; got 'minival'"):
        rabbits.find(tmp_path, 'minival')


def test_check_classes():
    mushrooms = odinw_dataset('Mushrooms')
    mushrooms.check_classes(['CoW', 'chanterelle'], 'a.json')
    mushrooms.check_classes(['flat mushroom', 'yellow mushroom'], 'a.json')
    for wrong, got in ((['CoW'], 'only 1'), (['chanterelle', 'CoW'], "'chanterelle'"),
                       (['CoW', 'chanterelle', 'x'], "beyond is 'x'")):
        with pytest.raises(UserError, match=got):
            mushrooms.check_classes(wrong, 'a.json')


def test_unknown_names():
    with pytest.raises(UserError, match='13-paper, 13-yaml, 35'):
        odinw_datasets('14')
    with pytest.raises(UserError, match="got 'Fish'"):
        odinw_dataset('Fish')
    with pytest.raises(UserError):
        odinw_dataset('BCCD', '13-paper')
    assert PROFILES == ('13-paper', '13-yaml', '35')


@pytest.mark.parametrize('model, tuning, shots, dataset, score, spread', [
    ('glip-t-a', 'zero-shot', 0, 'pothole', 0.8, None),
    ('glip-l', 'zero-shot', 0, 'PascalVOC', 61.7, None),
    ('glip-t', 'full', 1, 'PascalVOC', 54.8, 2.0),
    ('glip-l', 'prompt', 10, 'thermalDogsAndPeople', 74.9, 2.1),
    ('glip-l', 'full', None, 'EgoHands_generic', 79.4, None),
    ('dyhead-t-coco', 'linear', 3, 'Packages_Raw', 30.6, 16.9),
    ('glip-t-c', 'linear', 5, 'VehiclesOpenImages_416x416', 63.4, 0.3),
])
def test_published_scores(model, tuning, shots, dataset, score, spread):
    found = published_scores(model, tuning, shots)
    assert found.scores[dataset] == score and found.spread.get(dataset) == spread
    assert set(found.scores) == {d.name for d in odinw_datasets('13-paper')}


def test_published_scores_average_to_the_published_averages():
    models = ['glip-t-a', 'glip-t-b', 'glip-t-c', 'glip-t', 'glip-l', 'dyhead-t-coco',
              'dyhead-t-o365']
    rows = [published_scores(model, tuning, shots) for model in models
            for tuning in ('linear', 'prompt', 'full') for shots in (*SHOTS, None)]
    rows += [published_scores(model, 'zero-shot', 0) for model in models]
    rows = [row for row in rows if row]
    assert len(rows) == 100  # 5 x zero-shot, 19 x (4 shots and all)
    for row in rows:
        # The paper rounds each figure, and the means of three draws before averaging them.
        assert mean(row.scores.values()) == pytest.approx(row.average, abs=.07)
        again, _ = published_average(row.model, row.tuning, row.shots)
        known = {('glip-t-a', 'zero-shot', 0), ('glip-t-c', 'prompt', None)}
        if (row.model, row.tuning, row.shots) not in known:
            assert again == pytest.approx(row.average, abs=.15)


def test_published_averages():
    assert published_average('glip-l', 'full', 3) == (62.1, 0.8)
    assert published_average('glip-t-a', 'zero-shot', 0) == (28.7, 0.)
    assert published_average('dyhead-t-o365', 'linear cosine', 10) == (41.5, 0.5)
    assert published_average('dyhead-t-coco', 'zero-shot', 0) is None
    assert [released_zero_shot(m) for m in ('glip-t', 'glip-l', 'glip-mini')] == [42.7, 51.2, None]
