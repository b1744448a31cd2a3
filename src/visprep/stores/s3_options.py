"""What the settings ask for, in the headers that S3 wants it in."""

from __future__ import annotations

from visprep.settings import S3Settings


def of_objects(settings: S3Settings) -> dict[str, str]:
    """The headers of every request that makes an object, PutObject and CreateMultipartUpload."""
    sse = settings.sse or ("aws:kms" if settings.sse_kms_key_id else None)
    wanted = {
        "x-amz-acl": settings.acl,
        "x-amz-server-side-encryption": sse,
        "x-amz-server-side-encryption-aws-kms-key-id": settings.sse_kms_key_id,
        "x-amz-storage-class": settings.storage_class,
    }
    return {name: value for name, value in wanted.items() if value}
