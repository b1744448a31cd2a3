"""A dataset repository on the Hugging Face hub, as a store that can only be read.

What there is (commit, files, sizes, digests) is asked of `huggingface_hub`; the bytes come by `visprep.wire`, since
the library neither resumes nor checks them. Everything is read at one commit, the one that the revision meant when it
was first asked for.

HF_ENDPOINT says which hub, HF_TOKEN who asks (without it: the token of `hf auth login`). The token is sent to the hub
alone, and shown nowhere.
"""

from __future__ import annotations

import logging
import os
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit

from visprep import wire
from visprep.digests import algorithm_of
from visprep.errors import (
    AccessDenied,
    CredentialsError,
    FileMissing,
    MissingExtra,
    NetworkError,
    PlaceMissing,
    RateLimited,
    ServerFailed,
    SourceGated,
    SourceMissing,
    Stalled,
    Unreachable,
    UsageError,
    VisprepError,
    WrongContent,
)
from visprep.manifest import File
from visprep.messages import TRANSIENT, number_in
from visprep.stores import Store
from visprep.stores.memory import MemorySink
from visprep.wire import Patience, Request, Response, Sink, send

if TYPE_CHECKING:
    from types import ModuleType

T = TypeVar("T")

ENDPOINT = "https://huggingface.co"
_AGENT = "visprep"
# The list of files that comes with a repository's description ends, without a word, somewhere above 7,000 files. From
# this many on the tree is asked for, which is complete and costs a request for each page.
_MANY = 1000


class HubStore:
    """The files of a dataset repository (`org/name`) at a revision: a branch, a tag or a commit, `main` without one.

    `token` and `endpoint` stand in for HF_TOKEN and HF_ENDPOINT; `patience` is for questions about the repository, the
    patience for bytes is that of whoever runs the wire. MissingExtra without `huggingface_hub`; UsageError when `repo`
    cannot be a repository's name.
    """

    def __init__(
        self,
        repo: str,
        revision: str | None = None,
        *,
        token: str | None = None,
        endpoint: str | None = None,
        patience: Patience | None = None,
    ) -> None:
        library = _library()
        try:
            library.utils.validate_repo_id(repo)
        except ValueError as error:
            raise UsageError(f"{repo!r} cannot be a repository on the hub", hint="name it as org/name") from error
        self.repo, self.revision = repo, revision
        self.place = f"hf:{repo}@{revision}" if revision else f"hf:{repo}"
        self.endpoint = _address(endpoint or os.environ.get("HF_ENDPOINT") or ENDPOINT)
        self._token = token or _own_token(library)
        self._patience = patience or Patience()
        self._commit = revision if revision and re.fullmatch("[0-9a-f]{40}", revision) else None
        self._files: tuple[File, ...] | None = None

    def __repr__(self) -> str:
        return f"HubStore({self.place!r})"

    def commit(self) -> str:
        """The commit that is read, 40 hex digits; asks the hub once, and never when the revision is one."""
        if self._commit is None:
            self._look()
        assert self._commit is not None  # or _look raised
        return self._commit

    def card(self) -> dict[str, Any]:
        """What the repository's README.md says in its YAML head; empty when it has none."""
        try:
            text = wire.wait(self.read("README.md"), self._patience)
        except FileMissing:
            return {}
        try:
            with _unprinted():
                card: dict[str, Any] = _library().DatasetCard(text.decode(), ignore_metadata_errors=True).data.to_dict()
        except Exception as error:  # the YAML parser's own, among others
            why = " ".join(str(error).split())  # the parser's words are several lines
            raise WrongContent(f"{self.place}: the head of README.md is not YAML: {why}") from error
        return card

    def list(self) -> Iterator[File]:
        """See `Store.list`. The digest is `sha256` for files in LFS and `git-sha1` for all others."""
        if self._files is None:
            self._look()
        if not self._files:
            raise PlaceMissing(f"{self.place} holds no files", hint="check the name and the revision")
        return iter(self._files)

    async def stat(self, path: str) -> File:
        """See `Store.stat`; the whole list is asked for once."""
        for file in self.list():
            if file.path == path:
                return file
        raise FileMissing(f"{self.place} has no file {path}")

    async def hash(self, path: str, algorithm: str) -> str | None:
        """See `Store.hash`: what the hub itself says."""
        digest = (await self.stat(path)).digest
        return digest if digest and algorithm_of(digest) == algorithm else None

    async def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """See `Store.read`."""
        if length == 0:
            return b""
        held = MemorySink()
        body = _Body(held, path)
        response = await send(self._request(path, body, offset=offset, length=length))
        if response.status == 416:  # nothing there: the file ended before
            return b""
        self._check(response, path)
        body.check(response)
        return held.getvalue()

    async def fetch(self, file: File, sink: Sink) -> None:
        """See `Store.fetch`; WrongContent when an HTML page or anything of another size comes in the file's place."""
        if file.size is not None and sink.position == file.size:
            return
        body = _Body(sink, file.path, file.size)
        # A commit never changes, so a digest at the end is all that it takes to go on anywhere.
        response = await send(self._request(file.path, body, checked=file.digest is not None))
        self._check(response, file.path)
        body.check(response)

    async def fetch_range(self, file: File, offset: int, length: int, sink: Sink) -> None:
        """See `ranges.Ranged`; WrongContent when something else comes in the file's place."""
        if sink.position < length:
            request = self._request(file.path, sink, offset=offset, length=length, checked=file.digest is not None)
            response = await send(request)
            if response.status != 416:
                self._check(response, file.path)
        if sink.position != length:
            raise WrongContent(
                f"{file.path}: {offset + sink.position} bytes came, {file.size} were promised",
                hint="a proxy or the hub's storage is in trouble; try again later",
            )

    async def receive(self, file: File, origin: Store) -> File:
        """Always AccessDenied."""
        raise self._read_only()

    async def write(self, path: str, data: bytes) -> File:
        """Always AccessDenied."""
        raise self._read_only()

    async def delete(self, path: str) -> None:
        """Always AccessDenied."""
        raise self._read_only()

    def _read_only(self) -> AccessDenied:
        return AccessDenied(f"{self.place} can only be read", hint="name a directory or s3://bucket/prefix")

    def _request(self, path: str, sink: Sink, **options: Any) -> Request:
        url = f"{self.endpoint}/datasets/{self.repo}/resolve/{self.commit()}/{quote(path)}"
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        return Request(url, headers=headers, sink=sink, follow=True, **options)

    def _check(self, response: Response, path: str) -> None:
        """Raise what an answer other than 200 and 206 means."""
        if response.status in (200, 206):
            return
        if not response.url.startswith(f"{self.endpoint}/"):
            # Where the hub sent us: its words about repositories and tokens mean nothing there.
            raise ServerFailed(
                f"{urlsplit(response.url).netloc} answered {response.status} for {path} of {self.place}",
                hint="the hub's storage is in trouble; try again later",
            )
        raise self._refusal(response.status, response.headers, path)

    def _look(self) -> None:
        """Learn the commit and its files."""
        api = _library().HfApi(endpoint=self.endpoint, token=self._token or False, headers={"user-agent": _AGENT})
        info = self._ask(
            lambda: api.dataset_info(
                self.repo, revision=self.revision, files_metadata=True, timeout=self._patience.stall
            )
        )
        if not re.fullmatch("[0-9a-f]{40}", str(info.sha)):
            raise ServerFailed(f"{self.endpoint} names no commit for {self.place}: {info.sha!r}")
        listed = [(entry.rfilename, entry) for entry in info.siblings or ()]
        if len(listed) >= _MANY:
            tree = self._ask(
                lambda: [*api.list_repo_tree(self.repo, revision=info.sha, recursive=True, repo_type="dataset")]
            )
            listed = [(entry.path, entry) for entry in tree if hasattr(entry, "blob_id")]
        files = [File(path, entry.size, _digest(entry)) for path, entry in listed]
        self._commit, self._files = info.sha, tuple(sorted(files, key=lambda file: file.sort_key))

    def _ask(self, question: Callable[[], T]) -> T:
        """The library's answer to a question about the repository, asked again while that may help."""
        for attempt in range(1, self._patience.attempts + 1):
            try:
                with _unprinted():
                    return question()
            except Exception as error:
                failure, again, wanted = self._explain(error)
                if not again or attempt == self._patience.attempts:
                    raise failure from error
            pause = random.uniform(0.1, 1.0) * self._patience.base * 2**attempt
            time.sleep(min(self._patience.longest, max(pause, wanted)))
        raise AssertionError("the last attempt returns or raises")

    def _explain(self, error: Exception) -> tuple[VisprepError, bool, float]:
        """What the library raised, as an error of ours; whether to ask again, and after how many seconds at least."""
        errors = _library().errors
        if isinstance(error, errors.HfHubHTTPError):
            status, headers = error.response.status_code, error.response.headers
            asked = number_in(headers.get("retry-after", "")) or 0
            return self._refusal(status, headers), status in TRANSIENT, float(asked)
        if isinstance(error, errors.OfflineModeIsEnabled):
            return Unreachable("HF_HUB_OFFLINE forbids to ask the hub", hint="unset HF_HUB_OFFLINE"), False, 0.0
        if isinstance(error, errors.HTTPError):
            return self._no_answer(error), True, 0.0
        if isinstance(error, ValueError | TypeError | KeyError | AttributeError):  # what came is not what was asked for
            return ServerFailed(f"{self.endpoint} does not answer like a hub", hint="check HF_ENDPOINT"), False, 0.0
        raise error

    def _no_answer(self, error: Exception) -> NetworkError:
        # By name: the library's exceptions are httpx's or httpx2's, whichever its version is built on.
        kinds = {kind.__name__ for kind in type(error).__mro__}
        host = urlsplit(self.endpoint).netloc
        if kinds & {"ConnectError", "ConnectTimeout", "ProxyError", "UnsupportedProtocol"}:
            hint = "check HF_ENDPOINT, the network and the proxy"
            return Unreachable(f"cannot connect to {host}: {error}", hint=hint)
        if "TimeoutException" in kinds:
            return Stalled(f"{host} stopped answering", hint="try again later")
        return ServerFailed(f"the connection to {host} broke: {error}", hint="try again later")

    def _refusal(self, status: int, headers: Mapping[str, str], path: str | None = None) -> VisprepError:
        """The hub's refusal as an error; its code, where there is one, says more than the status."""
        code, said = headers.get("x-error-code"), headers.get("x-error-message", "")
        page = f"{self.endpoint}/datasets/{self.repo}"
        if code == "GatedRepo":
            terms = f"accept its terms at {page}, then set HF_TOKEN to a token of that account"
            return SourceGated(f"{self.repo} is gated: the hub gives its files to accounts that it knows", hint=terms)
        if code == "RevisionNotFound":
            hint = "name a branch, a tag, or all 40 digits of a commit"
            return SourceMissing(f"{self.repo} has no revision {self.revision or 'main'!r}", hint=hint)
        if code == "EntryNotFound" and path is not None:
            return FileMissing(f"{self.place} has no file {path}")
        if status == 401 and self._token and code is None:
            hint = "make a new token in the hub's settings, or unset HF_TOKEN"
            return CredentialsError(f"{self.endpoint} does not accept the token", hint=hint)
        if code == "RepoNotFound" or status in (401, 404):
            private = "or this token may not read it" if self._token else "or it is private"
            hint = f"check the name at {page}; a private one needs HF_TOKEN"
            return SourceMissing(f"there is no dataset {self.repo} on {self.endpoint}, {private}", hint=hint)
        if status == 403:
            reason = f": {said}" if said else ""
            return AccessDenied(f"{self.place}: the hub refuses{reason}", hint="check what the token may read")
        if status == 429:
            return RateLimited(f"{self.endpoint} asks to slow down", hint="wait a while; with HF_TOKEN it allows more")
        what = f" for {path}" if path else ""
        return ServerFailed(f"{self.endpoint} answered {status}{what}", hint="the hub is in trouble; try again later")


class _Body:
    """A sink that looks at what passes: an error page that comes in the place of a file must not pass for it."""

    def __init__(self, sink: Sink, path: str, size: int | None = None) -> None:
        self._sink = sink
        self._path, self._size = path, size
        self._head = b""

    @property
    def position(self) -> int:
        return self._sink.position

    def write(self, data: bytes) -> None:
        if self.position == 0:
            self._head = data[:4096]
        if self._size is not None and self.position + len(data) > self._size:
            raise self._complaint(f"more than the promised {self._size} bytes came")
        self._sink.write(data)

    def restart(self) -> None:
        self._sink.restart()

    def check(self, response: Response) -> None:
        """WrongContent when the answer was a page, or has another size than the file."""
        page = response.headers.get("content-type", "").startswith("text/html")
        if self._size is not None and self.position != self._size:
            raise self._complaint(f"{self.position} bytes came, {self._size} were promised")
        if self._size is None and page and not self._path.endswith((".html", ".htm")):
            raise self._complaint("an HTML page came")

    def _complaint(self, words: str) -> WrongContent:
        start = self._head.lstrip().lower()
        if start.startswith((b"<!doctype html", b"<html")):
            title = re.search(rb"<title[^>]*>([^<]*)", self._head, re.IGNORECASE)
            named = f' titled "{title[1].decode(errors="replace").strip()}"' if title else ""
            words = f"an HTML page{named} came in its place"
        self._sink.restart()
        return WrongContent(
            f"{self._path}: {words}", hint="a proxy or the hub's storage is in trouble; try again later"
        )


def _digest(entry: Any) -> str | None:
    """The digest of an entry, by either of the library's types for one."""
    if entry.lfs is not None:
        return f"sha256:{entry.lfs.sha256}"
    return f"git-sha1:{entry.blob_id}" if entry.blob_id else None


def _library() -> ModuleType:
    try:
        import huggingface_hub
        import huggingface_hub.errors
        import huggingface_hub.utils
    except ImportError as error:
        raise MissingExtra("the Hugging Face hub", "hf") from error
    return huggingface_hub


def _address(text: str) -> str:
    try:
        url = urlsplit(text)
        sound = url.scheme in ("http", "https") and bool(url.hostname)
    except ValueError:
        sound = False
    if not sound:
        raise UsageError(f"{text!r} is not the address of a hub", hint=f"set HF_ENDPOINT to one like {ENDPOINT}")
    return text.rstrip("/")


def has_token() -> bool:
    """Whether there is a token to send to the hub; nobody is asked whether it is good. MissingExtra as `HubStore`."""
    return bool(_own_token(_library()))


def _own_token(library: ModuleType) -> str | None:
    """HF_TOKEN, or what `hf auth login` left."""
    try:
        with _unprinted():
            token: str | None = library.get_token()
    except Exception as error:
        raise CredentialsError(
            f"the hub's token cannot be had ({type(error).__name__})", hint="set HF_TOKEN"
        ) from error
    return token


@contextmanager
def _unprinted() -> Iterator[None]:
    """Keeps the library from printing what it also raises."""
    log = logging.getLogger("huggingface_hub")
    before = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(before)
