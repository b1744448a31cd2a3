"""What a batch is made of: a block of memory, what each dataset's is unless said otherwise, and images made smaller."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest

import image_transforms
from loader_places import Photographs, jpeg
from plain_samples import Plain

torch = pytest.importorskip("torch", reason="torch is an extra")
from torch.utils.data import get_worker_info  # noqa: E402

from visprep.loaders import CocoS3Dataset, collate_tensors, make_loader  # noqa: E402

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


class Tensors(Plain):
    """Sample n is (n, image n)."""

    def sample_of(self, index: int, images: list[Any]) -> Any:
        return index, images[0]


@pytest.mark.parametrize("workers", [0, 1])
def test_tensors_of_one_size_are_one_block_that_is_never_copied(workers: int, paths: tuple[str, ...]) -> None:
    dataset = Tensors(paths[::3], image_type="tensor")
    with make_loader(dataset, 4, shuffle=False, num_workers=workers, collate_fn=_told) as loader:
        batches = list(loader)
    assert [list(numbers) for numbers, _, _ in batches] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    for numbers, images, copied in batches:
        assert not copied
        assert images.shape == (4, 3, 48, 64)
        for number, image in zip(numbers, images, strict=True):
            right = torch.from_numpy(_pixels(paths[3 * number]))
            assert torch.equal(image.permute(1, 2, 0), right)


def _told(samples: list[Any]) -> Any:
    """A batch, and whether it is copied, when it is made or on its way out of a worker."""
    numbers, images = collate_tensors(samples)
    copied = images.untyped_storage().data_ptr() != samples[0][1].untyped_storage().data_ptr()
    return numbers, images, copied or (get_worker_info() is not None and not images.is_shared())


def _pixels(path: str) -> Any:
    import simplejpeg

    return simplejpeg.decode_jpeg(Path(path).read_bytes())


def test_tensors_that_do_not_fill_their_memory_are_copied() -> None:
    held = torch.arange(24).reshape(6, 4)
    for samples in (list(held[:3]), list(held.flip(0)), [held[0], held[2], held[4]], [held[0]] * 6, list(held[::2])):
        batch = collate_tensors(samples)
        assert batch.tolist() == [sample.tolist() for sample in samples]
        assert batch.untyped_storage().data_ptr() != held.untyped_storage().data_ptr()
    assert collate_tensors(list(held)).untyped_storage().data_ptr() == held.untyped_storage().data_ptr()
    leaf = torch.ones(2, 3, requires_grad=True)
    assert collate_tensors(list(leaf)).tolist() == leaf.tolist()
    assert collate_tensors([torch.ones(0), torch.ones(0)]).shape == (2, 0)


def test_what_a_batch_is_unless_said_otherwise(photographs: Photographs) -> None:
    photographs.remove(1)
    place: dict[str, Any] = {"settings": photographs.settings}
    plain = CocoS3Dataset(photographs.annotations, **place)
    with make_loader(plain, 4, shuffle=False) as loader:
        batch = next(iter(loader))
        assert [sample and sample[1]["image_info"]["id"] for sample in batch] == [100, None, 102, 103]
    with make_loader(
        CocoS3Dataset(photographs.annotations, target_format="torchvision", **place), 4, shuffle=False
    ) as loader:
        images, targets = next(iter(loader))
        assert (len(images), [int(target["image_id"]) for target in targets]) == (3, [100, 102, 103])
    with make_loader(Plain(photographs.urls, **place), 4, shuffle=False) as loader:
        numbers, _, _ = next(iter(loader))
        assert numbers.tolist() == [0, 2, 3]


def test_images_come_smaller_where_the_transform_begins_with_a_resize(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    theirs = image_transforms.torchvision()
    base = theirs.transforms.Resize if theirs else image_transforms.Resize
    named = {"__module__": "torchvision.transforms.transforms"}

    def call(self: Any, image: Any) -> Any:
        seen.append(image.size)
        return base.__call__(self, image)

    resize = type("Resize", (base,), {**named, "__call__": call})((60, 80))
    compose = type("Compose", (image_transforms.Compose,), named)([resize, image_transforms.ToTensor()])
    (tmp_path / "large.jpg").write_bytes(jpeg(7, (640, 480)))
    document = {"images": [{"id": 1, "file_name": "large.jpg", "width": 640, "height": 480}], "annotations": []}
    (tmp_path / "instances.json").write_text(json.dumps({**document, "categories": []}))
    for more, size in (({}, (80, 60)), ({"shrink_to": None}, (640, 480)), ({"shrink_to": (160, 120)}, (160, 120))):
        for transform in (resize, compose):
            with make_loader(CocoS3Dataset(tmp_path / "instances.json", transform=transform, **more)) as loader:
                ((image, _),) = next(iter(loader))
            assert seen.pop() == size
            assert not seen
            assert tuple(image.shape[1:] if transform is compose else image.size[::-1]) == (60, 80)
