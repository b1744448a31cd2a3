"""Files below a web address as a store, against a mirror that may misbehave."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from visprep import wire
from visprep.digests import digest_of
from visprep.errors import (
    AccessDenied,
    BadPlace,
    FileMissing,
    PlaceMissing,
    ServerFailed,
    WrongContent,
)
from visprep.manifest import File
from visprep.stores import Store
from visprep.stores.http import HttpStore
from visprep.stores.memory import MemorySink
from visprep.testing import Mirror
from visprep.testing.contracts import StoreContract
from visprep.wire import Patience

QUICK = Patience(base=0.001, longest=0.01)
DATA = bytes(range(251)) * 4_000
PAGE = b"<!DOCTYPE html>\n<html><body>Please log in</body></html>"

Serve = Callable[..., tuple[HttpStore, Mirror]]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """`serve(files, **options of the mirror)`: a store and the mirror behind it."""
    with ExitStack() as servers:

        def start(files: Mapping[str, bytes] | None = None, **options: Any) -> tuple[HttpStore, Mirror]:
            files = {"data.bin": DATA} if files is None else files
            for path, data in files.items():
                target = tmp_path / "served" / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
            mirror = servers.enter_context(Mirror(tmp_path / "served", **options))
            return HttpStore(f"{mirror.url}/", [File(path, len(data)) for path, data in files.items()]), mirror

        yield start


class TestHttpStore(StoreContract):
    @pytest.fixture
    def fill(self, serve: Serve) -> Callable[[Mapping[str, bytes]], Store]:
        return lambda files: serve(files)[0]


class TestHttpStoreWithPlainServer(StoreContract):
    """No HEAD, no ETag, no Content-Length."""

    @pytest.fixture
    def fill(self, serve: Serve) -> Callable[[Mapping[str, bytes]], Store]:
        return lambda files: serve(files, heads=False, etags=False, lengths=False)[0]


def fetched(store: HttpStore, file: File, sink: MemorySink | None = None) -> bytes:
    sink = sink or MemorySink()
    wire.wait(store.fetch(file, sink), QUICK)
    return sink.getvalue()


def holding(data: bytes) -> MemorySink:
    sink = MemorySink()
    sink.write(data)
    return sink


def test_lists_what_it_was_told() -> None:
    store = HttpStore("http://localhost/x", [File("b"), File("a/b"), File("a.txt", 3)])
    assert [file.path for file in store.list()] == ["a.txt", "a/b", "b"]
    with pytest.raises(PlaceMissing, match="cannot be listed"):
        next(HttpStore("http://localhost/x").list())


@pytest.mark.parametrize(
    "url", ["", "data", "ftp://host/x", "https://", "s3://bucket", "http://[x/", "http://m\u00fcller/"]
)
def test_only_web_addresses(url: str) -> None:
    with pytest.raises(BadPlace):
        HttpStore(url)


def test_secrets_are_sent_and_not_shown(serve: Serve) -> None:
    _, mirror = serve()
    url = mirror.url.replace("://", "://me:password@") + "?sig=secret#part"
    store = HttpStore(url, headers={"Authorization": "Bearer hidden", "X-Key": "hidden"})
    assert wire.wait(store.read("data.bin")) == DATA
    assert mirror.requests[0].path == "/data.bin?sig=secret"
    assert mirror.requests[0].headers["x-key"] == "hidden"
    assert store.place == mirror.url
    with pytest.raises(FileMissing) as caught:
        wire.wait(store.read("other"))
    for text in (repr(store), str(caught.value), store.place):
        assert not any(secret in text for secret in ("secret", "password", "hidden"))
    assert wire.wait(pickle.loads(pickle.dumps(store)).read("data.bin", 5, 5)) == DATA[5:10]


def test_an_address_as_people_type_it(serve: Serve) -> None:
    _, mirror = serve({"f\u00fcr alle/a%20b/data.bin": DATA})
    store = HttpStore(f"{mirror.url}/f\u00fcr alle/a%2520b/?k=a b")
    assert wire.wait(store.read("data.bin")) == DATA
    assert mirror.requests[0].path == "/f%C3%BCr%20alle/a%2520b/data.bin?k=a%20b"


# stat


def test_stat(serve: Serve) -> None:
    store, mirror = serve()
    file = wire.wait(store.stat("data.bin"))
    assert (file.path, file.size) == ("data.bin", len(DATA))
    assert file.etag is not None
    assert file.etag.startswith('"')
    assert file.mtime == pytest.approx((mirror.directory / "data.bin").stat().st_mtime, abs=1)
    assert [request.method for request in mirror.requests] == ["HEAD"]


def test_stat_without_head_reads_one_byte(serve: Serve) -> None:
    store, mirror = serve({"data.bin": DATA, "empty": b""}, heads=False)
    file = wire.wait(store.stat("data.bin"))
    assert (file.size, file.etag is not None) == (len(DATA), True)
    assert mirror.requests[-1].sent == 1
    assert wire.wait(store.stat("empty")).size == 0


def test_stat_without_head_and_ranges(serve: Serve) -> None:
    store, _ = serve(heads=False, ranges=False)
    assert wire.wait(store.stat("data.bin")).size == len(DATA)


def test_a_size_that_nobody_tells(serve: Serve) -> None:
    store, _ = serve(heads=False, ranges=False, lengths=False)
    assert wire.wait(store.stat("data.bin")).size is None


# read


def test_a_part_from_a_server_that_only_sends_whole_files(serve: Serve) -> None:
    store, _ = serve(ranges=False)
    assert wire.wait(store.read("data.bin")) == DATA
    with pytest.raises(ServerFailed, match="parts"):
        wire.wait(store.read("data.bin", 10, 10))


def test_nothing_lies_behind_the_end(serve: Serve) -> None:
    store, _ = serve()
    assert wire.wait(store.read("data.bin", len(DATA), 10)) == b""
    assert wire.wait(store.read("data.bin", 5, 0)) == b""


# fetch


def test_a_broken_download_goes_on(serve: Serve) -> None:
    store, mirror = serve()
    mirror.fault("data", cut=300_000, reset=True)
    assert fetched(store, File("data.bin", len(DATA), digest_of(DATA))) == DATA
    assert [request.range for request in mirror.requests] == [None, "bytes=300000-"]


def test_resumes_by_etag_across_processes(serve: Serve) -> None:
    store, mirror = serve()
    file = wire.wait(store.stat("data.bin"))
    assert fetched(store, file, holding(DATA[:1000])) == DATA
    assert (mirror.requests[-1].range, mirror.requests[-1].headers["if-range"]) == ("bytes=1000-", file.etag)


def test_resumes_when_a_digest_will_tell(serve: Serve) -> None:
    store, mirror = serve(etags=False)
    assert fetched(store, File("data.bin", len(DATA), digest_of(DATA)), holding(DATA[:1000])) == DATA
    assert mirror.requests[-1].range == "bytes=1000-"


def test_starts_over_when_nothing_vouches_for_the_rest(serve: Serve) -> None:
    store, mirror = serve()
    assert fetched(store, File("data.bin", len(DATA)), holding(b"wrong")) == DATA
    assert fetched(store, File("data.bin", len(DATA), etag='"old"'), holding(b"wrong")) == DATA
    assert [request.status for request in mirror.requests] == [200, 200]


def test_what_is_all_there_is_not_asked_for(serve: Serve) -> None:
    store, mirror = serve()
    assert fetched(store, File("data.bin", len(DATA), digest_of(DATA)), holding(DATA)) == DATA
    assert mirror.requests == []


def test_a_whole_file_of_unknown_size_is_recognized(serve: Serve) -> None:
    store, mirror = serve()
    assert fetched(store, File("data.bin", None, digest_of(DATA)), holding(DATA)) == DATA
    assert [request.status for request in mirror.requests] == [416]


def test_more_than_there_is_starts_over(serve: Serve) -> None:
    store, _ = serve()
    assert fetched(store, File("data.bin", None, digest_of(DATA)), holding(DATA + b"more")) == DATA


@pytest.mark.parametrize("difference", [-1, 1])
def test_another_size_than_promised(serve: Serve, difference: int) -> None:
    store, mirror = serve()
    with pytest.raises(WrongContent, match=r"data\.bin.*promised"):
        fetched(store, File("data.bin", len(DATA) + difference))
    assert len(mirror.requests) == 1


def test_a_connection_that_ends_early_without_a_length(serve: Serve) -> None:
    store, mirror = serve(lengths=False)
    mirror.fault("data", cut=300_000)
    assert fetched(store, File("data.bin", len(DATA))) == DATA
    assert mirror.requests[-1].range == "bytes=300000-"


def test_redirects_are_followed_and_the_token_stays(serve: Serve) -> None:
    _, mirror = serve()
    mirror.redirects["/moved.bin"] = f"{mirror.other_origin}/data.bin"
    store = HttpStore(mirror.url, headers={"Authorization": "Bearer x"})
    assert wire.wait(store.stat("moved.bin")).size == len(DATA)
    assert wire.wait(store.read("moved.bin", 3, 4)) == DATA[3:7]
    assert fetched(store, File("moved.bin", len(DATA))) == DATA
    assert [request.had_token for request in mirror.requests] == [True, False] * 3


# A web page in place of data


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/octet-stream"])
def test_a_page_in_place_of_data_is_named(serve: Serve, kind: str) -> None:
    store, mirror = serve()
    mirror.fault("GET", times=None, status=200, body=b" \n" + PAGE, headers={"Content-Type": kind})
    sink = MemorySink()
    with pytest.raises(WrongContent, match="web page"):
        fetched(store, File("data.bin", len(DATA)), sink)
    assert sink.position == 0
    with pytest.raises(WrongContent, match="web page"):
        fetched(store, File("data.bin", 10), sink)
    assert sink.position == 0
    with pytest.raises(WrongContent, match="web page"):
        wire.wait(store.read("data.bin"))


def test_a_portal_that_answers_everything(serve: Serve) -> None:
    store, _ = serve(page=PAGE)
    for attempt in (store.stat("data.bin"), store.read("data.bin", 4, 4), store.fetch(File("data.bin"), MemorySink())):
        with pytest.raises(WrongContent, match="web page"):
            wire.wait(attempt)


def test_a_page_that_comes_on_resuming(serve: Serve) -> None:
    store, mirror = serve()
    file = wire.wait(store.stat("data.bin"))
    mirror.fault("GET", status=200, body=PAGE, headers={"Content-Type": "text/html"})
    with pytest.raises(WrongContent, match="web page"):
        fetched(store, file, holding(DATA[:1000]))


@pytest.mark.parametrize("name", ["index.html", "INDEX.HTM"])
def test_pages_may_be_data(serve: Serve, name: str) -> None:
    store, _ = serve({name: PAGE})
    assert fetched(store, File(name, len(PAGE))) == PAGE
    assert wire.wait(store.read(name)) == PAGE
    assert wire.wait(store.stat(name)).size == len(PAGE)


def test_data_that_only_speaks_of_html(serve: Serve) -> None:
    data = b"about <html> pages"
    store, _ = serve({"notes.txt": data})
    assert fetched(store, File("notes.txt", len(data))) == data


# Refusals


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, AccessDenied), (403, AccessDenied), (404, FileMissing), (410, FileMissing), (400, ServerFailed)],
)
def test_refusals(serve: Serve, status: int, kind: type[Exception]) -> None:
    store, mirror = serve()
    mirror.fault("data", times=None, status=status, body=PAGE, headers={"Content-Type": "text/html"})
    for attempt in (store.stat("data.bin"), store.read("data.bin"), store.fetch(File("data.bin"), MemorySink())):
        with pytest.raises(kind, match=r"data\.bin"):
            wire.wait(attempt)


def test_read_only() -> None:
    store = HttpStore("http://localhost/x")
    for attempt in (store.write("a", b""), store.delete("a"), store.receive(File("a"), store)):
        with pytest.raises(AccessDenied, match="read-only"):
            wire.wait(attempt)
