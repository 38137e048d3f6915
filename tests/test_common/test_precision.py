"""Whether bfloat16 pays is measured, and told in one line where it does not."""
from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
import torch

from glipkit.common import precision
from glipkit.errors import UserError

AVX2 = {'ATEN_CPU_CAPABILITY': 'avx2', 'ONEDNN_MAX_CPU_ISA': 'AVX2',
        'MKL_ENABLE_INSTRUCTIONS': 'AVX2'}
ASK = '''
import torch
from glipkit.common.precision import bfloat16_pays
print(torch.backends.cpu.get_cpu_capability(), bfloat16_pays())
'''


def test_a_processor_that_does_not_gain(monkeypatch):
    monkeypatch.setattr(precision, '_slowdown', lambda: 25.)
    assert not precision.bfloat16_pays() and not precision.bfloat16_pays(torch.device('cpu'))
    assert precision.slow_bfloat16_note('--dtype bf16').endswith('leave --dtype bf16 out.')
    with pytest.raises(UserError, match='for --amp a processor .* 25.0 times as long; leave --amp'):
        precision.require_bfloat16('--amp')


def test_a_processor_that_gains(monkeypatch):
    monkeypatch.setattr(precision, '_slowdown', lambda: .5)
    assert precision.bfloat16_pays() and precision.slow_bfloat16_note('--dtype bf16') is None
    precision.require_bfloat16('--amp')


def test_a_gpu_is_not_timed(monkeypatch):
    monkeypatch.setattr(precision, '_slowdown', lambda: pytest.fail('timed'))
    for device in ('cuda', 'cuda:1', torch.device('mps')):
        precision.require_bfloat16('--amp', device)
        assert precision.bfloat16_pays(device)
        assert precision.slow_bfloat16_note('--amp', device) is None


@pytest.mark.parametrize(('times', 'asked'), [({128: 30.}, 30.), ({128: 1.5, 256: .4}, .4),
                                              ({128: 2., 256: 1.6}, 1.6)])
def test_a_large_product_is_timed_only_where_a_small_one_does_not_tell(monkeypatch, times, asked):
    monkeypatch.setattr(precision, '_ratio', times.__getitem__)
    assert precision._slowdown.__wrapped__() == asked


def test_the_measurement_is_short_and_leaves_the_threads_alone():
    threads, begin = torch.get_num_threads(), time.thread_time()
    found = precision._slowdown.__wrapped__()
    assert time.thread_time() - begin < .5 and torch.get_num_threads() == threads
    assert .01 < found < 1000


@pytest.mark.slow
def test_a_processor_held_to_avx2_does_not_gain():
    ran = subprocess.run([sys.executable, '-c', ASK], env={**os.environ, **AVX2},
                         capture_output=True, text=True, check=True)
    capability, pays = ran.stdout.split()
    if capability != 'AVX2':
        pytest.skip('a processor that is not held by these variables')
    assert pays == 'False'
