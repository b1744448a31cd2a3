"""Images by FiftyOne: its function that downloads a split is called, for images that we chose, and nothing else of it.

What it brings comes into the cache first. It has no checksums and tells no lengths, so each image must decode before
it comes to the place. The lists that the function reads before it fetches are there already, made of upstream's tables:
it fetches nothing but the images.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from visprep import wire
from visprep.engines.local import map_ordered
from visprep.errors import AccessDenied, FileMissing, MissingExtra, SourceError, Stalled, VisprepError, WrongContent
from visprep.image_loading import see
from visprep.manifest import File
from visprep.own_record import CACHE
from visprep.roads import ABOUT, BucketOptions, Site
from visprep.roads.addresses import Bucket
from visprep.rules import Depth
from visprep.single_images import Singles
from visprep.sources import Selection
from visprep.stores.local import LocalStore

__all__ = ["ByFiftyOne", "FiftyOne"]

#: Images that are asked for in one call.
_TOGETHER = 500
_OTHER_ROADS = "--via s3 brings the same images"
#: Bytes of the end of what FiftyOne said that are told when it ended without a word to us.
_TOLD = 300


class FiftyOne(Bucket):
    """The bucket, as FiftyOne reads it: unsigned, by boto3."""

    to_any_place = False  # it writes files by names, and each must decode before it comes to the place

    def check(self, selection: Selection) -> None:
        """See `Road.check`: MissingExtra without FiftyOne, which is not loaded for that."""
        found = importlib.util.find_spec("fiftyone")
        if found is None or found.origin is None:  # any directory of that name counts as a package
            raise MissingExtra("--via fiftyone", "fiftyone")

    def open(self, site: Site) -> Singles:
        """See `Road.open`."""
        return ByFiftyOne(site, self.options)


class ByFiftyOne(Singles):
    """Images that FiftyOne brings."""

    def __init__(self, site: Site, options: BucketOptions) -> None:
        super().__init__(site.extraction, (), options.jobs, site.heard, ABOUT)
        self._site, self._options, self._numbers = site, options, itertools.count()
        self._root = self.directory.root / CACHE / "fiftyone"

    def fetch(self) -> dict[str, VisprepError]:
        """See `Singles.fetch`. What FiftyOne failed at otherwise than for an image ends it for all that are left."""
        gone: VisprepError = FileMissing("FiftyOne did not give it, and did not say why", hint=_OTHER_ROADS)
        if not self.wanted:
            return {}
        self._forget()
        try:
            with self.directory.errors(CACHE):
                self._root.mkdir(parents=True)
            with _Process(self._root, self._options) as process:
                for split, paths in itertools.groupby(sorted(self.wanted), lambda path: path.partition("/")[0]):
                    batches = iter(lambda some=paths: list(itertools.islice(some, _TOGETHER)), [])  # type: ignore[misc]
                    for batch in batches:
                        self._bring(process, split, batch)
        except (SourceError, Stalled) as problem:
            gone = problem
        finally:
            self._forget()
        return self.left(gone)

    def _bring(self, process: _Process, split: str, paths: list[str]) -> None:
        """Bring some images of a split; what is wrong with one is among `problems` then."""
        folder = self._root / f"asked-{next(self._numbers)}"  # a thread of FiftyOne may still write to the last one
        ids = [path.partition("/")[2].removesuffix(".jpg") for path in paths]
        try:
            with self.directory.errors(CACHE):
                self._write_lists(folder, split, ids)
            for one, (status, said) in process.ask(folder, split, ids, self._jobs).items():
                path = f"{split}/{one}.jpg"
                refused = AccessDenied if status == 403 else FileMissing
                self.problems[path] = refused(f"{path}: FiftyOne: {said}")
        finally:  # what it gave before it failed is as good
            self._take(folder / "data", split, ids)
            shutil.rmtree(folder, ignore_errors=True)

    def _write_lists(self, folder: Path, split: str, ids: list[str]) -> None:
        """The lists that FiftyOne's function reads, and would fetch where they are not there."""
        lists = folder / "metadata"
        lists.mkdir(parents=True)
        lists.joinpath("image_ids.csv").write_text("ImageID,Subset\n" + "".join(f"{one},{split}\n" for one in ids))
        names = self._site.choice.classes.names
        lists.joinpath("classes.csv").write_text("".join(f"{mid},{mid}\n" for mid in names))
        lists.joinpath("hierarchy.json").write_text("{}")

    def _take(self, data: Path, split: str, ids: list[str]) -> None:
        """Bring to the place what FiftyOne gave and is sound."""
        given = LocalStore(self._root / "given")
        with self.directory.errors(CACHE):
            Path(given.root, split).mkdir(parents=True, exist_ok=True)
            files = []
            for one in ids:
                with contextlib.suppress(FileNotFoundError):
                    there = (data / f"{one}.jpg").replace(given.root / split / f"{one}.jpg")
                    files.append(File(f"{split}/{one}.jpg", there.stat().st_size))

        def fault(file: File) -> str | None:
            seen = wire.wait(see(given, file, Depth.DECODE, near=True))
            return next((finding.message for finding in seen.findings if finding.level == "error"), None)

        sound = []
        for file, wrong in zip(files, map_ordered(fault, files, self._jobs), strict=True):
            if wrong:
                told = f"{file.path}: what FiftyOne gave is no whole image: {wrong}"
                self.problems[file.path] = WrongContent(told, hint=_OTHER_ROADS)
            else:
                sound.append(file)
        self._fetch(sound, given)
        shutil.rmtree(given.root, ignore_errors=True)

    def _forget(self) -> None:
        """Remove what FiftyOne left, here or in a command that was killed."""
        shutil.rmtree(self._root, ignore_errors=True)


class _Process:
    """FiftyOne in a process of its own, which ends with this one."""

    def __init__(self, folder: Path, options: BucketOptions) -> None:
        self._folder, self._patience, s3 = folder, options.patience, options.s3
        self._env = os.environ | {"FIFTYONE_DO_NOT_TRACK": "true", "FIFTYONE_SHOW_PROGRESS_BARS": "false"}
        if s3 and s3.endpoint_url:
            self._env["AWS_ENDPOINT_URL_S3"] = s3.endpoint_url
        if s3 and s3.region:
            self._env["AWS_DEFAULT_REGION"] = s3.region
        self._answers: queue.Queue[str] = queue.Queue()

    def __enter__(self) -> _Process:
        # -P: a directory called fiftyone beside the program, or where it is started, is not the package
        words = [sys.executable, "-P", str(Path(__file__).with_name("fiftyone_process.py"))]
        pipe = subprocess.PIPE
        try:
            with (self._folder / "said").open("wb") as said:
                self._process = subprocess.Popen(  # noqa: S603 -- our own program
                    words, stdin=pipe, stdout=pipe, stderr=said, env=self._env, text=True, encoding="utf-8"
                )
        except OSError as problem:
            raise SourceError(f"FiftyOne cannot be started: {problem}", hint=_OTHER_ROADS) from problem
        assert self._process.stdout is not None
        self._listener = threading.Thread(target=self._listen, args=(self._process.stdout,), daemon=True)
        self._listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()  # it has written all that it was asked for, or nobody wants it any more
        self._process.wait()
        self._listener.join()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()

    def ask(self, folder: Path, split: str, ids: list[str], workers: int | None) -> dict[str, tuple[int, str]]:
        """Bring images to `folder/data`; the status and FiftyOne's words about each that was refused.

        SourceError when it failed for another reason, Stalled when nothing came for too long.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended then, and that is told below
            request = {"folder": str(folder), "split": split, "ids": ids, "workers": workers}
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        while True:
            answer = self._answer(folder)
            if "refused" in answer:
                return {one: (status, said) for one, (status, said) in answer["refused"].items()}

    def _answer(self, folder: Path) -> dict[str, Any]:
        there = 0
        for there in self._while_it_moves(folder / "data"):  # noqa: B007 -- told when it stands still
            with contextlib.suppress(queue.Empty):
                line = self._answers.get(timeout=min(0.2, self._patience / 4))
                answer: dict[str, Any] = json.loads(line) if line else {"failed": self._last_words()}
                if "failed" in answer:
                    raise SourceError(
                        f"FiftyOne failed: {answer['failed']}",
                        hint=_OTHER_ROADS,
                    )
                return answer
        raise Stalled(f"FiftyOne gave no image for {self._patience:g} seconds, {there} in all", hint=_OTHER_ROADS)

    def _while_it_moves(self, data: Path) -> Iterator[int]:
        """How many files there are, for as long as there are more of them now and then."""
        most, since = -1, time.monotonic()
        while time.monotonic() - since < self._patience:
            there = sum(1 for _ in data.iterdir()) if data.is_dir() else 0
            if there > most:
                most, since = there, time.monotonic()
            yield there

    def _listen(self, answers: IO[str]) -> None:
        for line in answers:
            self._answers.put(line)
        self._answers.put("")

    def _last_words(self) -> str:
        self._process.wait()
        said = (self._folder / "said").read_text(errors="replace").strip()
        return f"it ended with {self._process.returncode}{f': {said[-_TOLD:]}' if said else ''}"
