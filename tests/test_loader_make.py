"""`make_loader`: samples in the sampler's order, on from any batch, and what happens where a wrapper is in the way."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loader_places import Photographs, jpeg
from plain_samples import Plain, as_list

torch = pytest.importorskip("torch", reason="torch is an extra")
from torch.utils.data import (  # noqa: E402
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    RandomSampler,
    Subset,
    TensorDataset,
)

from visprep.errors import UsageError  # noqa: E402
from visprep.loaders import LookAheadLost, make_loader  # noqa: E402
from visprep.loaders.sampler import EpochSampler  # noqa: E402

SIZES = ((64, 48), (48, 64), (33, 17))


@pytest.fixture(autouse=True)
def old_warnings() -> None:
    # Python 3.12 warns of forks in processes with threads, which is what DataLoader does by default
    warnings.filterwarnings("ignore", message=".*multi-threaded.*fork", category=DeprecationWarning)


@pytest.fixture
def paths(tmp_path: Path) -> tuple[str, ...]:
    """Twenty-three photographs on disk."""
    for number in range(23):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(number, SIZES[number % 3]))
    return tuple(str(tmp_path / f"{number}.jpg") for number in range(23))


def indices(batches: Any) -> list[list[int]]:
    """The samples of each batch; every one has the image that belongs to it."""
    found = [list(batch) for batch in batches]
    assert all(index == number for batch in found for index, number, _ in batch)
    return [[index for index, _, _ in batch] for batch in found]


def expected(length: int, size: int, epoch: int = 0, **more: Any) -> list[list[int]]:
    sampler = EpochSampler(length, size, **more)
    sampler.epoch = epoch
    return [list(batch) for batch in sampler]


def flat(batches: list[list[int]]) -> list[int]:
    return [index for batch in batches for index in batch]


def warned(call: Callable[[], Any]) -> tuple[Any, list[warnings.WarningMessage]]:
    """What a call gives, and what it warns of."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        outcome = call()
    return outcome, [one for one in told if one.category is LookAheadLost]


# -- the order


@pytest.mark.parametrize("method", [None, "fork", "spawn", "forkserver"])
def test_batches_come_in_the_order_of_the_sampler(method: str | None, photographs: Photographs) -> None:
    dataset = Plain(photographs.urls, settings=photographs.settings)
    assert dataset[3][:2] == (3, 3)
    workers = 1 if method == "spawn" else 2  # each begins with the imports
    more: dict[str, Any] = {"num_workers": workers, "multiprocessing_context": method} if method else {}
    with make_loader(dataset, 5, seed=3, collate_fn=as_list, **more) as loader:
        assert len(loader) == 5
        for epoch in range(3):
            assert loader.epoch == epoch
            assert indices(loader) == expected(24, 5, epoch, seed=3)
        assert dataset[-1][:2] == (23, 23)  # by hand, next to a loader: nothing to warn of


def test_weights_draw_with_replacement(paths: tuple[str, ...]) -> None:
    weights = [float(number % 4) for number in range(23)]
    with make_loader(Plain(paths), 8, weights=weights, draws=50, seed=1, collate_fn=as_list) as loader:
        drawn = indices(loader)
    assert drawn == expected(23, 8, weights=weights, draws=50, seed=1)
    assert not {index for batch in drawn for index in batch} & set(range(0, 23, 4))


def test_a_cache_that_knows_the_order_holds_what_comes_next(paths: tuple[str, ...], photographs: Photographs) -> None:
    dataset = Plain(photographs.urls, settings=photographs.settings, max_cache_size=12, cache_policy="ordered")
    with make_loader(dataset, 4, collate_fn=as_list) as loader:
        for epoch in range(4):
            assert indices(loader) == expected(24, 4, epoch)
        assert dataset.cache is not None
        stats = dataset.cache.stats()
    assert stats.hits + stats.misses == 96
    assert stats.hits >= 30  # 12 of 24 in three epochs, but for what was on its way


RANK = """
import json, sys
import torch.distributed as distributed
from plain_samples import Plain, as_list
from visprep.loaders import make_loader

rank, meeting, *paths = sys.argv[1:]
distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=int(rank), world_size=2)
said = []
for uneven in ("pad", "drop"):
    with make_loader(Plain(tuple(paths)), 4, seed=5, uneven=uneven, collate_fn=as_list) as loader:
        epochs = [[[sample[0] for sample in batch] for batch in loader] for _ in range(2)]
        next(iter(loader))
        said.append((epochs, loader.state_dict()))
print(json.dumps(said))
distributed.destroy_process_group()
"""


def test_ranks_of_torch_distributed_share_one_order(paths: tuple[str, ...], tmp_path: Path) -> None:
    code = [sys.executable, "-c", RANK]
    ranks = [
        subprocess.Popen([*code, str(rank), str(tmp_path / "meeting"), *paths], stdout=subprocess.PIPE, **importing())
        for rank in range(2)
    ]
    said = [process.communicate(timeout=60)[0] for process in ranks]
    assert [process.returncode for process in ranks] == [0, 0]
    for uneven, (first, state), (second, same) in zip(("pad", "drop"), *map(json.loads, said), strict=True):
        assert state == same
        for epoch in range(2):
            sizes = [[len(batch) for batch in rank[epoch]] for rank in (first, second)]
            assert sizes == [[4, 4, 4 if uneven == "pad" else 3]] * 2
            woven = flat([batch for step in zip(first[epoch], second[epoch], strict=True) for batch in step])
            order = flat(expected(23, 1, epoch, seed=5))
            assert woven == ([*order, order[0]] if uneven == "pad" else order[:22])
        # One rank goes on where two were
        with make_loader(Plain(paths), 4, seed=5, collate_fn=as_list) as loader:
            loader.load_state_dict(state)
            assert flat(indices(loader)) == flat(expected(23, 1, 2, seed=5))[8:]


def importing() -> dict[str, Any]:
    """For a process that imports what we do."""
    return {"env": {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, "text": True}


# -- going on


@pytest.mark.parametrize(("before", "after"), [(0, 0), (0, 2), (2, 0), (2, 1)])
@pytest.mark.parametrize("drop_last", [False, True])
def test_a_state_goes_on_at_every_step(before: int, after: int, drop_last: bool, paths: tuple[str, ...]) -> None:
    arguments: dict[str, Any] = {"batch_size": 6, "seed": 2, "drop_last": drop_last, "collate_fn": as_list}
    right = expected(23, 6, 1, seed=2, drop_last=drop_last)
    following = expected(23, 6, 2, seed=2, drop_last=drop_last)
    states = []
    with make_loader(Plain(paths), num_workers=before, **arguments) as loader:
        assert loader.state_dict()["epoch"] == 0
        indices(loader)
        states.append(loader.state_dict())
        for _ in loader:
            states.append(loader.state_dict())
        states.append(loader.state_dict())
    assert len(states) == len(right) + 2
    with make_loader(Plain(paths), num_workers=after, **arguments) as other:
        for step, state in enumerate(states):
            kept = json.dumps(state)
            assert len(kept) < 1024
            other.load_state_dict(json.loads(kept))
            rest = right[step:]
            assert other.epoch == (1 if rest else 2)
            assert other.state_dict() == (state if rest else other.state_dict())
            assert indices(other) == (rest or following)
            assert indices(other) == (following if rest else expected(23, 6, 3, seed=2, drop_last=drop_last))


@pytest.mark.parametrize("workers", [0, 2])
def test_after_a_break_the_next_epoch_begins_and_a_state_gives_the_rest(workers: int, paths: tuple[str, ...]) -> None:
    with make_loader(Plain(paths), 4, num_workers=workers, collate_fn=as_list) as loader:
        for number, _ in enumerate(loader):
            if number == 2:
                break
        state = loader.state_dict()
        assert (state["epoch"], state["delivered"]) == (0, 12)
        assert indices(loader) == expected(23, 4, 1)
        loader.load_state_dict(state)
        assert indices(loader) == expected(23, 4, 0)[3:]
        assert loader.state_dict()["epoch"] == 2 - 1
        # Taken in what was left of an epoch, it counts from the beginning of that epoch
        loader.load_state_dict(state)
        next(iter(loader))
        assert loader.state_dict()["delivered"] == 16


def test_a_state_goes_on_with_other_ranks_and_other_batches(paths: tuple[str, ...]) -> None:
    order = flat(expected(23, 1))
    loaders = [make_loader(Plain(paths), 3, rank=rank, ranks=2, collate_fn=as_list) for rank in range(2)]
    states = []
    for loader in loaders:
        for number, _ in enumerate(loader):
            if number == 1:
                states.append(loader.state_dict())
        loader.close()
    assert states[0] == states[1]
    with make_loader(Plain(paths), 5, collate_fn=as_list) as one:
        one.load_state_dict(states[0])
        assert flat(indices(one)) == order[12:]
    with pytest.raises(UsageError, match="length was 23"):
        make_loader(Plain(paths[:9]), 5, collate_fn=as_list).load_state_dict(states[0])


@pytest.mark.parametrize("workers", [0, 2])
def test_the_random_numbers_of_a_training_are_its_own(workers: int, paths: tuple[str, ...]) -> None:
    """A DataLoader draws from torch's own, so that a training that goes on would see other ones."""
    before = torch.get_rng_state()
    drawn = []
    for _ in range(2):
        with make_loader(Drawing(paths), 6, num_workers=workers, collate_fn=as_list) as loader:
            state = loader.state_dict()
            drawn.append([list(loader), list(loader)])
            loader.load_state_dict(state)
            drawn[-1].append(list(loader))
        assert torch.equal(torch.get_rng_state(), before)
    assert drawn[0] == drawn[1]
    assert drawn[0][0] != drawn[0][1]
    theirs = torch.Generator()
    with make_loader(Plain(paths), 6, generator=theirs) as loader:
        assert loader.generator is theirs


class Drawing(Plain):
    """Sample n is a random number, as a transform draws them."""

    def sample_of(self, index: int, images: list[Any]) -> Any:
        return torch.rand(()).item()


class DrawingAll(Plain):
    """Samples that are what was drawn while they were made."""

    def sample_of(self, index: int, images: list[Any]) -> Any:
        return index, random.random(), np.random.rand(), torch.rand(2).tolist()


class DrawingAlone(Dataset[Any]):
    """The same, of a dataset that makes one sample at a time."""

    def __len__(self) -> int:
        return 23

    def __getitem__(self, index: int) -> Any:
        return index, random.random(), np.random.rand(), torch.rand(2).tolist()


@pytest.mark.filterwarnings("ignore::visprep.loaders.LookAheadLost")
@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize("workers", [0, 2])
def test_what_a_dataset_draws_is_drawn_again_when_a_training_goes_on(
    workers: int, ours: bool, paths: tuple[str, ...]
) -> None:
    def made(workers: int, **more: Any) -> Any:
        dataset = DrawingAll(paths) if ours else DrawingAlone()
        return make_loader(dataset, 4, num_workers=workers, seed=3, collate_fn=as_list, **more)

    with made(workers) as whole:
        first, second = list(whole), list(whole)
    drawn = [number for batch in (*first, *second) for _, *number, _ in batch]
    assert len({str(one) for one in drawn}) == len(drawn) == 46
    with made(workers) as killed:
        for number, _ in enumerate(killed):
            if number == 2:
                break
        state = killed.state_dict()
    for others in (workers, 2 - workers):
        with made(others) as on:
            on.load_state_dict(state)
            assert list(on) == first[3:]
            assert list(on) == second


def test_without_workers_what_a_dataset_draws_leaves_the_generators_of_the_training_alone(
    paths: tuple[str, ...],
) -> None:
    before = random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()
    with make_loader(DrawingAll(paths), 4, collate_fn=as_list) as loader:
        for _ in loader:
            assert (random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()) == before


def started(worker: int) -> None:
    random.seed("other")
    os.environ["STARTED"] = str(worker)


class Started(DrawingAlone):
    def __getitem__(self, index: int) -> Any:
        return os.environ["STARTED"]


@pytest.mark.filterwarnings("ignore::visprep.loaders.LookAheadLost")
def test_what_else_a_worker_begins_with_is_called_and_a_list_will_do_as_a_dataset() -> None:
    with make_loader(Started(), 4, num_workers=1, worker_init_fn=started) as loader:
        assert {name for batch in loader for name in batch} == {"0"}
    with make_loader([1.0, 2.0, 3.0], 2, num_workers=1, shuffle=False) as loader:  # type: ignore[arg-type]
        assert [batch.tolist() for batch in loader] == [[1.0, 2.0], [3.0]]


# -- what is in the way


@pytest.mark.parametrize("workers", [0, 2])
def test_a_subset_comes_without_look_ahead_and_says_so_once(workers: int, paths: tuple[str, ...]) -> None:
    subset = Subset(Plain(paths), range(20, 3, -1))

    def train() -> list[list[list[int]]]:
        with make_loader(subset, 5, seed=4, num_workers=workers, collate_fn=as_list) as loader:
            epochs = [indices(loader) for _ in range(2)]
            loader.load_state_dict(loader.state_dict())
            return [*epochs, indices(loader)]

    epochs, told = warned(train)
    assert len(told) == 1
    assert "Subset" in str(told[0].message)
    assert Path(told[0].filename) == Path(__file__)
    for epoch, drawn in enumerate(epochs):
        assert drawn == [[20 - place for place in batch] for batch in expected(17, 5, epoch, seed=4)]


def test_datasets_that_are_not_ours_work_too(paths: tuple[str, ...]) -> None:
    with pytest.warns(LookAheadLost, match="TensorDataset"):
        loader = make_loader(TensorDataset(torch.arange(10)), 4)
    assert [batch[0].tolist() for batch in loader] == expected(10, 4)
    with pytest.warns(LookAheadLost, match="ConcatDataset"):
        both = make_loader(ConcatDataset([Plain(paths[:12]), Plain(paths[:11])]), 4, collate_fn=as_list)
    assert sorted(flat(indices(both))) == sorted([*range(12), *range(11)])


def test_batches_in_any_order_come_all_and_have_no_state(paths: tuple[str, ...]) -> None:
    with pytest.warns(LookAheadLost, match="in_order"):
        loader = make_loader(Plain(paths), 5, num_workers=2, in_order=False, collate_fn=as_list)
    assert sorted(indices(loader)) == sorted(expected(23, 5))
    with pytest.raises(UsageError, match="any order"):
        loader.state_dict()
    loader.close()


def test_a_plain_loader_made_around_the_dataset_says_that_nothing_is_announced(paths: tuple[str, ...]) -> None:
    """So do frameworks which put a sampler of their own in the place of ours."""
    dataset = Plain(paths)
    with make_loader(dataset, 5, collate_fn=as_list) as loader:
        assert indices(loader) == expected(23, 5)
        plain = DataLoader(
            dataset, batch_sampler=BatchSampler(RandomSampler(dataset), 5, drop_last=False), collate_fn=as_list
        )
        epochs, told = warned(lambda: [indices(plain) for _ in range(2)])
    assert [len(batches) for batches in epochs] == [5, 5]
    assert ["without word" in str(one.message) for one in told] == [True]


def test_a_dataset_by_itself_has_nothing_to_warn_of(paths: tuple[str, ...]) -> None:
    dataset = Plain(paths)
    assert indices(DataLoader(dataset, 5, collate_fn=as_list)) == expected(23, 5, shuffle=False)
    dataset.close()


@pytest.mark.parametrize("workers", [0, 1])
def test_memory_is_pinned_where_there_is_something_to_pin_it_for(workers: int, paths: tuple[str, ...]) -> None:
    # A DataLoader warns where no accelerator is, and warnings are errors here
    with make_loader(Plain(paths), 5, pin_memory=True, num_workers=workers, collate_fn=as_list) as loader:
        assert indices(loader) == expected(23, 5)
        assert loader.pin_memory == torch.accelerator.is_available()
