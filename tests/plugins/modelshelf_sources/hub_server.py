"""A Hub of one repository on the loopback interface, as far as huggingface_hub's downloads ask of it."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from tests.plugins.modelshelf_sources.stores import blob_name, is_lfs, sha256

STALLED = "stalled.gguf"
"""A file of which half comes, and then nothing until the server ends."""


class Hub(ThreadingHTTPServer):
    """Serves one repository's files.

    Args:
        repository: ``org/name``.
        commit: The commit that every ref leads to.
        files: Contents by path.
    """

    def __init__(self, repository: str, commit: str, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repository, self.commit, self.files = repository, commit, files
        self.ending = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """Answers what huggingface_hub asks: files, the commit of a ref, the tree of a commit."""

    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *_: object) -> None:
        """Nothing: the tests' output is theirs."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        hub = self.server
        path = unquote(urlsplit(self.path).path)
        api, files = f"/api/models/{hub.repository}/", f"/{hub.repository}/resolve/"
        if path.startswith(files):
            self._file(path.removeprefix(files).partition("/")[2], body=body)
        elif path.startswith(f"{api}revision/"):
            siblings = [{"rfilename": name} for name in hub.files]
            self._json({"id": hub.repository, "sha": hub.commit, "siblings": siblings})
        elif path.startswith(f"{api}tree/"):
            self._json([entry(name, content) for name, content in sorted(hub.files.items())])
        else:
            self._send(404, b"")

    def _file(self, name: str, *, body: bool) -> None:
        commit = {"X-Repo-Commit": self.server.commit}
        content = self.server.files.get(name)
        if content is None:
            self._send(404, b"", {**commit, "X-Error-Code": "EntryNotFound"})
            return
        tag = f'"{blob_name(name, content)}"'
        headers = {**commit, "ETag": tag, "X-Linked-Size": str(len(content))}
        if is_lfs(name):
            headers["X-Linked-ETag"] = tag
        self._send(200, content, headers, body=body, stall=name == STALLED)

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(
        self,
        status: int,
        content: bytes,
        headers: dict[str, str] | None = None,
        *,
        body: bool = True,
        stall: bool = False,
    ) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content[: len(content) // 2] if stall else content)
        if body and stall:
            self.wfile.flush()
            self.server.ending.wait()
            self.close_connection = True


@contextlib.contextmanager
def serve(repository: str, commit: str, files: dict[str, bytes]) -> Iterator[str]:
    """Serve a repository; gives the address."""
    with Hub(repository, commit, files) as hub:
        thread = threading.Thread(target=hub.serve_forever)
        thread.start()
        try:
            yield hub.address
        finally:
            hub.ending.set()
            hub.shutdown()
            thread.join()


def entry(name: str, content: bytes) -> dict[str, object]:
    """A file as the Hub's tree tells of it."""
    entry: dict[str, object] = {"type": "file", "path": name, "size": len(content), "oid": "0" * 40}
    if is_lfs(name):
        entry["lfs"] = {"oid": sha256(content), "size": len(content), "pointerSize": 130}
    return entry
