"""TF32 is said in one place, and a block leaves the switches as it found them."""
import threading

import pytest
import torch

from glipkit.common import tf32 as module
from glipkit.common.precision import check_dtype, computing_in
from glipkit.common.tf32 import set_tf32, tf32
from glipkit.errors import UserError


def switches():
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.fixture(autouse=True)
def as_pytorch_has_it():
    before = switches()
    yield
    module._write(before)


def test_both_or_neither():
    for allowed in (True, False):
        set_tf32(allowed)
        assert switches() == (allowed, allowed)


@pytest.mark.parametrize('dtype', ['float32', 'tf32', 'bf16'])
def test_a_predictor_on_a_gpu_says_it(dtype):
    before = switches()
    assert before == (False, True)  # what PyTorch begins with
    if dtype == 'bf16' and not torch.cuda.is_available():
        pytest.skip('autocast asks for the GPU')
    with computing_in(dtype, 'cuda'):
        assert switches() == (dtype == 'tf32', ) * 2
    assert switches() == before
    with computing_in('float32', 'cpu'):
        assert switches() == before


def test_blocks_may_overlap():
    before, entered, leave = switches(), threading.Event(), threading.Event()

    def longer():
        with tf32(False):
            entered.set()
            leave.wait(20)

    other = threading.Thread(target=longer)
    with tf32(False):
        other.start()
        assert entered.wait(20)
    assert switches() == (False, False)  # the other one still computes
    leave.set()
    other.join()
    assert switches() == before


def test_switches_of_another_kind_stay():
    """As of a program that has set ``fp32_precision``, which PyTorch does not mix with these."""
    try:
        torch.backends.cuda.matmul.fp32_precision = 'tf32'
    except AttributeError:
        pytest.skip('this PyTorch has one kind')
    try:
        with tf32(False):
            assert torch.backends.cuda.matmul.fp32_precision == 'tf32'
        set_tf32(False)
        assert torch.backends.cuda.matmul.fp32_precision == 'tf32'
    finally:
        torch.backends.cuda.matmul.fp32_precision = 'none'
        module._write((False, True))


def test_a_processor_has_no_tf32():
    with pytest.raises(UserError, match='a GPU for dtype tf32; got a processor'):
        check_dtype('tf32', 'cpu')
    assert check_dtype('tf32', 'cuda') == 'tf32'
