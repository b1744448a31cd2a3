"""Making a bucket, which nobody but its owner can read: no ACL, and Block Public Access in all four ways."""

from __future__ import annotations

import base64
import hashlib
import logging

from visprep.errors import AccessDenied
from visprep.settings import S3Settings
from visprep.stores import s3_answers
from visprep.stores.s3 import S3Store
from visprep.wire import Response, wait

log = logging.getLogger("visprep.stores.s3")

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
_ANOTHER = "choose another name, since all accounts share them"


def create_bucket(place: str, settings: S3Settings | None = None) -> bool:
    """Make the bucket of `s3://bucket/prefix` in the region of the settings; whether it had to be made.

    A bucket that is there already and open to us is left as it is. BadPlace when the text names no bucket,
    AccessDenied when it is somebody else's, or when we may not make one.
    """
    return wait(_create(S3Store(place, settings)))


async def _create(store: S3Store) -> bool:
    if (await store.ask("s3:ListBucket", "HEAD", accept=(403, 404))).status != 404:
        await _open_to_us(store)
        return False
    region = store.region
    body = b""
    if region != "us-east-1":
        where = f"<LocationConstraint>{region}</LocationConstraint>"
        body = f'<CreateBucketConfiguration xmlns="{_NAMESPACE}">{where}</CreateBucketConfiguration>'.encode()
    answer = await store.ask("s3:CreateBucket", "PUT", accept=(409,), body=body)
    code = s3_answers.code_of(answer)
    if code == "BucketAlreadyOwnedByYou":
        return False
    if code == "BucketAlreadyExists":
        raise AccessDenied(f"the bucket {store.bucket!r} belongs to somebody else ({code})", hint=_ANOTHER)
    store.checked(answer, "s3:CreateBucket", None)
    await _block(store)
    return True


async def _open_to_us(store: S3Store) -> None:
    """Nothing tells whose a bucket is; one that we may not even list is as good as somebody else's."""
    try:
        await store.ask("s3:ListBucket", "GET", query={"list-type": "2", "max-keys": "1"})
    except AccessDenied as denied:
        hint = f"if it is yours, you need s3:ListBucket on arn:aws:s3:::{store.bucket}; else {_ANOTHER}"
        raise AccessDenied(f"the bucket {store.bucket!r} is there already: {denied.message}", hint=hint) from None


async def _block(store: S3Store) -> Response:
    blocks = "".join(f"<{name}>true</{name}>" for name in _BLOCKS)
    body = f'<PublicAccessBlockConfiguration xmlns="{_NAMESPACE}">{blocks}</PublicAccessBlockConfiguration>'.encode()
    md5 = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    answer = await store.ask(
        "s3:PutBucketPublicAccessBlock",
        "PUT",
        accept=(405, 501),
        query={"publicAccessBlock": ""},
        headers={"content-md5": md5, "content-type": "application/xml"},
        body=body,
    )
    if answer.status >= 300:
        log.warning("s3://%s: this server does not know Block Public Access; the bucket has no ACL", store.bucket)
    return answer
