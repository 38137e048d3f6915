"""Work in pieces on all cores."""
import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from glipkit.common.cores import even_pieces, share_out
from glipkit.models.kernels import strips
from glipkit.models.kernels.strips import in_strips

pytestmark = pytest.mark.usefixtures('two_threads')


def test_every_piece_is_done_once():
    done = []
    share_out(done.append, 50)
    assert sorted(done) == list(range(50))
    share_out(lambda i: pytest.fail('called'), 0)


def test_pieces_run_at_the_same_time_with_one_core_each():
    both, threads = threading.Barrier(2, timeout=30), []

    def work(i):
        threads.append(torch.get_num_threads())
        both.wait()

    share_out(work, 4)
    assert threads == [1] * 4 and torch.get_num_threads() == 2


def test_few_pieces_follow_each_other_in_the_calling_thread():
    threads = []
    share_out(lambda i: threads.append((i, threading.current_thread())), 3)
    assert threads == [(i, threading.current_thread()) for i in range(3)]


def test_an_error_reaches_the_caller_and_ends_the_work():
    done = []

    def work(i):
        if i == 3:
            raise ValueError('piece 3')
        done.append(i)

    with pytest.raises(ValueError, match='piece 3'):
        share_out(work, 10000)
    assert len(done) < 10000
    share_out(done.append, 4)  # the threads are still there


@pytest.mark.parametrize('enter', [torch.inference_mode, torch.no_grad])
def test_pieces_know_the_modes_of_the_caller(enter):
    seen = []

    def work(i):
        seen.append((torch.is_inference_mode_enabled(), torch.is_grad_enabled(),
                     torch.is_autocast_enabled('cpu')))

    with enter(), torch.autocast('cpu', torch.bfloat16):
        expected = (torch.is_inference_mode_enabled(), False, True)
        share_out(work, 4)
    assert seen == [expected] * 4


def test_work_within_a_piece_is_not_shared_out_again():
    names = []

    def inner(i):
        names.append(threading.current_thread().name)

    def work(i):
        before = len(names)
        share_out(inner, 3)
        assert len(names) >= before + 3

    share_out(work, 4)
    assert len(names) == 12


@given(st.integers(1, 300), st.integers(1, 40))
def test_even_pieces_cover_everything(length, most):
    pieces = even_pieces(length, most)
    assert [i for piece in pieces for i in range(piece.start, piece.stop)] == list(range(length))
    sizes = [piece.stop - piece.start for piece in pieces]
    assert max(sizes) <= most and max(sizes) - min(sizes) <= 1 and min(sizes) > 0


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
def test_strips_give_what_whole_maps_give(layout, monkeypatch):
    monkeypatch.setattr(strips, 'STRIP_ELEMENTS', 60)
    maps = [torch.randn(2, 3, 7, 5).contiguous(memory_format=layout) for _ in range(2)]
    mix = lambda a, b: torch.maximum(a * 2, b + 1)  # noqa: E731
    with torch.no_grad():
        assert torch.equal(in_strips(mix, maps), mix(*maps))
    maps[0].requires_grad_()
    in_strips(mix, maps).sum().backward()
    assert maps[0].grad is not None
