import numpy as np
import pytest

from glipkit.evaluation.metrics.trimming import is_trimmed, trim


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_a_pixel_less_but_never_below_the_corner(dtype):
    boxes = np.array([[1, 2, 30, 40], [5, 6, 5.5, 9], [5, 6, 5.25, 6.5]], dtype)
    found = trim(boxes)
    assert found.tolist() == [[1, 2, 29, 39], [5, 6, 5, 8], [5, 6, 5, 6]]
    assert found.dtype == dtype and boxes[0, 2] == 30
    assert trim(boxes[:0]).shape == (0, 4)


def test_the_name_of_version_0_1_is_the_opposite():
    assert is_trimmed(True, None) and not is_trimmed(False, None)
    assert is_trimmed(False, False) and not is_trimmed(True, True)
