"""Which credentials, region and endpoint are found, in which order, and what is said when there are none."""

from __future__ import annotations

import http.server
import json
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from visprep.credentials import Access, find_access, find_endpoint, find_region
from visprep.errors import CredentialsError, UsageError
from visprep.settings import S3Settings
from visprep.signing import Credentials
from visprep.stores.s3 import S3Store


@pytest.fixture
def aws(tmp_path: Path) -> Path:
    """`~/.aws`, with two profiles that have keys, one of a role, and settings."""
    folder = tmp_path / ".aws"  # the home, in tests
    folder.mkdir()
    (folder / "credentials").write_text(
        "[default]\naws_access_key_id = AKDEFAULT\naws_secret_access_key = SKDEFAULT\n\n"
        "[work]\naws_access_key_id=AKWORK\naws_secret_access_key=SK/WORK+=%1\naws_session_token=TOKEN\n"
    )
    (folder / "config").write_text(
        "[default]\nregion = eu-west-3\n"
        "[profile work]\nregion = eu-central-1\nendpoint_url = http://work:1\nca_bundle = /own.pem\nservices = mine\n"
        "[services mine]\ns3 =\n  addressing_style = path\n  endpoint_url = http://work-s3:2\n"
        "iam =\n  endpoint_url = x\n"
        '[profile "with space"]\nregion = sa-east-1\nendpoint_url = http://space:3/\n'
        "[sso-session corporate]\nsso_region = us-east-1\n"
    )
    return folder


def _keys(settings: S3Settings | None = None) -> Credentials:
    provider = find_access(settings or S3Settings()).provider
    assert provider is not None
    return provider()


def test_settings_count_most(aws: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SKENV")
    given = S3Settings(access_key="AK", secret_key="SK", session_token="ST")
    assert _keys(given) == Credentials("AK", "SK", "ST")
    with pytest.raises(CredentialsError, match="only together"):
        find_access(S3Settings(access_key="AK"))


def test_the_environment_comes_next_unless_a_profile_is_named(aws: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SKENV")
    assert _keys() == Credentials("AKENV", "SKENV")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "STENV")
    assert _keys() == Credentials("AKENV", "SKENV", "STENV")
    assert _keys(S3Settings(profile="work")).access_key == "AKWORK"
    monkeypatch.setenv("AWS_PROFILE", "work")
    assert _keys().access_key == "AKENV"


@pytest.mark.parametrize(
    ("there", "absent"),
    [("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID")],
)
def test_half_a_pair_of_keys_in_the_environment_is_named(
    monkeypatch: pytest.MonkeyPatch, there: str, absent: str
) -> None:
    monkeypatch.setenv(there, "half-a-secret")
    with pytest.raises(CredentialsError, match=f"{there} is set, but {absent} is not") as caught:
        find_access(S3Settings())
    assert "half-a-secret" not in str(caught.value)


def test_the_shared_file_gives_the_profiles_keys(aws: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert _keys() == Credentials("AKDEFAULT", "SKDEFAULT")
    assert _keys(S3Settings(profile="work")) == Credentials("AKWORK", "SK/WORK+=%1", "TOKEN")
    monkeypatch.setenv("AWS_PROFILE", "work")
    assert _keys().access_key == "AKWORK"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("[work]\naws_access_key_id=AK2\naws_secret_access_key=SK2\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(elsewhere))
    assert _keys() == Credentials("AK2", "SK2")


def test_static_keys_do_not_import_boto3(aws: Path) -> None:
    code = (
        "import sys; from visprep.credentials import find_access; from visprep.settings import S3Settings\n"
        "assert find_access(S3Settings()).provider().access_key == 'AKDEFAULT'\n"
        "sys.exit(any(name.startswith('boto') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("settings", [S3Settings(profile="nosuch"), S3Settings(profile="nosuch", access_key="a")])
def test_a_profile_that_does_not_exist_is_named(aws: Path, settings: S3Settings) -> None:
    with pytest.raises(CredentialsError, match="'nosuch'") as caught:
        find_access(settings)
    assert caught.value.hint == "there are: default, with space, work"


def test_a_profile_of_the_environment_that_does_not_exist_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nosuch")
    with pytest.raises(CredentialsError, match="'nosuch'") as caught:
        find_access(S3Settings())
    assert caught.value.hint == "there are no profiles: run `aws configure`"
    assert find_access(S3Settings(no_sign_request=True)).provider is None


def test_none_found_says_what_to_do() -> None:
    with pytest.raises(CredentialsError) as caught:
        find_access(S3Settings())
    assert caught.value.hint
    for advice in ("aws configure", "AWS_ACCESS_KEY_ID", "--no-sign-request"):
        assert advice in caught.value.hint


def test_unsigned_needs_no_credentials() -> None:
    assert find_access(S3Settings(no_sign_request=True)).provider is None


def test_a_damaged_file_is_named_without_its_secret(aws: Path) -> None:
    for text, line in (("aws_secret_access_key = SECRET\n", 1), ("[default]\nSECRET SECRET\n", 2)):
        (aws / "credentials").write_text(text)
        with pytest.raises(CredentialsError, match=f"line {line}") as caught:
            find_access(S3Settings())
        assert "SECRET" not in repr(caught.value)
        assert caught.value.__cause__ is None
    (aws / "credentials").write_bytes(b"\xff\xfe")
    with pytest.raises(CredentialsError, match="UTF-8"):
        find_access(S3Settings())
    (aws / "credentials").unlink()
    (aws / "credentials").mkdir()
    with pytest.raises(CredentialsError, match="cannot be read"):
        find_access(S3Settings())


def test_region(aws: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_region(S3Settings(profile="with space")) == "sa-east-1"
    assert find_region(S3Settings()) == "eu-west-3"
    for name in ("S3_REGION", "AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.setenv(name, f"from-{name}")
        assert find_region(S3Settings()) == f"from-{name}"
    assert find_region(S3Settings(region="given")) == "given"


def test_region_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "")
    assert find_region(S3Settings()) == "us-east-1"


def test_a_store_on_its_way_to_another_machine_means_the_same_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """There the environment may name a server that has a bucket of the same name, with other objects."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://here:9000")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    packed = [pickle.dumps(S3Store("s3://bucket/place", one)) for one in (S3Settings(), S3Settings(region="given"))]
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://there:9000")
    monkeypatch.setenv("AWS_REGION", "eu-west-2")
    meant = [pickle.loads(one).settings for one in packed]
    assert {find_endpoint(one) for one in meant} == {"http://here:9000"}
    assert [find_region(one) for one in meant] == ["eu-west-1", "given"]


def test_endpoint(aws: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_endpoint(S3Settings()) is None
    assert find_endpoint(S3Settings(profile="with space")) == "http://space:3"
    assert find_endpoint(S3Settings(profile="work")) == "http://work-s3:2"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://all:1")
    assert find_endpoint(S3Settings(profile="work")) == "http://all:1"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://S3.Example.org:9000/base/")
    assert find_endpoint(S3Settings()) == "https://s3.example.org:9000/base"
    assert find_endpoint(S3Settings(endpoint_url="http://[::1]:9000")) == "http://[::1]:9000"
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert find_endpoint(S3Settings()) is None


@pytest.mark.parametrize(
    "endpoint",
    [
        "localhost:9000",
        "ftp://host",
        "http://",
        "http://host:x",
        "http://host/?a=b",
        "http://[::1",
        "http://host:99999",
    ],
)
def test_an_endpoint_that_is_none_is_refused(endpoint: str) -> None:
    with pytest.raises(UsageError, match="is no endpoint"):
        find_endpoint(S3Settings(endpoint_url=endpoint))


@pytest.mark.parametrize("endpoint", ["http://user:hunter2@host", "http://user:hunter2@host:x"])
def test_a_password_in_the_endpoint_is_not_repeated(endpoint: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_endpoint(S3Settings(endpoint_url=endpoint))
    assert "hunter2" not in repr(caught.value)


def test_bundle_and_attempts(aws: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = find_access(S3Settings(profile="work", no_sign_request=True))
    assert plain == Access(None, "eu-central-1", "http://work-s3:2", "/own.pem", None)
    monkeypatch.setenv("AWS_CA_BUNDLE", "/env.pem")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "7")
    assert find_access(S3Settings(profile="work", no_sign_request=True)).attempts == 7
    assert find_access(S3Settings(profile="work", no_sign_request=True)).ca_bundle == "/env.pem"
    for wrong in ("0", "-1", "many", "²"):
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", wrong)
        with pytest.raises(UsageError, match="AWS_MAX_ATTEMPTS"):
            find_access(S3Settings())


class _KeyServer(http.server.ThreadingHTTPServer):
    """Hands out container credentials as ECS and EKS do: new ones each time, that expire soon; 500 when broken."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _KeyHandler)
        self.served, self.broken = 0, False
        self.url = f"http://127.0.0.1:{self.server_port}/keys"


class _KeyHandler(http.server.BaseHTTPRequestHandler):
    server: _KeyServer

    def do_GET(self) -> None:
        self.server.served += 1
        expiry = datetime.now(UTC) + timedelta(seconds=5)  # always due for a refresh
        answer = json.dumps(
            {
                "AccessKeyId": f"AK{self.server.served}",
                "SecretAccessKey": "SKCONTAINER",
                "Token": "TOKENCONTAINER",
                "Expiration": expiry.strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
        ).encode()
        self.send_response(500 if self.server.broken else 200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def key_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[_KeyServer]:
    with _KeyServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", server.url)
        yield server
        server.shutdown()
        thread.join()


def test_expiring_credentials_are_refreshed_at_every_signature(key_server: _KeyServer) -> None:
    provider = find_access(S3Settings()).provider
    assert provider is not None
    first = provider()
    assert (first.secret_key, first.session_token) == ("SKCONTAINER", "TOKENCONTAINER")
    assert provider().access_key != first.access_key
    assert "SKCONTAINER" not in repr(provider) + repr(first)


def test_a_refresh_that_fails_leaves_the_last_credentials(
    key_server: _KeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    provider = find_access(S3Settings()).provider
    assert provider is not None
    first = provider()
    key_server.broken = True
    assert provider() == first
    asked = key_server.served
    assert provider() == first
    assert key_server.served == asked, "a failure is not repeated for every request"
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("visprep")]
    assert len(ours) == 1
    assert "could not be refreshed" in ours[0]
    assert "SKCONTAINER" not in ours[0]


def test_a_role_counts_for_more_than_the_keys_beside_it(aws: Path) -> None:
    """The AWS chain asks STS for the role; here its endpoint refuses, so we see that it was asked."""
    with (aws / "config").open("a") as file:
        file.write(
            "[profile role]\nrole_arn = arn:aws:iam::123456789012:role/x\nsource_profile = work\n"
            "sts_regional_endpoints = regional\nregion = us-east-1\nendpoint_url = http://127.0.0.1:1\n"
        )
    with (aws / "credentials").open("a") as file:
        file.write("[role]\naws_access_key_id = AKROLE\naws_secret_access_key = SKROLE\n")
    with pytest.raises(CredentialsError, match="profile 'role'") as caught:
        find_access(S3Settings(profile="role"))
    assert "SK" not in repr(caught.value)


def test_a_credential_process_that_fails_is_an_error_of_ours(aws: Path) -> None:
    with (aws / "config").open("a") as file:
        file.write("[profile tool]\ncredential_process = false\n[profile gone]\ncredential_process = /no/such/tool\n")
        file.write("[profile odd]\ncredential_process = echo SECRET\n")
        file.write("[profile loud]\ncredential_process = sh -c 'echo SECRET >&2; exit 1'\n")
    for profile in ("tool", "gone", "odd", "loud"):
        with pytest.raises(CredentialsError, match=f"profile '{profile}'") as caught:
            find_access(S3Settings(profile=profile))
        assert "SECRET" not in repr(caught.value)
