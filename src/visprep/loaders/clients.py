"""A boto3 client as somebody gives it: how it reaches S3, or, where we cannot do the same, the client itself.

Its credentials (which go on to refresh themselves), region, endpoint, addressing, certificates and number of attempts
are taken over, and requests are ours. A client with event handlers of its own, with a stub, a proxy or a signature that
we do not know, or one that is no boto3 client at all but a fake, is called itself.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from visprep.credentials import Access, SessionProvider, find_access
from visprep.errors import CredentialsError, UsageError, VisprepError
from visprep.loaders.called import CalledClient
from visprep.settings import S3Settings
from visprep.stores.s3 import S3Store

#: Options of a client's `s3` configuration that change nothing for whoever reads.
_HARMLESS = frozenset(
    {
        "addressing_style",
        "payload_signing_enabled",
        "us_east_1_regional_endpoint",
        "use_arn_region",
        "use_dualstack_endpoint",  # the endpoint says it already
    }
)
#: Those of its configuration that we cannot follow.
_BEYOND_US = ("client_cert", "client_context_params", "proxies", "proxies_config", "sigv4a_signing_region_set")
#: Whose event handlers a client has that nobody has touched.
_OWN = ("botocore.", "boto3.", "s3transfer.")


def understand(client: Any, settings: S3Settings | None) -> S3Settings | CalledClient:
    """How to reach S3 with what was given: UsageError when both were, or when the client is none for S3."""
    if client is None:
        return settings or S3Settings()
    if settings is not None:
        raise UsageError("settings and an S3 client are two answers to one question", hint="give one of them")
    if not callable(getattr(client, "get_object", None)):
        inner = getattr(getattr(client, "meta", None), "client", None)
        hint = "give its `.meta.client`" if inner is not None else "it is what boto3.client('s3') gives"
        raise UsageError(f"a {type(client).__name__} is no S3 client", hint=hint)
    return _taken_over(client) or CalledClient(client)


def _taken_over(client: Any) -> S3Settings | None:
    """The settings that do what a client does; None when there are none."""
    from botocore import UNSIGNED
    from botocore.client import BaseClient

    if not isinstance(client, BaseClient) or "get_object" in vars(client):
        return None
    calls = BaseClient._make_api_call
    if getattr(calls, "__module__", None) != BaseClient.__module__ or type(client)._make_api_call is not calls:
        return None
    try:
        config, verify = client.meta.config, client._endpoint.http_session._verify
        unsigned = config.signature_version is UNSIGNED
        if not unsigned and config.signature_version not in ("s3v4", "v4"):
            return None
        own = list(_handlers(client))
        if any(not _is_own(handler) for _, handler in own) or verify is False:
            return None
        unsigned = unsigned or any(_switches_signing_off(event, handler) for event, handler in own)
        s3 = {name for name, value in (config.s3 or {}).items() if value}
        if any(getattr(config, name, None) for name in _BEYOND_US) or not s3 <= _HARMLESS:
            return None
        taken = _Taken(
            None if unsigned else client._request_signer._credentials,
            unsigned,
            client.meta.region_name or "us-east-1",
            _endpoint(client.meta.endpoint_url),
            verify if isinstance(verify, str) else None,
            (config.retries or {}).get("total_max_attempts"),
        )
    except (AttributeError, KeyError, TypeError):  # another version of botocore: what we look at is not promised
        return None
    style = (config.s3 or {}).get("addressing_style") or "auto"
    return S3Settings(region=taken.region, endpoint_url=taken.endpoint, addressing=style, found=taken.access)


def _handlers(client: Any) -> Iterator[tuple[str, Any]]:
    """The event handlers of a client, each with the name of its event."""

    def below(node: Any, name: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        for section in node["values"] or ():
            for handler in section:
                yield ".".join(name), handler
        for part, child in node["children"].items():
            yield from below(child, (*name, part))

    emitter = client.meta.events
    emitter = getattr(emitter, "_emitter", emitter)
    return below(emitter._handlers._root, ())


def _is_own(handler: Any) -> bool:
    """Whether an event handler is one that every client has, or one that is switched off."""
    function = getattr(handler, "func", handler)  # a partial's
    function = getattr(function, "__func__", function)  # a method's
    module = str(getattr(function, "__module__", None) or type(function).__module__)
    if f"{module}.".startswith("botocore.stub."):
        return False
    return f"{module}.".startswith(_OWN) or getattr(handler, "enabled", None) is False  # as moto's are, when idle


def _switches_signing_off(event: str, handler: Any) -> bool:
    return event.startswith("choose-signer.s3") and getattr(handler, "__name__", "") == "disable_signing"


def _endpoint(url: str) -> str | None:
    """The endpoint; None for AWS's own, so that a bucket may be in another region than the client."""
    host = urlsplit(url).hostname or ""
    labels = host.removesuffix(".cn").removesuffix(".amazonaws.com").split(".")
    return None if labels[0] == "s3" and len(labels) < 3 and ".amazonaws.com" in host else url


@dataclass(frozen=True, eq=False)
class _Taken:
    """What was taken over of a client."""

    credentials: Any
    unsigned: bool
    region: str
    endpoint: str | None
    ca_bundle: str | None
    attempts: int | None
    pid: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "pid", os.getpid())

    def access(self) -> Access:
        """What requests need to know; CredentialsError when the client has no credentials."""
        provider = None if self.unsigned else self._provider()
        return Access(provider, self.region, self.endpoint, self.ca_bundle, self.attempts)

    def _provider(self) -> SessionProvider:
        if self.credentials is None:
            raise CredentialsError("the S3 client that was given has no credentials", hint="make it with some")
        if self.pid != os.getpid() and hasattr(self.credentials, "_refresh_lock"):
            # Another thread of the parent may have held it when this process was forked
            self.credentials._refresh_lock = threading.Lock()
            object.__setattr__(self, "pid", os.getpid())
        return SessionProvider(self.credentials)

    def __reduce__(self) -> tuple[Any, ...]:
        # What another process gets. Keys that do not change may travel; a session that refreshes itself cannot, but
        # where the other one would find the very same by itself, it may do so
        parts = (self.unsigned, self.region, self.endpoint, self.ca_bundle, self.attempts)
        if self.unsigned or self.credentials is None:
            return _rebuilt, (None, *parts)
        keys = self.credentials.get_frozen_credentials()
        if not hasattr(self.credentials, "refresh_needed"):
            return _rebuilt, ((keys.access_key, keys.secret_key, keys.token), *parts)
        try:
            provider = find_access(S3Settings(region=self.region)).provider
            same = provider is not None and provider().access_key == keys.access_key
        except VisprepError:
            same = False
        if same:
            return _rebuilt, ("chain", *parts)
        raise UsageError(
            "the credentials of the S3 client that was given refresh themselves, and cannot go to another process",
            hint="name the profile instead: settings=S3Settings(profile=...); or start workers by fork",
        )


def _rebuilt(
    keys: Any, unsigned: bool, region: str, endpoint: str | None, ca_bundle: str | None, attempts: int | None
) -> _Taken:
    credentials: Any = None
    if keys == "chain":
        credentials = _Chain(region)
    elif keys:
        from botocore.credentials import Credentials

        credentials = Credentials(*keys)
    return _Taken(credentials, unsigned, region, endpoint, ca_bundle, attempts)


class _Chain:
    """The credentials that this process finds by itself."""

    method = "chain"
    refresh_needed = True

    def __init__(self, region: str) -> None:
        self._provider = find_access(S3Settings(region=region)).provider

    def get_frozen_credentials(self) -> Any:
        assert self._provider
        return _Frozen(self._provider())


class _Frozen:
    def __init__(self, credentials: Any) -> None:
        self.access_key, self.secret_key = credentials.access_key, credentials.secret_key
        self.token = credentials.session_token


class Stores:
    """The buckets that one process reads from."""

    def __init__(self, settings: S3Settings) -> None:
        self._settings = settings
        self._stores: dict[str, S3Store] = {}

    def of(self, bucket: str) -> S3Store:
        """The store whose paths are a bucket's keys; BadPlace when it is no name of one."""
        store = self._stores.get(bucket)
        if store is None:
            store = self._stores[bucket] = S3Store(f"s3://{bucket}", self._settings)
        return store
