"""The servers that other tests stand on: they must speak as the real ones do, and fail exactly as told."""

from __future__ import annotations

import http.client
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from visprep.testing import FaultyProxy, FaultyS3, LocalHub, Mirror
from visprep.testing.faults import Fault
from visprep.testing.serving import Handler, LocalServer

NAME = "org/name"
FILES = {
    "README.md": b"# hello",
    "data/train-00000.parquet": b"PAR1" * 1000,
    "data/deep/er/notes.txt": b"notes",
    "odd name+%20.txt": b"odd",
    "empty.txt": b"",
}


class Answer:
    """An answer read to its end with the standard library, which neither retries nor follows."""

    def __init__(self, url: str, method: str = "GET", body: bytes | None = None, **headers: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
        try:
            target = url.partition(parts.netloc)[2] or "/"
            connection.request(method, target, body, {name.replace("_", "-"): text for name, text in headers.items()})
            answer = connection.getresponse()
            self.status, self.headers, self.body = answer.status, answer.headers, answer.read()
        finally:
            connection.close()


# The hub, seen by the real library


@pytest.fixture
def hub() -> Iterator[LocalHub]:
    with LocalHub(tokens=("hf_reader", "hf_stranger"), page=2) as server:
        yield server


@pytest.fixture
def big(tmp_path: Path) -> Path:
    path = tmp_path / "big.bin"
    path.write_bytes(bytes(range(256)) * 10_000)
    return path


@pytest.fixture
def library() -> Any:
    pytest.importorskip("huggingface_hub.errors", reason="the extra 'hf' is not installed")
    return pytest.importorskip("huggingface_hub")


def test_the_library_reads_a_repository(hub: LocalHub, library: Any, big: Path, tmp_path: Path) -> None:
    files = {**FILES, "big.bin": big}
    repository = hub.add(NAME)
    old = repository.commit({"README.md": b"old"})
    new = repository.commit(files)
    repository.tag("v1", old)
    api = library.HfApi(endpoint=hub.url, token=False)
    assert api.dataset_info(NAME).sha == new
    assert [api.dataset_info(NAME, revision=revision).sha for revision in ("main", "v1", old)] == [new, old, old]
    siblings = {one.rfilename: one for one in api.dataset_info(NAME, files_metadata=True).siblings}
    assert {path: one.size for path, one in siblings.items()} == {
        path: content.stat().st_size if isinstance(content, Path) else len(content) for path, content in files.items()
    }
    for path, content in files.items():
        got = library.hf_hub_download(
            NAME, path, repo_type="dataset", endpoint=hub.url, cache_dir=tmp_path / "cache", token=False
        )
        assert Path(got).read_bytes() == (content.read_bytes() if isinstance(content, Path) else content)
    assert (
        not library.HfApi(endpoint=hub.url)
        .verify_repo_checksums(NAME, repo_type="dataset", cache_dir=tmp_path / "cache", token=False)
        .mismatches
    )
    assert [ref.target_commit for ref in api.list_repo_refs(NAME, repo_type="dataset").branches] == [new]
    assert [one.commit_id for one in api.list_repo_commits(NAME, repo_type="dataset")] == [new, old]


def test_the_library_pages_through_the_tree(hub: LocalHub, library: Any) -> None:
    hub.add(NAME).commit(FILES)
    api = library.HfApi(endpoint=hub.url, token=False)
    entries = list(api.list_repo_tree(NAME, repo_type="dataset", recursive=True))
    files = {one.path: one for one in entries if hasattr(one, "size")}
    assert sorted(files) == sorted(FILES)
    assert {one.path for one in entries} - set(files) == {"data", "data/deep", "data/deep/er"}
    assert len([request for request in hub.requests if "/tree/" in request.path]) == 4
    import hashlib

    shard = FILES["data/train-00000.parquet"]
    assert files["data/train-00000.parquet"].lfs.sha256 == hashlib.sha256(shard).hexdigest()
    assert files["README.md"].lfs is None
    assert files["README.md"].blob_id == hashlib.sha1(b"blob 7\0# hello").hexdigest()
    assert [one.path for one in api.list_repo_tree(NAME, "data", repo_type="dataset", expand=True)] == [
        "data/deep",
        "data/train-00000.parquet",
    ]
    found = api.get_paths_info(NAME, ["data", "README.md", "nothing"], repo_type="dataset")
    assert [one.path for one in found] == ["data", "README.md"]


def test_the_library_raises_its_own_errors(hub: LocalHub, library: Any, tmp_path: Path) -> None:
    errors = library.errors
    hub.add(NAME).commit(FILES)
    hub.add("org/closed", gated=True, readers=["hf_reader"]).commit(FILES)
    hub.add("org/secret", private=True, readers=["hf_reader"]).commit(FILES)

    def download(name: str, path: str, token: Any, revision: str = "main") -> str:
        text = library.hf_hub_download(
            name, path, repo_type="dataset", endpoint=hub.url, cache_dir=tmp_path, token=token, revision=revision
        )
        return str(text)

    with pytest.raises(errors.EntryNotFoundError):
        download(NAME, "none.txt", False)
    with pytest.raises(errors.RevisionNotFoundError):
        download(NAME, "README.md", False, "none")
    for token in (False, "hf_stranger"):
        with pytest.raises(errors.RepositoryNotFoundError):
            download("org/none", "README.md", token)
        with pytest.raises(errors.RepositoryNotFoundError):
            library.HfApi(endpoint=hub.url, token=token).dataset_info("org/secret")
        with pytest.raises(errors.GatedRepoError):
            download("org/closed", "README.md", token)
        assert library.HfApi(endpoint=hub.url, token=token).dataset_info("org/closed").gated == "manual"
    for name in ("org/closed", "org/secret"):
        assert Path(download(name, "data/train-00000.parquet", "hf_reader")).exists()
    with pytest.raises(errors.HfHubHTTPError, match="Invalid credentials"):
        library.HfApi(endpoint=hub.url, token="hf_unknown").dataset_info(NAME)


def test_the_library_knows_who_it_is(hub: LocalHub, library: Any) -> None:
    assert library.HfApi(endpoint=hub.url, token="hf_reader").whoami()["name"] == "tester"
    with pytest.raises(library.errors.HfHubHTTPError, match="Invalid user token"):
        library.HfApi(endpoint=hub.url, token="hf_unknown").whoami()


LOAD = """
import datasets, os, sys
rows = datasets.load_dataset("org/name", split="train", token=sys.argv[1])
assert rows["n"] == list(range(10)), rows["n"]
streamed = datasets.load_dataset("org/name", split="train", token=sys.argv[1], streaming=True)
assert [row["n"] for row in streamed] == list(range(10))
os._exit(0)  # pyarrow's threads may abort a process that ends while they start
"""


def test_datasets_loads_from_it(hub: LocalHub, tmp_path: Path) -> None:
    pytest.importorskip("datasets", reason="the extra 'hf' is not installed")
    import os

    import pyarrow as pa
    import pyarrow.parquet

    pyarrow.parquet.write_table(pa.table({"n": list(range(10))}), tmp_path / "rows.parquet")
    hub.add(NAME, private=True).commit({"data/train-00000-of-00001.parquet": tmp_path / "rows.parquet"})
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, "hf_reader"], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert any(request.path.startswith("/cdn/") for request in hub.requests)
    assert not any(request.had_token for request in hub.requests if request.path.startswith("/cdn/"))


# The hub, seen from near


def test_large_files_come_from_another_origin(hub: LocalHub) -> None:
    commit = hub.add(NAME).commit(FILES)
    shard = "data/train-00000.parquet"
    for method in ("HEAD", "GET"):
        redirect = Answer(f"{hub.url}/datasets/{NAME}/resolve/main/{shard}", method)
        assert redirect.status == 302
        assert redirect.headers["X-Repo-Commit"] == commit
        assert redirect.headers["X-Linked-Size"] == "4000"
    link = redirect.headers["Location"]
    assert urlsplit(link).hostname == "localhost"
    part = Answer(link, Range="bytes=3998-")
    assert (part.status, part.body) == (206, b"R1")
    assert part.headers["ETag"] == redirect.headers["X-Linked-Etag"]
    assert part.headers["Content-Range"] == "bytes 3998-3999/4000"
    assert Answer(link, Range="bytes=-3").body == b"AR1"
    assert Answer(link, Range="bytes=4000-").status == 416
    assert Answer(link, Range="bytes=1-", If_Range='"other"').status == 200
    assert Answer(link, Range="bytes=1-", If_Range=part.headers["ETag"]).status == 206
    assert Answer(link, Authorization="Bearer hf_reader").status == 400
    assert Answer(link.partition("?")[0]).status == 403


def test_errors_carry_the_codes_of_the_hub(hub: LocalHub) -> None:
    hub.add(NAME).commit(FILES)
    hub.add("org/closed", gated=True, readers=()).commit(FILES)
    token = "Bearer hf_reader"
    wanted = [
        ("/api/datasets/org/none", 404, "RepoNotFound"),
        (f"/api/datasets/{NAME}/revision/none", 404, "RevisionNotFound"),
        (f"/api/datasets/{NAME}/tree/main/none", 404, "EntryNotFound"),
        (f"/datasets/{NAME}/resolve/main/none", 404, "EntryNotFound"),
        (f"/datasets/{NAME}/resolve/none/README.md", 404, "RevisionNotFound"),
        ("/datasets/org/closed/resolve/main/README.md", 403, "GatedRepo"),
        ("/nowhere", 404, None),
    ]
    for path, status, code in wanted:
        answer = Answer(hub.url + path, Authorization=token)
        assert (answer.status, answer.headers["X-Error-Code"]) == (status, code)
    assert Answer(f"{hub.url}/api/datasets/org/none").status == 401
    assert Answer(f"{hub.url}/datasets/org/closed/resolve/main/README.md").status == 401


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the library's own
def test_the_library_uploads(hub: LocalHub, library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    api = library.HfApi(endpoint=hub.url, token="hf_reader")
    assert api.create_repo("org/new", repo_type="dataset").repo_id == "org/new"
    with pytest.raises(library.errors.HfHubHTTPError, match="409"):
        api.create_repo("org/new", repo_type="dataset")
    api.create_repo("org/new", repo_type="dataset", exist_ok=True)
    files = {**FILES, "README.md": b"---\nlicense: mit\n---\n# hello"}
    for path, content in files.items():
        api.upload_file(path_or_fileobj=content, path_in_repo=path, repo_id="org/new", repo_type="dataset")
    commit = hub.repositories["org/new"].at("main")
    assert commit is not None
    held = {path: b"".join(entry.blob.read()) for path, entry in commit.files.items()}
    assert held == {**files, ".gitattributes": b""}
    api.delete_folder("data", repo_id="org/new", repo_type="dataset")
    assert set(api.list_repo_files("org/new", repo_type="dataset")) == {
        ".gitattributes", "README.md", "odd name+%20.txt", "empty.txt",
    }  # fmt: skip


def test_uploads_that_are_refused(hub: LocalHub) -> None:
    hub.add(NAME, readers=("hf_reader",)).commit(FILES)
    digest, route = "0" * 64, f"{hub.url}/api/datasets/{NAME}/commit/main"

    def sent(*lines: str, token: str = "hf_reader") -> int:
        header = '{"key": "header", "value": {"summary": "x"}}'
        return Answer(route, "POST", "\n".join([header, *lines]).encode(), Authorization=f"Bearer {token}").status

    assert sent(f'{{"key": "lfsFile", "value": {{"path": "a.bin", "oid": "{digest}"}}}}') == 400
    assert sent('{"key": "deletedFile", "value": {"path": "none"}}') == 404
    assert sent(token="hf_stranger") == 403
    assert Answer(route, "POST", b"").status == 401
    stale = b'{"key": "header", "value": {"summary": "x", "parentCommit": "%s"}}' % (b"1" * 40)
    assert Answer(route, "POST", stale, Authorization="Bearer hf_reader").status == 412
    assert Answer(f"{hub.url}/cdn/{digest}", "PUT", b"x").status == 403
    link = hub.upload_link(digest)
    assert Answer(link, "PUT", b"x").status == 400
    assert Answer(link, "PUT", b"x", Authorization="Bearer hf_reader").status == 400
    assert not hub.linked
    assert len(hub.repositories[NAME].commits) == 1


def test_a_commit_is_named_by_what_it_holds(hub: LocalHub) -> None:
    one, other = hub.add("a/b"), hub.add("a/c")
    assert one.commit(FILES) == other.commit(dict(reversed(FILES.items())))
    before = one.commit({"x": b""})
    assert len(before) == 40
    assert one.commit({"x": b"1"}) != before
    one.commit({"x": b"2"}, branch="dev")
    assert one.at("main") is not one.at("dev")
    assert one.at("nothing") is None


def test_requests_are_logged(hub: LocalHub) -> None:
    hub.add(NAME).commit(FILES)
    Answer(f"{hub.url}/datasets/{NAME}/resolve/main/README.md?x=1", Range="bytes=2-", Authorization="Bearer hf_reader")
    (entry,) = hub.requests
    assert (entry.method, entry.path) == ("GET", f"/datasets/{NAME}/resolve/main/README.md?x=1")
    assert (entry.range, entry.had_token, entry.status, entry.sent) == ("bytes=2-", True, 206, 5)


# Faults


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "data.bin").write_bytes(b"0123456789" * 1000)
    (folder / "page.html").write_bytes(b"<html></html>")
    (tmp_path / "outside").write_bytes(b"secret")
    with Mirror(folder) as server:
        yield server


def test_faults_come_as_often_as_told(mirror: Mirror) -> None:
    mirror.fault("GET /data", times=2, status=503, headers={"Retry-After": "1"}, body=b"later")
    mirror.fault("data", times=None, headers={"X-Extra": "yes"})
    url = f"{mirror.url}/data.bin"
    refused = Answer(url)
    assert (refused.status, refused.body, refused.headers["Retry-After"]) == (503, b"later", "1")
    assert [Answer(url).status for _ in range(3)] == [503, 200, 200]
    assert Answer(url, "HEAD").headers["X-Extra"] == "yes"
    mirror.clear_faults()
    assert Answer(url).headers["X-Extra"] is None


def test_chance_is_the_same_every_time(mirror: Mirror) -> None:
    def round_of_luck() -> list[int]:
        mirror.clear_faults()
        mirror.fault("data", times=None, probability=0.5, seed=7, status=500)
        return [Answer(f"{mirror.url}/data.bin").status for _ in range(20)]

    first = round_of_luck()
    assert set(first) == {200, 500}
    assert round_of_luck() == first


def test_a_body_cut_short(mirror: Mirror) -> None:
    mirror.fault("data", cut=1234)
    with pytest.raises(http.client.IncompleteRead) as short:
        Answer(f"{mirror.url}/data.bin")
    assert len(short.value.partial) == 1234
    mirror.fault("data", cut=1234, reset=True)
    with pytest.raises(ConnectionResetError):
        Answer(f"{mirror.url}/data.bin")
    mirror.fault("data", reset=True)
    with pytest.raises((ConnectionResetError, http.client.RemoteDisconnected)):
        Answer(f"{mirror.url}/data.bin")
    assert [request.sent for request in mirror.requests] == [1234, 1234, 0]
    assert Answer(f"{mirror.url}/data.bin").status == 200


def test_a_flipped_byte(mirror: Mirror) -> None:
    mirror.fault("data", flip=5000)
    body, true = bytearray(Answer(f"{mirror.url}/data.bin").body), b"0123456789" * 1000
    assert body != true
    body[5000] ^= 0xFF
    assert body == true


def test_a_slow_body_is_whole(mirror: Mirror) -> None:
    mirror.fault("data", slow=200_000, delay=0.01)
    assert Answer(f"{mirror.url}/data.bin").body == b"0123456789" * 1000


def test_silence_ends_when_the_server_stops(mirror: Mirror) -> None:
    mirror.fault("data", stall=True, cut=10)
    connection = http.client.HTTPConnection("127.0.0.1", mirror.port, timeout=30)
    connection.request("GET", "/data.bin")
    answer = connection.getresponse()
    assert answer.read(10) == b"0123456789"
    mirror.stop()
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        answer.read()
    connection.close()


def test_a_bug_of_a_server_is_not_swallowed() -> None:
    class Broken(Handler):
        def respond(self) -> None:
            raise ZeroDivisionError

    class BrokenServer(LocalServer):
        handler = Broken

    server = BrokenServer().start()
    with pytest.raises(http.client.RemoteDisconnected):
        Answer(server.url)
    with pytest.raises(ZeroDivisionError):
        server.stop()


# The mirror


def test_the_mirror_serves_its_directory_and_nothing_else(mirror: Mirror) -> None:
    whole = Answer(f"{mirror.url}/data.bin")
    assert (whole.status, len(whole.body), whole.headers["Accept-Ranges"]) == (200, 10_000, "bytes")
    assert Answer(f"{mirror.url}/data.bin", "HEAD").headers["Content-Length"] == "10000"
    assert Answer(f"{mirror.url}/page.html").headers["Content-Type"] == "text/html"
    for path in ("/../outside", "/%2e%2e/outside", "/none", "/"):
        assert Answer(mirror.url + path).status == 404
    assert Answer(f"{mirror.url}/data.bin", "PUT", b"x").status == 405


def test_the_etag_follows_the_content(mirror: Mirror) -> None:
    url, file = f"{mirror.url}/data.bin", mirror.directory / "data.bin"
    first = Answer(url, "HEAD").headers
    part = Answer(url, Range="bytes=0-4", If_Range=first["ETag"])
    assert (part.status, part.body) == (206, b"01234")
    assert Answer(url, Range="bytes=0-4", If_Range=first["Last-Modified"]).status == 206
    time.sleep(0.01)  # so that the file system has another time for the second content
    file.write_bytes(b"x" * 10_000)
    changed = Answer(url, Range="bytes=0-4", If_Range=first["ETag"])
    assert (changed.status, changed.body[:5]) == (200, b"xxxxx")
    assert changed.headers["ETag"] != first["ETag"]


def test_a_mirror_can_do_without(mirror: Mirror) -> None:
    with Mirror(mirror.directory, ranges=False, lengths=False, etags=False, heads=False) as plain:
        answer = Answer(f"{plain.url}/data.bin", Range="bytes=0-4")
        assert (answer.status, len(answer.body)) == (200, 10_000)
        for name in ("ETag", "Content-Length", "Accept-Ranges"):
            assert answer.headers[name] is None
        assert Answer(f"{plain.url}/data.bin", "HEAD").status == 405
    with Mirror(mirror.directory, page=b"<html>log in</html>") as portal:
        answer = Answer(f"{portal.url}/data.bin")
        assert (answer.status, answer.body) == (200, b"<html>log in</html>")
        assert answer.headers["Content-Type"].startswith("text/html")
        portal.redirects["/data.bin"] = "/elsewhere"
        assert Answer(f"{portal.url}/data.bin").headers["Location"] == "/elsewhere"


# The proxy


class Keeper(Handler):
    """Keeps what is PUT, and says how the request arrived."""

    owner: Shelf  # type: ignore[misc]

    def respond(self) -> None:
        self.owner.bodies.append(b"".join(self.upload()))
        self.answer(200, {"host": self.headers["Host"]}, X_Kept="yes")


class Shelf(LocalServer):
    handler = Keeper

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[bytes] = []


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    with Shelf() as server:
        yield server


def test_the_proxy_changes_nothing(shelf: Shelf) -> None:
    with FaultyProxy(shelf.url) as proxy:
        target = "/a/../b//c%2Fd?x=%20"
        answer = Answer(proxy.url + target, "PUT", b"x" * 200_000, X_Odd="kept")
        assert (answer.status, answer.headers["X-Kept"]) == (200, "yes")
        assert shelf.bodies == [b"x" * 200_000]
        assert shelf.requests[0].path == proxy.requests[0].path == target
        assert shelf.requests[0].headers["host"] == urlsplit(proxy.url).netloc
        assert shelf.requests[0].headers["x-odd"] == "kept"
        assert (proxy.requests[0].received, proxy.requests[0].sent) == (200_000, len(answer.body))


def test_the_proxy_passes_chunks_on(shelf: Shelf) -> None:
    with FaultyProxy(shelf.url) as proxy:
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
        connection.request("PUT", "/x", iter([b"one", b"three"]), encode_chunked=True)
        assert connection.getresponse().status == 200
        connection.close()
        assert shelf.bodies == [b"3\r\none\r\n5\r\nthree\r\n0\r\n\r\n"]  # the shelf keeps the marks


def test_the_proxy_speaks_like_s3_when_it_refuses(shelf: Shelf) -> None:
    with FaultyProxy(shelf.url) as proxy:
        proxy.fault("PUT /bucket", status=503)
        proxy.fault("PUT /bucket", status=500)
        slow_down, failed, fine = (Answer(f"{proxy.url}/bucket/x", "PUT", b"data") for _ in range(3))
        assert (slow_down.status, failed.status, fine.status) == (503, 500, 200)
        assert b"<Code>SlowDown</Code>" in slow_down.body
        assert b"<Code>InternalError</Code>" in failed.body
        assert shelf.bodies == [b"data"]


def test_the_proxy_breaks_bodies(mirror: Mirror) -> None:
    with FaultyProxy(mirror.url) as proxy:
        url = f"{proxy.url}/data.bin"
        proxy.fault("data", cut=100, reset=True)
        proxy.fault("data", cut=100)
        proxy.fault("data", flip=0)
        with pytest.raises(ConnectionResetError):
            Answer(url)
        with pytest.raises(http.client.IncompleteRead):
            Answer(url)
        assert Answer(url).body[:2] == bytes([ord("0") ^ 0xFF]) + b"1"
        assert Answer(url).body == Answer(f"{mirror.url}/data.bin").body
        assert Answer(url, "HEAD").headers["Content-Length"] == "10000"
        assert Answer(url, Range="bytes=5-7").body == b"567"


def test_the_proxy_resets_uploads(shelf: Shelf) -> None:
    with FaultyProxy(shelf.url) as proxy:
        proxy.fault("PUT", upload_reset=100_000)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            Answer(proxy.url, "PUT", b"x" * 50_000_000)
        assert shelf.bodies == []
        assert 100_000 <= proxy.requests[0].received < 200_000


@pytest.fixture
def s3(shelf: Shelf) -> Iterator[FaultyS3]:
    with FaultyS3(shelf.url) as proxy:
        yield proxy


def test_a_rule_picks_requests_by_method_key_query_and_count(s3: FaultyS3) -> None:
    s3.fail("slow-down", method="PUT", key="^a b/.*png$", query="partNumber=2", after=1, times=2)
    target = f"{s3.url}/bucket/a%20b/c.png?partNumber=2"
    others = [("PUT", f"{s3.url}/bucket/a%20b/c.png"), ("GET", target), ("PUT", target.replace("bucket/", "bucket/x/"))]
    assert [Answer(url, method).status for method, url in others] == [200, 200, 200]
    assert [Answer(target, "PUT").status for _ in range(4)] == [200, 503, 503, 200]
    s3.fail("no-such-bucket", key="^$", times=None)
    assert [Answer(f"{s3.url}/{path}").status for path in ("bucket?list-type=2", "bucket/", "bucket/x")] == [
        404,
        404,
        200,
    ]
    s3.clear_faults()
    assert Answer(f"{s3.url}/bucket?list-type=2").status == 200
    with pytest.raises(KeyError):
        s3.fail("no such fault")


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("slow-down", 503, "SlowDown"),
        ("internal-error", 500, "InternalError"),
        ("error-in-200", 200, "InternalError"),
        ("expired-token", 400, "ExpiredToken"),
        ("skewed-clock", 403, "RequestTimeTooSkewed"),
        ("access-denied", 403, "AccessDenied"),
        ("no-such-bucket", 404, "NoSuchBucket"),
        ("no-such-key", 404, "NoSuchKey"),
    ],
)
def test_s3_refuses_in_its_own_words(s3: FaultyS3, shelf: Shelf, name: str, status: int, code: str) -> None:
    s3.fail(name)
    answer = Answer(f"{s3.url}/bucket/x", "PUT", b"data")
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/xml")
    assert f"<Error><Code>{code}</Code>".encode() in answer.body
    assert shelf.bodies == []


def test_the_server_has_done_its_work_when_its_answer_is_torn(s3: FaultyS3, shelf: Shelf) -> None:
    s3.fail("reset-headers")
    with pytest.raises((ConnectionResetError, http.client.HTTPException)):
        Answer(f"{s3.url}/bucket/x", "PUT", b"data")
    assert shelf.bodies == [b"data"]
    s3.fail("reset-upload")
    with pytest.raises((ConnectionResetError, BrokenPipeError, http.client.RemoteDisconnected)):
        Answer(f"{s3.url}/bucket/x", "PUT", b"x" * 50_000_000)
    assert shelf.bodies == [b"data"]
    assert 25_000_000 <= s3.requests[-1].received < 26_000_000


def test_a_share_of_a_body(mirror: Mirror) -> None:
    with FaultyS3(mirror.url) as proxy:
        for fault in ("short-body", "reset-body", "stall-body", "wrong-bytes", Fault(cut=0.25)):
            proxy.fail(fault)
        with pytest.raises(http.client.IncompleteRead) as short:
            Answer(f"{proxy.url}/data.bin")
        assert len(short.value.partial) == 5000
        with pytest.raises(ConnectionResetError):
            Answer(f"{proxy.url}/data.bin")
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=0.2)
        connection.request("GET", "/data.bin")
        with pytest.raises(TimeoutError):
            connection.getresponse().read()
        connection.close()
        flipped, true = Answer(f"{proxy.url}/data.bin").body, b"0123456789" * 1000
        assert [at for at in range(10_000) if flipped[at] != true[at]] == [5000]
        with pytest.raises(http.client.IncompleteRead):
            Answer(f"{proxy.url}/data.bin")
        assert [request.sent for request in proxy.requests] == [5000, 5000, 5000, 10_000, 2500]


def test_a_server_that_is_gone(shelf: Shelf) -> None:
    with FaultyProxy(shelf.url) as proxy:
        shelf.stop()
        assert Answer(proxy.url).status == 502


def test_the_proxy_wants_plain_http() -> None:
    with pytest.raises(ValueError, match="http://"):
        FaultyProxy("https://127.0.0.1:1")


# All of them


def test_servers_are_imported_when_asked_for() -> None:
    code = (
        "import sys, visprep.testing as t; "
        "assert not [m for m in sys.modules if m.startswith('visprep.testing.')]; "
        "t.Mirror; assert 'visprep.testing.mirror' in sys.modules; assert 'visprep.testing.hub' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
    import visprep.testing

    with pytest.raises(AttributeError):
        _ = visprep.testing.Nothing
