"""The garbage collector is out of the way for a while, and back afterwards, whatever happens."""

import gc

import pytest

from lookup_pipeline.collector import without_collecting


def test_it_is_off_inside_and_on_again_after_an_error() -> None:
    states = []

    def fail() -> None:
        with without_collecting():
            states.append(gc.isenabled())
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        fail()
    assert [*states, gc.isenabled()] == [False, True]


def test_one_inside_another_does_not_turn_it_on_too_early() -> None:
    with without_collecting():
        with without_collecting():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
