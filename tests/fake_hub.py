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
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from huggingface_hub import constants

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_a_secret_that_nobody_may_see"

ROUTE = re.compile(
    r"/(?:api/(?P<api_kind>models|datasets)/(?P<api_id>[^/]+/[^/]+)(?P<rest>/.*)?"
    r"|(?P<prefix>datasets/)?(?P<id>[^/]+/[^/]+)/resolve/(?P<commit>[^/]+)/(?P<path>.+))"
)


@dataclass
class Fault:
    """What the next matching requests get instead of an answer.

    Attributes:
        path: a part of the request's path.
        status: HTTP status; 0 closes the connection without an answer.
        times: how many requests.
        headers: of the answer.
        after: bytes of the body to send before the connection breaks (with status 200).
        stalls: whether the connection stays open then, and brings nothing more.
        method: the requests that it is about.
    """

    path: str
    status: int
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)
    after: int | None = None
    stalls: bool = False
    method: str = "GET"


@dataclass
class FakeHub:
    """The repositories `kind:id` -> {path: bytes}, and what was asked of them."""

    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    url: str = ""
    cdn: str = ""
    ranges: bool = True
    closing: threading.Event = field(default_factory=threading.Event)

    def asked(self, part: str, method: str = "GET") -> list[dict[str, str]]:
        """The headers of the requests whose address has `part` in it."""
        return [head for verb, url, head in self.requests if verb == method and part in url]


def is_large(path: str) -> bool:
    """Whether the hub would keep a file in LFS."""
    return path.endswith((".parquet", ".safetensors", ".bin"))


def blob_name(path: str, content: bytes) -> str:
    """What the hub, and its cache, knows a file's content by."""
    if is_large(path):
        return sha256(content).hexdigest()
    return sha1(b"blob %d\0" % len(content) + content).hexdigest()


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
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield hub


@contextmanager
def running(hub: FakeHub) -> Iterator[FakeHub]:
    """Serve `hub`, and the large files from another address, as the real one does."""
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub)) for _ in range(2)]
    hub.url, hub.cdn = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    for server in servers:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield hub
    finally:
        hub.closing.set()
        for server in servers:
            server.shutdown()
            server.server_close()


def _handler(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_HEAD(self) -> None:
            self._do("HEAD")

        def do_GET(self) -> None:
            self._do("GET")

        def _do(self, method: str) -> None:
            path = unquote(urlsplit(self.path).path)
            if not path.startswith("/cdn/") and not ROUTE.fullmatch(path):
                self._send(method, 404, b"{}", {})  # what the library asks for its own purposes
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            hub.requests.append((method, path, headers))
            fault = next(
                (f for f in hub.faults if f.method == method and f.path in path and f.times), None
            )
            if fault is not None:
                fault.times -= 1
                if fault.status == 0:
                    self.close_connection = True
                    return
                if fault.status != 200:
                    self._send(method, fault.status, b"{}", fault.headers)
                    return
            broken = None if fault is None else fault.after
            self._answer(method, path, broken)
            if fault is not None and fault.stalls:
                hub.closing.wait(60)

        def _answer(self, method: str, path: str, broken: int | None) -> None:
            if path.startswith("/cdn/"):
                key, _, name = path.removeprefix("/cdn/").partition("//")
                self._content(method, hub.files[key][name], {}, broken)
                return
            match = ROUTE.fullmatch(path)
            assert match, path
            if match["api_kind"]:
                kind, repo_id, rest = match["api_kind"], match["api_id"], match["rest"] or ""
                commit = rest.split("/")[2] if rest else COMMIT
            else:
                kind, repo_id = "datasets" if match["prefix"] else "models", match["id"]
                commit, rest = match["commit"], "file"
            key = f"{kind}:{repo_id}"
            if key not in hub.files:
                self._send(method, 404, b"{}", {"X-Error-Code": "RepoNotFound"})
            elif commit not in (COMMIT, "main"):
                self._send(method, 404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            elif rest == "file":
                self._file(method, key, match["path"], broken)
            elif rest.startswith("/tree/"):
                self._json(method, [_in_tree(*item) for item in hub.files[key].items()])
            else:
                siblings = [_sibling(*item) for item in hub.files[key].items()]
                self._json(method, {"id": repo_id, "sha": COMMIT, "siblings": siblings})

        def _file(self, method: str, key: str, path: str, broken: int | None) -> None:
            content = hub.files[key].get(path)
            if content is None:
                self._send(method, 404, b"{}", {"X-Error-Code": "EntryNotFound"})
                return
            headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{blob_name(path, content)}"'}
            if not is_large(path):
                self._content(method, content, headers, broken)
                return
            headers |= {
                "X-Linked-Etag": f'"{blob_name(path, content)}"',
                "X-Linked-Size": str(len(content)),
                "Location": f"{hub.cdn}/cdn/{key}//{path}?Signature=of-the-address",
            }
            self._send(method, 302, b"", headers)

        def _content(
            self, method: str, content: bytes, headers: dict[str, str], broken: int | None
        ) -> None:
            status, start = 200, 0
            if hub.ranges and (asked := self.headers.get("Range")):
                status, start = 206, int(asked.removeprefix("bytes=").removesuffix("-"))
                span = f"bytes {start}-{len(content) - 1}/{len(content)}"
                headers = headers | {"Content-Range": span}
            self._send(method, status, content[start:], headers, broken)

        def _json(self, method: str, value: Any) -> None:
            kind = {"Content-Type": "application/json"}
            self._send(method, 200, json.dumps(value).encode(), kind)

        def _send(
            self,
            method: str,
            status: int,
            body: bytes,
            headers: dict[str, str],
            broken: int | None = None,
        ) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if method == "GET":
                self.wfile.write(body[:broken])
            if broken is not None:
                self.close_connection = True

    return Handler


def _sibling(path: str, content: bytes) -> dict[str, Any]:
    entry = {"rfilename": path, "size": len(content), "blobId": "0" * 40}
    if is_large(path):
        large = {"sha256": blob_name(path, content), "size": len(content), "pointerSize": 130}
        entry["lfs"] = large
    return entry


def _in_tree(path: str, content: bytes) -> dict[str, Any]:
    entry = {"type": "file", "path": path, "size": len(content), "oid": "0" * 40}
    if is_large(path):
        entry["lfs"] = {"oid": blob_name(path, content), "size": len(content), "pointerSize": 130}
    return entry
