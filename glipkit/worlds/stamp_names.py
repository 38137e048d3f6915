"""From the captions of Tux Paint's stamps to class names: which stamps are used, and as what.

:func:`class_name` reads most captions ('A quarter of pizza.', 'An owl.'). Where a caption is a
sentence, is finer than its neighbours (a Tamworth pig beside a pig) or does not name what the
picture shows, :data:`RENAMED` decides. The tables were made by eye for version 2022.06.04 of the
stamps; unknown stamps fall back on the rule.
"""
from __future__ import annotations

import re

#: Folders that never enter a world, so that they stay unseen for everybody.
NEVER_USED = ('symbols/chess', 'military', 'seasonal', 'animals/insects')
#: Folders of drawings, letters and signs. Folders named 'cartoon' are left out everywhere.
NO_PHOTOGRAPHS = ('clothes/hats', 'symbols/alphabets', 'symbols/faces', 'symbols/math',
                  'symbols/money/00_symbols', 'symbols/music', 'symbols/shapes', 'town/flags')
#: Single stamps left out: drawings, silhouettes, see-through things, several things in one, and
#: things whose name also fits other classes (a 'flower' beside a rose).
LEFT_OUT = frozenset((
    'animals/mammals/echidna', 'animals/mammals/hedgehog', 'animals/mammals/wildboar',
    'clothes/button', 'clothes/t_baseballcap', 'clothes/t_glove', 'clothes/t_jacket',
    'clothes/t_pants', 'clothes/t_poloshirt', 'clothes/t_scarf', 'clothes/t_shirt',
    'clothes/t_sock', 'clothes/t_tshirt', 'food/fruit/apple_sierra_beauty', 'food/pizza',
    'food/vegetables/garlics', 'household/dishes/glass', 'medical/tooth',
    'naturalforces/explosion', 'naturalforces/lightningbolt', 'people/body_parts/eye',
    'plants/flowers/flower1', 'plants/flowers/flower2', 'plants/flowers/flower3',
    'plants/flowers/flower4', 'plants/flowers/flower5', 'plants/flowers/flower6',
    'plants/flowers/flower7', 'plants/flowers/flower8', 'plants/flowers/flower9',
    'plants/flowers/yellow-flower', 'plants/flowers/plastic/chuvanna_plastic_poo',
    'plants/lettuce_bolted', 'plants/mushrooms/cep-2', 'space/moon/moon_crescent',
    'space/planets/0_sun', 'sports/rugby_goal_posts', 'symbols/clockface', 'symbols/recycle',
    'town/monuments/inukshuk-outline', 'vehicles/emergency/sedan_police'))

#: Class name -> the stamps that show it, where the rule would say something else.
_NAMED: dict[str, str] = {
    'rosella': 'animals/birds/adelaide-rosella', 'peahen': 'animals/birds/albino_peahen',
    'hen': 'animals/birds/chicken_profile animals/birds/hen', 'duck': 'animals/birds/drake',
    'goose': 'animals/birds/gander', 'guinea fowl': 'animals/birds/helmeted_guineafowl',
    'heron': 'animals/birds/heron_greatblue animals/birds/heron_greatblue_flying',
    'little penguin': 'animals/birds/little-penguin', 'king penguin': 'animals/birds/penguin',
    'flamingo': 'animals/birds/pink_flamingo', 'lorikeet': 'animals/birds/rainbow-lorikeet',
    'gull': 'animals/birds/seagull animals/birds/silver-gull',
    'blue groper': 'animals/fish/bluegroper', 'lionfish': 'animals/fish/lionfish',
    'lobster': 'animals/fish/lobster', 'striped fish': 'animals/fish/stripedfish',
    'pig': 'animals/mammals/pig_golden animals/mammals/pig_golden2',
    'rabbit': 'animals/mammals/rabbit_little animals/mammals/rodents/rabbit-2',
    'rhino': 'animals/mammals/rhino_black', 'tamarin': 'animals/mammals/apes/tamarin_emperor',
    'bear': 'animals/mammals/bears/european-bear',
    'teddy bear': 'animals/mammals/bears/toys/edward_bear',
    'gnu': ('animals/mammals/bovines/gnu-baby-stand animals/mammals/bovines/gnu-baby '
            'animals/mammals/bovines/gnu-sitting animals/mammals/bovines/gnu-stand'),
    'blackbuck': 'animals/mammals/bovines/indian_blackbuck',
    'mountain goat': 'animals/mammals/bovines/mountaingoat',
    'sheep': 'animals/mammals/bovines/ram', 'lamb': 'animals/mammals/bovines/sheep_lamb',
    'tiger': 'animals/mammals/cats/tiger_sumatran', 'deer': 'animals/mammals/deer/doe',
    'capybara': 'animals/mammals/rodents/capybara', 'kangaroo': 'animals/marsupials/kangaroo',
    'mussel': 'animals/shellfish/murray-mussel',
    'clothespin': 'clothes/clothespin_new clothes/clothespin_old',
    'cherries': 'food/fruit/Cherry_Stella', 'red apple': 'food/fruit/apple_fuji',
    'green apple': 'food/fruit/apple_granny_smith', 'avocado': 'food/fruit/avocado',
    'cherimoya': 'food/fruit/cherimoya', 'kiwi': 'food/fruit/kiwi', 'lemon': 'food/fruit/lemon',
    'whole orange': 'food/fruit/orange', 'pear': 'food/fruit/pear',
    'broccoli': 'food/vegetables/broccoli',
    'chili pepper': 'food/vegetables/chilepepper', 'corn': 'food/vegetables/corn',
    'button mushroom': 'food/vegetables/mushroom', 'potato': 'food/vegetables/potato',
    'green lettuce': 'food/vegetables/lettuce', 'tomato': 'food/vegetables/tomato',
    'cymbal': 'hobbies/music/percussion/cymbal_crash',
    'drum': 'hobbies/music/percussion/drum_tomtom_floor',
    'bass guitar': 'hobbies/music/string/guitar_electric_bass',
    'garbage can': 'household/garbagecan', 'compost bin': 'household/home_compost_bin',
    'kettle': 'household/kettle', 'toilet': 'household/toilet',
    'highlighter': 'household/arttools/highlighter', 'marker': 'household/arttools/pen_dryerase',
    'scissors': ('household/arttools/scissors_small_closed '
                 'household/arttools/scissors_small_open'),
    'mallet': 'household/tools/mallet_metal', 'spade': 'household/tools/spade',
    'combination wrench': 'household/tools/wrench',
    'pipe wrench': 'household/tools/wrench_plumbers',
    'bandage': 'medical/bandage_adhesive', 'thermometer': 'medical/mercurythermometer',
    'rag doll': 'people/toys/grannysmith', 'eggplant bush': 'plants/eggplant',
    'lavender bush': 'plants/lavender', 'thyme bush': 'plants/thyme',
    'anemone': 'plants/flowers/anemone_red', 'milkweed': 'plants/flowers/appooppanthady',
    'hibiscus': 'plants/flowers/flower10', 'pigface': 'plants/flowers/pigface',
    'gazania': 'plants/flowers/red-gazania', 'petunia': 'plants/flowers/whitestar-petunia',
    'cep mushroom': 'plants/mushrooms/cep plants/mushrooms/cep-1',
    'birch tree': 'plants/trees/birch', 'holly branch': 'plants/trees/holly_leaves',
    'oak tree': 'plants/trees/holm_oak', 'rambutan': 'plants/trees/rambutan',
    'lunar lander': 'space/apollo_lander', 'astronaut': 'space/spacewalk',
    'space probe': 'space/voyager2', 'moon': 'space/moon/moon_full space/moon/moon_3qt',
    'planet mercury': 'space/planets/1_mercury', 'planet venus': 'space/planets/2_venus',
    'planet earth': 'space/planets/3_earth', 'planet mars': 'space/planets/4_mars',
    'planet jupiter': 'space/planets/5_jupiter', 'planet saturn': 'space/planets/6_saturn',
    'planet uranus': 'space/planets/7_uranus', 'planet neptune': 'space/planets/8_neptune',
    'planet pluto': 'space/planets/9_pluto', 'trophy': 'sports/trophy_cup',
    'australian football': 'sports/australian_rules_football',
    'post box': 'town/uk_post_box', 'arrow sign': 'town/roadsigns/arrow',
    'crossroads sign': 'town/roadsigns/crossroads', 'dead end sign': 'town/roadsigns/dead_end_sign',
    'give way sign': 'town/roadsigns/give_way_sign', 'hospital sign': 'town/roadsigns/hospital',
    'no entry sign': 'town/roadsigns/no_entry_sign', 'no u-turn sign': 'town/roadsigns/no_uturn',
    'railroad signal': 'town/roadsigns/railroad_crossing',
    'roundabout sign': 'town/roadsigns/roundabout',
    'school sign': 'town/roadsigns/school_sign town/roadsigns/xing_school',
    'red traffic light': 'town/roadsigns/stoplight_01_red',
    'yellow traffic light': 'town/roadsigns/stoplight_02_yellow',
    'green traffic light': 'town/roadsigns/stoplight_03_green',
    'intersection sign': 'town/roadsigns/t-junction', 'toilet sign': 'town/roadsigns/toilets',
    'pedestrian crossing sign': 'town/roadsigns/xing_ped', 'yield sign': 'town/roadsigns/yield',
    'car wheel': 'vehicles/7spoke256', 'beetle car': 'vehicles/auto/beetle',
    'tricycle': 'vehicles/cycle/pink_tricycle', 'bus': 'vehicles/masstransit/green_korean_bus',
    'sailing ship': 'vehicles/ship/chineseJunk', 'sailboat': 'vehicles/ship/walnutBoat'}
#: Stamp (path without suffix) -> class name.
RENAMED = {stamp: name for name, stamps in _NAMED.items() for stamp in stamps.split()}
#: Folder -> class name of all its stamps: what sets them apart is too fine to see.
RENAMED_FOLDERS = {'symbols/money/canadian': 'canadian coin', 'symbols/money/euro': 'euro coin',
                   'symbols/money/japanese': 'japanese coin', 'symbols/money/us': 'american coin'}
#: Nouns that also name their class without the words before: a 'red apple' is an 'apple'.
HEAD_NOUNS = ('apple', 'car', 'coin', 'football', 'guitar', 'lettuce', 'mushroom', 'orange',
              'penguin', 'pepper', 'sign', 'traffic light', 'truck', 'wheel', 'wrench')

_QUOTES = re.compile(r'[“”"]|(?<!\w)\'|\'(?!\w)')
_END = re.compile(r'[.!?,:;(—–]|\s(?:that|which|lets|called|used|covered|making)\s'
                  r'|\s(?:from|in|with|at)\s')
_START = re.compile(r'^(?:(?:an?|the|some|our|(?:pair|bunch|cluster|head|quarter|piece|slice) of|'
                    r'very|small|large|little|big|huge|colou?rful|ripe)\s+)+')
_NAME = re.compile(r'[a-z][a-z\'-]*(?: [a-z][a-z\'-]*){0,2}')


def class_name(caption: str) -> str | None:
    """Read a class name off a stamp's caption.

    Takes the first clause without quotation marks, articles, measures ('a pair of') and words of
    size, in lower case.

    Args:
        caption: First line of the text beside a stamp.

    Returns:
        One to three words, or None when nothing so short is left.
    """
    text = _QUOTES.sub('', caption.lower().replace('’', "'"))
    text = ' '.join(_END.split(text.strip(), maxsplit=1)[0].split())
    text = _START.sub('', text)
    return text if _NAME.fullmatch(text) else None


def name_stamp(stamp: str, caption: str) -> str | None:
    """Class name of a stamp, or None when it has no place in a world.

    Args:
        stamp: Path below the stamps folder, with '/' and without suffix ('food/fruit/banana').
        caption: First line of the text beside it.
    """
    folders = stamp.split('/')[:-1]
    if 'cartoon' in folders or stamp in LEFT_OUT or stamp.endswith('_mirror'):
        return None
    if any(is_below(stamp, folder) for folder in NEVER_USED + NO_PHOTOGRAPHS):
        return None
    for folder, name in RENAMED_FOLDERS.items():
        if is_below(stamp, folder):
            return name
    return RENAMED.get(stamp) or class_name(caption)


def is_below(stamp: str, folder: str) -> bool:
    """Whether a path lies in a folder, at any depth."""
    return stamp.startswith(folder + '/')


def spoken_words(name: str) -> tuple[str, ...]:
    """Split a class name into what captions may leave out, and its noun."""
    for noun in HEAD_NOUNS:
        if name.endswith(' ' + noun):
            return name[:-len(noun) - 1], noun
    return (name,)
