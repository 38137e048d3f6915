"""Verdicts on a distillation, from numbers worked by hand."""
from glipkit.claims.distillation import judge, judge_speed


def of(teacher, student):
    return dict(teacher=dict(ap50=teacher), student=dict(ap50=student))


def test_share_of_the_teacher_is_that_of_the_mean_over_seeds():
    rows = judge({0: of(.6, .5), 1: of(.6, .54)})
    assert [row['measured'] for row in rows] == ['60.0', '52.0 ± 2.0', '86.7']
    assert rows[-1]['verdict'] == 'met'
    assert judge({0: of(.6, .5)})[-1]['verdict'] == 'missed'


def test_speed_is_told_beside_its_bar():
    slow = {'candidate': 'large', 'median s': 3.}
    rows = judge_speed([slow, {'candidate': 'student', 'times as fast': 41.2,
                               'at least 30x': 'met'}])
    assert rows[0] == {'line': 'seconds of large', 'measured': '3.000'}
    assert rows[1]['measured'] == '41' and rows[1]['verdict'] == 'met'
