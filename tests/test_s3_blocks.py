"""Large files from a disk on their way to S3: never in memory, and never another content than was read before."""

from __future__ import annotations

import base64
import hashlib
import os
import random
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from s3_door import Answer, Door, Seen, error
from test_wire import self_signed
from visprep import errors
from visprep.digests import crc32_of_both, digest_of
from visprep.manifest import File
from visprep.settings import S3Settings
from visprep.stores.local import LocalStore
from visprep.stores.s3 import S3Store
from visprep.stores.s3_blocks import Stretch
from visprep.stores.s3_memory import View
from visprep.wire import Patience, wait

MIB = 1024 * 1024
PART = 5 * MIB
BIG = random.Random(3).randbytes(2 * PART + 1234)
QUICK = Patience(base=0.001)
KINDS = {"x-amz-checksum-algorithm": "CRC32", "x-amz-checksum-type": "FULL_OBJECT"}


def server(*, checksums: bool = True, there: dict[int, bytes] | None = None) -> Callable[[Seen], Answer]:
    """The least that a server answers to an upload in parts; `there` are those that one has that was begun before."""

    def answer(seen: Seen) -> Answer:
        if seen.method == "GET" and "uploads" in seen.query:
            told = "<ChecksumAlgorithm>CRC32</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>"
            begun = f"<Upload><Key>f.bin</Key><UploadId>old</UploadId>{told}</Upload>" if there else ""
            return 200, {}, f"<ListMultipartUploadsResult>{begun}</ListMultipartUploadsResult>".encode()
        if seen.method == "GET":
            listed = "".join(
                f"<Part><PartNumber>{number}</PartNumber><ETag>e</ETag><Size>{len(data)}</Size>"
                f"<ChecksumCRC32>{crc32(data)}</ChecksumCRC32></Part>"
                for number, data in (there or {}).items()
            )
            return 200, {}, f"<ListPartsResult>{listed}</ListPartsResult>".encode()
        if seen.method == "PUT":
            return 200, {"ETag": f'"{hashlib.md5(seen.body).hexdigest()}"'}, b""
        if seen.method == "DELETE":
            return 204, {}, b""
        if seen.method == "HEAD":
            return 200, {}, b""
        if "uploads" in seen.query:
            told = "<InitiateMultipartUploadResult><UploadId>new</UploadId></InitiateMultipartUploadResult>"
            return 200, dict(KINDS) if checksums else {}, told.encode()
        return 200, {}, b'<CompleteMultipartUploadResult><ETag>"x-3"</ETag></CompleteMultipartUploadResult>'

    return answer


def crc32(data: bytes) -> str:
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def place(door: Door) -> S3Store:
    return S3Store("s3://bucket", S3Settings(endpoint_url=door.url, access_key="AK", secret_key="SK", part_size=PART))


def parts(door: Door, upload: str = "new") -> dict[int, bytes]:
    """The bodies of the parts that were sent, the last one of each number."""
    sent = [seen for seen in door.seen if seen.method == "PUT" and seen.query["uploadId"] == upload]
    return {int(seen.query["partNumber"]): seen.body for seen in sent}


def joined(door: Door) -> bytes:
    return b"".join(body for _, body in sorted(parts(door).items()))


@pytest.fixture(params=["promised", "listed"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> File:
    """A file on disk, with its digest or as a listing has it."""
    (tmp_path / "origin").mkdir()
    (tmp_path / "origin" / "f.bin").write_bytes(BIG)
    listed = next(LocalStore(tmp_path / "origin").list())
    return File("f.bin", len(BIG), digest_of(BIG)) if request.param == "promised" else listed


@pytest.fixture
def origin(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "origin")


@pytest.mark.parametrize("checksums", [True, False])
@pytest.mark.parametrize("tls", [True, False])
def test_every_part_is_checked_by_the_server(
    file: File, origin: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checksums: bool, tls: bool
) -> None:
    """By its CRC-32 where the server says that it compares those; else, and without TLS, its SHA-256 is signed."""
    certificate = self_signed(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate[0]))
    with Door(answer=server(checksums=checksums), certificate=certificate if tls else None) as door:
        assert wait(place(door).receive(file, origin)).digest == digest_of(BIG)
    assert joined(door) == BIG
    begun = next(seen for seen in door.seen if "uploads" in seen.query and seen.method == "POST")
    assert begun.headers["x-amz-meta-sha256"] == digest_of(BIG)[7:]
    for seen in door.seen:
        if seen.method == "PUT":
            assert seen.headers.get("x-amz-checksum-crc32") == (crc32(seen.body) if checksums else None)
            signed = "UNSIGNED-PAYLOAD" if tls and checksums else hashlib.sha256(seen.body).hexdigest()
            assert seen.headers["x-amz-content-sha256"] == signed
    assert door.seen[-1].headers.get("x-amz-checksum-crc32") == (crc32(BIG) if checksums else None)


class HeldFiles(LocalStore):
    """Files that are in memory."""

    def view(self, path: str) -> memoryview:
        return memoryview((self.root / path).read_bytes())


@pytest.mark.parametrize("checksums", [True, False])
@pytest.mark.parametrize("tls", [True, False])
def test_what_is_in_memory_is_checked_as_well(
    origin: LocalStore, file: File, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checksums: bool, tls: bool
) -> None:
    certificate = self_signed(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate[0]))
    refused = {1, 2}

    def answer(seen: Seen) -> Answer:
        number = int(seen.query.get("partNumber", 0))
        if number in refused:
            refused.remove(number)
            return error(503, "SlowDown")
        return server(checksums=checksums)(seen)

    with Door(answer=answer, certificate=certificate if tls else None) as door:
        sent = wait(place(door).receive(file, HeldFiles(origin.root)), QUICK)
    assert (sent.digest, sent.size, joined(door), refused) == (digest_of(BIG), len(BIG), BIG, set())
    for seen in door.seen:
        if seen.method == "PUT":
            assert seen.headers.get("x-amz-checksum-crc32") == (crc32(seen.body) if checksums else None)
            signed = "UNSIGNED-PAYLOAD" if tls and checksums else hashlib.sha256(seen.body).hexdigest()
            assert seen.headers["x-amz-content-sha256"] == signed
    assert door.seen[-1].headers.get("x-amz-checksum-crc32") == (crc32(BIG) if checksums else None)


def test_what_is_in_memory_is_not_what_was_promised(origin: LocalStore, file: File) -> None:
    promised = File("f.bin", len(BIG), digest_of(BIG[1:]))
    with Door(answer=server()) as door, pytest.raises(errors.WrongContent, match="sha256"):
        wait(place(door).receive(promised, HeldFiles(origin.root)))
    assert [seen.query for seen in door.seen if seen.method == "DELETE"] == [{"uploadId": "new"}]


def test_a_part_of_what_is_in_memory_is_only_ever_begun_again() -> None:
    body = View(memoryview(b"234567"))
    assert (len(body), body.read(4), body.read(4), body.read(4)) == (6, b"2345", b"67", b"")
    assert (body.seek(1), body.seek(0, 1), body.seek(0), body.read(99)) == (2, 2, 0, b"234567")


@pytest.mark.parametrize("cut", [0, 1, 7, PART, len(BIG)])
def test_the_checksum_of_the_whole_follows_from_those_of_two_parts(cut: int) -> None:
    rest = BIG[cut:]
    assert crc32_of_both(zlib.crc32(BIG[:cut]), zlib.crc32(rest), len(rest)) == zlib.crc32(BIG)


def test_a_part_that_is_sent_again_is_read_again(file: File, origin: LocalStore) -> None:
    refused = {1, 2}

    def answer(seen: Seen) -> Answer:
        number = int(seen.query.get("partNumber", 0))
        if number in refused:
            refused.remove(number)
            return error(503, "SlowDown")
        return server()(seen)

    with Door(answer=answer) as door:
        assert wait(place(door).receive(file, origin), QUICK).digest == digest_of(BIG)
    assert joined(door) == BIG
    assert not refused


@pytest.mark.parametrize("way", ["overwritten", "cut", "refused"])
def test_what_changes_while_it_is_sent_never_appears(file: File, origin: LocalStore, way: str) -> None:
    """Nothing but the bytes shows it, but for the file that is cut: the times stay."""
    path = origin.root / "f.bin"
    facts = path.stat()

    def answer(seen: Seen) -> Answer:
        if seen.method == "POST" and "uploads" in seen.query:
            if way == "cut":
                os.truncate(path, PART + 5)
            else:
                path.write_bytes(BIG[: PART + 7] + bytes(PART - 7) + BIG[2 * PART :])
            os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        if way == "refused" and seen.method == "PUT" and seen.headers["x-amz-checksum-crc32"] != crc32(seen.body):
            return error(400, "BadDigest")
        return server()(seen)

    with Door(answer=answer) as door, pytest.raises((errors.ChangedMeanwhile, errors.WrongContent)):
        wait(place(door).receive(file, origin), QUICK)
    assert [seen.query for seen in door.seen if seen.method == "DELETE"] == [{"uploadId": "new"}]
    assert not [seen for seen in door.seen if seen.method == "POST" and "uploadId" in seen.query]


def test_a_file_that_goes_away_while_it_is_sent(file: File, origin: LocalStore) -> None:
    def answer(seen: Seen) -> Answer:
        if seen.method == "POST" and "uploads" in seen.query:
            (origin.root / "f.bin").unlink()
        return server()(seen)

    with Door(answer=answer) as door, pytest.raises(errors.FileMissing):
        wait(place(door).receive(file, origin), QUICK)
    assert not [seen for seen in door.seen if seen.method == "POST" and "uploadId" in seen.query]


def test_nothing_is_begun_for_a_file_that_cannot_be_read(file: File, origin: LocalStore) -> None:
    (origin.root / "f.bin").unlink()
    with Door(answer=server()) as door, pytest.raises(errors.FileMissing):
        wait(place(door).receive(file, origin), QUICK)
    assert door.seen == []


@pytest.mark.parametrize("tells", [True, False])
def test_equal_checksums_alone_do_not_make_an_upload_ours(file: File, origin: LocalStore, tells: bool) -> None:
    """Its object must tell the SHA-256 of the whole in the end, or all is sent again."""
    before = {number + 1: BIG[number * PART : (number + 1) * PART] for number in range(2)}

    def answer(seen: Seen) -> Answer:
        if seen.method == "HEAD" and tells:
            return 200, {"x-amz-meta-sha256": digest_of(BIG)[7:]}, b""
        return server(there=before)(seen)

    with Door(answer=answer) as door:
        assert wait(place(door).receive(file, origin)).digest == digest_of(BIG)
    assert list(parts(door, "old")) == [3]
    assert joined(door) == (b"" if tells else BIG)


def test_a_stretch_is_only_ever_begun_again(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")
    body = Stretch("f", LocalStore(tmp_path).raw("f"), 2, 6)
    assert (len(body), body.read(4), body.read(4), body.read(4)) == (6, b"2345", b"67", b"")
    assert not body.short
    assert (body.seek(1), body.seek(0, 1), body.seek(0)) == (2, 2, 0)
    assert body.read(99) == b"234567"
    assert body.crc32 == zlib.crc32(b"234567")
    os.truncate(tmp_path / "f", 4)
    body.seek(0)
    assert (body.read(99), body.read(99), body.short) == (b"23", b"", True)
    body.close()


_CHILD = """
import resource, sys
from visprep.manifest import File
from visprep.settings import S3Settings
from visprep.stores.local import LocalStore
from visprep.stores.s3 import S3Store
from visprep.wire import wait
url, folder = sys.argv[1:]
store = S3Store("s3://bucket", S3Settings(endpoint_url=url, access_key="AK", secret_key="SK"))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
wait(store.receive(next(LocalStore(folder).list()), LocalStore(folder)))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_a_large_file_is_not_held_in_memory(tmp_path: Path) -> None:
    pytest.importorskip("resource", reason="Windows tells no peak")
    (tmp_path / "f.bin").write_bytes(bytes(96 * MIB))
    with Door(answer=server()) as door:
        command = [sys.executable, "-c", _CHILD, door.url, str(tmp_path)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert len(parts(door)) == 12
    assert int(ran.stdout) < 40, "megabytes; what is sent at once is 64"
