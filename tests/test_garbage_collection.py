"""Looking for circles rarely, for the time of a copy, and never longer."""

import gc
import threading

import pytest

from visprep.garbage_collection import RARELY, rarely


@pytest.fixture(autouse=True)
def as_it_was():
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def test_it_looks_rarely_until_the_last_of_several_blocks_ends():
    gc.set_threshold(700, 10, 10)
    with rarely():
        with rarely():
            assert gc.get_threshold() == RARELY
        assert gc.get_threshold() == RARELY
    assert gc.get_threshold() == (700, 10, 10)


def test_blocks_of_several_threads_may_end_in_any_order():
    gc.set_threshold(700, 10, 10)
    inside, leave = threading.Event(), threading.Event()

    def other():
        with rarely():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with rarely():
        thread.start()
        assert inside.wait(10)
    assert gc.get_threshold() == RARELY
    leave.set()
    thread.join()
    assert gc.get_threshold() == (700, 10, 10)


@pytest.mark.parametrize("chosen", [(0, 10, 10), (50_000, 10, 10)])
def test_who_looks_as_rarely_already_or_never_is_left_alone(chosen):
    gc.set_threshold(*chosen)
    with rarely():
        assert gc.get_threshold() == chosen
    assert gc.get_threshold() == chosen


def test_what_is_chosen_meanwhile_stays():
    gc.set_threshold(700, 10, 10)
    with rarely():
        gc.set_threshold(1_000, 5, 5)
    assert gc.get_threshold() == (1_000, 5, 5)


def test_a_failure_in_the_block_changes_nothing_of_that():
    gc.set_threshold(700, 10, 10)
    with pytest.raises(KeyError), rarely():
        raise KeyError
    assert gc.get_threshold() == (700, 10, 10)
