"""The nouns that captions name."""
import pytest

from glipkit.text.phrases.nouns import head_nouns, singular


@pytest.mark.parametrize('caption, nouns', [
    ("a photo of two fire trucks beside the man's old red boat", ['fire truck', 'man', 'boat']),
    ('Two women in glasses eating slices of pizza', ['woman', 'glasses', 'slice', 'pizza']),
    ('a group of people riding skis', ['person', 'ski']),
    ('an orange and a glass of orange juice', ['orange', 'glass', 'juice']),
    ('the red and blue ball', ['ball']),
    ('it is raining', []), ('', []), ('12 34', []), ('?!', []), ('is of the and', []),
])
def test_nouns_of_captions(caption, nouns):
    assert head_nouns(caption) == nouns


def test_a_noun_has_a_few_words_at_most():
    noun, = head_nouns('the city museum visitor bus station')
    assert noun == 'visitor bus station'


@pytest.mark.parametrize('plural, noun', [
    ('cats', 'cat'), ('boxes', 'box'), ('churches', 'church'), ('dishes', 'dish'),
    ('cherries', 'cherry'), ('cookies', 'cookie'), ('women', 'woman'), ('people', 'person'),
    ('knives', 'knife'), ('gloves', 'glove'), ('tomatoes', 'tomato'), ('shoes', 'shoe'),
    ('skis', 'ski'), ('buses', 'bus'), ('glass', 'glass'), ('bus', 'bus'), ('tennis', 'tennis'),
    ('scissors', 'scissors'), ('sheep', 'sheep'), ('gas', 'gas'), ('tie', 'tie'), ('ties', 'tie')])
def test_singular(plural, noun):
    assert singular(plural) == noun and singular(noun) == noun
