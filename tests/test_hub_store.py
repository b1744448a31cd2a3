"""HubStore against the real huggingface_hub and a hub on loopback."""

from __future__ import annotations

import hashlib
import os
import pickle
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from visprep import wire
from visprep.digests import digest_of
from visprep.errors import (
    AccessDenied,
    CredentialsError,
    FileMissing,
    MissingExtra,
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
from visprep.stores.hub import HubStore
from visprep.stores.local import LocalStore
from visprep.stores.memory import MemorySink
from visprep.testing import LocalHub
from visprep.testing.contracts import StoreContract
from visprep.wire import Patience

REPO = "org/data"
TOKEN = "hf_secret_of_the_test"
HASTY = Patience(connect=2, stall=5, attempts=3, base=0.005, longest=0.02)
BIG = os.urandom(700_000)
FILES = {
    "README.md": b"---\nlicense: mit\nconfigs:\n- config_name: A\n  data_files: a.parquet\n---\n# Title\n",
    "a.parquet": BIG,
    "b/with space & #.txt": b"odd",
    "empty.txt": b"",
}
PAGE = b"<!DOCTYPE html><html><head><title>504 Gateway Time-out</title></head><body>Sorry</body></html>"


@pytest.fixture
def hub():
    with LocalHub(tokens=(TOKEN,)) as hub:
        hub.add(REPO).commit(FILES)
        yield hub


def store_at(hub: LocalHub, repo: str = REPO, revision: str | None = None, token: str | None = None) -> HubStore:
    return HubStore(repo, revision, token=token, endpoint=hub.url, patience=HASTY)


def fetched(store: HubStore, path: str, sink: MemorySink | None = None) -> bytes:
    sink = sink or MemorySink()
    file = next(file for file in store.list() if file.path == path)
    wire.wait(store.fetch(file, sink), HASTY)
    return sink.getvalue()


class TestContract(StoreContract):
    @pytest.fixture
    def fill(self, hub: LocalHub) -> Callable[[Mapping[str, bytes]], HubStore]:
        def filled(files: Mapping[str, bytes]) -> HubStore:
            hub.add(REPO).commit(files)
            return store_at(hub)

        return filled


class TestListing:
    def test_files_are_sorted_with_size_and_digest(self, hub: LocalHub) -> None:
        files = list(store_at(hub).list())
        assert [file.path for file in files] == sorted(FILES, key=str.encode)
        for file in files:
            data = FILES[file.path]
            git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            lfs = file.path.endswith(".parquet")
            assert file.size == len(data)
            assert file.digest == (f"sha256:{hashlib.sha256(data).hexdigest()}" if lfs else f"git-sha1:{git}")

    def test_one_request_learns_everything(self, hub: LocalHub) -> None:
        store = store_at(hub)
        store.commit()
        list(store.list())
        wire.wait(store.stat("a.parquet"))
        assert len(hub.requests) == 1

    def test_many_files_are_listed_page_by_page(self, hub: LocalHub) -> None:
        many = {f"d{number % 7}/{number:05d}.txt": b"x" for number in range(1500)}
        hub.add("org/many").commit(many)
        files = list(store_at(hub, "org/many").list())
        assert [file.path for file in files] == sorted(many)
        assert {file.digest for file in files} == {digest_of(b"x", "git-sha1")}
        assert sum("/tree/" in request.path for request in hub.requests) > 1

    def test_stat_and_hash(self, hub: LocalHub) -> None:
        store = store_at(hub)
        assert wire.wait(store.stat("a.parquet")).size == len(BIG)
        assert wire.wait(store.hash("a.parquet", "sha256")) == f"sha256:{hashlib.sha256(BIG).hexdigest()}"
        assert wire.wait(store.hash("a.parquet", "md5")) is None
        with pytest.raises(FileMissing, match=r"none\.parquet"):
            wire.wait(store.stat("none.parquet"))

    def test_a_repository_without_files(self, hub: LocalHub) -> None:
        hub.add("org/bare").commit({})
        with pytest.raises(PlaceMissing):
            list(store_at(hub, "org/bare").list())


class TestRevisions:
    def test_main_becomes_a_commit_and_stays_it(self, hub: LocalHub) -> None:
        repository = hub.repositories[REPO]
        first = repository.branches["main"]
        store = store_at(hub)
        assert store.commit() == first
        second = repository.commit({"new.txt": b"new"})
        assert store.commit() == first
        assert fetched(store, "b/with space & #.txt") == b"odd"
        assert store_at(hub).commit() == second

    def test_a_full_commit_needs_no_request(self, hub: LocalHub) -> None:
        first = hub.repositories[REPO].branches["main"]
        hub.repositories[REPO].commit({"new.txt": b"new"})
        pinned = store_at(hub, revision=first)
        assert pinned.commit() == first
        assert hub.requests == []
        assert wire.wait(pinned.read("b/with space & #.txt")) == b"odd"
        assert [file.path for file in pinned.list()] == sorted(FILES)

    def test_branches_and_tags(self, hub: LocalHub) -> None:
        repository = hub.repositories[REPO]
        branched = repository.commit({"x": b"1"}, branch="refs/convert/parquet")
        repository.tag("v1", repository.branches["main"])
        assert store_at(hub, revision="refs/convert/parquet").commit() == branched
        assert store_at(hub, revision="v1").commit() == repository.branches["main"]

    @pytest.mark.parametrize("revision", ["nowhere", "0" * 40])
    def test_an_unknown_revision_is_named(self, hub: LocalHub, revision: str) -> None:
        store = store_at(hub, revision=revision)
        with pytest.raises(SourceMissing, match=f"no revision '{revision}'") as caught:
            store.card()
        assert "commit" in str(caught.value.hint)


class TestCard:
    def test_its_head_as_a_dictionary(self, hub: LocalHub) -> None:
        card = store_at(hub).card()
        assert card["license"] == "mit"
        assert card["configs"] == [{"config_name": "A", "data_files": "a.parquet"}]

    @pytest.mark.parametrize("files", [{"a.txt": b"a"}, {"README.md": b"# no head\n"}, {"README.md": b"---\n---\n"}])
    def test_nothing_in_it(self, hub: LocalHub, files: dict[str, bytes], capfd: pytest.CaptureFixture[str]) -> None:
        hub.add("org/plain").commit(files)
        assert store_at(hub, "org/plain").card() == {}
        assert capfd.readouterr() == ("", "")

    @pytest.mark.parametrize("text", [b"---\na: [1\n---\n", b"---\n- a\n---\n", b"---\na: \xff\xfe\n---\n"])
    def test_damaged(self, hub: LocalHub, text: bytes) -> None:
        hub.add("org/odd").commit({"README.md": text})
        with pytest.raises(WrongContent, match=r"org/odd.*README\.md"):
            store_at(hub, "org/odd").card()


class TestBytes:
    @pytest.mark.parametrize("path", FILES)
    def test_whole(self, hub: LocalHub, path: str) -> None:
        store = store_at(hub)
        assert fetched(store, path) == FILES[path]
        assert wire.wait(store.read(path)) == FILES[path]

    def test_a_range_moves_nothing_else(self, hub: LocalHub) -> None:
        store = store_at(hub)
        assert wire.wait(store.read("a.parquet", 100_000, 50)) == BIG[100_000:100_050]
        assert wire.wait(store.read("a.parquet", len(BIG) - 7)) == BIG[-7:]
        assert sum(request.sent for request in hub.requests if "/cdn/" in request.path) == 57
        assert hub.requests[-1].range == f"bytes={len(BIG) - 7}-"

    def test_ranges_at_and_beyond_the_end(self, hub: LocalHub) -> None:
        store = store_at(hub)
        assert wire.wait(store.read("a.parquet", len(BIG) - 5, 100)) == BIG[-5:]
        assert wire.wait(store.read("a.parquet", len(BIG), 10)) == b""
        assert wire.wait(store.read("a.parquet", 10, 0)) == b""

    def test_the_token_goes_to_the_hub_and_not_along_a_redirect(self, hub: LocalHub) -> None:
        fetched(store_at(hub, token=TOKEN), "a.parquet")
        asked = [request for request in hub.requests if "/cdn/" not in request.path]
        linked = [request for request in hub.requests if "/cdn/" in request.path]
        assert len(asked) == 2
        assert all(request.had_token for request in asked)
        assert len(linked) == 1
        assert not linked[0].had_token

    def test_a_reset_in_the_body_goes_on_where_it_was(self, hub: LocalHub) -> None:
        hub.fault("GET /cdn/", cut=300_000, reset=True)
        assert fetched(store_at(hub), "a.parquet") == BIG
        assert sum(request.sent for request in hub.requests if "/cdn/" in request.path) == len(BIG)

    def test_a_body_that_ends_early_goes_on_where_it_was(self, hub: LocalHub) -> None:
        hub.fault("GET /cdn/", cut=1000)
        assert fetched(store_at(hub), "a.parquet") == BIG

    def test_another_process_goes_on_where_one_was_killed(self, hub: LocalHub) -> None:
        begun = MemorySink()
        begun.write(BIG[:600_000])
        assert fetched(store_at(hub), "a.parquet", begun) == BIG
        assert hub.requests[-1].range == "bytes=600000-"
        assert hub.requests[-1].sent == 100_000

    def test_storage_that_fails_is_asked_again(self, hub: LocalHub) -> None:
        hub.fault("GET /cdn/", times=2, status=503)
        assert fetched(store_at(hub), "a.parquet") == BIG

    def test_a_flipped_byte_is_noticed_on_receipt(self, hub: LocalHub, tmp_path: Path) -> None:
        hub.fault("GET /cdn/", flip=123_456)
        store, target = store_at(hub), LocalStore(tmp_path)
        file = next(file for file in store.list() if file.path == "a.parquet")
        with pytest.raises(WrongContent, match=r"a\.parquet: the sha256"):
            wire.wait(target.receive(file, store), HASTY)
        assert list(tmp_path.iterdir()) == []
        assert wire.wait(target.receive(file, store), HASTY).digest == file.digest

    def test_a_flipped_byte_in_a_small_file_too(self, hub: LocalHub, tmp_path: Path) -> None:
        hub.fault("GET /datasets/.*README", flip=5)
        store = store_at(hub)
        with pytest.raises(WrongContent, match="git-sha1"):
            wire.wait(LocalStore(tmp_path).receive(next(f for f in store.list() if f.path == "README.md"), store))

    @pytest.mark.parametrize("path", ["a.parquet", "b/with space & #.txt"])
    def test_a_page_in_the_place_of_a_file_is_named(self, hub: LocalHub, path: str) -> None:
        hub.fault("GET /cdn/|GET /datasets/", status=200, body=PAGE, headers={"Content-Type": "text/html"})
        sink = MemorySink()
        with pytest.raises(WrongContent, match='an HTML page titled "504 Gateway Time-out"') as caught:
            fetched(store_at(hub), path, sink)
        assert path in str(caught.value)
        assert sink.position == 0

    def test_a_page_where_a_read_was_to_be_is_named(self, hub: LocalHub) -> None:
        hub.fault("GET /datasets/", status=200, body=PAGE, headers={"Content-Type": "text/html; charset=utf-8"})
        with pytest.raises(WrongContent, match="504 Gateway"):
            wire.wait(store_at(hub).read("README.md"))

    def test_a_page_that_is_a_file_is_a_file(self, hub: LocalHub) -> None:
        hub.add("org/pages").commit({"index.html": PAGE, "page.txt": PAGE})
        store = store_at(hub, "org/pages")
        assert fetched(store, "index.html") == PAGE
        assert fetched(store, "page.txt") == PAGE

    def test_another_size_than_promised(self, hub: LocalHub) -> None:
        store = store_at(hub)
        with pytest.raises(WrongContent, match="700000 bytes came, 700001 were promised"):
            wire.wait(store.fetch(File("a.parquet", len(BIG) + 1), MemorySink()))
        with pytest.raises(WrongContent, match="more than the promised 10 bytes"):
            wire.wait(store.fetch(File("a.parquet", 10), MemorySink()))

    def test_a_file_that_is_not_there(self, hub: LocalHub) -> None:
        with pytest.raises(FileMissing, match=r"org/data has no file none\.txt"):
            wire.wait(store_at(hub).read("none.txt"))

    def test_storage_that_refuses_is_not_taken_for_the_hub(self, hub: LocalHub) -> None:
        hub.fault("GET /cdn/", times=None, status=404)
        with pytest.raises(ServerFailed, match=r"localhost:\d+ answered 404 for a\.parquet"):
            fetched(store_at(hub), "a.parquet")


class TestRefusals:
    def test_a_missing_repository_may_also_be_private(self, hub: LocalHub) -> None:
        with pytest.raises(SourceMissing, match=r"no dataset org/none on .*, or it is private") as caught:
            store_at(hub, "org/none").commit()
        assert "HF_TOKEN" in str(caught.value.hint)

    def test_a_missing_repository_with_a_token(self, hub: LocalHub) -> None:
        with pytest.raises(SourceMissing, match="or this token may not read it"):
            store_at(hub, "org/none", token=TOKEN).commit()

    def test_private(self, hub: LocalHub) -> None:
        hub.add("org/private", private=True).commit(FILES)
        with pytest.raises(SourceMissing, match="private"):
            store_at(hub, "org/private").commit()
        assert fetched(store_at(hub, "org/private", token=TOKEN), "a.parquet") == BIG

    def test_gated(self, hub: LocalHub) -> None:
        hub.add("org/gated", gated=True).commit(FILES)
        store = store_at(hub, "org/gated")
        assert store.commit()
        with pytest.raises(SourceGated) as caught:
            fetched(store, "a.parquet")
        assert f"{hub.url}/datasets/org/gated" in str(caught.value.hint)
        assert "HF_TOKEN" in str(caught.value.hint)
        assert fetched(store_at(hub, "org/gated", token=TOKEN), "a.parquet") == BIG

    def test_gated_for_this_account(self, hub: LocalHub) -> None:
        hub.add("org/gated", gated=True, readers=()).commit(FILES)
        with pytest.raises(SourceGated):
            fetched(store_at(hub, "org/gated", token=TOKEN), "a.parquet")

    @pytest.mark.parametrize("revision", [None, "main"])
    def test_a_bad_token(self, hub: LocalHub, revision: str | None) -> None:
        with pytest.raises(CredentialsError) as caught:
            store_at(hub, revision=revision, token="hf_wrong").commit()
        pinned = hub.repositories[REPO].branches["main"]
        with pytest.raises(CredentialsError):
            wire.wait(store_at(hub, revision=pinned, token="hf_wrong").read("a.parquet"))
        assert "hf_wrong" not in f"{caught.value} {caught.value.hint}"

    def test_nobody_listens(self) -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{closed.getsockname()[1]}"
            with pytest.raises(Unreachable, match="cannot connect to 127"):
                HubStore(REPO, endpoint=url, patience=HASTY).commit()
            with pytest.raises(Unreachable):
                wire.wait(HubStore(REPO, "0" * 40, endpoint=url).read("README.md"), HASTY)

    @pytest.mark.parametrize(
        ("status", "error", "pause"),
        [(429, RateLimited, "0"), (503, ServerFailed, "\xb2"), (500, ServerFailed, "9" * 5_000)],
    )
    def test_trouble_that_lasts(self, hub: LocalHub, status: int, error: type[VisprepError], pause: str) -> None:
        hub.fault("GET /api/", times=None, status=status, headers={"Retry-After": pause})
        with pytest.raises(error):
            store_at(hub).commit()
        assert len(hub.requests) == HASTY.attempts

    @pytest.mark.parametrize("fault", [{"status": 429}, {"status": 503}, {"reset": True}, {"cut": 20}])
    def test_trouble_that_passes(self, hub: LocalHub, fault: dict[str, int], capfd: pytest.CaptureFixture[str]) -> None:
        hub.fault("GET /api/", times=2, **fault)
        assert len(list(store_at(hub).list())) == len(FILES)
        assert capfd.readouterr() == ("", "")

    def test_silence(self, hub: LocalHub) -> None:
        hub.fault("GET /api/", times=None, stall=True)
        hasty = Patience(stall=0.2, attempts=1)
        with pytest.raises(Stalled):
            HubStore(REPO, endpoint=hub.url, patience=hasty).commit()

    @pytest.mark.parametrize("body", [PAGE, b"[]", b'{"id": 1}', b""])
    def test_an_answer_that_no_hub_gives(self, hub: LocalHub, body: bytes) -> None:
        hub.fault("GET /api/", times=None, status=200, body=body)
        with pytest.raises(ServerFailed):
            store_at(hub).commit()

    def test_forbidden(self, hub: LocalHub) -> None:
        hub.fault("GET /api/", status=403, headers={"X-Error-Message": "Access to this resource is disabled."})
        with pytest.raises(AccessDenied, match="disabled"):
            store_at(hub).commit()

    def test_it_cannot_be_changed(self, hub: LocalHub) -> None:
        store = store_at(hub)
        for job in (store.write("x", b""), store.delete("README.md"), store.receive(File("x"), store)):
            with pytest.raises(AccessDenied, match="can only be read"):
                wire.wait(job)


class TestSetUp:
    def test_the_environment_says_who_and_where(self, hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
        hub.add("org/private", private=True).commit(FILES)
        monkeypatch.setenv("HF_ENDPOINT", f"{hub.url}/")
        monkeypatch.setenv("HF_TOKEN", f"{TOKEN}\n")
        assert wire.wait(HubStore("org/private").read("a.parquet")) == BIG

    def test_the_token_is_shown_nowhere(self, hub: LocalHub, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(0)
        store = store_at(hub, token=TOKEN)
        hub.fault("GET /cdn/", times=1, status=503)
        fetched(store, "a.parquet")
        assert repr(store) == "HubStore('hf:org/data')"
        assert TOKEN not in caplog.text + repr(store) + store.place
        for trouble in (401, 403, 404, 500):
            hub.fault("GET /datasets/", times=None, status=trouble)
            with pytest.raises(VisprepError) as caught:
                wire.wait(store.read("a.parquet"), HASTY)
            assert TOKEN not in f"{caught.value} {caught.value.hint} {caught.value!r}"
            hub.clear_faults()

    def test_a_pickled_store_reads_the_same_commit(self, hub: LocalHub) -> None:
        store = store_at(hub, token=TOKEN)
        first = store.commit()
        hub.repositories[REPO].commit({"new.txt": b"new"})
        again = pickle.loads(pickle.dumps(store))
        assert again.commit() == first
        assert wire.wait(again.read("a.parquet")) == BIG

    @pytest.mark.parametrize("name", ["", "a/b/c", "../x", "org/da ta", "org/x.git"])
    def test_names_that_cannot_be(self, name: str) -> None:
        with pytest.raises(UsageError):
            HubStore(name)

    @pytest.mark.parametrize("address", ["nowhere", "ftp://example.org", "http://", "http://[1"])
    def test_addresses_that_cannot_be(self, address: str) -> None:
        with pytest.raises(UsageError) as caught:
            HubStore(REPO, endpoint=address)
        assert "HF_ENDPOINT" in str(caught.value.hint)

    def test_without_the_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "huggingface_hub", None)
        with pytest.raises(MissingExtra) as caught:
            HubStore(REPO)
        assert caught.value.hint == "pip install 'visprep[hf]'"
