"""Batches leave workers in memory that is used again: what is held stays as it is, what is let go of returns."""

from __future__ import annotations

import copy
import os
import pickle
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from loader_places import jpeg
from plain_samples import Plain

torch = pytest.importorskip("torch", reason="torch is an extra")

from visprep.loaders import LookAheadLost, collate_tensors, make_loader  # noqa: E402

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="torch's own memory is used here")

#: Pixels that fill more than a block is made for at least, and other pixels in each image.
SIZE = (200, 160)
#: Images, in batches of this many.
IMAGES, BATCH = 48, 4


@pytest.fixture(autouse=True)
def old_warnings() -> None:
    # Python 3.12 warns of forks in processes with threads, which is what DataLoader does by default
    warnings.filterwarnings("ignore", message=".*multi-threaded.*fork", category=DeprecationWarning)


@pytest.fixture
def paths(tmp_path: Path) -> tuple[str, ...]:
    """Photographs on disk."""
    for number in range(IMAGES):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(number, SIZE))
    return tuple(str(tmp_path / f"{number}.jpg") for number in range(IMAGES))


class Tensors(Plain):
    """Sample n is (n, image n, the same as floats)."""

    def sample_of(self, index: int, images: list[Any]) -> Any:
        return index, images[0], images[0].float()


def _right(paths: tuple[str, ...], number: int) -> Any:
    import simplejpeg

    return torch.from_numpy(simplejpeg.decode_jpeg(Path(paths[number]).read_bytes())).permute(2, 0, 1)


def _memories() -> set[str]:
    """The inodes of the memory of batches that this process has mapped."""
    maps = Path("/proc/self/maps").read_text()
    return set(re.findall(r" (\d+) +/memfd:visprep-batch", maps))


def _epoch(loader: Any) -> Iterator[Any]:
    for numbers, images, floats in loader:
        assert type(images) is type(floats) is torch.Tensor
        yield numbers, images, floats


@pytest.mark.parametrize(
    ("context", "collate"), [("fork", collate_tensors), ("spawn", collate_tensors), ("fork", None)]
)
def test_what_is_held_of_a_batch_stays_as_it_is(paths: tuple[str, ...], context: str, collate: Any) -> None:
    with make_loader(
        Tensors(paths, image_type="tensor"),
        BATCH,
        num_workers=1,
        multiprocessing_context=context,
        collate_fn=collate,
    ) as loader:
        whole = [batch for _ in range(2) for batch in _epoch(loader)]  # more than there may be in such memory
        for numbers, images, floats in whole:
            for number, image, same in zip(numbers, images, floats, strict=True):
                assert torch.equal(image, _right(paths, number))
                assert torch.equal(same, image.float())
        del whole, images, floats, image, same
        kept = [(numbers[-1], images[-1], floats.numpy()[-1]) for numbers, images, floats in _epoch(loader)]
        for _ in _epoch(loader):
            pass
        for number, image, array in kept:
            assert torch.equal(image, _right(paths, number))
            assert torch.equal(torch.from_numpy(array), image.float())


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
@pytest.mark.parametrize("collate", [collate_tensors, None])
def test_what_is_let_go_of_is_used_again(paths: tuple[str, ...], collate: Any) -> None:
    seen: set[str] = set()
    with make_loader(Tensors(paths, image_type="tensor"), BATCH, num_workers=1, collate_fn=collate) as loader:
        for _ in range(3):
            for numbers, images, floats in _epoch(loader):
                assert torch.equal(images[0], _right(paths, numbers[0]))
                assert torch.equal(floats[-1], images[-1].float())
                seen |= _memories()
        del images, floats
    assert 0 < len(seen) <= 24  # of 72
    assert not _memories()


def test_what_others_make_of_samples_is_right_too(paths: tuple[str, ...]) -> None:
    warnings.filterwarnings("ignore", category=LookAheadLost)
    dataset = Tensors(paths, image_type="tensor")
    with make_loader(dataset, BATCH, num_workers=1, collate_fn=collate_tensors):
        pass
    # The dataset still takes its memory for that of parcels
    loader = torch.utils.data.DataLoader(dataset, BATCH, num_workers=1, collate_fn=_first_halves)
    batches = [batch for _ in range(3) for batch in loader]
    assert len(batches) == 3 * IMAGES // BATCH
    for batch in batches:
        for number, half in batch:
            assert torch.equal(half, _right(paths, number)[:, :80])


def _first_halves(samples: list[Any]) -> list[Any]:
    return [(number, image[:, :80]) for number, image, _ in samples]


def _held(loader: Any) -> tuple[Any, Iterator[Any]]:
    """A batch that nobody else holds, and the batches that follow it."""
    batches = _epoch(loader)
    held = next(batches)
    next(batches)
    return held, batches


def _is_right(paths: tuple[str, ...], held: Any) -> bool:
    return all(
        torch.equal(image, _right(paths, number)) and torch.equal(same, image.float())
        for number, image, same in zip(*held, strict=True)
    )


def _forked(work: Callable[[], bool]) -> int:
    """A child of this process that ends with 0 if `work` gives True in it."""
    child = os.fork()
    if child:
        return child
    try:
        os._exit(0 if work() else 1)
    finally:
        os._exit(2)


def test_what_a_fork_holds_stays_as_it_is(paths: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    with make_loader(Tensors(paths, image_type="tensor"), BATCH, num_workers=1, collate_fn=collate_tensors) as loader:
        held, batches = _held(loader)
        right, array = held[1].numpy().tobytes(), held[1].numpy()  # torch itself may hang after a fork
        child = _forked(lambda: os.read(reading, 1) == b"x" and array.tobytes() == right)
        held = array = None
        for _ in batches:
            pass
        for _ in _epoch(loader):
            pass
        os.write(writing, b"x")
        assert os.waitpid(child, 0)[1] == 0
    os.close(reading)
    os.close(writing)


def test_what_a_fork_lets_go_of_is_not_used_again(paths: tuple[str, ...]) -> None:
    def let_go() -> bool:
        nonlocal held
        held = None
        return True

    with make_loader(Tensors(paths, image_type="tensor"), BATCH, num_workers=1, collate_fn=collate_tensors) as loader:
        held, batches = _held(loader)
        numbers = list(held[0])
        assert os.waitpid(_forked(let_go), 0)[1] == 0
        for _ in batches:
            pass
        seen: set[str] = set()
        for _ in _epoch(loader):
            seen |= _memories()
        assert _is_right(paths, (numbers, *held[1:]))
        assert len(seen) > 2  # there is lending after a fork


def test_what_torch_moves_a_batch_out_of_is_not_used_again(paths: tuple[str, ...]) -> None:
    with make_loader(Tensors(paths, image_type="tensor"), BATCH, num_workers=1, collate_fn=collate_tensors) as loader:
        (numbers, images, floats), batches = _held(loader)
        array, bridged = images.numpy(), torch.from_dlpack(torch.utils.dlpack.to_dlpack(floats))
        images.share_memory_()
        floats.share_memory_()
        for _ in batches:
            pass
        for _ in _epoch(loader):
            pass
        assert _is_right(paths, (numbers, torch.from_numpy(array), bridged))
        del images, floats, array, bridged, _
    with make_loader(Tensors(paths, image_type="tensor"), BATCH, num_workers=1, collate_fn=collate_tensors) as loader:
        for _ in _epoch(loader):
            pass
        del _
    if sys.platform == "linux":
        assert not _memories()


class _Slow:
    """Takes its time on its way out of the worker, which makes the next batch meanwhile."""

    def __reduce__(self) -> Any:
        time.sleep(0.05)
        return _Slow, ()


class Parts(Tensors):
    """Sample n is (n, a part of image n in a tensor and all of it in an array, image n, the same as floats)."""

    def sample_of(self, index: int, images: list[Any]) -> Any:
        parts = {"tensor": images[0][:, :80], "slow": _Slow(), "array": images[0].numpy()}
        return index, parts, images[0], images[0].float()


def test_a_batch_that_parts_of_it_go_before_is_right(paths: tuple[str, ...]) -> None:
    paths = paths[: IMAGES // 2]
    with make_loader(Parts(paths, image_type="tensor"), BATCH, num_workers=1, collate_fn=collate_tensors) as loader:
        for numbers, parts, images, floats in loader:
            assert _is_right(paths, (numbers, images, floats))
            for part, image in zip(parts, images, strict=True):
                assert torch.equal(part["tensor"], image[:, :80])
                assert torch.equal(torch.from_numpy(part["array"]), image)


def _few_descriptors(worker: int) -> None:
    import resource

    used = {int(name) for name in os.listdir("/proc/self/fd")}
    most = next(most for most in range(4096) if sum(number not in used for number in range(most)) == 40)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
def test_a_worker_with_few_descriptors_keeps_some_for_everything_else(paths: tuple[str, ...]) -> None:
    with make_loader(
        Tensors(paths, image_type="tensor"),
        BATCH,
        num_workers=1,
        collate_fn=collate_tensors,
        worker_init_fn=_few_descriptors,
        timeout=10,
    ) as loader:
        held = [batch for _ in range(2) for batch in _epoch(loader)]
    assert len(held) == 2 * IMAGES // BATCH
    assert all(_is_right(paths, batch) for batch in held)


def test_all_that_may_hold_a_batch_keeps_it(paths: tuple[str, ...]) -> None:
    weight = torch.ones((), requires_grad=True)
    with make_loader(Tensors(paths, image_type="tensor"), BATCH, num_workers=1, collate_fn=collate_tensors) as loader:
        for hold, see in [
            (copy.copy, lambda held: held),
            (copy.deepcopy, lambda held: held),
            (pickle.dumps, pickle.loads),
            (lambda floats: floats.detach(), lambda held: held),
            (lambda floats: (weight * floats).grad_fn, lambda held: held._saved_other),
            (torch.utils.dlpack.to_dlpack, torch.from_dlpack),
            (
                lambda floats: (floats.untyped_storage(), floats.storage_offset(), floats.shape, floats.stride()),
                lambda held: torch.empty(0).set_(*held),
            ),
        ]:
            (_, _, floats), batches = _held(loader)
            right, held = floats.clone(), hold(floats)
            del floats
            for _ in batches:
                pass
            for _ in _epoch(loader):
                pass
            assert torch.equal(see(held), right)
