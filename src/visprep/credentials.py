"""Who we are to S3, and where S3 is: settings, the environment, the AWS files, and boto3's session, in that order.

Keys that simply stand somewhere are read without boto3, whose import costs more than a small download; roles, SSO,
containers and instances are boto3's, and their keys are refreshed as they expire. Nothing here is looked up before
it is asked for, and no message or repr holds a secret.
"""

from __future__ import annotations

import configparser
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from visprep.errors import CredentialsError, UsageError, VisprepError
from visprep.signing import Credentials

if TYPE_CHECKING:
    from visprep.settings import S3Settings

log = logging.getLogger("visprep.credentials")

_HOW = "run `aws configure`, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use --no-sign-request (public buckets)"
#: With any of these in its profile, the AWS chain does not use the static keys beside them.
_ROLES = ("role_arn", "web_identity_token_file", "sso_session", "sso_start_url")
#: The same, where the keys beside them stand in the config file and not in the credentials file.
_TOOLS = ("credential_process", "login_session")

#: Seconds between two attempts to refresh credentials after one that failed.
_PAUSE = 30.0


@dataclass(frozen=True, slots=True)
class Access:
    """All that a request to S3 needs to know; `provider` is None for unsigned requests, `endpoint` for AWS itself."""

    provider: Provider | None
    region: str
    endpoint: str | None = None
    ca_bundle: str | None = None
    attempts: int | None = None


def find_access(settings: S3Settings) -> Access:
    """Everything at once: CredentialsError without credentials or for an unknown profile, UsageError for bad values.

    Credentials are, in this order: the keys of `settings`; the environment (unless `settings` names a profile, which
    then counts for more, as in the AWS tools); static keys of the profile; those of boto3's session.
    """
    if settings.found:
        access: Access = settings.found()
        return access
    profile = _Profile(settings)
    return Access(
        None if settings.no_sign_request else Provider(settings, profile),
        _find_region(settings, profile),
        _find_endpoint(settings, profile),
        os.environ.get("AWS_CA_BUNDLE") or profile.get("ca_bundle"),
        _find_attempts(),
    )


def find_identity(settings: S3Settings, *, ask: bool) -> tuple[str, str | None] | None:
    """Where the credentials come from, in words, and the last four characters of the access key id.

    Roles, SSO and the like cost requests to others: without `ask` they are not looked for, and the key is None when
    the profile or a token file says that there is one. None when no keys stand anywhere. Raises what
    `find_access` raises.
    """
    profile = _Profile(settings)
    found: _Static | _Session | None = _standing(settings, profile)
    if found is None and not ask:
        return (f"the profile {profile.name!r}, by boto3", None) if profile.exists or _is_boto3s(profile) else None
    found = found or _session(settings, profile)
    return found.origin, found().access_key[-4:]


def find_region(settings: S3Settings) -> str:
    """The region of `settings`, AWS_REGION, AWS_DEFAULT_REGION, S3_REGION, or the profile; else `us-east-1`."""
    return _find_region(settings, _Profile(settings))


def find_endpoint(settings: S3Settings) -> str | None:
    """The endpoint of `settings`, AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, or the profile, without a slash at its end.

    None means AWS itself; UsageError when it is not an http or https address.
    """
    return _find_endpoint(settings, _Profile(settings))


def settled(settings: S3Settings) -> S3Settings:
    """`settings` with the server and the region that this process means: elsewhere the environment may name others."""
    if settings.found:
        return settings
    profile = _Profile(settings)
    return replace(settings, endpoint_url=_find_endpoint(settings, profile), region=_find_region(settings, profile))


class _Profile:
    """One profile's settings from `~/.aws/config` and `~/.aws/credentials`; the latter count for more."""

    def __init__(self, settings: S3Settings) -> None:
        environment = os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE")
        self.explicit = bool(settings.profile)
        self.name = settings.profile or environment or "default"
        self.config = _read("AWS_CONFIG_FILE", "~/.aws/config")
        keys = _read("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")
        profiles = {name.removeprefix("profile ").strip("\"'"): values for name, values in self.config.items()}
        known = {name for name in profiles if not name.startswith(("services ", "sso-session "))} | set(keys)
        self.exists = self.name in known
        self.known = sorted(known)
        if self.explicit and not self.exists:
            raise self.missing()
        self.values = {**profiles.get(self.name, {}), **keys.get(self.name, {})}
        self.shared = "aws_access_key_id" in keys.get(self.name, {})

    def get(self, name: str) -> str | None:
        """One setting; empty counts as not set."""
        return self.values.get(name) or None

    def missing(self) -> CredentialsError:
        """The error for a profile that there is not."""
        there = f"there are: {', '.join(self.known)}" if self.known else "there are no profiles: run `aws configure`"
        return CredentialsError(f"the AWS profile {self.name!r} does not exist", hint=there)

    def service_endpoint(self) -> str | None:
        """The profile's endpoint for S3, else for every service."""
        section = self.config.get(f"services {self.get('services')}", {})
        for line in section.get("s3", "").splitlines():
            name, _, value = line.partition("=")
            if name.strip() == "endpoint_url" and value.strip():
                return value.strip()
        return self.get("endpoint_url")


def _read(variable: str, default: str) -> Mapping[str, dict[str, str]]:
    """The sections of an AWS file; none when it is not there."""
    name = os.environ.get(variable) or default
    parser = configparser.RawConfigParser(strict=False, default_section="\0")
    try:
        text = Path(name).expanduser().read_text(encoding="utf-8")
        parser.read_string(text)
    except (FileNotFoundError, NotADirectoryError, RuntimeError):  # RuntimeError: nobody knows where ~ is
        return {}
    except OSError as error:
        raise CredentialsError(f"{name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CredentialsError(f"{name} is not UTF-8 text") from None
    except configparser.ParsingError as error:
        # The error's own text quotes the line, which may hold a secret.
        line = error.lineno if isinstance(error, configparser.MissingSectionHeaderError) else error.errors[0][0]
        raise CredentialsError(f"{name}, line {line}: not `[section]` and not `name = value`") from None
    return {" ".join(section.split()): dict(parser.items(section)) for section in parser.sections()}


class Provider:
    """Gives the credentials of this moment; to be called for every signature, since roles expire."""

    def __init__(self, settings: S3Settings, profile: _Profile) -> None:
        self._settings = settings
        self._found: _Static | _Session = _standing(settings, profile) or _session(settings, profile)
        self._renewed, self._helped = float("-inf"), False

    def __call__(self) -> Credentials:
        """The credentials to sign with now."""
        return self._found()

    def renew(self) -> bool:
        """Look for credentials anew, since these are refused as expired; whether there are others now.

        Whoever asks a moment later gets the same answer: all that was on its way is refused at once.
        """
        if time.monotonic() - self._renewed < _PAUSE:
            return self._helped
        self._renewed, self._helped = time.monotonic(), False
        try:
            profile = _Profile(self._settings)
            found: _Static | _Session = _standing(self._settings, profile) or _session(self._settings, profile)
            self._helped = found() != self._found()
        except VisprepError as error:
            log.warning("AWS credentials could not be renewed: %s", error.message)
            return False
        if self._helped:
            log.info("AWS credentials had expired; there are new ones from %s", found.origin)
            self._found = found
        return self._helped


class SessionProvider(Provider):
    """Gives the credentials that a session or a client of boto3 holds, which refreshes them itself."""

    def __init__(self, source: Any) -> None:
        self._source, self._found = source, _Session(source)
        self._renewed, self._helped = float("-inf"), False

    def renew(self) -> bool:
        """See `Provider.renew`."""
        if time.monotonic() - self._renewed >= _PAUSE:
            before = self._found()
            self._renewed, self._found = time.monotonic(), _Session(self._source)
            self._helped = self._found() != before
        return self._helped


def _standing(settings: S3Settings, profile: _Profile) -> _Static | None:
    """The keys that simply stand somewhere."""
    if settings.access_key or settings.secret_key:
        if not (settings.access_key and settings.secret_key):
            raise CredentialsError("an access key and a secret key are given only together")
        keys = Credentials(settings.access_key, settings.secret_key, settings.session_token)
        return _Static(keys, "the settings")
    if not profile.explicit:
        key, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
        if key and secret:
            return _Static(Credentials(key, secret, os.environ.get("AWS_SESSION_TOKEN") or None), "the environment")
        if key or secret:
            there, absent = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")[:: 1 if key else -1]
            raise CredentialsError(f"{there} is set, but {absent} is not", hint=f"set both, or unset {there}")
        if not profile.exists and profile.name != "default":
            raise profile.missing()
    key, secret = profile.get("aws_access_key_id"), profile.get("aws_secret_access_key")
    if key and secret and not _is_boto3s(profile):
        return _Static(Credentials(key, secret, profile.get("aws_session_token")), f"the profile {profile.name!r}")
    return None


def _is_boto3s(profile: _Profile) -> bool:
    identity = not profile.explicit and "AWS_WEB_IDENTITY_TOKEN_FILE" in os.environ
    return identity or any(profile.get(name) for name in (_ROLES if profile.shared else _ROLES + _TOOLS))


class _Static:
    """Credentials that never change; `origin` says where they stand."""

    def __init__(self, credentials: Credentials, origin: str) -> None:
        self._credentials = credentials
        self.origin = origin

    def __call__(self) -> Credentials:
        return self._credentials


class _Session:
    """Credentials of a boto3 session, which refreshes them shortly before they expire.

    boto3 begins to insist on new keys ten minutes early. Where that fails, the last ones are used until S3 itself
    calls them expired, so that a hiccup of the metadata service ends no transfer.
    """

    def __init__(self, source: Any) -> None:
        self._source = source
        self.origin = f"boto3 ({source.method})"
        self._last = self._fresh()
        self._not_before = 0.0

    def __call__(self) -> Credentials:
        if time.monotonic() >= self._not_before:
            try:
                self._last = self._fresh()
            except _boto_errors() as error:
                log.warning("AWS credentials could not be refreshed: %s", _said(error))
                self._not_before = time.monotonic() + _PAUSE  # such a failure takes seconds
        return self._last

    def _fresh(self) -> Credentials:
        frozen = self._source.get_frozen_credentials()
        return Credentials(frozen.access_key, frozen.secret_key, frozen.token or None)


def _session(settings: S3Settings, profile: _Profile) -> _Session:
    import boto3

    name = profile.name if profile.explicit else None
    region = _find_region(settings, profile)  # for STS; boto3 knows neither AWS_REGION nor a region to fall back to
    try:
        found = boto3.Session(profile_name=name, region_name=region).get_credentials()
        if found is not None:
            return _Session(found)
    except _boto_errors() as error:
        kind = type(error).__name__
        hint = f"run `aws sso login --profile {profile.name}`" if "SSO" in kind or "Token" in kind else _HOW
        raise CredentialsError(
            f"no AWS credentials could be had for the profile {profile.name!r}: {_said(error)}", hint=hint
        ) from None
    raise CredentialsError("no AWS credentials were found", hint=_HOW)


def _said(error: Exception) -> str:
    """An error of boto3 in words, without what a server or a tool answered: that may hold the very keys."""
    from botocore.exceptions import BotoCoreError, ClientError, CredentialRetrievalError, MetadataRetrievalError

    name = type(error).__name__
    if isinstance(error, CredentialRetrievalError):
        return f"{name} from {error.kwargs.get('provider')}"
    if isinstance(error, (BotoCoreError, ClientError)) and not isinstance(error, MetadataRetrievalError):
        return str(error)
    return name


def _boto_errors() -> tuple[type[Exception], ...]:
    """What boto3 raises when it cannot get credentials; the last two come from a `credential_process`."""
    from botocore.exceptions import BotoCoreError, ClientError

    return BotoCoreError, ClientError, OSError, ValueError


def _find_region(settings: S3Settings, profile: _Profile) -> str:
    given = (os.environ.get(name) for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "S3_REGION"))
    return settings.region or next(filter(None, given), None) or profile.get("region") or "us-east-1"


def _find_endpoint(settings: S3Settings, profile: _Profile) -> str | None:
    found = settings.endpoint_url
    if not found and os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() != "true":
        environment = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        found = environment or profile.service_endpoint()
    if not found:
        return None
    if "@" in found.partition("://")[2].partition("/")[0]:  # said without repeating it, since it may hold a password
        raise UsageError("the endpoint URL must not hold a user name", hint="give keys by profile or environment")
    try:
        parts = urlsplit(found)
        sound = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:  # a port that is no number, a broken IPv6 address
        sound = False
    if not sound or parts.query or parts.fragment:
        hint = "it looks like http://localhost:9000 or https://s3.example.org"
        raise UsageError(f"{found!r} is no endpoint", hint=hint)
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path}".rstrip("/")


def _find_attempts() -> int | None:
    given = os.environ.get("AWS_MAX_ATTEMPTS")
    if not given:
        return None
    if not given.isdecimal() or int(given) < 1:
        raise UsageError(f"AWS_MAX_ATTEMPTS is {given!r}", hint="it must be a number from 1 on")
    return int(given)
