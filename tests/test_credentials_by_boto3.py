"""Every way in which boto3 finds credentials is a way in which we do: each against a fake of what hands them out.

Not here, since their addresses are fixed or their keys need a browser: a container's relative URI, `aws login`.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from visprep.credentials import find_access, find_identity
from visprep.errors import CredentialsError
from visprep.settings import S3Settings
from visprep.signing import Credentials

ROLE = "arn:aws:iam::123456789012:role/reader"
SOON = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
def aws(tmp_path: Path) -> Path:
    """`~/.aws`, with a profile that has keys."""
    folder = tmp_path / ".aws"  # the home, in tests
    folder.mkdir()
    (folder / "config").write_text("")
    (folder / "credentials").write_text("[keys]\naws_access_key_id = AKKEYS\naws_secret_access_key = SKKEYS\n")
    return folder


@pytest.fixture
def sts(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of moto, that is asked for roles."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", s3_server)
    return s3_server


def _found(settings: S3Settings | None = None) -> tuple[str, Credentials]:
    """By what, and which."""
    settings = settings or S3Settings()
    provider, identity = find_access(settings).provider, find_identity(settings, ask=True)
    assert provider is not None
    assert identity is not None
    return identity[0], provider()


def _is_of_a_role(keys: Credentials) -> bool:
    return keys.access_key.startswith("ASIA") and bool(keys.session_token)


def _configured(aws: Path, text: str) -> None:
    (aws / "config").write_text(text)


# Roles


def test_a_role_by_the_keys_of_another_profile(aws: Path, sts: str) -> None:
    _configured(
        aws, f"[profile reader]\nrole_arn = {ROLE}\nsource_profile = keys\nexternal_id = xyz\nregion = eu-west-1\n"
    )
    origin, keys = _found(S3Settings(profile="reader"))
    assert (origin, _is_of_a_role(keys)) == ("boto3 (assume-role)", True)


def test_a_role_by_a_role(aws: Path, sts: str) -> None:
    _configured(
        aws,
        f"[profile first]\nrole_arn = {ROLE}\nsource_profile = keys\n"
        f"[profile second]\nrole_arn = {ROLE}2\nsource_profile = first\n",
    )
    origin, keys = _found(S3Settings(profile="second"))
    assert (origin, _is_of_a_role(keys)) == ("boto3 (assume-role)", True)


def test_a_role_by_the_environments_keys(aws: Path, sts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _configured(aws, f"[profile reader]\nrole_arn = {ROLE}\ncredential_source = Environment\nregion = eu-west-1\n")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SKENV")
    origin, keys = _found(S3Settings(profile="reader"))
    assert (origin, _is_of_a_role(keys)) == ("boto3 (assume-role)", True)


@pytest.mark.parametrize("variable", ["AWS_REGION", "S3_REGION", "AWS_DEFAULT_REGION", None])
def test_a_role_needs_no_other_region_than_the_bucket(
    aws: Path, sts: str, monkeypatch: pytest.MonkeyPatch, variable: str | None
) -> None:
    """boto3 by itself reads none of the first two, and has no region to fall back to."""
    _configured(aws, f"[profile reader]\nrole_arn = {ROLE}\nsource_profile = keys\nsts_regional_endpoints = regional\n")
    if variable:
        monkeypatch.setenv(variable, "eu-west-1")
    assert _is_of_a_role(_found(S3Settings(profile="reader"))[1])


def test_a_role_by_a_web_identity(aws: Path, sts: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on EKS and in the workflows of GitHub."""
    token = tmp_path / "token"
    token.write_text("a-token")
    _configured(aws, f"[profile web]\nrole_arn = {ROLE}\nweb_identity_token_file = {token}\nregion = eu-west-1\n")
    origin, keys = _found(S3Settings(profile="web"))
    assert (origin, _is_of_a_role(keys)) == ("boto3 (assume-role-with-web-identity)", True)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    monkeypatch.setenv("AWS_ROLE_SESSION_NAME", "somebody")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    origin, keys = _found()
    assert (origin, _is_of_a_role(keys)) == ("boto3 (assume-role-with-web-identity)", True)
    token.unlink()
    with pytest.raises(CredentialsError):
        find_access(S3Settings())


def test_the_keys_of_a_role_reach_a_bucket(
    run,
    bucket: str,
    aws: Path,
    sts: str,
    monkeypatch: pytest.MonkeyPatch,  # type: ignore[no-untyped-def]
) -> None:
    _configured(aws, f"[profile reader]\nrole_arn = {ROLE}\nsource_profile = keys\n")
    told = run("doctor", f"s3://{bucket}/x", "--profile", "reader")
    assert told.code == 0, told.out
    assert "from boto3 (assume-role), access key id ..." in told.out


# A tool


def _tool(tmp_path: Path, key: str) -> str:
    """The command line of a program that says keys."""
    answer = {"Version": 1, "AccessKeyId": key, "SecretAccessKey": "SKTOOL", "SessionToken": "ST", "Expiration": SOON}
    script = tmp_path / "tool.py"
    script.write_text(f"print({json.dumps(answer)!r})\n")
    return shlex.join([sys.executable, str(script)])


def test_a_credential_process(aws: Path, tmp_path: Path) -> None:
    _configured(aws, f"[profile tool]\ncredential_process = {_tool(tmp_path, 'AKTOOL')}\n")
    assert _found(S3Settings(profile="tool")) == ("boto3 (custom-process)", Credentials("AKTOOL", "SKTOOL", "ST"))


def test_a_credential_process_counts_for_more_than_keys_in_config_and_for_less_than_those_in_credentials(
    aws: Path, tmp_path: Path
) -> None:
    keys = "aws_access_key_id = AKFILE\naws_secret_access_key = SKFILE\n"
    _configured(aws, f"[profile tool]\ncredential_process = {_tool(tmp_path, 'AKTOOL')}\n{keys}")
    assert _found(S3Settings(profile="tool"))[1].access_key == "AKTOOL"
    (aws / "credentials").write_text(f"[tool]\n{keys}")
    assert _found(S3Settings(profile="tool"))[1].access_key == "AKFILE"


def test_keys_in_the_config_file(aws: Path) -> None:
    _configured(aws, "[profile mine]\naws_access_key_id = AKFILE\naws_secret_access_key = SKFILE\n")
    assert _found(S3Settings(profile="mine")) == ("the profile 'mine'", Credentials("AKFILE", "SKFILE"))


# What is asked over HTTP


class _Giver(http.server.ThreadingHTTPServer):
    """Answers each path with a text, and remembers what was asked: method, path, headers."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Asked)
        self.answers: dict[str, str] = {}
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Asked(http.server.BaseHTTPRequestHandler):
    server: _Giver

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append((self.command, path, {name.lower(): value for name, value in self.headers.items()}))
        answer = self.server.answers.get(path)
        self.send_response(404 if answer is None else 200)
        body = (answer or "").encode()
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_PUT = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def giver() -> Iterator[_Giver]:
    with _Giver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _handed_out(key: str) -> str:
    return json.dumps({
        "Code": "Success", "LastUpdated": "2024-01-01T00:00:00Z", "Type": "AWS-HMAC", "AccessKeyId": key,
        "SecretAccessKey": "SK", "Token": "ST", "Expiration": SOON,
    })  # fmt: skip


@pytest.mark.parametrize("by_file", [False, True])
def test_a_container(giver: _Giver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_file: bool) -> None:
    giver.answers["/keys"] = _handed_out("AKBOX")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{giver.url}/keys")
    if by_file:
        (tmp_path / "token").write_text("let-me-in")
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "token"))
    else:
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "let-me-in")
    assert _found() == ("boto3 (container-role)", Credentials("AKBOX", "SK", "ST"))
    assert {asked[2]["authorization"] for asked in giver.asked} == {"let-me-in"}


def test_an_instance(giver: _Giver, monkeypatch: pytest.MonkeyPatch) -> None:
    """The metadata service of EC2 in its second version: a session's token first, and then with it."""
    role = "/latest/meta-data/iam/security-credentials/"
    giver.answers |= {"/latest/api/token": "SESSION", role: "reader", f"{role}reader": _handed_out("AKINSTANCE")}
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", giver.url)
    assert _found() == ("boto3 (iam-role)", Credentials("AKINSTANCE", "SK", "ST"))
    assert giver.asked[0][:2] == ("PUT", "/latest/api/token")
    assert all(asked[2]["x-aws-ec2-metadata-token"] == "SESSION" for asked in giver.asked if asked[0] == "GET")


@pytest.mark.parametrize("session", ["sso_session = corporate", "sso_start_url = https://sso.example/start"])
def test_single_sign_on(aws: Path, giver: _Giver, session: str) -> None:
    """With what `aws sso login` leaves behind. In a process of its own: boto3 looks for ~ when it is imported."""
    _configured(
        aws,
        f"[profile people]\n{session}\nsso_region = eu-west-1\nsso_account_id = 123456789012\nsso_role_name = reader\n"
        "[sso-session corporate]\nsso_region = eu-west-1\nsso_start_url = https://sso.example/start\n",
    )
    giver.answers["/federation/credentials"] = json.dumps(
        {"roleCredentials": {"accessKeyId": "AKSSO", "secretAccessKey": "SK", "sessionToken": "ST",
                             "expiration": int((datetime.now(UTC) + timedelta(hours=1)).timestamp() * 1000)}}
    )  # fmt: skip
    cache = aws / "sso" / "cache"
    code = (
        "from visprep.credentials import find_identity; from visprep.settings import S3Settings\n"
        "from visprep.errors import CredentialsError\n"
        "try: print(*find_identity(S3Settings(profile='people'), ask=True))\n"
        "except CredentialsError as error: print(error.hint)\n"
    )
    environment = {"HOME": str(aws.parent), "AWS_ENDPOINT_URL_SSO": giver.url, "PYTHONPATH": ":".join(sys.path)}

    def ask() -> str:
        command = [sys.executable, "-c", code]
        return subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout

    assert ask() == "run `aws sso login --profile people`\n"
    cache.mkdir(parents=True)
    key = "corporate" if "corporate" in session else "https://sso.example/start"
    token = {"startUrl": "https://sso.example/start", "region": "eu-west-1", "accessToken": "TOKEN", "expiresAt": SOON}
    (cache / f"{hashlib.sha1(key.encode()).hexdigest()}.json").write_text(json.dumps(token))
    assert ask() == "boto3 (sso) KSSO\n"
    assert giver.asked[-1][2]["x-amz-sso_bearer_token"] == "TOKEN"


# The order


def test_the_order(aws: Path, giver: _Giver, sts: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From what counts least to what counts most; each one is found before those that came before it."""
    role = "/latest/meta-data/iam/security-credentials/"
    giver.answers |= {"/latest/api/token": "S", role: "r", f"{role}r": _handed_out("AK"), "/keys": _handed_out("AK")}
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", giver.url)
    assert _found()[0] == "boto3 (iam-role)"
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{giver.url}/keys")
    assert _found()[0] == "boto3 (container-role)"
    config = "[default]\naws_access_key_id = AKFILE\naws_secret_access_key = SKFILE\n"
    _configured(aws, config)
    assert _found()[0] == "the profile 'default'"
    config += f"credential_process = {_tool(tmp_path, 'AKTOOL')}\n"
    _configured(aws, config)
    assert _found()[0] == "boto3 (custom-process)"
    with (aws / "credentials").open("a") as file:
        file.write("[default]\naws_access_key_id = AKSHARED\naws_secret_access_key = SKSHARED\n")
    assert _found()[1].access_key == "AKSHARED"
    (tmp_path / "token").write_text("a-token")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    assert _found()[0] == "boto3 (assume-role-with-web-identity)"
    _configured(aws, f"{config}role_arn = {ROLE}\nsource_profile = keys\n")
    assert _found()[0] == "boto3 (assume-role)"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SKENV")
    assert _found()[0] == "the environment"
    assert _found(S3Settings(profile="keys"))[0] == "the profile 'keys'"
    assert _found(S3Settings(access_key="AK", secret_key="SK"))[0] == "the settings"
