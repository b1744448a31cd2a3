"""A proxy in front of an S3 server that makes S3's own trouble, by name, for the requests that a rule picks.

::

    with FaultyS3("http://127.0.0.1:9000") as s3:
        s3.fail("slow-down", times=3)  # any three requests
        s3.fail("access-denied", method="PUT", key="png$", times=None)  # these keys, always
        s3.fail("reset-upload", method="PUT", query="partNumber=2")  # the second part, once
        s3.fail("no-such-bucket", after=5, times=None)  # from the sixth request on
        visprep.upload("data", "s3://bucket/data", s3=visprep.S3Settings(endpoint_url=s3.url))
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote

from visprep.testing.faults import Fault
from visprep.testing.proxy import FaultyProxy

#: What goes wrong with S3, by name. Error documents, statuses and codes are S3's own (its "Error responses").
FAULTS: Mapping[str, Fault] = {
    # answered in place of the server
    "slow-down": Fault(status=503, code="SlowDown"),
    "internal-error": Fault(status=500, code="InternalError"),
    "error-in-200": Fault(status=200, code="InternalError"),  # as CompleteMultipartUpload may end
    "expired-token": Fault(status=400, code="ExpiredToken"),
    "skewed-clock": Fault(status=403, code="RequestTimeTooSkewed"),
    "access-denied": Fault(status=403, code="AccessDenied"),
    "no-such-bucket": Fault(status=404, code="NoSuchBucket"),
    "no-such-key": Fault(status=404, code="NoSuchKey"),
    # the request does not get through
    "reset": Fault(reset=True),
    "reset-upload": Fault(upload_reset=0.5),
    "stall": Fault(stall=True),
    # the server has done its work, and its answer is damaged
    "reset-headers": Fault(torn=True),
    "reset-body": Fault(cut=0.5, reset=True),
    "short-body": Fault(cut=0.5),
    "stall-body": Fault(cut=0.5, stall=True),
    "wrong-bytes": Fault(flip=0.5),
}


class FaultyS3(FaultyProxy):
    """Stands before an S3 server that is addressed path-style; without faults it changes nothing.

    The Host header passes as the client sent it, so signatures stay valid.
    """

    def fail(
        self,
        fault: str | Fault,
        *,
        method: str = "",
        key: str = "",
        query: str = "",
        after: int = 0,
        times: int | None = 1,
    ) -> None:
        """Let requests fail as `fault` says, a name in `FAULTS` or one of your own; KeyError for an unknown name.

        A rule picks requests of `method` (any when it is empty) whose key and query string hold the regular
        expressions `key` and `query`. The key is decoded and without the bucket; it is empty in requests about the
        bucket, as listings are (`key="^$"`). The first `after` of them pass, the next `times` fail, all with None.
        """
        wanted = FAULTS[fault] if isinstance(fault, str) else fault
        keys, queries = re.compile(key), re.compile(query)

        def matches(line: str) -> bool:
            name, _, target = line.partition(" ")
            path, _, asked = target.partition("?")
            found = unquote(path.removeprefix("/").partition("/")[2])
            return method in ("", name) and bool(keys.search(found) and queries.search(asked))

        self._add(matches, after, times, lambda: True, wanted)
