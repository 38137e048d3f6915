"""The pause of the garbage collector ends, whatever happens in it, and is nobody else's."""
import gc

import pytest

from glipkit.common.collector import collector_paused


def test_a_pause_ends_with_an_error_too():
    assert gc.isenabled()
    with pytest.raises(KeyError), collector_paused():
        assert not gc.isenabled()
        raise KeyError
    assert gc.isenabled()


def test_who_has_turned_it_off_finds_it_off():
    gc.disable()
    try:
        with collector_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
