"""What the three datasets share: images fetched a batch at a time, from the cache first, and bad ones dealt with."""

from __future__ import annotations

import json
import operator
import os
import random
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from PIL import Image
from torch.utils.data import Dataset

from visprep.errors import CredentialsError, PlaceMissing, UsageError, VisprepError
from visprep.loaders.decoding import decode
from visprep.loaders.failures import Failure, FailureLog, TooManyFailures
from visprep.loaders.fetch import Fetcher, ImageFile
from visprep.settings import S3Settings

if TYPE_CHECKING:
    from visprep.loaders.cache import ImageCache  # type: ignore[import-not-found]

HandleErrors = Literal["skip", "raise", "return_none", "replace"]
#: Other samples that are tried in place of a bad one.
_REPLACEMENTS = 10


class ImageDataset(Dataset[Any]):
    """Samples made of images that lie elsewhere; a subclass says which files and what becomes of them.

    `handle_errors` says what becomes of a bad sample: `skip` and `return_none` give None, `raise` raises, `replace`
    gives another one, drawn by index and `seed` alone. `max_failures` (a count, or a fraction of all samples) is how
    many may fail before TooManyFailures is raised. Credentials or a bucket that are not there are raised at once.
    """

    def __init__(
        self,
        *,
        s3_client: Any = None,
        settings: S3Settings | None = None,
        cache: ImageCache | None = None,
        handle_errors: HandleErrors = "skip",
        max_failures: float | None = None,
        in_flight: int = 64,
        shrink_to: tuple[int, int] | None = None,
        exif: Literal["keep", "rotate"] = "keep",
        seed: int = 0,
    ) -> None:
        if handle_errors not in ("skip", "raise", "return_none", "replace"):
            raise UsageError(f"handle_errors={handle_errors!r}", hint="it is one of: skip, raise, return_none, replace")
        if exif not in ("keep", "rotate"):
            raise UsageError(f"exif={exif!r}", hint="it is one of: keep, rotate")
        self._fetcher = Fetcher(settings, client=s3_client, in_flight=in_flight)
        self.cache = cache
        self.handle_errors, self.max_failures = handle_errors, max_failures
        self.shrink_to, self.exif, self.seed = shrink_to, exif, seed
        self._failures = FailureLog()
        self._coming: dict[ImageFile, Future[bytes]] = {}
        self._pid = os.getpid()

    def files_of(self, index: int) -> Sequence[ImageFile]:
        """The images of a sample; of a subclass. May raise VisprepError: then the sample is a bad one."""
        raise NotImplementedError

    def sample_of(self, index: int, images: list[Image.Image]) -> Any:
        """A sample, made of its decoded images; of a subclass, which applies its transforms."""
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, index: int) -> Any:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> list[Any]:
        """The samples of a batch, whose images are fetched all at once; those after it set out, where that is known."""
        wanted = [self._in_range(index) for index in indices]
        if self._pid != os.getpid():
            self._coming, self._pid = {}, os.getpid()
        uses = getattr(indices, "next_uses", None) or [None] * len(wanted)
        ahead = [self._in_range(index) for index in getattr(indices, "upcoming", ())]
        next_use: dict[ImageFile, int | None] = {}
        held: dict[ImageFile, bytes] = {}
        plan = [self._files(index) for index in wanted]
        for files, use in zip(plan, uses, strict=True):
            for file in files if not isinstance(files, VisprepError) else ():
                next_use[file] = use
                self._send_for(file, held)
        coming = set(next_use)
        for index in ahead:
            files = self._files(index)
            for file in files if not isinstance(files, VisprepError) else ():
                coming.add(file)
                if file not in next_use:
                    self._send_for(file, None)
        for file in [file for file in self._coming if file not in coming]:
            self._coming.pop(file).cancel()
        return [self._sample(index, files, held, next_use) for index, files in zip(wanted, plan, strict=True)]

    def _in_range(self, index: Any) -> int:
        number = operator.index(index)
        size = len(self)
        if not -size <= number < size:
            raise IndexError(f"sample {number} of {size}")
        return number % size

    def _files(self, index: int) -> Sequence[ImageFile] | VisprepError:
        try:
            return self.files_of(index)
        except VisprepError as problem:
            return problem

    def _send_for(self, file: ImageFile, held: dict[ImageFile, bytes] | None) -> None:
        if file in self._coming or (held is not None and file in held):
            return
        if self.cache is not None and (data := self.cache.get(file)) is not None:
            if held is not None:
                held[file] = data
            return
        self._coming[file] = self._fetcher.submit(file)

    def _bytes(self, file: ImageFile, held: dict[ImageFile, bytes], next_use: dict[ImageFile, int | None]) -> bytes:
        data = held.get(file)
        if data is None:
            future = self._coming.pop(file, None) or self._fetcher.submit(file)
            data = held[file] = future.result()
            if self.cache is not None:
                self.cache.put(file, data, next_use.get(file))
        return data

    def _sample(
        self,
        index: int,
        files: Sequence[ImageFile] | VisprepError,
        held: dict[ImageFile, bytes],
        next_use: dict[ImageFile, int | None],
    ) -> Any:
        file: ImageFile | None = None
        try:
            if isinstance(files, VisprepError):
                raise files
            images = []
            for file in files:
                images.append(self._decoded(file, self._bytes(file, held, next_use)))
        except VisprepError as problem:
            return self._instead(index, file, problem)
        return self.sample_of(index, images)

    def _decoded(self, file: ImageFile, data: bytes) -> Image.Image:
        try:
            return decode(data, self.shrink_to, exif=self.exif)
        except VisprepError as problem:
            raise type(problem)(f"{file.url}: {problem.message}", hint=problem.hint) from None

    def _instead(self, index: int, file: ImageFile | None, problem: VisprepError) -> Any:
        if self.handle_errors == "raise" or isinstance(problem, (CredentialsError, PlaceMissing)):
            raise problem
        count = self._failures.add(Failure(index, file.url if file else "", problem.slug, problem.message))
        if self.max_failures is not None:
            most = self.max_failures * len(self) if isinstance(self.max_failures, float) else self.max_failures
            if count > most:
                first = "; ".join(failure.message for failure in self.failures[:3])
                raise TooManyFailures(f"{count} of {len(self)} samples failed: {first}")
        if self.handle_errors != "replace":
            return None
        draw = random.Random(f"{self.seed}/{index}")
        bad = self._failures.all()
        for _ in range(_REPLACEMENTS):
            other = draw.randrange(len(self))
            if other in bad:
                continue
            files = self._files(other)
            if isinstance(files, VisprepError):
                continue
            try:
                images = [self._decoded(one, self._bytes(one, {}, {})) for one in files]
            except VisprepError as again:
                self._failures.add(Failure(other, files[0].url, again.slug, again.message))
                continue
            return self.sample_of(other, images)
        raise problem

    @property
    def failures(self) -> list[Failure]:
        """The samples that could not be had so far, in any process that works for this dataset."""
        return list(self._failures.all().values())

    def write_failures(self, path: str | os.PathLike[str]) -> None:
        """Write `failures` to a file, a JSON object a line."""
        lines = [json.dumps(asdict(failure), ensure_ascii=False) + "\n" for failure in self.failures]
        Path(path).write_text("".join(lines), encoding="utf-8")

    def close(self) -> None:
        """End the threads and connections that this process has for the dataset."""
        self._coming = {}
        self._fetcher.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_coming": {}}
