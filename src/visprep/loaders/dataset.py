"""What the three datasets share: images fetched a batch at a time, from the cache first, and bad ones dealt with."""

from __future__ import annotations

import json
import operator
import os
import random
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Literal

from torch.utils.data import Dataset

from visprep.errors import BadPlace, CredentialsError, PlaceMissing, UsageError, VisprepError
from visprep.loaders.arrivals import Arrivals
from visprep.loaders.batch_images import BatchImages
from visprep.loaders.batches import Batch, Lone
from visprep.loaders.cache import ImageCache, is_count
from visprep.loaders.cache_policies import PolicyName
from visprep.loaders.decode_threads import DecodeThreads
from visprep.loaders.decoding import Into, decode, decode_pixels
from visprep.loaders.failures import Failure, FailureLog, limit_of
from visprep.loaders.fetch import Fetcher, ImageFile
from visprep.loaders.in_python import in_python
from visprep.loaders.shrinking import least_size
from visprep.loaders.warned import LookAheadLost, warn
from visprep.orphans import end_with_parent
from visprep.settings import S3Settings

HandleErrors = Literal["skip", "raise", "return_none", "replace"]
#: Other samples that are tried in the place of a bad one.
_REPLACEMENTS = 10


class ImageDataset(Dataset[Any]):
    """Samples made of images that lie elsewhere; a subclass says which files, and what becomes of them.

    S3 is reached as `settings` say, or as `s3_client` does, a boto3 client. Images are fetched `in_flight` at once.

    `handle_errors` says what comes for a bad sample: `skip` and `return_none` give None, `raise` raises its error,
    and `replace` gives another sample, drawn by the index and `seed` alone. Beyond `max_failures` (a count, or as a
    float a fraction of all samples) bad samples, TooManyFailures is raised. Whatever it says, credentials that are
    missing or refused and a bucket that is not there are raised at once, since then nothing can come. DataLoader's own
    collate stops at None: give it one of `collate_samples`, `collate_detection` and `collate_tensors`. The tenth bad
    sample is told of in a DatasetWarning, once in each process.

    With any of `local_cache_dir`, `max_cache_size` (files, 1,000 unless said), `max_cache_bytes` and `cache_policy`,
    images are kept on disk: see `ImageCache`, which can also be given, as `cache`.

    With `shrink_to` (width, height), JPEGs may come smaller than stored, but never smaller than that, which decodes
    faster; by default it is what a transform begins with that is torchvision's `Resize`, and None keeps all as stored.
    `exif` keeps pixels as they are stored (`keep`), or turns them upright (`rotate`). Images are Pillow's, or with
    `image_type="tensor"` tensors (3 x height x width, uint8), those of a batch decoded into one block of memory where
    they are of one size. `decode_threads` decode; see `DecodeThreads` for how many.
    """

    #: Whether a loader tells with each batch what comes next; see `make_loader`.
    announced = False
    #: Whether batches leave a worker as parcels (see `lending`).
    lent = False
    #: What it was made of: each place or annotation file, and the version of it that it has where that is published.
    origins: tuple[tuple[str, str | None], ...] = ()

    def __init__(
        self,
        *,
        s3_client: Any = None,
        settings: S3Settings | None = None,
        cache: ImageCache | None = None,
        local_cache_dir: str | os.PathLike[str] | None = None,
        max_cache_size: int | None = None,
        max_cache_bytes: int | None = None,
        cache_policy: PolicyName | None = None,
        handle_errors: HandleErrors = "skip",
        max_failures: float | None = None,
        in_flight: int = 64,
        shrink_to: tuple[int, int] | Literal["auto"] | None = "auto",
        exif: Literal["keep", "rotate"] = "keep",
        image_type: Literal["pil", "tensor"] = "pil",
        decode_threads: int | None = None,
        seed: int = 0,
        **unknown: Any,
    ) -> None:
        if unknown:
            raise _unknown(type(self).__name__, next(iter(unknown)))
        _one_of("handle_errors", handle_errors, ("skip", "raise", "return_none", "replace"))
        _one_of("exif", exif, ("keep", "rotate"))
        _one_of("image_type", image_type, ("pil", "tensor"))
        _from_one("in_flight", in_flight, "images")
        for name, count, of in (
            ("decode_threads", decode_threads, "threads"),
            ("max_cache_size", max_cache_size, "images"),
            ("max_cache_bytes", max_cache_bytes, "bytes"),
        ):
            if count is not None:
                _from_one(name, count, of)
        if shrink_to not in ("auto", None) and not _is_size(shrink_to):
            raise UsageError(f"shrink_to={shrink_to!r}", hint='it is (width, height), "auto", or None')
        limit_of(max_failures, 1)
        made = (local_cache_dir, max_cache_size, max_cache_bytes, cache_policy)
        if any(one is not None for one in made):
            if cache is not None:
                raise UsageError("a cache, and how to make one, are two answers to one question", hint="give one")
            size = 1000 if max_cache_size is None else max_cache_size
            cache = ImageCache(local_cache_dir, max_files=size, max_bytes=max_cache_bytes, policy=cache_policy or "lru")
        if cache is not None and not isinstance(cache, ImageCache):
            raise UsageError(f"cache={cache!r}", hint="it is an ImageCache; local_cache_dir says where one is made")
        self._fetcher = Fetcher(settings, client=s3_client, in_flight=in_flight)
        self._arrivals = Arrivals(self._fetcher, cache)
        self._failures = FailureLog()
        self.cache = cache
        self.handle_errors, self.max_failures = handle_errors, max_failures
        self.shrink_to, self.exif, self.image_type, self.seed = shrink_to, exif, image_type, seed
        self._threads = DecodeThreads(decode_threads)
        # Of samples that were announced and have not come yet: asking again for each batch before would cost more
        self._known: dict[int, Sequence[ImageFile] | VisprepError] = {}
        self._next: _Begun | None = None

    def files_of(self, index: int) -> Sequence[ImageFile]:
        """The images of a sample, said by a subclass; a VisprepError makes it a bad one."""
        raise NotImplementedError

    def sample_of(self, index: int, images: list[Any]) -> Any:
        """A sample, made of its decoded images by a subclass; a VisprepError makes it a bad one."""
        raise NotImplementedError

    def first_transform(self) -> Any:
        """What each image goes through first, and by itself; None where that is nothing, said by a subclass."""
        return None

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, index: int) -> Any:
        """The sample of an index, negative ones from the end. IndexError beyond either end."""
        return self.__getitems__(Lone([index]))[0]

    def __getitems__(self, indices: list[int]) -> list[Any]:
        """The samples of a batch, whose images are fetched all at once.

        Of what is known to come next, the images set out, and those of the very next batch are decoded meanwhile.
        """
        end_with_parent()
        numbers = [self._in_range(index) for index in indices]
        here, self._next = self._next, None
        if here is not None and (here.numbers != numbers or here.pid != os.getpid()):
            here.close()
            here = None
        if isinstance(indices, Batch):
            here = self._announce(here, numbers, indices)
        else:
            if self.announced and not isinstance(indices, Lone):
                self._warn_unannounced()
            here = here or self._begin(numbers, {}, None)
            self._arrivals.forget_but(())
        with closing(here):
            return [self._sample(index, files, here.images) for index, files in here.samples]

    def _announce(self, here: _Begun | None, numbers: list[int], batch: Batch) -> _Begun:
        """The batch, begun, with what comes after it on its way."""
        coming = [self._in_range(index) for index in batch.upcoming]
        known = {index: self._known.get(index) or self._files(index) for index in (*numbers, *coming)}
        self._known = {index: known[index] for index in coming}
        uses = _uses(known, coming, batch.upcoming_next_uses)
        now = batch.first - len(coming)  # another worker may be as far behind
        here = here or self._begin(numbers, uses | _uses(known, numbers, batch.next_uses), now)
        following = coming[: len(numbers)]
        if following and self._threads.pool():
            self._next = self._begin(following, uses, now)
        held = {file for begun in (here, self._next) if begun for _, files in begun.samples for file in _whole(files)}
        ahead = [file for index in coming for file in _whole(known[index]) if file not in held]
        for file in dict.fromkeys(ahead):
            self._arrivals.send_for(file, uses.get(file))
        self._arrivals.forget_but(ahead)
        return here

    def _begin(self, numbers: list[int], uses: dict[ImageFile, int | None], now: int | None) -> _Begun:
        """Send for the images of a batch, and let them be decoded as they come."""
        samples = [(index, self._known.get(index) or self._files(index)) for index in numbers]
        wanted = [file for _, files in samples for file in _whole(files)]
        for file in dict.fromkeys(wanted):
            self._arrivals.send_for(file, uses.get(file))
        images = BatchImages(
            self._arrivals,
            self._threads,
            self._decoded,
            wanted,
            uses=uses,
            now=now,
            block=self.image_type == "tensor",
            lent=self.lent,
        )
        return _Begun(numbers, samples, images)

    def _decoded(self, data: bytes, into: Into | None) -> Any:
        if self.image_type == "pil":
            return decode(data, self._least_size, exif=self.exif)
        return decode_pixels(data, self._least_size, exif=self.exif, into=into)

    @property
    def _least_size(self) -> tuple[int, int] | None:
        return least_size(self.first_transform()) if self.shrink_to == "auto" else self.shrink_to

    def _warn_unannounced(self) -> None:
        self.announced = False  # once is enough
        warn("batches come here without word of the next ones, so none is fetched ahead", LookAheadLost)

    def _in_range(self, index: Any) -> int:
        number, size = operator.index(index), len(self)
        if not -size <= number < size:
            raise IndexError(f"there is no sample {number}: there are {size}")
        return number % size

    def _files(self, index: int) -> Sequence[ImageFile] | VisprepError:
        try:
            return self.files_of(index)
        except VisprepError as problem:
            return problem

    def _sample(self, index: int, files: Sequence[ImageFile] | VisprepError, images: BatchImages) -> Any:
        """A sample, or what comes instead of it."""
        outcome = self._try(index, files, images)
        if not isinstance(outcome, _Bad):
            return outcome
        if self.handle_errors != "replace":
            return None
        draw = random.Random(f"{self.seed}/{index}")
        others = BatchImages(self._arrivals, self._threads, self._decoded)
        for _ in range(_REPLACEMENTS):
            other = draw.randrange(len(self))
            if other not in self._failures.all():
                instead = self._try(other, self._files(other), others)
                if not isinstance(instead, _Bad):
                    return instead
        try:
            raise outcome.problem
        finally:
            del outcome

    def _try(self, index: int, files: Sequence[ImageFile] | VisprepError, images: BatchImages) -> Any:
        """A sample, or `_Bad` if it is one; raises what no other sample could do better with."""
        file: ImageFile | None = None
        found: list[Any] = []
        try:
            if isinstance(files, VisprepError):
                raise files
            for file in files:
                found.append(images.image(file))
            file = next(iter(files), None)  # any other fault is told by the first image
            return self.sample_of(index, found)
        except VisprepError as problem:
            _tell(problem, file, image=len(found) < len(_whole(files)))
            if self.handle_errors == "raise" or _hopeless(problem):
                raise
            self._failures.add(Failure(index, file.url if file else "", problem.slug, problem.message))
            # Its frames hold the one that will hold it: without them nothing waits for the garbage collector
            problem.__context__ = problem.__cause__ = None
            bad = _Bad(problem.with_traceback(None))
        self._failures.check(limit_of(self.max_failures, len(self)), len(self))
        self._failures.warn()
        return bad

    @property
    def settings(self) -> S3Settings | None:
        """How S3 is reached; None when it is by calling the client that was given."""
        return self._fetcher.settings

    @property
    def failures(self) -> list[Failure]:
        """The samples that could not be had so far, in whatever process that works for this dataset."""
        return list(self._failures.all().values())

    def write_failures(self, path: str | os.PathLike[str]) -> None:
        """Write `failures` to a file, a JSON object a line. OSError when it cannot be written."""
        lines = [json.dumps(asdict(failure), ensure_ascii=False) + "\n" for failure in self.failures]
        Path(path).write_text("".join(lines), encoding="utf-8")

    def close(self) -> None:
        """End the threads and connections that this process has for the dataset; it can go on to be used."""
        following, self._next = self._next, None
        if following is not None and following.pid == os.getpid():
            following.close()
        self._arrivals.close()
        self._threads.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_known": {}, "_next": None}


class _Begun:
    """A batch whose images are on their way, or being decoded."""

    def __init__(
        self, numbers: list[int], samples: list[tuple[int, Sequence[ImageFile] | VisprepError]], images: BatchImages
    ) -> None:
        self.numbers, self.samples, self.images = numbers, samples, images
        self.pid = os.getpid()

    def close(self) -> None:
        """Leave undone what nobody waits for any more."""
        self.images.close()


class _Bad:
    """A sample that could not be had, and why."""

    def __init__(self, problem: VisprepError) -> None:
        self.problem = problem


def _whole(files: Sequence[ImageFile] | VisprepError) -> Sequence[ImageFile]:
    """The files of a sample, none of one that is bad already."""
    return () if isinstance(files, VisprepError) else files


def _uses(
    known: Mapping[int, Sequence[ImageFile] | VisprepError], indices: Sequence[int], next_uses: Sequence[int]
) -> dict[ImageFile, int | None]:
    """When each file is used again after the last of these samples that has it; nothing where that is not known."""
    return {file: use for index, use in zip(indices, next_uses, strict=False) for file in _whole(known[index])}


def _hopeless(problem: VisprepError) -> bool:
    """Whether an error would meet every other sample, too."""
    if isinstance(problem, (CredentialsError, PlaceMissing)):
        return True
    return isinstance(problem, UsageError) and not isinstance(problem, BadPlace)


def _tell(problem: VisprepError, file: ImageFile | None, *, image: bool) -> None:
    """Let an error name the file, of which it is the image itself or not, and what to check."""
    url = file.url.partition("?")[0] if file else ""
    if url.removeprefix("s3://") not in problem.message:
        problem.message = f"{url}: {problem.message}"
        problem.args = (problem.message,)
    in_python(problem, image=image)


def _one_of(name: str, given: str, known: Iterable[str]) -> None:
    if given not in known:
        raise UsageError(f"{name}={given!r}", hint=f"it is one of: {', '.join(known)}")


def _from_one(name: str, given: Any, of: str) -> None:
    if not is_count(given):
        raise UsageError(f"{name}={given!r}", hint=f"it is a number of {of}, from 1 on")


def _is_size(given: Any) -> bool:
    """Whether it is a width and a height."""
    return isinstance(given, Sequence) and len(given) == 2 and all(map(is_count, given))


def _unknown(called: str, name: str) -> TypeError:
    """The error of an argument that there is not, named as Python does, and with what is meant where that is known."""
    setting = name.removeprefix("s3_").removeprefix("aws_")
    error = TypeError(f"{called}() got an unexpected keyword argument {name!r}")
    if setting in {field.name for field in fields(S3Settings)}:
        error.add_note(f"give settings=S3Settings({setting}=...)")
    elif name.endswith(("_dir", "_prefix", "_path")):
        error.add_note("its first argument says where the data is")
    return error
