"""What the settings ask for, in the headers that S3 wants it in."""

from __future__ import annotations

from collections.abc import Mapping

from visprep.settings import S3Settings


def of_objects(settings: S3Settings) -> dict[str, str]:
    """The headers of every request that makes an object, PutObject and CreateMultipartUpload."""
    wanted = {
        "x-amz-acl": settings.acl,
        "x-amz-server-side-encryption": _sse(settings),
        "x-amz-server-side-encryption-aws-kms-key-id": settings.sse_kms_key_id,
        "x-amz-storage-class": settings.storage_class,
    }
    return {name: value for name, value in wanted.items() if value}


def can_be_seen(settings: S3Settings) -> bool:
    """Whether the headers of an object tell all that is asked for: no ACL is among them, nor the alias of a key."""
    return not settings.acl and "alias/" not in (settings.sse_kms_key_id or "")


def followed(settings: S3Settings, headers: Mapping[str, str]) -> bool:
    """Whether an object, by the headers of a HEAD answer, lies there as the settings ask."""
    sse, key = _sse(settings), settings.sse_kms_key_id
    if sse and headers.get("x-amz-server-side-encryption") != sse:
        return False
    told = headers.get("x-amz-server-side-encryption-aws-kms-key-id", "")
    if key and key.rpartition("/")[2] != told.rpartition("/")[2]:
        return False
    kept = headers.get("x-amz-storage-class", "STANDARD")
    return kept == settings.storage_class if settings.storage_class else kept in _USUAL


#: The classes of objects that were put with no word about it.
_USUAL = ("STANDARD", "EXPRESS_ONEZONE")


def _sse(settings: S3Settings) -> str | None:
    return settings.sse or ("aws:kms" if settings.sse_kms_key_id else None)
