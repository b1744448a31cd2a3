"""Whole splits of Open Images by `--via tar`: the same place, what is not in the archive, kills, and damage."""

import contextlib
import gzip
import hashlib
import io
import json
import random
import re
import signal
import tarfile
import time

import pytest

from conftest import tree
from killing import kill_count, random_kills, visprep
from visprep import download
from visprep.errors import Incomplete, UsageError
from visprep.hash_states import ResumableSha256
from visprep.testing.mirror import Mirror
from visprep.testing.open_images import lay_out

#: So that the same frequent bytes are coded, as in a JPEG, and blocks begin at any bit.
_SKEWED = bytes(byte * byte // 260 for byte in range(256))
ARCHIVE = "open-images-dataset/tar/validation.tar.gz"


@pytest.fixture
def upstream(tmp_path):
    found = lay_out(tmp_path / "upstream", counts={"train": 8, "validation": 9, "test": 3})
    with Mirror(found.root) as server:
        yield found, server


@pytest.fixture
def large(tmp_path):
    """An archive of some megabytes, so that it is written down now and then how far it came."""
    found = lay_out(tmp_path / "upstream", counts={"validation": 60})
    noise = random.Random(5)
    for image in found.images:
        image.data += noise.randbytes(250_000).translate(_SKEWED)
        (found.root / f"open-images-dataset/validation/{image.id}.jpg").write_bytes(image.data)
    pack(found, found.images)
    with Mirror(found.root) as server:
        yield found, server


def pack(upstream, images, name="validation", folder="validation", level=1, extra=()):
    out = io.BytesIO()
    with gzip.GzipFile("", "wb", level, out, 0) as zipped, tarfile.open(fileobj=zipped, mode="w") as archive:
        for image in images:
            member = tarfile.TarInfo(f"{folder}/{image.id}.jpg" if folder else f"{image.id}.jpg")
            member.size = len(image.data)
            archive.addfile(member, io.BytesIO(image.data))
        for member in extra:
            archive.addfile(member)
    (upstream.root / f"open-images-dataset/tar/{name}.tar.gz").write_bytes(out.getvalue())


def sums(upstream):
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in (upstream.root / "open-images-dataset/tar").iterdir()
    ]
    (upstream.root / "SHA256SUMS").write_text("".join(lines))
    return upstream.root / "SHA256SUMS"


def bring(upstream, server, target, via="tar", **options):
    if via == "tar" and "checksums" not in options:
        options["checksums"] = sums(upstream)
    return download("open-images", target, via=via, mirror=server.url, split="validation", **options)


def data(place):
    return {path: held for path, held in tree(place).items() if path != "dataset.json" and ".visprep" not in path}


def asked(server):
    """The requests for the archive: where each range begins, and the bytes that went out."""
    return [
        (int(re.match(r"bytes=(\d+)", one.range or "bytes=0")[1]), one.sent)
        for one in server.requests
        if ARCHIVE in one.path and one.method == "GET"
    ]


def test_the_archive_gives_the_same_place_as_the_images_one_by_one(upstream, tmp_path):
    found, server = upstream
    kinds = "boxes,masks"
    bring(found, server, tmp_path / "tar", labels=kinds)
    bring(found, server, tmp_path / "http", "http", labels=kinds)
    assert data(tmp_path / "tar") == data(tmp_path / "http")
    origin = json.loads((tmp_path / "tar/dataset.json").read_text())["steps"][-1]["origin"]
    assert origin["via"] == "tar"
    assert not any("/validation/" in one.path and one.path.endswith(".jpg") for one in server.requests[:20])


def test_train_lies_in_sixteen_archives(upstream, tmp_path):
    found, server = upstream
    options = {"mirror": server.url, "split": "train"}
    download("open-images", tmp_path / "tar", via="tar", checksums=sums(found), **options)
    download("open-images", tmp_path / "http", via="http", **options)
    assert data(tmp_path / "tar") == data(tmp_path / "http")


@pytest.mark.parametrize("folder", ["", "validation", "a/b/c"])
def test_the_folder_in_the_archive_is_of_no_account(upstream, tmp_path, folder):
    found, server = upstream
    pack(found, found.of("validation"), folder=folder)
    assert bring(found, server, tmp_path / "out").files > 9
    assert len(list((tmp_path / "out/validation").iterdir())) == 9


def test_images_that_no_table_names_are_not_taken(upstream, tmp_path):
    found, server = upstream
    pack(found, [*found.of("validation"), *found.of("test")])
    bring(found, server, tmp_path / "out")
    assert {path.stem for path in (tmp_path / "out/validation").iterdir()} == {one.id for one in found.of("validation")}


def test_images_that_the_archive_lacks_are_missing_and_the_archive_is_not_read_again(upstream, tmp_path):
    found, server = upstream
    images = found.of("validation")
    link = tarfile.TarInfo(f"validation/{images[1].id}.jpg")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    pack(found, images[2:], extra=[link])
    with pytest.raises(Incomplete, match="2 of 9") as caught:
        bring(found, server, tmp_path / "out")
    assert {path: error.slug for path, error in caught.value.failures} == {
        f"validation/{images[0].id}.jpg": "file-missing",
        f"validation/{images[1].id}.jpg": "wrong-content",
    }
    before, there = len(asked(server)), tree(tmp_path / "out")
    with pytest.raises(Incomplete, match="2 of 9"):
        bring(found, server, tmp_path / "out")
    assert len(asked(server)) == before
    assert data(tmp_path / "out").keys() == {path for path in there if path in data(tmp_path / "out")}
    # Another archive, which has them
    pack(found, images)
    bring(found, server, tmp_path / "out")
    bring(found, server, tmp_path / "whole", "http")
    assert data(tmp_path / "out") == data(tmp_path / "whole")


def test_an_image_that_is_gone_from_the_place_is_taken_once_more(upstream, tmp_path):
    found, server = upstream
    bring(found, server, tmp_path / "out")
    whole = data(tmp_path / "out")
    next((tmp_path / "out/validation").iterdir()).unlink()
    bring(found, server, tmp_path / "out")
    assert data(tmp_path / "out") == whole


@pytest.mark.parametrize(
    "options", [{"limit": 2}, {"classes": "Cat"}, {"licenses": "4"}, {"ids": "list.txt"}, {"original": True}]
)
def test_parts_of_splits_take_another_road(upstream, tmp_path, options):
    found, server = upstream
    (tmp_path / "list.txt").write_text(f"validation/{found.of('validation')[0].id}\n")
    options = {name: tmp_path / value if name == "ids" else value for name, value in options.items()}
    with pytest.raises(UsageError, match="--via"):
        bring(found, server, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_checksums_are_sha256_and_go_with_archives(upstream, tmp_path):
    found, server = upstream
    (tmp_path / "MD5").write_text(f"{'0' * 32}  validation.tar.gz\n")
    with pytest.raises(UsageError, match="SHA-256"):
        bring(found, server, tmp_path / "out", checksums=tmp_path / "MD5")
    with pytest.raises(UsageError, match="--via tar"):
        bring(found, server, tmp_path / "out", "http", checksums=tmp_path / "MD5")


def test_another_archive_than_is_recorded_is_refused_by_its_size(upstream, tmp_path):
    found, server = upstream
    with pytest.raises(Incomplete) as caught:
        bring(found, server, tmp_path / "out", checksums=None)
    assert caught.value.message.count("12844530798 are recorded") == 1
    assert f"validation/{min(image.id for image in found.of('validation'))}.jpg and 8 more" in caught.value.message
    assert not (tmp_path / "out/validation").exists()


@pytest.mark.parametrize("damage", ["digest", "gzip", "cut"])
def test_what_came_out_of_a_wrong_archive_is_put_aside(upstream, tmp_path, damage):
    found, server = upstream
    path = found.root / ARCHIVE
    right, recorded = path.read_bytes(), sums(found)
    if damage == "digest":
        pack(found, found.of("validation"), level=9)
    else:
        flipped = right[:-8] + bytes([right[-8] ^ 1]) + right[-7:]
        path.write_bytes(flipped if damage == "gzip" else right[: len(right) // 2])
    with pytest.raises(Incomplete, match="put aside"):
        bring(found, server, tmp_path / "out", checksums=recorded)
    assert not list((tmp_path / "out/validation").glob("*.jpg"))
    path.write_bytes(right)
    bring(found, server, tmp_path / "out", checksums=recorded)
    bring(found, server, tmp_path / "other", "http")
    assert data(tmp_path / "out") == data(tmp_path / "other")


def test_an_archive_from_a_server_that_becomes_too_much_is_refused(upstream, tmp_path):
    found, server = upstream
    with (found.root / ARCHIVE).open("ab") as archive:
        archive.write(gzip.compress(bytes(300 << 20)))  # zeros after the end are no harm, up to a point
    with pytest.raises(Incomplete, match="zip bomb"):
        bring(found, server, tmp_path / "out")


def test_the_next_mirror_gives_what_the_first_does_not(upstream, tmp_path):
    found, server = upstream
    with Mirror(tmp_path) as empty:
        mirrors = f"{empty.url},{server.url}"
        for path in ("openimages", "open-images-dataset/validation"):
            (tmp_path / path).parent.mkdir(exist_ok=True, parents=True)
            (tmp_path / path).symlink_to(found.root / path)
        download("open-images", tmp_path / "out", via="tar", mirror=mirrors, split="validation", checksums=sums(found))
    assert len(list((tmp_path / "out/validation").iterdir())) == 9


def test_a_connection_that_breaks_for_good_costs_nothing_that_came(large, tmp_path):
    found, server = large
    size = (found.root / ARCHIVE).stat().st_size
    server.fault(f"GET .*{ARCHIVE}", None, after=40, status=404)
    with pytest.raises(Incomplete):
        bring(found, server, tmp_path / "out")
    first = asked(server)
    notes = json.loads((tmp_path / "out/.visprep/cache/stream-validation.tar.gz.json").read_text())
    assert notes["restart"]["offset"] > size // 3
    server.clear_faults()
    server.requests.clear()
    bring(found, server, tmp_path / "out")
    second = asked(server)
    assert min(at for at, _ in second) == notes["hashed"] > size // 4
    assert sum(sent for _, sent in first) + sum(sent for _, sent in second) < size * 1.4
    bring(found, server, tmp_path / "undisturbed")
    assert data(tmp_path / "out") == data(tmp_path / "undisturbed")


def test_killed_it_goes_on_inside_the_stream(large, tmp_path):
    found, server = large
    size, checksums = (found.root / ARCHIVE).stat().st_size, sums(found)
    place = tmp_path / "out"
    command = ["download", "open-images", "--via", "tar", "--split", "validation"]
    command += ["--mirror", server.url, "--checksums", checksums, "--output", place]
    notes = place / ".visprep/cache/stream-validation.tar.gz.json"
    server.fault(f"GET .*{ARCHIVE}", None, slow=2_000_000)
    process = visprep(*command)
    while process.poll() is None:
        with contextlib.suppress(OSError, ValueError):
            if json.loads(notes.read_text())["restart"]["offset"] > size // 2:
                process.kill()
                break
        time.sleep(0.002)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    hashed = json.loads(notes.read_text())["hashed"]
    server.requests.clear()
    ended = visprep(*command)
    _, words = ended.communicate(timeout=100)
    assert ended.returncode == 0, words
    again = asked(server)
    assert min(at for at, _ in again) == hashed
    assert sum(sent for _, sent in again) == size - hashed < size * 0.6
    bring(found, server, tmp_path / "undisturbed")
    assert data(place) == data(tmp_path / "undisturbed")


def test_a_resumed_archive_is_held_against_its_digest_all_the_same(large, tmp_path):
    found, server = large
    (found.root / "WRONG").write_text(f"{'0' * 64}  validation.tar.gz\n")
    server.fault(f"GET .*{ARCHIVE}", None, after=40, status=404)
    with pytest.raises(Incomplete):
        bring(found, server, tmp_path / "out", checksums=found.root / "WRONG")
    assert list((tmp_path / "out/validation").iterdir())
    server.clear_faults()
    with pytest.raises(Incomplete, match="is recorded; what was in it was put aside"):
        bring(found, server, tmp_path / "out", checksums=found.root / "WRONG")
    assert not list((tmp_path / "out/validation").glob("*.jpg"))


def test_killed_at_random_it_ends_the_same(large, tmp_path):
    found, server = large
    checksums = sums(found)
    bring(found, server, tmp_path / "undisturbed")
    server.fault(f"GET .*{ARCHIVE}", None, slow=4_000_000)

    def command(number):
        return [
            "download", "open-images", "--via", "tar", "--split", "validation", "--mirror", server.url,
            "--checksums", checksums, "--output", tmp_path / f"out{number}",
        ]  # fmt: skip

    def at_work(number):
        return (tmp_path / f"out{number}/.visprep/in-progress").exists()

    def check(number):
        assert data(tmp_path / f"out{number}") == data(tmp_path / "undisturbed")

    random_kills(command, at_work, check, 11, tries=kill_count(6), longest=1.0)


@pytest.mark.parametrize("cut", [0, 1, 63, 64, 65, 1000])
def test_a_sha256_goes_on_where_it_was(cut):
    whole = random.Random(cut).randbytes(5000)
    first = ResumableSha256()
    first.update(whole[:cut])
    if first.state is None:
        pytest.skip("the library of hashes has no state here")
    second = ResumableSha256(first.state)
    second.update(whole[cut:])
    assert second.hexdigest() == second.hexdigest() == hashlib.sha256(whole).hexdigest()
    with pytest.raises(ValueError, match="another kind"):
        ResumableSha256(b"big:" + bytes(3))


def test_a_dry_run_tells_the_bytes_of_the_archives(upstream, tmp_path):
    found, server = upstream
    archive = found.root / "open-images-dataset/tar/validation.tar.gz"
    assert bring(found, server, tmp_path / "out", dry_run=True).bytes == archive.stat().st_size
    assert not (tmp_path / "out").exists()
