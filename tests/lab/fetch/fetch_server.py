"""A server on this machine for the tests of ``qgc.lab.fetch.fetch``: serves bytes from memory, well or badly."""

from __future__ import annotations

import hashlib
import re
import threading
import time
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


class Server:
    """``files``: path to ``File``; ``asked``: the requests so far, as (path, Range, If-Range)."""

    def __init__(self):
        self.files: dict[str, File] = {}
        self.asked: list[tuple[str, str, str]] = []
        self.closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
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

    def _handler(self):
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                name = self.path.lstrip("/")
                span, version = self.headers.get("Range", ""), self.headers.get("If-Range", "")
                server.asked.append((name, span, version))
                file = server.files.get(name)
                status = 404 if file is None else file.status.pop(0) if file.status else 200
                if status != 200:
                    self.send_response(status)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self._send(file, span, version)

            def _send(self, file: File, span: str, version: str):
                first, body = 0, file.body
                asked = re.fullmatch(r"bytes=(\d+)-", span)
                if asked and file.ranges and version in ("", file.etag()):
                    first = int(asked[1])
                    if first >= len(body):
                        self.send_response(416)
                        self.send_header("Content-Length", "0")
                        self.end_headers()
                        return
                    self.send_response(206)
                    self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
                else:
                    self.send_response(200)
                self.send_header("Content-Type", file.kind)
                if file.length != UNSAID:
                    self.send_header("Content-Length", str(len(body) - first if file.length is None else file.length))
                if file.etag():
                    self.send_header("ETag", file.etag())
                self.end_headers()
                stop = min(first + file.cut.pop(0), len(body)) if file.cut else len(body)
                for start in range(first, stop, BLOCK):
                    self.wfile.write(body[start : min(start + BLOCK, stop)])
                    time.sleep(file.pause)
                if stop < len(body) or file.length == UNSAID:
                    if file.stall:
                        server.closing.wait(20)
                    self.close_connection = True

            def handle(self):
                try:
                    super().handle()
                except ConnectionError:  # the client was killed
                    pass

        return Handler
