"""A boto3 client as somebody gives it: how it reaches S3, or, where we cannot do the same, the client itself."""

from __future__ import annotations

from typing import Any

from visprep.errors import UsageError
from visprep.settings import S3Settings


class Client:
    """A client that is called itself."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def get(self, bucket: str, key: str) -> bytes:
        """The bytes of an object."""
        data: bytes = self.client.get_object(Bucket=bucket, Key=key)["Body"].read()
        return data


def understand(client: Any, settings: S3Settings | None) -> S3Settings | Client:
    """How to reach S3 with what was given."""
    if client is None:
        return settings or S3Settings()
    if settings is not None:
        raise UsageError("settings and a client are two answers to one question", hint="give one of them")
    return Client(client)
