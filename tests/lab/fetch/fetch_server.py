"""A server on this machine for the tests of ``qgc.lab.fetch.fetch``: serves bytes from memory, well or badly."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BLOCK = 2**14
UNSAID = -1  # a length that is not announced


@dataclass
class File:
    """What is served under one path, and how.

    ``cut``: how many bytes each answer sends before it breaks off, one number per answer; ``stall``: instead of
    breaking off it sends nothing more. ``status``: the answers' status, one per answer, then 200. ``length``: what
    is announced, if not the truth. ``pause``: seconds between two blocks.
    """

    body: bytes
    ranges: bool = True
    tag: str | None = None
    cut: list[int] = field(default_factory=list)
    stall: bool = False
    status: list[int] = field(default_factory=list)
    length: int | None = None
    kind: str = "application/octet-stream"
    pause: float = 0.0

    def etag(self) -> str:
        """The version of the body, or what the test says."""
        return f'"{hashlib.md5(self.body).hexdigest()}"' if self.tag is None else self.tag

    def first_byte(self, span: str, version: str) -> int | None:
        """Where the part asked for begins; None where the whole is sent: no range, or of another version."""
        asked = re.fullmatch(r"bytes=(\d+)-", span)
        return int(asked[1]) if asked and self.ranges and version in ("", self.etag()) else None


class Server:
    """``files``: path to ``File``; ``asked``: the requests so far, as (path, Range, If-Range)."""

    def __init__(self):
        self.files: dict[str, File] = {}
        self.asked: list[tuple[str, str, str]] = []
        self.closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"served": self}))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def address(self, name: str) -> str:
        """Where ``name`` is served."""
        return f"http://127.0.0.1:{self._server.server_port}/{name}"

    def close(self) -> None:
        """Stop; answers that stall end."""
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    served: Server  # http.server makes a handler for each request, and hands it nothing of ours
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        name = self.path.lstrip("/")
        span, version = self.headers.get("Range", ""), self.headers.get("If-Range", "")
        self.served.asked.append((name, span, version))
        file = self.served.files.get(name)
        status = 404 if file is None else file.status.pop(0) if file.status else 200
        if status == 200:
            self._send(file, span, version)
        else:
            self._refuse(status)

    def _refuse(self, status: int):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, file: File, span: str, version: str):
        first, body = file.first_byte(span, version), file.body
        if first is not None and first >= len(body):
            self._refuse(416)
            return
        self.send_response(200 if first is None else 206)
        if first is not None:
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        first = first or 0
        self.send_header("Content-Type", file.kind)
        if file.length != UNSAID:
            self.send_header("Content-Length", str(len(body) - first if file.length is None else file.length))
        if file.etag():
            self.send_header("ETag", file.etag())
        self.end_headers()
        # The headers have promised the whole; what is cut off here breaks that promise, as a lost line does.
        stop = min(first + file.cut.pop(0), len(body)) if file.cut else len(body)
        for start in range(first, stop, BLOCK):
            self.wfile.write(body[start : min(start + BLOCK, stop)])
            time.sleep(file.pause)
        if stop < len(body) or file.length == UNSAID:
            if file.stall:
                self.served.closing.wait(20)
            self.close_connection = True

    def handle(self):
        with suppress(ConnectionError):  # the client was killed
            super().handle()
