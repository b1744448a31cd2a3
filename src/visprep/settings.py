"""How a remote place is reached, as plain data; where the answers come from is the business of `credentials`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from visprep.errors import UsageError

_ACLS = (
    "authenticated-read",
    "aws-exec-read",
    "bucket-owner-full-control",
    "bucket-owner-read",
    "private",
    "public-read",
    "public-read-write",
)
_SSE = ("AES256", "aws:kms", "aws:kms:dsse")


@dataclass(frozen=True, slots=True)
class S3Settings:
    """How S3 is reached. None means: whatever the environment and the AWS configuration say.

    `addressing` is `auto` (virtual-host on AWS, path-style on any other endpoint and for names with dots),
    `path` or `virtual`. `part_size` is in bytes; files above it are sent in parts. `storage_class`, `sse`,
    `sse_kms_key_id` (alone it means `aws:kms`) and `acl` go with every object that is written, `request_payer`
    with every request: we pay. `found` gives the `credentials.Access` where somebody has it already, and nothing is
    looked up then. UsageError for a value that S3 cannot mean; it knows its storage classes itself.
    """

    profile: str | None = None
    region: str | None = None
    endpoint_url: str | None = None
    no_sign_request: bool = False
    access_key: str | None = None
    secret_key: str | None = None
    session_token: str | None = None
    addressing: str = "auto"
    part_size: int = 8 * 1024 * 1024
    storage_class: str | None = None
    sse: str | None = None
    sse_kms_key_id: str | None = None
    acl: str | None = None
    request_payer: bool = False
    found: Callable[[], Any] | None = None

    def __post_init__(self) -> None:
        if self.acl is not None and self.acl not in _ACLS:
            raise UsageError(f"{self.acl!r} is no canned ACL", hint=f"it is one of: {', '.join(_ACLS)}")
        if self.sse is not None and self.sse not in _SSE:
            raise UsageError(f"{self.sse!r} is no server-side encryption", hint=f"it is one of: {', '.join(_SSE)}")
        if self.storage_class is not None and not re.fullmatch("[A-Z][A-Z0-9_]{0,63}", self.storage_class):
            raise UsageError(f"{self.storage_class!r} is no storage class", hint="one of them is STANDARD_IA")
        if self.sse_kms_key_id is not None:
            if self.sse == "AES256":
                raise UsageError("a KMS key does not go with AES256", hint="encrypt with aws:kms, or name no key")
            if not re.fullmatch("[!-~]{1,2048}", self.sse_kms_key_id):
                raise UsageError("that is no id of a KMS key", hint="it is a UUID, an ARN, or alias/name")

    def __repr__(self) -> str:
        """Without the secrets, since settings end up in tracebacks and logs."""
        shown = {"profile": self.profile, "region": self.region, "endpoint_url": self.endpoint_url}
        return f"S3Settings({', '.join(f'{key}={value!r}' for key, value in shown.items() if value)})"
