"""`make_loader`: a DataLoader whose next batches are on their way, and which can go on where it was."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self

import torch
from torch.utils.data import DataLoader, Dataset

from visprep.errors import UsageError
from visprep.loaders.collating import collate_parcels, collate_plain, collate_plain_parcels, collate_tensors
from visprep.loaders.dataset import ImageDataset
from visprep.loaders.sampler import EpochSampler
from visprep.loaders.seeding import SeedBatches, generators_set
from visprep.loaders.warned import LookAheadLost, warn

#: What makes batches of samples -> the same in a worker, from which they go straight to the parent.
_PARCELS: list[tuple[Callable[..., Any], Callable[..., Any]]] = [
    (collate_tensors, collate_parcels),
    (collate_plain, collate_plain_parcels),
]


class Loader(DataLoader[Any]):
    """What `make_loader` makes: each iteration is one epoch.

    `epoch` is the number of the one under way, or next. After a `break` the next iteration is the next epoch; after
    `load_state_dict` it is what was left of the one that the state was taken in.
    """

    sampler_of_epochs: EpochSampler
    #: What workers are seeded from, begun anew with each iteration; None when the caller gave one.
    own_generator: torch.Generator | None

    def __init__(self, dataset: Dataset[Any], sampler: EpochSampler, **more: Any) -> None:
        # Without one, a DataLoader takes a number out of torch's own, and a training that goes on would see others
        self.own_generator = None if more.get("generator") is not None else torch.Generator()
        if self.own_generator is not None:
            more["generator"] = self.own_generator
            if more.get("num_workers"):
                more["worker_init_fn"] = SeedBatches(more.get("worker_init_fn"))
        super().__init__(dataset, batch_sampler=sampler, **more)
        self.sampler_of_epochs = sampler
        self._delivered = 0
        self._begun = False

    @property
    def epoch(self) -> int:
        """The epoch under way, or the one that the next iteration is; counted from 0."""
        return self.sampler_of_epochs.epoch

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """The batches that are left of this epoch."""
        sampler = self.sampler_of_epochs
        if self._begun:
            sampler.epoch, sampler.delivered = sampler.epoch + 1, 0
        self._begun, self._delivered = True, 0
        return self._batches()

    def _batches(self) -> Iterator[Any]:
        sampler = self.sampler_of_epochs
        epoch = sampler.epoch
        if self.own_generator is not None:
            self.own_generator.manual_seed(sampler.seed_here())
        here = self.own_generator is not None and not self.num_workers
        for batch in self._made_here() if here else super().__iter__():
            if sampler.epoch == epoch:
                self._delivered += 1
            yield batch
        if sampler.epoch == epoch:
            sampler.epoch, sampler.delivered = epoch + 1, 0
            self._begun, self._delivered = False, 0

    def _made_here(self) -> Iterator[Any]:
        """Batches of this process, which draw from the generators of the training, and leave them as they were."""
        batches, end = super().__iter__(), object()
        seeds = map(self.sampler_of_epochs.seed_after, itertools.count())
        while True:
            with generators_set(next(seeds)):
                batch = next(batches, end)
            if batch is end:
                return
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Where the training is: counts the batches that were delivered, not those that are drawn already.

        Plain data of a few hundred bytes, the same for every rank. Taken after a batch's optimizer step and loaded into
        a new loader, the next batch is the one that would have come next. UsageError with `in_order=False` and several
        workers, where nobody knows which batches those were.
        """
        if not self.in_order and self.num_workers > 1:
            raise UsageError(
                "batches that come in any order have no place to go on from", hint="leave in_order=False out"
            )
        sampler = self.sampler_of_epochs
        return sampler.state(sampler.epoch, sampler.delivered_after(self._delivered))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken: the next iteration gives what was left of that epoch.

        The number of ranks, workers and samples in a batch may be another. UsageError when the dataset's length, its
        weights, or the seed are not those that it was taken with; BadRecord when it is no such state.
        """
        self.sampler_of_epochs.restore(state)
        self._begun, self._delivered = False, 0

    def close(self) -> None:
        """End the workers and what the dataset holds open; the loader can be used again, and opens it anew."""
        iterator, self._iterator = self._iterator, None
        if iterator is not None:
            shut_down: Callable[[], None] | None = getattr(iterator, "_shutdown_workers", None)
            if shut_down:
                shut_down()
        close = getattr(self.dataset, "close", None)
        if close:
            close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def make_loader(
    dataset: Dataset[Any],
    batch_size: int = 1,
    *,
    shuffle: bool = True,
    weights: Sequence[float] | None = None,
    draws: int | None = None,
    seed: int = 0,
    rank: int | None = None,
    ranks: int | None = None,
    uneven: Literal["pad", "drop"] = "pad",
    drop_last: bool = False,
    collate_fn: Callable[[list[Any]], Any] | None = None,
    num_workers: int = 0,
    ahead: int = 4,
    persistent_workers: bool | None = None,
    in_order: bool = True,
    **more: Any,
) -> Loader:
    """A DataLoader over `dataset` that fetches the next batches while this one is decoded and trained on.

    Samples come as `EpochSampler` says: shuffled, or drawn by `weights`; the same for any number of `ranks`, which are
    those of `torch.distributed` where it is initialized, else one. Each epoch is another order, without `set_epoch`;
    `state_dict` and `load_state_dict` go on in the middle of one. `ahead` batches a worker are kept on their way.

    `collate_fn` is by default `collate_samples` for COCO, `collate_detection` when it has a `target_format`, and else
    torch's own, without the samples that could not be had. `num_workers`, `pin_memory`, `timeout`,
    `prefetch_factor`, `multiprocessing_context`, `worker_init_fn` and `generator` mean what they mean to a DataLoader;
    workers stay for the next epoch unless `persistent_workers` is False. Another dataset than ours, or one within
    another (a Subset), works too, with whole batches but nothing announced: a warning says so once.

    Unless a `generator` is given, those of Python, numpy and torch (CPU) begin anew for each batch while it is made, so
    that what is drawn there is the same when a training goes on; without workers they are put back afterwards.
    """
    here, all_of_them = _ranks() if rank is None or ranks is None else (rank, ranks)
    announced = isinstance(dataset, ImageDataset) and in_order
    if not announced:
        why = "in_order=False deals batches to workers as they ask" if not in_order else _why(dataset)
        warn(f"{why}, so that no batch is fetched ahead", LookAheadLost)
    sampler = EpochSampler(
        len(dataset),  # type: ignore[arg-type]
        batch_size,
        shuffle=shuffle,
        weights=weights,
        draws=draws,
        seed=seed,
        rank=here if rank is None else rank,
        ranks=all_of_them if ranks is None else ranks,
        uneven=uneven,
        drop_last=drop_last,
        workers=num_workers,
        ahead=ahead if announced else 0,
        look_further=isinstance(dataset, ImageDataset)
        and dataset.cache is not None
        and dataset.cache.policy == "ordered",
    )
    collate = collate_fn or _collate_of(dataset)
    parcels = next((theirs for ours, theirs in _PARCELS if ours is collate and num_workers), None)
    if isinstance(dataset, ImageDataset):
        dataset.announced, dataset.lent = announced, parcels is not None
    if not torch.accelerator.is_available():
        more.pop("pin_memory", None)  # torch would warn, and do without it
    if num_workers:
        more["persistent_workers"] = persistent_workers is not False
    return Loader(dataset, sampler, collate_fn=parcels or collate, num_workers=num_workers, in_order=in_order, **more)


def _why(dataset: Dataset[Any]) -> str:
    inner = getattr(dataset, "dataset", None)
    if isinstance(inner, ImageDataset):
        return f"{type(dataset).__name__} does not pass on what comes next (weights of 0 leave samples out as well)"
    return f"{type(dataset).__name__} is no dataset of visprep"


def _collate_of(dataset: Any) -> Callable[[list[Any]], Any]:
    """The collate function of a dataset, or of the one that it wraps."""
    while dataset is not None:
        collate: Callable[[list[Any]], Any] | None = getattr(dataset, "collate", None)
        if collate is not None:
            return collate
        dataset = getattr(dataset, "dataset", None)
    return collate_plain


def _ranks() -> tuple[int, int]:
    """Our rank and how many there are, as torch.distributed says."""
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1
