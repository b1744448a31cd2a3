"""A hub on this machine: the Hugging Face routes for datasets, to read them and to upload to them.

It answers what huggingface_hub asks: the repository, its tree in pages, its files; what takes uploads is in
`hub_uploads`. Files in LFS are redirected to another origin (localhost in place of 127.0.0.1) by a signed link, which
refuses to see a token. To point the real library here, pass `endpoint=hub.url`, or set HF_ENDPOINT before the library
is imported.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from visprep.testing.blobs import Blob
from visprep.testing.hub_uploads import Refused, Uploads
from visprep.testing.repositories import Commit, Entry, Repository
from visprep.testing.serving import LocalServer

#: One route a line: methods, pattern of the raw path, name of the method of `HubHandler` that answers.
_ROUTES = [
    (("GET", "HEAD"), re.compile(r"/cdn/([0-9a-f]{64})"), "link"),
    (("GET",), re.compile(r"/api/whoami-v2"), "whoami"),
    (("GET", "HEAD"), re.compile(r"/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.+)"), "resolve"),
    (("GET",), re.compile(r"/api/datasets/([^/]+/[^/]+)"), "info"),
    (("GET",), re.compile(r"/api/datasets/([^/]+/[^/]+)/revision/([^/]+)"), "info"),
    (("GET",), re.compile(r"/api/datasets/([^/]+/[^/]+)/tree/([^/]+)(?:/(.*))?"), "tree"),
    (("POST",), re.compile(r"/api/datasets/([^/]+/[^/]+)/paths-info/([^/]+)"), "paths_info"),
    (("GET",), re.compile(r"/api/datasets/([^/]+/[^/]+)/refs"), "refs"),
    (("GET",), re.compile(r"/api/datasets/([^/]+/[^/]+)/commits/([^/]+)"), "commits"),
    (("POST",), re.compile(r"/api/validate-yaml"), "validate_yaml"),
    (("POST",), re.compile(r"/api/repos/create"), "create"),
    (("POST",), re.compile(r"/api/datasets/([^/]+/[^/]+)/preupload/([^/]+)"), "preupload"),
    (("POST",), re.compile(r"/datasets/([^/]+/[^/]+)\.git/info/lfs/objects/batch"), "batch"),
    (("PUT",), re.compile(r"/cdn/([0-9a-f]{64})"), "put"),
    (("POST",), re.compile(r"/api/datasets/([^/]+/[^/]+)/commit/([^/]+)"), "take_commit"),
]


class HubHandler(Uploads):
    """Answers one request to the hub."""

    def respond(self) -> None:
        """Find the route and follow it."""
        url = urlsplit(self.entry.path)
        self.query = parse_qs(url.query)
        self.body = b"".join(self.upload())
        form = self.headers.get("Content-Type", "") == "application/x-www-form-urlencoded"
        self.form = parse_qs(self.body.decode()) if form else {}
        try:
            for methods, pattern, name in _ROUTES:
                if (found := pattern.fullmatch(url.path)) and self.command in methods:
                    act: Callable[..., None] = getattr(self, f"_{name}")
                    act(*(unquote(part or "") for part in found.groups()))
                    return
            raise Refused(404, f"no such route: {self.command} {url.path}")
        except Refused as refused:
            headers = {"X_Error_Message": refused.message} | ({"X_Error_Code": refused.code} if refused.code else {})
            self.answer(refused.status, {"error": refused.message}, **headers)

    @property
    def _token(self) -> str | None:
        """The token that came along; one that the hub does not know is refused everywhere."""
        token = self.headers.get("Authorization", "").removeprefix("Bearer ") or None
        if token is not None and token not in self.owner.tokens:
            raise Refused(401, "Invalid credentials in Authorization header")
        return token

    def _repository(self, name: str) -> Repository:
        token, repository = self._token, self.owner.repositories.get(name)
        if repository is None or (repository.private and token not in repository.readers):
            # As on the real hub: who may not know of it learns nothing, and the anonymous are asked for a name first
            raise Refused(404 if token else 401, "Repository not found", "RepoNotFound")
        return repository

    def _commit(self, repository: Repository, revision: str) -> Commit:
        commit = repository.at(revision or "main")
        if commit is None:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit

    def _link(self, digest: str) -> None:
        if self.entry.had_token:
            raise Refused(400, "the token was sent to the CDN")
        blob = self.owner.linked.get(digest)
        if blob is None or self.query.get("Signature") != [self.owner.signature(digest)]:
            raise Refused(403, "Access Denied")
        self.send_blob(blob, {"ETag": f'"{digest}"'})

    def _whoami(self) -> None:
        if not self._token:
            raise Refused(401, "Invalid username or password.")
        self.answer(200, {"type": "user", "id": "0" * 24, "name": "tester", "fullname": "A Tester", "orgs": []})

    def _resolve(self, name: str, revision: str, path: str) -> None:
        repository = self._repository(name)
        token = self._token
        if repository.gated and token not in repository.readers:
            message = f"Access to dataset {name} is restricted."
            raise Refused(403 if token else 401, message, "GatedRepo")
        commit = self._commit(repository, revision)
        entry = commit.files.get(path)
        if entry is None:
            self.answer(404, b"Entry not found", X_Error_Code="EntryNotFound", X_Repo_Commit=commit.id)
        elif entry.lfs:
            self._redirect(commit, entry)
        else:
            self.send_blob(entry.blob, {"X-Repo-Commit": commit.id, "ETag": f'"{entry.oid}"'})

    def _redirect(self, commit: Commit, entry: Entry) -> None:
        self.answer(
            302,
            X_Repo_Commit=commit.id,
            X_Linked_Etag=f'"{entry.blob.sha256}"',
            X_Linked_Size=str(entry.blob.size),
            ETag=f'"{entry.blob.sha256}"',
            Location=self.owner.link(entry.blob),
        )

    def _info(self, name: str, revision: str = "") -> None:
        repository = self._repository(name)
        self.answer(200, repository.info(self._commit(repository, revision), "blobs" in self.query))

    def _tree(self, name: str, revision: str, folder: str) -> None:
        commit = self._commit(self._repository(name), revision)
        folder = folder.strip("/")
        if folder and folder not in commit.folders:
            raise Refused(404, f"{folder} does not exist on {revision}", "EntryNotFound")
        entries = list(commit.tree(folder, self._flag("recursive")))
        start = int(self.query.get("cursor", ["0"])[0])
        stop = start + min(self.owner.page, int(self.query.get("limit", [str(self.owner.page)])[0]))
        more = {"Link": f'<{self._page(stop)}>; rel="next"'} if stop < len(entries) else {}
        self.answer(200, self._expanded(commit, entries[start:stop]), **more)

    def _page(self, cursor: int) -> str:
        url = urlsplit(self.entry.path)
        rest = "&".join(part for part in url.query.split("&") if part and not part.startswith("cursor="))
        return f"{self.owner.url}{url.path}?{rest + '&' if rest else ''}cursor={cursor}"

    def _flag(self, name: str) -> bool:
        return (self.query | self.form).get(name, [""])[0].lower() in ("true", "1")

    def _expanded(self, commit: Commit, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if not self._flag("expand"):
            return entries
        last = {key: value for key, value in commit.described().items() if key in ("id", "title", "date")}
        return [entry | {"lastCommit": last} for entry in entries]

    def _paths_info(self, name: str, revision: str) -> None:
        commit = self._commit(self._repository(name), revision)
        entries: list[dict[str, Any]] = []
        for path in (asked.strip("/") for asked in self.form.get("paths", [])):
            if path in commit.files:
                entries.append(commit.files[path].described())
            elif path in commit.folders:
                entries.append(commit.folder(path))
        self.answer(200, self._expanded(commit, entries))

    def _refs(self, name: str) -> None:
        self.answer(200, self._repository(name).refs())

    def _commits(self, name: str, revision: str) -> None:
        repository = self._repository(name)
        self._commit(repository, revision)
        self.answer(200, [commit.described() for commit in reversed(repository.commits.values())])


class LocalHub(LocalServer):
    """The hub. `tokens` are the accounts it knows; `page` is the number of entries in one page of a tree."""

    handler = HubHandler

    def __init__(self, tokens: Iterable[str] = (), page: int = 1000) -> None:
        super().__init__()
        self.tokens = frozenset(tokens)
        self.page = page
        self.repositories: dict[str, Repository] = {}
        self.linked: dict[str, Blob] = {}
        self._secret = secrets.token_bytes(16)

    def add(
        self, name: str, private: bool = False, gated: bool = False, readers: Iterable[str] | None = None
    ) -> Repository:
        """A new, empty repository `org/name`.

        Private: nobody else knows that it is there. Gated: everybody sees its file list, but not its files.
        `readers` are the tokens that may read it all the same; without it, all tokens of the hub.
        """
        repository = Repository(name, private, gated, self.tokens if readers is None else readers)
        self.repositories[name] = repository
        return repository

    def link(self, blob: Blob) -> str:
        """A signed link to the bytes of an LFS file, at the other origin."""
        self.linked[blob.sha256] = blob
        return f"{self.other_origin}/cdn/{blob.sha256}?Signature={quote(self.signature(blob.sha256))}"

    def upload_link(self, digest: str) -> str:
        """A signed link to put the bytes of an LFS file to, at the other origin."""
        return f"{self.other_origin}/cdn/{digest}?Signature={quote(self.signature(f'PUT {digest}'))}"

    def signature(self, digest: str) -> str:
        """What a link to that content must carry."""
        return hmac.new(self._secret, digest.encode(), hashlib.sha256).hexdigest()[:32]
