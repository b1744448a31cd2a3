"""A boto3 client that somebody gives: imitated where that can be, called itself where it cannot."""

from __future__ import annotations

import io
import multiprocessing
import pickle
from typing import Any
from unittest.mock import MagicMock

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, ReadTimeoutError
from botocore.handlers import disable_signing
from botocore.stub import Stubber

from loader_places import Photographs
from visprep import errors
from visprep.credentials import find_access
from visprep.loaders.fetch import Fetcher, ImageFile
from visprep.settings import S3Settings
from visprep.signing import Credentials

KEYS = {"aws_access_key_id": "AK", "aws_secret_access_key": "SECRET", "region_name": "eu-west-3"}


def client(config: dict[str, Any] | None = None, **more: Any) -> Any:
    return boto3.client("s3", **{**KEYS, **more}, config=Config(**config) if config else None)


def access_of(given: Any) -> Any:
    settings = Fetcher(client=given).settings
    assert settings is not None
    return find_access(settings)


def test_what_is_taken_over() -> None:
    access = access_of(client({"retries": {"total_max_attempts": 3}}, verify="/some/ca.pem", aws_session_token="TOKEN"))
    assert (access.region, access.endpoint, access.ca_bundle, access.attempts) == ("eu-west-3", None, "/some/ca.pem", 3)
    assert access.provider() == Credentials("AK", "SECRET", "TOKEN")
    assert access_of(client(endpoint_url="http://127.0.0.1:9000")).endpoint == "http://127.0.0.1:9000"
    assert (
        access_of(client({"use_dualstack_endpoint": True})).endpoint == "https://s3.dualstack.eu-west-3.amazonaws.com"
    )
    assert access_of(client(region_name="us-east-1")).endpoint is None
    assert access_of(client(region_name="cn-north-1")).endpoint is None
    settings = Fetcher(client=client({"s3": {"addressing_style": "virtual"}})).settings
    assert settings is not None
    assert settings.addressing == "virtual"


def test_unsigned_in_either_way() -> None:
    told = client()
    told.meta.events.register("choose-signer.s3.*", disable_signing)
    for given in (client({"signature_version": UNSIGNED}), told):
        assert access_of(given).provider is None


def test_no_credentials_is_said() -> None:
    with pytest.raises(errors.CredentialsError, match="client that was given has no credentials"):
        access_of(boto3.Session().client("s3", region_name="us-east-1"))  # boto3's own session remembers


def _mocked() -> Any:
    given = client()
    given.get_object = MagicMock()
    return given


def _stubbed() -> Any:
    given = client()
    Stubber(given).activate()
    return given


def _with_handler() -> Any:
    given = client()
    given.meta.events.register("before-send.s3.GetObject", lambda request, **_: None)
    return given


@pytest.mark.parametrize(
    "make",
    [
        lambda: client({"proxies": {"http": "http://127.0.0.1:1"}}),
        lambda: client({"s3": {"use_accelerate_endpoint": True}}),
        lambda: client({"signature_version": "s3"}),
        lambda: client(verify=False),
        _stubbed,
        _mocked,
        _with_handler,
        MagicMock,
    ],
)
def test_what_we_cannot_do_is_left_to_the_client(make: Any) -> None:
    fetcher = Fetcher(client=make())
    assert fetcher.settings is None
    with pytest.raises(errors.UsageError, match="cannot go to another process"):
        pickle.dumps(fetcher)


def test_a_stub_is_called() -> None:
    given = client()
    with Stubber(given) as stubber:
        for body in (b"one", b"two"):
            stubber.add_response("get_object", {"Body": io.BytesIO(body)}, {"Bucket": "bucket", "Key": "a/key"})
        stubber.add_client_error("get_object", "NoSuchKey", http_status_code=404)
        fetcher = Fetcher(client=given, in_flight=1)
        file = ImageFile("s3://bucket/a/key")
        assert [fetcher.submit(file).result(10) for _ in range(2)] == [b"one", b"two"]
        with pytest.raises(errors.FileMissing, match="s3://bucket/a/key"):
            fetcher.submit(file).result(10)
        fetcher.close()


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        ("NoSuchBucket", errors.PlaceMissing),
        ("AccessDenied", errors.AccessDenied),
        ("ExpiredToken", errors.CredentialsError),
        ("SlowDown", errors.RateLimited),
        ("InternalError", errors.ServerFailed),
        (ValueError("boom"), errors.ServerFailed),
        (NoCredentialsError(), errors.CredentialsError),
        (ReadTimeoutError(endpoint_url="http://here"), errors.Stalled),
        (EndpointConnectionError(endpoint_url="http://here"), errors.Unreachable),
        (errors.FileMissing("from a client that knows ours"), errors.FileMissing),
    ],
)
def test_errors_of_a_called_client(problem: str | Exception, kind: type[errors.VisprepError]) -> None:
    fake = MagicMock()
    if isinstance(problem, str):
        problem = ClientError({"Error": {"Code": problem}}, "GetObject")
    fake.get_object.side_effect = problem
    fetcher = Fetcher(client=fake)
    with pytest.raises(kind) as raised:
        fetcher.submit(ImageFile("s3://bucket/key")).result(10)
    assert type(pickle.loads(pickle.dumps(raised.value))) is kind
    fetcher.close()


def test_a_body_that_breaks_off_is_asked_for_again() -> None:
    fake = MagicMock()
    fake.get_object.return_value["Body"].read.side_effect = [ConnectionResetError(), b"whole"]
    fetcher = Fetcher(client=fake)
    assert fetcher.submit(ImageFile("s3://bucket/key")).result(10) == b"whole"
    fetcher.close()


def test_what_is_no_client() -> None:
    for wrong, hint in [(object(), "boto3.client"), (boto3.resource("s3", **KEYS), ".meta.client")]:
        with pytest.raises(errors.UsageError, match="is no S3 client") as raised:
            Fetcher(client=wrong)
        assert hint in str(raised.value.hint)
    with pytest.raises(errors.UsageError, match="two answers to one question"):
        Fetcher(client=client(), settings=S3Settings())


class Changing:
    """Credentials that refresh themselves, as those of a role do."""

    method = "assume-role"
    refresh_needed = True

    def __init__(self) -> None:
        self.count = 0

    def get_frozen_credentials(self) -> Any:
        self.count += 1
        return _Frozen(f"AK{self.count}")


class _Frozen:
    secret_key, token = "SECRET", None

    def __init__(self, access_key: str) -> None:
        self.access_key = access_key


def test_credentials_that_refresh_themselves() -> None:
    given = client()
    given._request_signer._credentials = Changing()
    fetcher = Fetcher(client=given)
    assert fetcher.settings is not None
    provider = find_access(fetcher.settings).provider
    assert provider is not None
    first, second = provider(), provider()
    assert first.access_key != second.access_key
    with pytest.raises(errors.UsageError, match="refresh themselves"):
        pickle.dumps(fetcher)


def test_new_keys_after_expired_ones() -> None:
    given, keys = client(), Changing()
    given._request_signer._credentials = keys
    settings = Fetcher(client=given).settings
    assert settings is not None
    provider = find_access(settings).provider
    assert provider is not None
    before = provider().access_key
    assert provider.renew()
    assert provider.renew()  # whoever asks a moment later hears the same
    assert provider().access_key != before


class Steady(Changing):
    """Those of a role, before they are refreshed."""

    def get_frozen_credentials(self) -> Any:
        return _Frozen("AK-of-the-role")


def test_who_finds_the_same_session_by_himself_may_do_so(monkeypatch: pytest.MonkeyPatch) -> None:
    given = client(endpoint_url="http://127.0.0.1:9000")
    given._request_signer._credentials = Steady()
    fetcher = Fetcher(client=given)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody else")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SECRET")
    with pytest.raises(errors.UsageError, match="refresh themselves"):
        pickle.dumps(fetcher)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AK-of-the-role")
    settings = pickle.loads(pickle.dumps(fetcher)).settings
    access = find_access(settings)
    assert access.provider is not None
    assert (access.endpoint, access.provider().access_key) == ("http://127.0.0.1:9000", "AK-of-the-role")


def _read_in_child(fetcher: Fetcher, url: str, out: Any) -> None:
    out.put(fetcher.submit(ImageFile(url)).result(30))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_client_goes_to_other_processes(method: str, photographs: Photographs) -> None:
    fetcher = Fetcher(client=photographs.client())
    url = photographs.urls[3]
    assert fetcher.settings is not None
    assert fetcher.submit(ImageFile(url)).result(10) == photographs.data[3]
    context = multiprocessing.get_context(method)
    out = context.Queue()
    child = context.Process(target=_read_in_child, args=(fetcher, url, out))
    child.start()
    assert out.get(timeout=60) == photographs.data[3]
    child.join(30)
    fetcher.close()


def test_a_called_client_goes_on_in_a_fork(photographs: Photographs) -> None:
    given = photographs.client()
    given.meta.events.register("before-send.s3.GetObject", lambda request, **_: None)
    fetcher = Fetcher(client=given)
    assert fetcher.settings is None
    urls = photographs.urls
    assert tuple(future.result(10) for future in [fetcher.submit(ImageFile(url)) for url in urls]) == photographs.data
    context = multiprocessing.get_context("fork")
    out = context.Queue()
    child = context.Process(target=_read_in_child, args=(fetcher, urls[3], out))
    child.start()
    assert out.get(timeout=60) == photographs.data[3]
    child.join(30)
    fetcher.close()
