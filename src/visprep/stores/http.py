"""Files below a web address as a read-only store: any mirror that serves files over HTTP."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote, urlsplit, urlunsplit

from visprep.errors import AccessDenied, BadPlace, FileMissing, PlaceMissing, ServerFailed, StoreError, WrongContent
from visprep.manifest import File
from visprep.messages import number_in, size_in, time_in
from visprep.stores import Store
from visprep.stores.memory import MemorySink
from visprep.wire import RangesIgnored, Request, Response, Sink, send

_HTML = re.compile(rb"\s*(<!doctype html|<html)", re.IGNORECASE)
#: What a part of an address may hold unencoded, and the mark of what is encoded already (RFC 3986).
_AS_IT_IS = "/%:@!$&'()*+,;=~"
_HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})


class HttpStore:
    """What lies below `url`. Nobody can list a web server, so `files` says what there is, where that is wanted.

    A query in `url` is sent with every request. `headers` are sent too, after a redirect as well; Authorization and
    Cookie alone stay with the host that they were meant for. Neither is shown in `place` or in messages.
    """

    def __init__(self, url: str, files: Iterable[File] = (), headers: Mapping[str, str] | None = None) -> None:
        try:
            parts = urlsplit(url)
        except ValueError:  # brackets that are no IPv6 address
            parts = urlsplit("")
        if parts.scheme not in ("http", "https") or not parts.hostname or not parts.netloc.isascii():
            raise BadPlace(f"{url!r} is no web address", hint="it begins with https:// or http://")
        path, query = quote(parts.path.rstrip("/"), safe=_AS_IT_IS), quote(parts.query, safe=_AS_IT_IS + "?")
        self._parts = parts._replace(path=path, query=query, fragment="")
        self.place = urlunsplit(self._parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))
        self._files = tuple(sorted(files, key=lambda file: file.sort_key))
        self._headers = dict(headers or {})

    def __repr__(self) -> str:
        return f"HttpStore({self.place!r})"

    def list(self) -> Iterator[File]:
        """The files that the store was told of; PlaceMissing when it was told of none."""
        if not self._files:
            raise PlaceMissing(f"{self.place}: a web address cannot be listed", hint="say which files there are")
        yield from self._files

    async def stat(self, path: str) -> File:
        """See `Store.stat`. The size is None where the server tells it in no way."""
        response = await send(Request(self._url(path), "HEAD", headers=self._headers, follow=True))
        if response.status in (404, 410):
            raise self._refused(path, response)
        size = size_in(response.headers)
        if response.status == 200 and size is not None:
            self._expect_data(path, response)
            return _file(path, size, response)
        return await self._stat_by_get(path)

    async def _stat_by_get(self, path: str) -> File:
        """For servers that refuse HEAD: ask for the first byte, and see of how many it is the first."""
        sink = MemorySink()
        request = Request(self._url(path), headers=self._headers, sink=sink, length=1, follow=True)
        try:
            response = await send(request)
        except RangesIgnored as whole:
            self._expect_data(path, whole)
            return _file(path, whole.size, whole)
        if response.status != 416:
            self._expect(path, response)
            self._expect_data(path, response)
        return _file(path, sink.position if response.status == 200 else _total(response), response)

    async def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """See `Store.read`; ServerFailed when a part is wanted and the server only sends whole files."""
        if length == 0:
            return b""
        sink = MemorySink()
        request = Request(self._url(path), headers=self._headers, sink=sink, offset=offset, length=length, follow=True)
        try:
            response = await send(request)
        except RangesIgnored as whole:
            self._expect_data(path, whole)
            raise
        if response.status == 416:
            return b""  # it ends before the offset
        self._expect(path, response)
        self._expect_data(path, response, b"" if offset else sink.getvalue())
        return sink.getvalue()

    async def hash(self, path: str, algorithm: str) -> str | None:
        """See `Store.hash`: a web server does not know."""
        return None

    async def fetch(self, file: File, sink: Sink) -> None:
        """See `Store.fetch`. WrongContent when a web page came, or more or fewer bytes than `file.size`.

        What the sink holds is kept when `file.etag` is still the server's, or when `file.digest` will tell.
        """
        if file.size and sink.position == file.size:
            return
        guard = _Guard(sink, file)
        response = await self._get(file, guard)
        if response.status == 416 and sink.position:
            if _total(response) == sink.position:
                return
            sink.restart()  # it holds more than there is: the rest of another file
            response = await self._get(file, guard)
        self._expect(file.path, response)
        if guard.shows_page or _is_page(file.path, response):
            sink.restart()
            raise self._page(file.path)
        if file.size is not None and sink.position != file.size:
            raise WrongContent(
                f"{file.path}: {self.place} sent {sink.position} bytes, {file.size} were promised",
                hint="the file at the origin is another one than the list says",
            )

    async def fetch_range(self, file: File, offset: int, length: int, sink: Sink) -> None:
        """See `ranges.Ranged`. WrongContent when a web page came, or fewer bytes than `file.size` are there."""
        if sink.position < length:
            request = Request(
                self._url(file.path),
                headers=self._headers,
                sink=sink,
                offset=offset,
                length=length,
                validator=file.etag,
                checked=file.digest is not None,
                follow=True,
            )
            response = await send(request)
            if response.status != 416:
                self._expect(file.path, response)
                self._expect_data(file.path, response)
        if sink.position != length:
            arrived = offset + sink.position
            raise WrongContent(
                f"{file.path}: {self.place} has {arrived} bytes, {file.size} were promised",
                hint="the file at the origin is another one than the list says",
            )

    async def _get(self, file: File, guard: _Guard) -> Response:
        def short(response: Response) -> bool:
            """Whether the connection ended before the promised size, where no Content-Length would have told."""
            missing = file.size is not None and guard.position < file.size
            unannounced = "content-length" not in response.headers and response.status in (200, 206)
            return missing and unannounced and not guard.shows_page and not _is_page(file.path, response)

        request = Request(
            self._url(file.path),
            headers=self._headers,
            sink=guard,
            validator=file.etag,
            checked=file.digest is not None,
            retry=short,
            follow=True,
        )
        return await send(request)

    async def receive(self, file: File, origin: Store) -> File:
        """See `Store.receive`: always AccessDenied."""
        raise self._read_only(file.path)

    async def write(self, path: str, data: bytes) -> File:
        """See `Store.write`: always AccessDenied."""
        raise self._read_only(path)

    async def delete(self, path: str) -> None:
        """See `Store.delete`: always AccessDenied."""
        raise self._read_only(path)

    def _url(self, path: str) -> str:
        encoded = quote(path, errors="surrogateescape")
        return urlunsplit(self._parts._replace(path=f"{self._parts.path}/{encoded}"))

    def _expect(self, path: str, response: Response) -> None:
        if response.status not in (200, 206):
            raise self._refused(path, response)

    def _expect_data(self, path: str, response: Response | RangesIgnored, head: bytes = b"") -> None:
        if _is_page(path, response) or (_HTML.match(head) and not _may_be_page(path)):
            raise self._page(path)

    def _refused(self, path: str, response: Response) -> StoreError | ServerFailed:
        if response.status in (404, 410):
            return FileMissing(f"{path}: {self.place} has no such file", hint="check the address and the name")
        if response.status in (401, 403):
            return AccessDenied(
                f"{path}: {self.place} refuses it ({response.status})", hint="it may want a login, or may have moved"
            )
        return ServerFailed(f"{path}: {self.place} answered {response.status}", hint="check the address")

    def _page(self, path: str) -> WrongContent:
        return WrongContent(
            f"{path}: a web page came instead of data, from {self.place}",
            hint="open the address in a browser: it may want a login, or have moved",
        )

    def _read_only(self, path: str) -> AccessDenied:
        return AccessDenied(f"{path}: {self.place} is read-only", hint="name a directory or s3://bucket/prefix")


class _Guard:
    """A sink before the real one that looks at the first bytes, and takes no more than were promised."""

    def __init__(self, sink: Sink, file: File) -> None:
        self._sink, self._file = sink, file
        self._head = b""

    @property
    def position(self) -> int:
        return self._sink.position

    @property
    def shows_page(self) -> bool:
        """Whether a web page began to arrive where data was expected."""
        return not _may_be_page(self._file.path) and _HTML.match(self._head) is not None

    def write(self, data: bytes) -> None:
        if self.position == len(self._head) < 64:
            self._head += data[: 64 - len(self._head)]
        size = self._file.size
        if size is not None and self.position + len(data) > size and not self.shows_page:
            raise WrongContent(
                f"{self._file.path}: more than the {size} bytes come that were promised",
                hint="the file at the origin is another one than the list says",
            )
        self._sink.write(data)

    def restart(self) -> None:
        self._head = b""
        self._sink.restart()


def _may_be_page(path: str) -> bool:
    return path.lower().endswith((".htm", ".html"))


def _is_page(path: str, response: Response | RangesIgnored) -> bool:
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind in _HTML_TYPES and not _may_be_page(path)


def _total(response: Response) -> int | None:
    """The size of the whole file, as Content-Range tells it."""
    return number_in(response.headers.get("content-range", "").rpartition("/")[2])


def _file(path: str, size: int | None, response: Response | RangesIgnored) -> File:
    mtime = time_in(response.headers.get("last-modified", ""))
    return File(path, size, mtime=mtime, etag=response.headers.get("etag"))
