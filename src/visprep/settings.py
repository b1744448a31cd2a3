"""How a remote place is reached, as plain data; where the answers come from is the business of `credentials`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class S3Settings:
    """How S3 is reached. None means: whatever the environment and the AWS configuration say.

    `addressing` is `auto` (virtual-host on AWS, path-style on any other endpoint and for names with dots),
    `path` or `virtual`. `part_size` is in bytes; files above it are sent in parts.
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

    def __repr__(self) -> str:
        """Without the secrets, since settings end up in tracebacks and logs."""
        shown = {"profile": self.profile, "region": self.region, "endpoint_url": self.endpoint_url}
        return f"S3Settings({', '.join(f'{key}={value!r}' for key, value in shown.items() if value)})"
