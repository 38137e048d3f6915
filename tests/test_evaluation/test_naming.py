"""Best-label accuracy and labels per object, by hand."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glipkit.evaluation.functional import naming


def thing(image, category, box, **more):
    return dict(image_id=image, category_id=category, bbox=box, **more)


OBJECTS = [thing(1, 3, [0, 0, 10, 10]), thing(1, 4, [20, 0, 10, 10]), thing(2, 4, [0, 0, 10, 10])]


def test_the_best_of_all_overlapping_labels_counts():
    found = [
        thing(1, 3, [0, 0, 10, 10], score=.6), thing(1, 4, [0, 0, 10, 9], score=.5),
        thing(1, 4, [20, 0, 10, 10], score=.4), thing(1, 3, [20, 0, 10, 10], score=.7),
        thing(2, 4, [0, 0, 10, 10], score=.2), thing(2, 3, [0, 0, 10, 4], score=.9),
    ]
    result = naming([1, 2], [3, 4], OBJECTS, found, dict(three=[3], four=[4], none=[5]))
    # right: the first (0.6 before 0.5) and the third (the wrong name overlaps by 0.4 only)
    assert result.best_label == pytest.approx(2 / 3)
    assert result.groups == dict(three=1., four=.5, none=-1.)
    assert result.labels_per_object == pytest.approx(5 / 3)  # all but the score of 0.2
    assert '3 objects' in result.protocol


def test_an_overlap_of_a_half_is_enough_and_less_is_not():
    for height, right in ((5, 1.), (4.9, 0.)):
        found = [thing(1, 3, [0, 0, 10, height], score=.1)]
        assert naming([1], [3], OBJECTS[:1], found).best_label == right


def test_what_does_not_count():
    crowd = thing(1, 3, [50, 50, 10, 10], iscrowd=1)
    other = thing(1, 9, [70, 50, 10, 10])
    elsewhere = thing(8, 3, [0, 0, 10, 10])
    found = [thing(1, 3, [0, 0, 10, 10], score=.9), thing(8, 4, [0, 0, 10, 10], score=.9)]
    result = naming([1], [3], [OBJECTS[0], crowd, other, elsewhere], found)
    assert (result.best_label, result.labels_per_object) == (1., 1.)


def test_nothing_found_and_nothing_to_find():
    assert naming([1, 2], [3, 4], OBJECTS, []).best_label == 0
    empty = naming([1], [3], [], [thing(1, 3, [0, 0, 1, 1], score=.5)])
    assert empty.best_label == empty.labels_per_object == -1


@given(st.lists(st.tuples(st.sampled_from([3, 4]), st.integers(0, 99)), max_size=8), st.randoms())
def test_the_order_of_detections_changes_nothing(rows, random):
    scores = {score for _, score in rows}
    rows = [({s: c for c, s in rows}[score], score) for score in scores]  # no equal scores
    found = [thing(1, c, [0, 0, 10, 10], score=score / 100) for c, score in rows]
    mixed = random.sample(found, len(found))
    assert naming([1], [3, 4], OBJECTS, found) == naming([1], [3, 4], OBJECTS, mixed)
