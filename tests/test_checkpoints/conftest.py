"""Fixtures of the checkpoint tests."""
from __future__ import annotations

import pytest

from glipkit.checkpoints.glip import Structure

from .tiny import TINY, UNFUSED


@pytest.fixture(params=[TINY, UNFUSED], ids=['fused', 'unfused'])
def structure(request: pytest.FixtureRequest) -> Structure:
    return request.param
