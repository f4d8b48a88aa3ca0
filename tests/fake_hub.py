"""A stand-in for the Hugging Face hub on this machine: repositories in memory, faults on demand."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from huggingface_hub import constants

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_a_secret_that_nobody_may_see"
LARGE = (".parquet", ".safetensors", ".bin")  # in LFS, and served from an address that is signed
ROUTE = re.compile(
    r"/(?:api/(?P<kind>model|dataset)s/(?P<id>[^/]+/[^/]+?)(?:/(?P<list>tree|revision)/(?P<at>[^/]+))?"
    r"|(?P<data>datasets/)?(?P<of>[^/]+/[^/]+)/resolve/(?P<commit>[^/]+)/(?P<path>.+))"
)
Answer = tuple[int, bytes, dict[str, str]]


@dataclass
class Fault:
    """What the next GET requests get that have `path` in their address."""

    path: str
    status: int = 0  # without one, the connection breaks in the middle of the right answer
    code: str = ""  # the hub's
    times: int = 1


@dataclass
class FakeHub:
    """The repositories `models:owner/name` or `datasets:…` -> {path: bytes}, and what was asked."""

    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    hashes: dict[str, str] = field(default_factory=dict)  # path -> a hash that is not the content's
    url: str = ""

    def asked(self, part: str) -> list[dict[str, str]]:
        """The headers of the GET requests whose address has `part` in it."""
        return [head for verb, url, head in self.requests if verb == "GET" and part in url]

    def answer(self, path: str) -> Answer:
        if path.startswith("/cdn/"):
            key, _, name = path.removeprefix("/cdn/").partition("//")
            return 200, self.files[key][name], {}
        match = ROUTE.fullmatch(path)
        if match is None:
            return 404, b"{}", {}
        kind = match["kind"] or ("dataset" if match["data"] else "model")
        key = f"{kind}s:{match['id'] or match['of']}"
        if key not in self.files:
            return 404, b"{}", {"X-Error-Code": "RepoNotFound"}
        if (match["at"] or match["commit"]) not in (None, "main", COMMIT):
            return 404, b"{}", {"X-Error-Code": "RevisionNotFound"}
        if match["path"]:
            return self._file(key, match["path"])
        listing = [
            {"type": "file", "path": name, "size": len(content), "oid": "0" * 40}
            for name, content in self.files[key].items()
        ]
        about = {"id": match["id"], "sha": COMMIT}
        return 200, json.dumps(listing if match["list"] == "tree" else about).encode(), {}

    def _file(self, key: str, path: str) -> Answer:
        content = self.files[key].get(path)
        if content is None:
            return 404, b"{}", {"X-Error-Code": "EntryNotFound"}
        large = path.endswith(LARGE)
        git = sha1(b"blob %d\0" % len(content) + content).hexdigest()
        name = self.hashes.get(path, sha256(content).hexdigest() if large else git)
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{name}"'}
        if not large:
            return 200, content, headers
        headers |= {"X-Linked-Etag": f'"{name}"', "X-Linked-Size": str(len(content))}
        cdn = self.url.replace("127.0.0.1", "localhost")  # another host, as of the real hub
        return 302, b"", headers | {"Location": f"{cdn}/cdn/{key}//{path}?Signature=secret"}


@contextmanager
def in_place_of_the_hub(
    hub: FakeHub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FakeHub]:
    """Serve `hub` to huggingface_hub in this process, whose cache and token are ours."""
    with running(hub):
        resolve = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", resolve)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr("time.sleep", lambda seconds: None)  # between the library's attempts
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield hub


@contextmanager
def running(hub: FakeHub) -> Iterator[FakeHub]:
    """Serve `hub` at an address of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            if path.startswith("/cdn/") or ROUTE.fullmatch(path):  # else the library's own affairs
                head = {name.lower(): value for name, value in self.headers.items()}
                hub.requests.append((self.command, path, head))
            status, body, headers = hub.answer(path)
            matching = (f for f in hub.faults if f.times and f.path in path)
            fault = next(matching, None) if self.command == "GET" else None
            if fault is not None:
                fault.times -= 1
                if fault.status:
                    status, body, headers = fault.status, b"{}", {"X-Error-Code": fault.code}
            if status == 200 and (span := self.headers.get("Range")):
                start = int(span.removeprefix("bytes=").removesuffix("-"))
                headers |= {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}
                status, body = 206, body[start:]
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            broken = fault is not None and not fault.status
            if self.command == "GET":
                self.wfile.write(body[: len(body) // 2] if broken else body)
            self.close_connection = self.close_connection or broken

        do_HEAD = do_GET

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
