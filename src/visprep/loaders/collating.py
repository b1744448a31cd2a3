"""Samples into batches: for `collate_fn=` of a DataLoader, functions that know of None."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import default_collate
from torch.utils.data._utils.collate import collate, default_collate_fn_map

from visprep.errors import UsageError
from visprep.loaders.lending import lend, parcel

__all__ = ["collate_detection", "collate_samples", "collate_tensors"]


def collate_samples(samples: Sequence[Any]) -> list[Any]:
    """The samples as they are, in a list; None stays where one could not be had, for the loop to pass over."""
    return list(samples)


def collate_plain(samples: Sequence[Any]) -> Any:
    """What torch's own collate function makes of the samples that could be had; None when there is none."""
    there = [sample for sample in samples if sample is not None]
    return default_collate(there) if there else None


def collate_plain_parcels(samples: Sequence[Any]) -> Any:
    """The same for a worker whose batches go straight to the parent, in memory that is used again."""
    there = [sample for sample in samples if sample is not None]
    return collate(there, collate_fn_map={**default_collate_fn_map, torch.Tensor: _plain_parcel}) if there else None


def _plain_parcel(tensors: list[torch.Tensor], *, collate_fn_map: Any = None) -> Any:
    first = tensors[0]
    alike = _plain(tensors) and len({(one.shape, one.dtype) for one in tensors}) == 1
    room = lend((len(tensors), *first.shape), first.dtype) if alike else None
    if room is None:
        return default_collate_fn_map[torch.Tensor](tensors, collate_fn_map=collate_fn_map)
    return parcel(torch.stack(tensors, out=room))


def collate_detection(samples: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """A list of images and a list of their targets, as detection models take them; empty when no sample is left."""
    there = [sample for sample in samples if sample is not None]
    return [image for image, _ in there], [target for _, target in there]


def collate_tensors(samples: Sequence[Any]) -> Any:
    """Tensors stacked: of samples that are tuples each place, of those that are dicts each key, or the samples.

    Whatever is no tensor and no array becomes a list. None when no sample is left. Nothing is padded: UsageError when
    tensors differ in shape or kind, or when a sample holds an image that no transform made a tensor of.
    """
    return _by_place(samples, _block)


def collate_parcels(samples: Sequence[Any]) -> Any:
    """The same for a worker whose batches go straight to the parent, in memory that is used again."""
    return _by_place(samples, _parcel)


def _by_place(samples: Sequence[Any], stack: Callable[[list[torch.Tensor]], torch.Tensor]) -> Any:
    there = [sample for sample in samples if sample is not None]
    if not there:
        return None
    first = there[0]
    if isinstance(first, dict):
        return {key: _stacked([sample[key] for sample in there], f"[{key!r}]", stack) for key in first}
    if isinstance(first, tuple):
        columns = zip(*there, strict=True)
        return tuple(_stacked(list(column), f"[{place}]", stack) for place, column in enumerate(columns))
    return _stacked(there, "", stack)


def _stacked(values: list[Any], where: str, stack: Callable[[list[torch.Tensor]], torch.Tensor]) -> Any:
    if any(isinstance(one, Image.Image) for one in values):
        raise UsageError(
            f"sample{where} is an image, not a tensor",
            hint="give the dataset a transform that makes a tensor of it, or collate with collate_samples",
        )
    values = [torch.from_numpy(one) if isinstance(one, np.ndarray) else one for one in values]
    if not all(isinstance(one, torch.Tensor) for one in values):
        return values
    kinds = {(tuple(one.shape), one.dtype) for one in values}
    if len(kinds) > 1:
        shown = ", ".join(sorted(f"{'x'.join(map(str, shape))} {str(dtype)[6:]}" for shape, dtype in kinds)[:4])
        raise UsageError(
            f"sample{where} has tensors that differ within a batch: {shown}",
            hint="let the transform resize or crop all of them to one size, or collate with collate_detection",
        )
    return stack(values)


def _parcel(tensors: list[torch.Tensor]) -> torch.Tensor:
    """Tensors of one shape stacked, in lent memory if there is any."""
    stacked = _in_place(tensors)
    if stacked is None:
        stacked = torch.stack(tensors, out=_room(tensors) if _plain(tensors) else None)
    return parcel(stacked)


def _room(tensors: list[torch.Tensor]) -> torch.Tensor | None:
    """Lent memory for tensors of one shape, in which their dimensions lie as they do in each."""
    first = tensors[0]
    strides = torch.empty_like(first, device="meta").stride()  # others than its own if it has gaps
    room = lend((len(tensors), *first.shape), first.dtype) if all(one.stride() == strides for one in tensors) else None
    return None if room is None else room.as_strided(room.shape, (first.numel(), *strides))


def _plain(tensors: list[torch.Tensor]) -> bool:
    """Whether there is nothing to them but numbers in memory."""
    return all(
        type(one) is torch.Tensor and one.layout is torch.strided and one.device.type == "cpu" and not one.requires_grad
        for one in tensors
    )


def _block(tensors: list[torch.Tensor]) -> torch.Tensor:
    """Tensors of one shape stacked."""
    there = _in_place(tensors)
    return torch.stack(tensors) if there is None else there


def _in_place(tensors: list[torch.Tensor]) -> torch.Tensor | None:
    """Tensors of one shape as one, without a copy, where they fill a block of memory that is theirs alone."""
    if len(tensors) == 1 or any(one.layout is not torch.strided or one.requires_grad for one in tensors):
        return None
    first, step = tensors[0], tensors[1].storage_offset()
    memory, strides = first.untyped_storage(), first.stride()
    filled = step == first.numel() > 0 and memory.nbytes() == len(tensors) * step * first.itemsize
    if filled and all(
        one.untyped_storage().data_ptr() == memory.data_ptr()
        and one.stride() == strides
        and one.storage_offset() == number * step
        for number, one in enumerate(tensors)
    ):
        return first.as_strided((len(tensors), *first.shape), (step, *strides))
    return None
