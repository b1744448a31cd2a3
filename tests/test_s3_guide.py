"""docs/s3.md is true: what each command asks of a bucket, which commands do with less, and what errors it speaks of."""

from __future__ import annotations

import json
import os
import re
import time
from fnmatch import fnmatchcase

import boto3
import pytest

import visprep
from s3_door import Door, action, error
from test_docs import FENCED, PAGES, named, table

GUIDE = PAGES["s3.md"]


@pytest.fixture
def places(run, bucket, tmp_path):
    """A place on disk with a file that goes in parts, the same on S3, and unfinished uploads of it elsewhere."""
    place, url = tmp_path / "place", f"s3://{bucket}/datasets/large"
    assert run("download", "sample", "--limit", "1", "--output", place).code == 0
    (place / "large.bin").write_bytes(os.urandom(visprep.S3Settings().part_size + 1))
    assert run("upload", place, url).code == 0
    for _ in range(2):
        boto3.client("s3").create_multipart_upload(
            Bucket=bucket, Key="datasets/new/large.bin", ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT"
        )
    return place, url


def told():
    """By command: the actions that the guide names."""
    rows = {}
    for commands, on_bucket, on_objects in table(GUIDE, "Command"):
        for command in commands.split(", "):
            rows[command.replace("`", "")] = set(named(on_bucket)) | set(named(on_objects))
    return rows


def test_the_actions_are_those_that_are_asked_for(run, s3_server, bucket, places, tmp_path):
    place, url = places
    calls = {
        "ls": [("ls", url)],
        "status": [("status", url)],
        "verify": [("verify", url)],
        "diff": [("diff", place, url)],
        "download from it": [("download", url, "--output", tmp_path / "back")],
        "sync from it": [("sync", url, tmp_path / "synced")],
        "doctor": [("doctor", url)],
        "upload": [("upload", place, f"s3://{bucket}/datasets/new")],
        "sync to it": [("sync", place, f"s3://{bucket}/synced/new")],
        "download to it": [
            ("download", "sample", "--limit", "1", "--output", f"s3://{bucket}/other"),
            ("download", place, "--output", f"s3://{bucket}/other/new"),
        ],
        "publish": [("publish", place, f"s3://{bucket}/published")],
        "publish --prune": [("publish", "--prune", "--older-than", "0s", f"s3://{bucket}/old")],
    }
    for words in ("old", "new"):  # what a prune deletes
        (tmp_path / "small").mkdir(exist_ok=True)
        (tmp_path / "small/a.txt").write_text(words)
        visprep.publish(tmp_path / "small", f"s3://{bucket}/old")
    time.sleep(1.1)  # S3 tells times in seconds, and what is as young as the age stays
    rows = told()
    assert set(calls) == set(rows)
    for command, lines in calls.items():
        if command in ("download to it", "sync to it"):  # what is unfinished lies where it writes to
            key = f"{'other' if command.startswith('d') else 'synced'}/new/large.bin"
            for _ in range(2):
                boto3.client("s3").create_multipart_upload(
                    Bucket=bucket, Key=key, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT"
                )
        with Door(s3_server) as door:
            for line in lines:
                assert run(*line, "--endpoint-url", door.url).code == 0, line
        assert {action(seen) for seen in door.seen} == rows[command], command


def test_the_policy_without_deleting(run, s3_server, bucket, places):
    """It is enough for all but `--delete`, and no file of a dataset can be deleted with it."""
    place, url = places
    only = '"Action": "s3:DeleteObject"'
    (text,) = (text for _, kind, text in FENCED.findall(GUIDE) if kind == "json" and only in text)
    allowed = [
        (one["Resource"].partition(":::my-bucket")[2], name)
        for one in json.loads(text)["Statement"]
        for name in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"])
    ]

    def answer(seen):
        key = seen.path.removeprefix(f"/{bucket}")
        fits = any(action(seen) == name and fnmatchcase(key, where) for where, name in allowed)
        return None if fits else error(403, "AccessDenied")

    with Door(s3_server, answer) as door:
        assert run("upload", place, f"s3://{bucket}/datasets/new", "--endpoint-url", door.url).code == 0
        assert run("sync", place, f"s3://{bucket}/datasets/synced", "--endpoint-url", door.url).code == 0
        (place / "large.bin").unlink()
        (place / "more.txt").write_text("more")
        refused = run("sync", place, url, "--delete", "--yes", "--endpoint-url", door.url)
    assert (refused.code, "[incomplete]" in refused.err) == (3, True)
    there = {
        one["Key"] for one in boto3.client("s3").list_objects_v2(Bucket=bucket, Prefix="datasets/large")["Contents"]
    }
    assert {"datasets/large/large.bin", "datasets/large/more.txt"} <= there


@pytest.mark.parametrize(
    ("verb", "without"),
    [
        ("ls", {"s3:GetObject"}),
        ("doctor", {"s3:ListBucketMultipartUploads"}),
        ("upload", {"s3:ListBucketMultipartUploads", "s3:ListMultipartUploadParts"}),
    ],
)
def test_what_a_command_does_without(run, s3_server, bucket, places, verb, without):
    place, url = places
    with Door(s3_server, lambda seen: error(403, "AccessDenied") if action(seen) in without else None) as door:
        words = (place, f"s3://{bucket}/datasets/new") if verb == "upload" else (url,)
        ended = run(verb, *words, "--endpoint-url", door.url)
    assert ended.code == 0, ended.err
    assert ("s3:ListBucketMultipartUploads" in ended.out) == (verb == "doctor")


def test_requests_say_who_asks(run, s3_server, places):
    with Door(s3_server) as door:
        assert run("ls", places[1], "--endpoint-url", door.url).code == 0
    assert {seen.headers["user-agent"] for seen in door.seen} == {"visprep"}


def test_a_listing_names_the_prefix(run, s3_server, places):
    with Door(s3_server) as door:
        assert run("ls", places[1], "--endpoint-url", door.url).code == 0
    assert {seen.query["prefix"] for seen in door.seen if "list-type" in seen.query} == {"datasets/large/"}


def test_no_header_asks_for_encryption_or_acls(run, s3_server, bucket, places):
    with Door(s3_server) as door:
        assert run("upload", places[0], f"s3://{bucket}/datasets/new", "--endpoint-url", door.url).code == 0
    sent = {name for seen in door.seen for name in seen.headers}
    assert "x-amz-meta-sha256" in sent
    assert not {name for name in sent if re.match("x-amz-(acl|grant|server-side|storage|request-payer)", name)}


def test_the_troubles_are_errors():
    slugs = [named(cell)[0] for cell, _ in table(GUIDE, "Slug")]
    assert len(slugs) == len(set(slugs))
    assert set(slugs) <= {page.code for page in visprep.explain() if page.kind == "error"}


@pytest.mark.parametrize("place", ["s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/mine/x"])
def test_what_is_not_supported_is_refused(run, place):
    ended = run("ls", place)
    assert (ended.code, "[bad-place]" in ended.err) == (2, True)


def test_an_etag_that_fits_not_is_held_against_the_headers(run, monkeypatch, tmp_path):
    etags = {"a": "0cc175b9c0f1b6a831c399e269772661", "b": "f" * 32}
    date = "<LastModified>2026-01-02T03:04:05.678Z</LastModified>"
    entries = "".join(
        f"<Contents><Key>m/{key}</Key>{date}<ETag>&quot;{etag}&quot;</ETag><Size>1</Size></Contents>"
        for key, etag in etags.items()
    )
    listing = f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"

    def answer(seen):
        key = seen.path.rpartition("/")[2]
        if "list-type" in seen.query:
            return 200, {}, listing.encode()
        if key not in etags:
            return error(404, "NoSuchKey")
        encrypted = {"x-amz-server-side-encryption": "aws:kms"} if key == "b" else {}
        return 200, {"ETag": f'"{etags[key]}"', **encrypted}, key.encode()

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with Door(answer=answer) as door:
        ended = run("download", "s3://bucket/m", "--output", tmp_path / "m", "--endpoint-url", door.url)
    assert ended.code == 0
    assert "In a prefix with objects of both kinds" in GUIDE
