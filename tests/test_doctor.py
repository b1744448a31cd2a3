"""`doctor`: the machine and a place, without a secret and without a trace."""

import json
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import boto3
import pytest

import visprep
from conftest import tree
from s3_door import Door, error
from visprep import errors, provenance
from visprep.changes import begin
from visprep.stores import open_store
from visprep.transfer import LARGE
from zip_forge import Entry, write_zip

SECRET = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"


def check(checkup, name):
    (found,) = [one for one in (*checkup.machine, *checkup.place_checks) if one.name == name]
    return found


def test_a_machine_without_settings(run):
    checkup = visprep.doctor()
    assert (checkup.place, checkup.place_checks, checkup.usable) == (None, (), True)
    assert check(checkup, "aws credentials").message.startswith("no keys in the environment or the AWS files")
    assert check(checkup, "aws region").message == "us-east-1, endpoint: AWS itself"
    assert check(checkup, "hub token").message.startswith("none")
    assert check(checkup, "proxy").message == "none"
    for package in ("numpy", "pycurl", "typer"):
        assert package in check(checkup, "packages").message
    shown = run("doctor")
    assert shown.code == 0
    assert all(line.startswith(("ok ", "warning ", "problem ", " ")) for line in shown.out.splitlines())


def test_no_secret_is_shown(run, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session-secret")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("https_proxy", "http://me:password@proxy.example:3128")
    for words in ((), ("--json",)):
        out = run("doctor", *words).out
        assert not any(secret in out for secret in (SECRET, "session-secret", "hf_secret", "password", "AKIA"))
        assert "from the environment, access key id ...MPLE" in out
        assert "https_proxy=proxy.example:3128" in out
        assert "there is one" in out


def test_keys_of_a_profile(monkeypatch, tmp_path):
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/credentials").write_text(
        f"[work]\naws_access_key_id = AKIAWORK1234\naws_secret_access_key = {SECRET}\n[role]\nregion = eu-west-1\n"
    )
    checkup = visprep.doctor(s3=visprep.S3Settings(profile="work", endpoint_url="http://localhost:9000"))
    assert check(checkup, "aws credentials").message == "from the profile 'work', access key id ...1234"
    assert check(checkup, "aws region").message == "us-east-1, endpoint: http://localhost:9000"
    role = visprep.doctor(s3=visprep.S3Settings(profile="role"))
    assert check(role, "aws credentials").message == "from the profile 'role', by boto3, when an s3:// place is named"
    unknown = check(visprep.doctor(s3=visprep.S3Settings(profile="none")), "aws credentials")
    assert (unknown.level, unknown.hint) == ("warning", "there are: role, work")
    unsigned = visprep.doctor(s3=visprep.S3Settings(no_sign_request=True))
    assert "not signed" in check(unsigned, "aws credentials").message


def test_a_directory_is_left_as_it_was(tmp_path):
    visprep.download("sample", tmp_path / "place", limit=1)
    before = sorted(tmp_path.rglob("*"))
    checkup = visprep.doctor(tmp_path / "place")
    assert sorted(tmp_path.rglob("*")) == before
    assert checkup.usable
    names = [one.name for one in checkup.place_checks]
    assert names == ["directory", "writing", "case of names", "lock", "room", "unfinished change"]
    assert {one.level for one in checkup.place_checks if one.name != "room"} == {"ok"}


def test_an_unfinished_and_busy_directory(tmp_path):
    with begin(open_store(str(tmp_path)), provenance.step("download", "sample")) as change:
        change.mark()
        assert check(visprep.doctor(tmp_path), "lock").level == "warning"
    checkup = visprep.doctor(tmp_path)
    assert check(checkup, "lock").level == "ok"
    begun = check(checkup, "unfinished change")
    assert (begun.level, begun.hint) == ("warning", f"visprep status {tmp_path}")
    assert "'download sample'" in begun.message


def test_directories_that_are_not_there(run, tmp_path):
    new = run("doctor", tmp_path / "new" / "place")
    assert new.code == 0
    assert "it can be made" in new.out
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        refused = run("doctor", place, "--json")
        assert refused.code == 3
        document = json.loads(refused.out)
        assert (document["format_version"], document["usable"]) == (1, False)
        assert document["place_checks"][-1]["level"] == "problem"


def test_a_directory_that_cannot_be_written_to(tmp_path, bound):
    (tmp_path / "place").mkdir(mode=0o555)
    checkup = visprep.doctor(tmp_path / "place")
    assert checkup.usable
    assert check(checkup, "writing").level == "warning"


def test_a_disk_that_is_mounted_for_reading_only(tmp_path):
    place = tmp_path / "place"
    visprep.download("sample", place, limit=1)
    script = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" || exit 77; exec "$2" -m visprep doctor "$1"'
    command = ["unshare", "-rm", "sh", "-c", script, "sh", place, sys.executable]
    if not shutil.which("unshare") or subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("this machine gives no mounts of one's own")
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode == 77:
        pytest.skip("this machine mounts nothing for reading only")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "warning  writing: it cannot be written to (read-only file system)" in ended.stdout
    assert not any(line.startswith("problem") for line in ended.stdout.splitlines())


def test_an_archive(run, tmp_path):
    visprep.download("sample", tmp_path / "place", limit=1)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path, data in tree(tmp_path / "place").items():
            archive.writestr(path, data)
    before = sorted(tmp_path.iterdir())
    checkup = visprep.doctor(tmp_path / "a.zip")
    assert checkup.usable
    assert {one.name: one.level for one in checkup.place_checks} == dict.fromkeys(
        ("archive", "members", "unfinished change"), "ok"
    )
    assert sorted(tmp_path.iterdir()) == before
    write_zip(tmp_path / "bad.zip", [Entry(b"fine", b"1"), Entry(b"../up", b"2")])
    members = check(visprep.doctor(tmp_path / "bad.zip"), "members")
    assert (members.level, members.hint) == ("warning", f"see why: visprep verify {tmp_path}/bad.zip")
    assert members.message == "1 cannot be unpacked, the first of them '../up'"
    assert run("doctor", tmp_path / "bad.zip").code == 0


def test_archives_that_cannot_be_used(run, tmp_path):
    (tmp_path / "torn.zip").write_bytes(b"PK\3\4 and no more")
    for name, slug in (("torn", "wrong-content"), ("gone", "place-missing")):
        refused = run("doctor", tmp_path / f"{name}.zip")
        assert (refused.code, f"[{slug}]" in refused.out) == (3, True)


def test_free_room_is_a_warning_where_there_is_hardly_any(tmp_path):
    full = Path("/proc/sys/kernel/random")  # it has no room at all, ever
    if not full.is_dir():
        pytest.skip("this machine has no such directory")
    assert check(visprep.doctor(full), "room").level == "warning"
    enough = shutil.disk_usage(tmp_path).free >= 1_000_000_000
    assert check(visprep.doctor(tmp_path), "room").level == ("ok" if enough else "warning")


def test_text_that_names_no_place():
    with pytest.raises(errors.BadPlace):
        visprep.doctor("http://example.org/data")


def test_s3(run, bucket, tmp_path):
    url = f"s3://{bucket}/p"
    empty = visprep.doctor(url)
    assert empty.usable
    assert check(empty, "listing").level == "warning"
    visprep.download("sample", tmp_path / "place", limit=1)
    visprep.upload(tmp_path / "place", url)
    assert {one.level for one in visprep.doctor(url).place_checks} == {"ok"}
    for key in ("p/large.bin", "p2/other.bin"):
        boto3.client("s3").create_multipart_upload(Bucket=bucket, Key=key)
    with begin(open_store(url), provenance.step("upload", "place")) as change:
        change.mark()
    checkup = visprep.doctor(url)
    assert check(checkup, "unfinished uploads").message == "1 in parts: large.bin"
    assert check(checkup, "unfinished change").level == "warning"
    assert run("doctor", url).code == 0


def test_what_to_type_to_drop_an_upload(run, bucket, tmp_path):
    """It is tried; those that are ours, old, and of a large file that is whole now, go by themselves."""
    client, url = boto3.client("s3"), f"s3://{bucket}/p"
    # moto calls all of them years old
    ours = {"Bucket": bucket, "ChecksumAlgorithm": "CRC32", "ChecksumType": "FULL_OBJECT"}
    for key in ("p/it's gone", "p2/beside"):
        client.create_multipart_upload(Key=key, **ours)
    client.create_multipart_upload(Bucket=bucket, Key="p/a of others")
    told = check(visprep.doctor(url), "unfinished uploads")
    assert told.message == "2 in parts: it's gone, a of others (1 of visprep, a day old)"
    words = shlex.split(told.hint.partition("aws s3api abort-multipart-upload ")[2])
    named = dict(zip(words[::2], words[1::2], strict=True))
    client.abort_multipart_upload(Bucket=named["--bucket"], Key=named["--key"], UploadId=named["--upload-id"])
    assert "of visprep" not in check(visprep.doctor(url), "unfinished uploads").message

    client.create_multipart_upload(Key="p/gone", **ours)
    client.create_multipart_upload(Key="p/large", **ours)
    (tmp_path / "place").mkdir()
    (tmp_path / "place/large").write_bytes(bytes(LARGE + 1))
    assert run("sync", tmp_path / "place", url).code == 0
    left = [one["Key"] for one in client.list_multipart_uploads(Bucket=bucket)["Uploads"]]
    assert sorted(left) == ["p/a of others", "p/gone", "p2/beside"]


def test_s3_places_that_cannot_be_used(run, bucket, monkeypatch):
    missing = run("doctor", f"s3://{bucket}-not/p")
    assert missing.code == 3
    assert "[place-missing]" in missing.out
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    unknown = run("doctor", f"s3://{bucket}/p")
    assert unknown.code == 3
    assert "no AWS credentials were found" in unknown.out


def test_uploads_that_may_not_be_looked_for(bucket, s3_server):
    def answer(seen):
        return error(403, "AccessDenied") if "uploads" in seen.query else None

    with Door(s3_server, answer) as door:
        checkup = visprep.doctor(f"s3://{bucket}/p", s3=visprep.S3Settings(endpoint_url=door.url))
    assert checkup.usable
    assert check(checkup, "unfinished uploads").level == "warning"


def test_no_network_without_an_s3_place(monkeypatch, tmp_path):
    with Door(answer=lambda seen: error(500, "Unexpected")) as door:
        for name in (
            "AWS_ENDPOINT_URL",
            "HF_ENDPOINT",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "all_proxy",
            "http_proxy",
        ):
            monkeypatch.setenv(name, door.url)
        visprep.doctor()
        visprep.doctor(tmp_path)
    assert door.seen == []
