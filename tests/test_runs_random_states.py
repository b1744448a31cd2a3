"""The states of random number generators, out of a checkpoint and back in."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is in the torch extra")

from visprep.errors import UsageError  # noqa: E402
from visprep.runs.rng_states import random_states, set_random_states  # noqa: E402


def draw():
    return random.random(), random.gauss(0, 1), np.random.rand(), np.random.randn(), torch.rand(3).tolist()


@pytest.fixture(autouse=True)
def states_as_before():
    before = random_states()
    yield
    set_random_states(before)


def saved(states):
    target = io.BytesIO()
    torch.save(states, target)
    target.seek(0)
    return torch.load(target, weights_only=True)


def test_all_generators_go_on_from_where_they_were():
    random.seed(1)
    draw()  # so that each has half of a pair of normal numbers left
    states = saved(random_states())
    first = draw()
    draw()
    set_random_states(states)
    assert draw() == first


def test_asking_for_them_draws_nothing():
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    first = draw()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    random_states()
    assert draw() == first


@pytest.mark.parametrize("wrong", [{}, {"python": 1}, {"python": (3, (1, 2), None)}, None, [1]])
def test_what_are_no_states_is_refused_and_changes_nothing(wrong):
    before = random_states()
    with pytest.raises(UsageError):
        set_random_states(wrong)
    assert str(random_states()) == str(before)


@pytest.mark.parametrize("key", ["python", "numpy", "torch"])
def test_one_wrong_state_among_right_ones_changes_nothing(key):
    states = random_states()
    first = draw()
    set_random_states(states)
    with pytest.raises(UsageError):
        set_random_states({**random_states(), key: torch.zeros(3, dtype=torch.uint8)})
    assert draw() == first


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_generators_of_a_gpu_go_on_too():
    states = saved(random_states())
    first = torch.rand(3, device="cuda").tolist()
    set_random_states(states)
    assert torch.rand(3, device="cuda").tolist() == first
