"""Unfinished uploads that nobody will go on with: which are dropped, and which are left."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from s3_door import Answer, Door, Seen, error
from visprep import errors
from visprep.settings import S3Settings
from visprep.stores.s3 import S3Store
from visprep.stores.s3_uploads import abort_stale


def entry(key: str, hours: float | None, algorithm: str = "CRC32", kind: str = "FULL_OBJECT") -> str:
    begun = "" if hours is None else (datetime.now(UTC) - timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    told = f"<Initiated>{begun}</Initiated><ChecksumAlgorithm>{algorithm}</ChecksumAlgorithm>"
    told += f"<ChecksumType>{kind}</ChecksumType>"
    return f"<Upload><Key>{key}</Key><UploadId>id of {key}</UploadId>{told}</Upload>"


def listed(*entries: str) -> Answer:
    return 200, {}, f"<ListMultipartUploadsResult>{''.join(entries)}</ListMultipartUploadsResult>".encode()


def test_only_old_uploads_of_ours_of_the_named_paths_are_dropped() -> None:
    uploads = listed(
        entry("p/old", 25),
        entry("p/young", 23),
        entry("p/unknown", None),
        entry("p/theirs", 99, "CRC64NVME"),
        entry("p/boto3", 99, "CRC32", "COMPOSITE"),
        entry("p/bare", 99, ""),
        entry("p/other", 99),
    )
    with Door(answer=lambda seen: uploads if seen.method == "GET" else (204, {}, b"")) as door:
        store = S3Store("s3://bucket/p", S3Settings(endpoint_url=door.url, no_sign_request=True))
        named = {"old", "young", "unknown", "theirs", "boto3", "bare"}
        assert abort_stale(store, named) == (("old", "id of p/old"),)
        assert [(seen.path, seen.query) for seen in door.seen if seen.method == "DELETE"] == [
            ("/bucket/p/old", {"uploadId": "id of p/old"})
        ]
        assert door.seen[0].query["prefix"] == "p/"
        assert abort_stale(store, named, 22 * 3600) == (("old", "id of p/old"), ("young", "id of p/young"))
        assert abort_stale(store, ()) == ()


@pytest.mark.parametrize("verb", ["GET", "DELETE"])
def test_what_keeps_us_from_it_is_an_error(verb: str) -> None:
    def answer(seen: Seen) -> Answer:
        return error(403, "AccessDenied") if seen.method == verb else listed(entry("p/old", 25))

    with Door(answer=answer) as door, pytest.raises(errors.AccessDenied, match="MultipartUpload"):
        abort_stale(
            S3Store("s3://bucket/p", S3Settings(endpoint_url=door.url, access_key="A", secret_key="S")), {"old"}
        )
