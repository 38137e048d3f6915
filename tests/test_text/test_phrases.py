"""The noun phrase chunker on captions as people write them."""
from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glipkit.errors import UserError
from glipkit.text.phrases import extract_phrases

# Caption and its phrases, parted by '|'.
CAPTIONS = {
    'a man in a red shirt holds two umbrellas near the traffic light':
        'a man|a red shirt|two umbrellas|the traffic light',
    # relations and places
    'a large red striped circle left of a small blue triangle':
        'a large red striped circle|a small blue triangle',
    'a cup of coffee to the left of a laptop': 'a cup|coffee|a laptop',
    'a parked car next to a fire hydrant': 'a parked car|a fire hydrant',
    'three people sitting at a dining table in front of a window':
        'three people|a dining table|a window',
    'a vase filled with flowers on top of the shelf': 'a vase|flowers|the shelf',
    "a man's hat is on the left side of the bed": "a man's hat|the bed",
    'the woman on the left holds her bag': 'the woman|her bag',
    'the left shoe on the top shelf': 'the left shoe|the top shelf',
    'a yellow taxi cab in the background': 'a yellow taxi cab',
    'two red squares right of a star, and small green stars':
        'two red squares|a star|small green stars',
    # conjunctions and commas
    'a red and blue ball': 'a red and blue ball',
    'red & blue balls & a kite': 'red & blue balls|a kite',
    'an orange and blue ball': 'an orange and blue ball',
    'a wood and metal bench': 'a wood and metal bench',
    'a glass and red wine': 'a glass|red wine',
    'a dog and a cat': 'a dog|a cat',
    'a dog and cat': 'a dog|cat',
    'apples, oranges, and bananas': 'apples|oranges|bananas',
    'a big, red ball': 'a big, red ball',
    'A bathroom with a toilet, sink, and shower': 'A bathroom|a toilet|sink|shower',
    'a black and white photo of a dog': 'a black and white photo|a dog',
    "a girl's red and white striped dress": "a girl's red and white striped dress",
    # adjectives after a copula are no phrases
    'the car is red and the sky is very blue': 'the car|the sky',
    'the cat is orange': 'the cat',
    'the dog looks shaggy': 'the dog',
    'An orange on the table': 'An orange|the table',
    # verbs
    'Two dogs play in the park': 'Two dogs|the park',
    'a boy and girl play with a frisbee': 'a boy|girl|a frisbee',
    'a man juggles knives': 'a man|knives',
    'two wrist watches on a desk': 'two wrist watches|a desk',
    'the man watches tv': 'the man|tv',
    'a woman wearing torn jeans and a striped shirt': 'a woman|torn jeans|a striped shirt',
    'a woman sits and reads a book': 'a woman|a book',
    'a dog that runs fast': 'a dog',
    'he is about to throw a ball': 'a ball',
    'the swing in the parking lot is broken': 'the swing|the parking lot',
    'a person riding a skateboard up the side of a ramp': 'a person|a skateboard|a ramp',
    'the boy kicked the ball': 'the boy|the ball',
    # compounds, counts, determiners
    'a train traveling down train tracks': 'a train|train tracks',
    'a couple of dogs and lots of people': 'a couple of dogs|lots of people',
    'two or three birds fly over the sea': 'two or three birds|the sea',
    '3 balloons, twenty-five kites': '3 balloons|twenty-five kites',
    'a trash can, which a man can see': 'a trash can|a man',
    'a heart shaped box': 'a heart shaped box',
    'a very large elephant and a brightly colored umbrella':
        'a very large elephant|a brightly colored umbrella',
    'that man with a 5-year-old boy': 'that man|a 5-year-old boy',
    "the phone's screen": "the phone's screen",
    "someone's hand is holding up a hot dog": "someone's hand|a hot dog",
    # punctuation, capitals, accents, class lists
    'There are three red circles and a green star. The star is above the circles.':
        'three red circles|a green star|The star|the circles',
    'THE MAN HOLDS A SIGN!': 'THE MAN|A SIGN',
    '"a sign" (with \'text\') & more': 'a sign|text',
    'café table with crème brûlée': 'café table|crème brûlée',
    'person. traffic light. hair drier': 'person|traffic light|hair drier',
    # nothing to see
    '': '', '   ': '', '.,;': '', 'red': '', 'it is there': '', 'all in black': '',
}


@pytest.mark.parametrize('caption', CAPTIONS)
def test_caption(caption):
    found = [caption[a:b] for a, b in extract_phrases(caption)]
    assert found == [phrase for phrase in CAPTIONS[caption].split('|') if phrase]


def test_spans_of_the_golden_caption():
    caption = 'a man in a red shirt holds two umbrellas near the traffic light'
    assert extract_phrases(caption) == [(0, 5), (9, 20), (27, 40), (46, 63)]


def test_repeated_phrases_have_their_own_spans():
    assert extract_phrases('a dog near a dog') == [(0, 5), (11, 16)]


WORDS = st.sampled_from(
    "a an the two red orange big and or , . of left on to is looks man dogs watches play holding "
    "parked very that can her light's gold couple running shaped 中文 é 🚗 - '".split())


@settings(deadline=None, derandomize=True)
@given(st.lists(WORDS, max_size=25).map(' '.join) | st.text(max_size=40))
def test_spans_are_ordered_disjoint_and_cut_no_word(caption):
    last = 0
    for begin, end in extract_phrases(caption):
        assert last <= begin < end <= len(caption)
        assert any(c.isalnum() or c == '_' for c in caption[begin:end])
        assert not caption[begin].isspace() and not caption[end - 1].isspace()
        for edge in (begin, end):
            around = caption[max(edge - 1, 0):edge + 1]
            assert len(around) < 2 or not around.isalnum()
        last = end


def test_long_captions_do_not_overflow():
    for text in ('a very big red dog and ', 'gold and silver and ', 'smiling ', "man's "):
        extract_phrases(text * 400)


def test_no_string():
    with pytest.raises(UserError):
        extract_phrases(None)
