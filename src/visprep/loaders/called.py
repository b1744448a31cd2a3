"""A given S3 client that is called itself, and its errors as ours."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from visprep.errors import (
    AccessDenied,
    CredentialsError,
    FileMissing,
    PlaceMissing,
    RateLimited,
    ServerFailed,
    Stalled,
    Unreachable,
    UsageError,
    VisprepError,
)
from visprep.manifest import File

_LIST = "ask the bucket's owner for s3:ListBucket, or give from_manifest=True where visprep wrote a manifest"
#: Attempts to read a body: boto3 tries the request again by itself, and never what breaks off after it.
_ATTEMPTS = 3
_REFUSED = frozenset(
    {"ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch", "TokenRefreshRequired"}
)


class CalledClient:
    """A client whose `get_object` is called, from several threads at once."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self._pid = os.getpid()

    @property
    def most(self) -> int:
        """How many threads it serves at once."""
        most = getattr(getattr(getattr(self.client, "meta", None), "config", None), "max_pool_connections", None)
        return most if isinstance(most, int) else 10

    def after_fork(self) -> None:
        """Let go of the connections that belong to the parent, in the child."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            close = getattr(self.client, "close", None)
            if callable(close):
                close()  # of a boto3 client: its idle connections; it makes new ones

    def get(self, bucket: str, key: str) -> bytes:
        """The bytes of an object; a VisprepError whatever the client raises."""
        for attempt in range(_ATTEMPTS):
            try:
                body = self.client.get_object(Bucket=bucket, Key=key)["Body"]
            except Exception as problem:
                raise _in_words(problem, bucket, key) from problem
            try:
                data: bytes = body.read()
                return data
            except Exception as problem:
                if attempt + 1 == _ATTEMPTS:
                    raise _in_words(problem, bucket, key) from problem
        raise AssertionError

    def list(self, bucket: str, prefix: str) -> Iterator[File]:
        """The objects below a prefix (`dir/`, or nothing), by their path in it; a VisprepError as `get`."""
        where: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix}
        while True:
            try:
                page = self.client.list_objects_v2(**where)
                found = [
                    File(one["Key"][len(prefix) :], one["Size"], etag=one.get("ETag"))
                    for one in page.get("Contents", ())
                ]
                more = page["NextContinuationToken"] if page.get("IsTruncated") else None
            except Exception as problem:
                told = _in_words(problem, bucket, prefix)
                if isinstance(told, AccessDenied):
                    told = AccessDenied(f"not allowed: s3:ListBucket on s3://{bucket}/{prefix}", hint=_LIST)
                raise told from problem
            yield from found
            if more is None:
                return
            where["ContinuationToken"] = more

    def __reduce__(self) -> tuple[Any, ...]:
        raise UsageError(
            "the S3 client that was given has ways of its own (event handlers, a stub, a proxy, or it is a fake), and "
            "cannot go to another process",
            hint="give settings=S3Settings(...) instead; or start workers by fork",
        )


def _in_words(problem: Exception, bucket: str, key: str) -> VisprepError:
    from botocore import exceptions as boto

    where = f"s3://{bucket}/{key}"
    if isinstance(problem, VisprepError):
        return problem
    if isinstance(problem, boto.ClientError):
        return _refusal(problem, bucket, where)
    if isinstance(problem, (boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError)):
        return CredentialsError(f"the S3 client that was given has no credentials: {problem}", hint="give it some")
    if isinstance(problem, (boto.ReadTimeoutError, boto.ConnectTimeoutError)):
        return Stalled(f"{where}: {problem}")
    if isinstance(problem, boto.ConnectionError):
        return Unreachable(f"{where}: {problem}", hint="check the address, the network and the proxy")
    return ServerFailed(f"{where}: the S3 client raised {type(problem).__name__}: {problem}")


def _refusal(problem: Any, bucket: str, where: str) -> VisprepError:
    told = problem.response.get("Error", {})
    code, status = str(told.get("Code", "")), problem.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if code == "NoSuchBucket":
        return PlaceMissing(f"there is no bucket {bucket!r}", hint="check its name, and the client's endpoint")
    if code in _REFUSED:
        return CredentialsError(f"S3 does not accept the credentials of the client ({code})", hint="get new keys")
    if code in ("NoSuchKey", "404") or status == 404:
        return FileMissing(f"{where} is not there")
    if code in ("AccessDenied", "403") or status in (401, 403):
        return AccessDenied(
            f"not allowed: s3:GetObject on {where}", hint=f"ask the bucket's owner for s3:GetObject on {where}"
        )
    if code in ("SlowDown", "TooManyRequests") or status == 429:
        return RateLimited(f"{where}: the server asks to slow down ({code})")
    return ServerFailed(f"{where}: {code}: {told.get('Message', '')}")
