"""AWS Signature Version 4 for S3, as `wire` wants it: a callable that adds the signature to a request's headers.

Ours, because botocore's signer costs more than moving a small object. URLs are built with `quote_key` and
`quote_query`, so that what is sent is what was signed, to the byte.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

_PLAIN = re.compile("[A-Za-z0-9._~/-]*")
_NOTHING = hashlib.sha256().hexdigest()
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key; the secret and the session token never show in a repr."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


def quote_key(key: str) -> str:
    """`key` as S3 wants it in a URL: every byte but letters, digits, `-._~` and `/` as `%XX`.

    Nothing is normalized: `a/../b` and `a//b` are names like any other. A key that is not Unicode text
    (a lone surrogate) raises UnicodeEncodeError.
    """
    return key if _PLAIN.fullmatch(key) else quote(key, safe="/")


def quote_query(query: Mapping[str, str]) -> str:
    """A query string without its `?`, sorted and encoded as the signature wants it; `""` makes `name=`."""
    pairs = sorted((quote(name, safe=""), quote(value, safe="")) for name, value in query.items())
    return "&".join(f"{name}={value}" for name, value in pairs)


def _trimmed(value: str) -> str:
    """A header's value with single spaces, as it is signed."""
    return value if value.isprintable() and " " not in value else " ".join(value.split())


class Signer:
    """Signs requests to S3 in one region with whatever `credentials()` returns at that moment.

    Signed are the host, `content-type`, `content-md5`, every `x-amz-*` header, and the SHA-256 of the body: a
    caller that knows it passes it as `x-amz-content-sha256`. Other headers pass through. `clock` gives seconds
    since the epoch.
    """

    def __init__(
        self, credentials: Callable[[], Credentials], region: str, clock: Callable[[], float] = time.time
    ) -> None:
        self.region = region
        self._credentials = credentials
        self._clock = clock
        self._moment = (-1, "")
        self._key = ("", "", b"", "")
        self._plans: dict[tuple[tuple[str, ...], bool], _Plan] = {}
        self._hosts: dict[tuple[str, str], str] = {}

    def __call__(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> dict[str, str]:
        """The headers to send: the given ones, the date, the body's hash, the session token, and Authorization."""
        credentials, stamp = self._credentials(), self._stamp()
        plan = self._plan(tuple(headers), bool(credentials.session_token))
        host, path, query = self._split(url)
        digest = headers[plan.digest] if plan.digest else ""
        digest = digest or (hashlib.sha256(body).hexdigest() if body else _NOTHING)
        sent = {name: headers[name] for name in plan.passed}
        sent["x-amz-date"], sent["x-amz-content-sha256"] = stamp, digest
        if credentials.session_token:
            sent["x-amz-security-token"] = credentials.session_token
        values = [_trimmed(sent[name]) if name else host for name in plan.signed]
        canonical = plan.template % (method, path, query, *values, digest)
        key, scope = self._signing_key(credentials.secret_key, stamp[:8])
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        sent["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, "
            f"SignedHeaders={plan.listed}, Signature={hmac.digest(key, text.encode(), 'sha256').hex()}"
        )
        return sent

    def _plan(self, names: tuple[str, ...], session: bool) -> _Plan:
        """How to sign headers of these names; the same few come again and again."""
        plan = self._plans.get((names, session))
        if plan is None:
            if len(self._plans) >= _PLANS:
                self._plans.clear()
            plan = self._plans[names, session] = _Plan.of(names, session)
        return plan

    def _split(self, url: str) -> tuple[str, str, str]:
        """Host as libcurl sends it, path, and canonical query of an encoded URL."""
        front, mark, query = url.partition("?")
        scheme, _, rest = front.partition("://")
        place, _, path = rest.partition("/")
        host = self._hosts.get((scheme, place))
        if host is None:
            host = place.rpartition("@")[2].removesuffix(_DEFAULT_PORTS.get(scheme, ""))
            self._hosts = {(scheme, place): host}
        if mark:
            pairs = (part.partition("=") for part in query.split("&") if part)
            query = "&".join(f"{name}={value}" for name, _, value in sorted(pairs))
        return host, f"/{path}", query

    def _stamp(self) -> str:
        now = int(self._clock())
        if self._moment[0] != now:
            self._moment = (now, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now)))
        return self._moment[1]

    def _signing_key(self, secret: str, day: str) -> tuple[bytes, str]:
        """The key of the day, with what it is good for: it changes at midnight UTC and with the secret."""
        known_secret, known_day, key, scope = self._key
        if known_day != day or known_secret != secret:
            key = f"AWS4{secret}".encode()
            for step in (day, self.region, "s3", "aws4_request"):
                key = hmac.digest(key, step.encode(), "sha256")
            scope = f"{day}/{self.region}/s3/aws4_request"
            self._key = (secret, day, key, scope)
        return key, scope


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is the same for all requests with headers of the same names.

    `digest` is the name under which the body's hash was given, `passed` are the others that are sent as given, and
    `signed` those whose values stand in `template` between query and digest, the empty name being the host's.
    """

    digest: str
    passed: tuple[str, ...]
    signed: tuple[str, ...]
    listed: str
    template: str

    @classmethod
    def of(cls, names: tuple[str, ...], session: bool) -> _Plan:
        lower = {name: name.lower() for name in names}
        passed = tuple(name for name in names if lower[name] not in _OURS)
        signed = {lower[name]: name for name in passed if lower[name].startswith("x-amz-") or lower[name] in _SIGNED}
        signed |= {"host": "", "x-amz-date": "x-amz-date", "x-amz-content-sha256": "x-amz-content-sha256"}
        if session:
            signed["x-amz-security-token"] = "x-amz-security-token"
        listed = sorted(signed)
        lines = "".join(name.replace("%", "%%") + ":%s\n" for name in listed)
        template = f"%s\n%s\n%s\n{lines}\n{';'.join(listed).replace('%', '%%')}\n%s"
        digest = next((name for name in names if lower[name] == "x-amz-content-sha256"), "")
        return cls(digest, passed, tuple(signed[name] for name in listed), ";".join(listed), template)


#: Sets of header names of which a signer remembers how to sign them.
_PLANS = 64
_OURS = frozenset({"x-amz-date", "x-amz-content-sha256", "x-amz-security-token", "authorization"})
_SIGNED = frozenset({"content-type", "content-md5"})
