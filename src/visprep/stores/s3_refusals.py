"""What it means when S3 refuses: its error codes as errors of ours, that name what is missing and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable

from visprep import errors
from visprep.credentials import Provider
from visprep.stores.s3_answers import code_of, field_of, host_of, region_of
from visprep.wire import Response

_CREDENTIALS = {
    "InvalidAccessKeyId": ("the access key is not known there", "check the keys, the profile and the endpoint"),
    "SignatureDoesNotMatch": ("the secret key does not fit the access key", "check the secret key and the endpoint"),
    "ExpiredToken": ("the session has expired", "sign in again (`aws sso login`), or get new keys"),
    "InvalidToken": ("the session token is not valid", "sign in again, or unset AWS_SESSION_TOKEN"),
    "TokenRefreshRequired": ("the session must be refreshed", "sign in again (`aws sso login`), or get new keys"),
    "RequestTimeTooSkewed": ("this machine's clock is wrong", "set the clock (`date` shows it), then try again"),
    "RequestExpired": ("this machine's clock is wrong", "set the clock (`date` shows it), then try again"),
    "MissingSecurityHeader": ("the request must be signed", "leave out --no-sign-request"),
    "AccountProblem": ("there is a problem with the account", "ask the owner of the account"),
    "NotSignedUp": ("the account is not signed up for S3", "ask the owner of the account"),
}
#: Codes after which new credentials, where there are any, may be accepted.
_EXPIRED = frozenset({"ExpiredToken", "TokenRefreshRequired"})
_CHANGED_ON_THE_WAY = frozenset({"BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "IncompleteBody"})
#: What S3 says of an option that was asked for: the option, what is wrong, and what to do.
_OPTIONS = {
    "AccessControlListNotSupported": (
        "its bucket has ACLs disabled",
        "leave out --acl: the bucket's owner owns it all",
    ),
    "InvalidStorageClass": ("this server has no such storage class", "check --storage-class"),
    "InvalidEncryptionAlgorithmError": ("this server has no such encryption", "check --sse"),
}
_UNAUTHORIZED = re.compile(
    r"not authorized to perform: ([\w-]+:\w+)(?: on resource: \"?([^\s\"]+)\"?)?(?:[^\"]*?\b((?:because|with) [^\"]*))?"
)


class Retry:
    """For `Request.retry`: what passes, and once also credentials that expired where there are others now."""

    __slots__ = ("_passes", "_provider", "_renewed")

    def __init__(self, passes: Callable[[Response], bool], provider: Provider | None) -> None:
        self._passes, self._provider, self._renewed = passes, provider, False

    def __call__(self, response: Response) -> bool:
        """Whether to ask again."""
        if self._passes(response):
            return True
        if response.status not in (400, 401, 403) or self._renewed or not self._provider:
            return False
        if code_of(response) not in _EXPIRED:
            return False
        self._renewed = True
        return self._provider.renew()


def refusal(response: Response, permission: str, bucket: str, key: str | None, signed: bool) -> errors.VisprepError:
    """An answer that is not a success, as the error to raise; `permission` is what the request needed."""
    code, status = code_of(response), response.status
    where = bucket if key is None else f"{bucket}/{key}"
    if code == "NoSuchBucket" or (status == 404 and key is None):
        hint = "check its name, and --endpoint-url"
        return errors.PlaceMissing(f"there is no bucket {bucket!r}", hint=hint, bucket=bucket)
    if code == "InvalidBucketName":
        return errors.BadPlace(f"{bucket!r} is no name of a bucket")
    if code in _CREDENTIALS:
        what, hint = _CREDENTIALS[code]
        return errors.CredentialsError(f"S3 does not accept the credentials: {what} ({code})", hint=hint)
    if code == "InvalidObjectState":
        return errors.AccessDenied(f"s3://{where} is archived", hint="restore it from its storage class first")
    if code in _OPTIONS:
        what, hint = _OPTIONS[code]
        return errors.AccessDenied(f"s3://{where} is refused: {what} ({code})", hint=hint)
    if "KMS" in code:
        said = field_of(response, "Message")
        hint = "check the key that --sse-kms-key-id or the bucket names: its region, its state, who may use it"
        return errors.AccessDenied(f"the KMS key of s3://{where} cannot be used ({code}): {said}", hint=hint)
    if status in (401, 403) or code == "AccessDenied":
        return _denied(response, code, permission, where, key, signed)
    if code == "NoSuchUpload":
        return errors.FileMissing(f"the unfinished upload of s3://{where} is gone", hint="run the same command again")
    if status == 404:
        return errors.FileMissing(f"s3://{where} is not there")
    if code == "KeyTooLongError":
        return errors.UnsafePath(f"the key of s3://{where} is too long", hint="S3 takes at most 1,024 bytes of UTF-8")
    if code in _CHANGED_ON_THE_WAY:
        return errors.WrongContent(f"s3://{where}: the bytes changed on their way ({code})", hint="try again")
    return _unexpected(response, code, where)


def _denied(
    response: Response, code: str, permission: str, where: str, key: str | None, signed: bool
) -> errors.AccessDenied:
    """A denial; AWS may tell which permission it missed, which need not be the one that the request is named for."""
    resource, reason = f"arn:{_partition(response)}:s3:::{where}", ""
    told = _UNAUTHORIZED.search(field_of(response, "Message"))
    if told:
        permission, resource, reason = told[1], told[2] or resource, (told[3] or "").rstrip(".")
    on = resource if told and not permission.startswith("s3:") else where
    message = f"not allowed: {permission} on {on}" + (f" ({code})" if code else "")
    hint = f"ask the bucket's owner for {permission} on {resource}"
    if not permission.startswith("s3:"):
        hint = f"ask the owner of the key for {permission} on {resource}"
    if not signed:
        hint = "the bucket is not public for this: where it was given, leave out --no-sign-request"
    elif permission == "s3:GetObject" and key is not None:
        hint += " (without s3:ListBucket, a file that is not there looks like this too)"
    if signed and permission in ("s3:GetObject", "s3:ListBucket") and not reason:
        hint += "; a bucket whose readers pay wants --request-payer"
    return errors.AccessDenied(f"{message}: {reason}" if reason else message, hint=hint)


def _partition(response: Response) -> str:
    host = host_of(response)
    if host.endswith(".amazonaws.com.cn"):
        return "aws-cn"
    return "aws-us-gov" if ".us-gov-" in host else "aws"


def _unexpected(response: Response, code: str, where: str) -> errors.ServerFailed:
    said = ": ".join(text for text in (code, field_of(response, "Message")) if text)
    region = region_of(response)
    if response.status in (301, 302, 307) or code in (
        "AuthorizationHeaderMalformed",
        "IllegalLocationConstraintException",
    ):
        hint = f"the bucket is in {region}: set --region" if region else "set --region to where the bucket is"
    else:
        hint = "check --endpoint-url: it must speak S3" if not code else "see the S3 error codes of this server"
    message = f"{host_of(response)} answered {response.status} for s3://{where}"
    return errors.ServerFailed(f"{message}: {said}" if said else message, hint=hint)
