"""One file over HTTP into a part beside its place: resumed by ranges, never spliced from two versions.

``requests`` and not urllib: it brings certificates of its own (Python on a Mac has none until asked), takes the usual
proxies, and checks that a body is as long as announced. ``pooch`` and PyTorch's own loader begin again from zero when a
line breaks off, which 13 GB of photographs never survive: that is why resuming is written here.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import requests
import urllib3
from tqdm import tqdm

from ...data.schema import SchemaError, parsed, read_json
from ...errors import DataError, FetchError
from ...files import atomic_write
from .sources import format_bytes

CHUNK = 2**16  # a stall loses less than this
SPARE = 100 * 10**6  # bytes of the disk that are left alone
BAR = {"unit": "B", "unit_scale": True, "mininterval": 1, "leave": False}
BROKEN = (requests.RequestException, urllib3.exceptions.HTTPError)


@dataclass(frozen=True)
class RetryPolicy:
    """How long a server is waited for: seconds to connect and without a byte, tries without progress, first pause."""

    connect: float = 20
    stall: float = 60
    tries: int = 6
    pause: float = 1


class NotFound(FetchError):
    """The server, or the file on it, is not there (any more); trying again soon will not help."""


class Unreachable(NotFound):
    """No server answers under that name."""


@dataclass(frozen=True)
class _State:
    """What a part is a part of; written before its first byte."""

    address: str
    validator: str = ""
    total: int | None = None  # of bytes


def download(
    addresses: tuple[str, ...],
    part: Path,
    size: int | None = None,
    checked: bool = False,
    retry: RetryPolicy | None = None,
    label: str = "",
    stop: Event | None = None,
) -> None:
    """Bring the file of the first address that has it to ``part``, resuming where an earlier run was cut off.

    ``size``: its published length in bytes; ``checked``: the caller knows a checksum, so that a part may be resumed
    even where the server names no version, and that the file may come over plain http; ``label`` stands before
    the progress bar, and there is none without it; once ``stop`` is set, nothing more is asked for. Afterwards
    ``origin`` tells which address it came from. Raises ``FetchError`` that says what each address answered; what has
    arrived stays for the next run, unless the server's file is another one now.
    """
    started = _state(part)
    ordered = sorted(addresses, key=lambda address: started is None or address != started.address)
    if not checked:  # anybody on the way can change what comes over plain http
        ordered.sort(key=lambda address: address.startswith("http:"))
    errors: dict[str, FetchError] = {}
    for address in ordered:
        try:
            _Download(address, part, size, checked, retry or RetryPolicy(), label, stop or Event()).run()
            return
        except FetchError as error:
            errors[address] = error
            if _length(part) and not isinstance(error, NotFound):
                break  # another address would begin from nothing; the next run resumes here
    kinds = (Unreachable, NotFound, FetchError)
    kind = next(kind for kind in kinds if all(isinstance(error, kind) for error in errors.values()))
    raise kind("\n  ".join(f"{address}: {error}" for address, error in errors.items()))


class _Download:
    def __init__(
        self,
        address: str,
        part: Path,
        size: int | None,
        checked: bool,
        retry: RetryPolicy,
        label: str,
        stop: Event,
    ):
        self.address, self.part, self.size, self.checked = address, part, size, checked
        self.retry, self.label, self.stop = retry, label, stop

    def run(self) -> None:
        """Request again after every break, until the part is whole or nothing has come for ``retry.tries`` times."""
        failures = 0
        while not self.stop.is_set():
            before, wait = _length(self.part), 0.0
            try:
                if self._request():
                    return
                reason = "the connection broke off"
            except RetryLater as later:
                reason, wait = str(later), later.wait
            except BROKEN as error:
                reason = _reason(error, self.retry)
                if not _length(self.part) and _unreachable(error) and failures >= 1:
                    raise Unreachable(reason) from error
            failures = 0 if _length(self.part) > before else failures + 1
            if failures >= self.retry.tries:
                raise FetchError(f"{reason}, {failures} times in a row. Run the same command again to resume.")
            self.stop.wait(max(wait, self.retry.pause * 2**failures / 2))
        raise FetchError("stopped")

    def _request(self) -> bool:
        """One request; whether the part is whole after it."""
        state, have = _state(self.part), _length(self.part)
        if have and (state is None or state.address != self.address or not (state.validator or self.checked)):
            have = 0
        if have and have == state.total:
            return True
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if state.validator:
                headers["If-Range"] = state.validator
        waits = (self.retry.connect, self.retry.stall)
        with requests.get(self.address, headers=headers, stream=True, timeout=waits) as answer:
            if self.address.startswith("https:") and answer.url.startswith("http:") and not self.checked:
                raise NotFound("leads from https to plain http, and no checksum is known")
            if answer.status_code == 206 and have and _fits(answer, state, have):
                return self._save(answer, state.total, have)
            if answer.status_code in (206, 416):  # a range that is not the one asked for, or of another file
                forget(self.part)
                return False
            _raise_for(answer)
            return self._save(answer, self._begin(answer), 0)

    def _begin(self, answer) -> int | None:
        """Start the part again: the server sends the whole file. Returns its length, or None if it does not say."""
        total = answer.headers.get("Content-Length", "")
        total = int(total) if total.isdecimal() else None
        kind = answer.headers.get("Content-Type", "")
        if kind.startswith("text/html"):
            raise NotFound("answers with a web page instead of the file (a login page, or the file has moved)")
        if self.size is not None and total is not None and total != self.size:
            raise FetchError(f"announces {total} bytes where {self.size} were published: it is another file now")
        chunked = "chunked" in answer.headers.get("Transfer-Encoding", "")
        if total is None and self.size is None and not chunked and not self.checked:
            raise FetchError("does not say how long the file is, so nobody could tell whether it arrived whole")
        forget(self.part)
        need_space(self.part.parent, total or self.size or 0)
        state = _State(self.address, _validator(answer), total if total is not None else self.size)
        atomic_write(_state_path(self.part), lambda p: p.write_text(json.dumps(state.__dict__), encoding="utf-8"))
        return state.total

    def _save(self, answer, total: int | None, have: int) -> bool:
        bar = tqdm(total=total, initial=have, desc=self.label, disable=not self.label, **BAR)
        most = shutil.disk_usage(self.part.parent).free - SPARE if total is None else total
        with bar, open(self.part, "ab") as file:
            for chunk in answer.raw.stream(CHUNK, decode_content=False):
                have += len(chunk)
                if have > most:
                    raise FetchError(
                        f"sends more than {most} bytes, which is all that was announced or fits on the disk"
                    )
                file.write(chunk)
                bar.update(len(chunk))
        return total is None or have == total


class RetryLater(Exception):
    """The server is busy; ``wait`` is how many seconds it asks to be left alone."""

    def __init__(self, reason: str, wait: float):
        super().__init__(reason)
        self.wait = wait


def _raise_for(answer) -> None:
    status = answer.status_code
    if status == 200:
        return
    if status in (404, 410):
        raise NotFound(f"the file is gone from there (HTTP {status})")
    if status in (401, 403):
        raise NotFound(f"the server does not hand it out (HTTP {status})")
    if status in (408, 425, 429) or status >= 500:
        wait = answer.headers.get("Retry-After", "")
        raise RetryLater(f"the server is not ready (HTTP {status})", min(int(wait), 60) if wait.isdecimal() else 0)
    raise FetchError(f"unexpected answer (HTTP {status} {answer.reason})")


def _fits(answer, state: _State, have: int) -> bool:
    """Whether a partial answer continues just where the part ends, of the same version of the file."""
    unit, _, rest = answer.headers.get("Content-Range", "").partition(" ")
    span, _, total = rest.partition("/")
    if unit != "bytes" or not span.startswith(f"{have}-"):
        return False
    if state.total is not None and total != "*" and total != str(state.total):
        return False
    return not state.validator or _validator(answer) in ("", state.validator)


def _validator(answer) -> str:
    """What names the version of the file: a strong ETag, else the date of the last change, else nothing."""
    tag = answer.headers.get("ETag", "")
    return tag if tag.startswith('"') else answer.headers.get("Last-Modified", "")


def _unreachable(error: Exception) -> bool:
    words = str(error)
    return any(name in words for name in ("NameResolution", "ConnectTimeout", "NewConnectionError", "SSLError"))


def _reason(error: Exception, retry: RetryPolicy) -> str:
    words = str(error)
    if "NameResolution" in words:
        return "the server's name is not known: no network here, or the server is gone for good"
    if "Read timed out" in words or isinstance(error, requests.ReadTimeout):
        return f"the server stalls: nothing came for {retry.stall:g} seconds"
    if "NewConnectionError" in words or "ConnectTimeout" in words:
        return "the server cannot be reached: no network here, a proxy is missing (HTTPS_PROXY), or the server is gone"
    if "SSL" in words:
        return f"the server's certificate is not accepted ({error})"
    if isinstance(error, (requests.ConnectionError, urllib3.exceptions.HTTPError)):
        return "the connection broke off"
    return f"the request failed ({error})"


def _length(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _state_path(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _state(part: Path) -> _State | None:
    try:
        return parsed(_State, read_json(_state_path(part), "what was noted of a part", ""))
    except (DataError, SchemaError):
        return None


def origin(part: Path) -> str:
    """The address that the part, or what was the part, came from; empty if nothing is noted."""
    state = _state(part)
    return state.address if state else ""


def forget(part: Path) -> None:
    """Remove a part and what was noted about it."""
    part.unlink(missing_ok=True)  # first: a part without a state is begun again, a state without its part harms nothing
    _state_path(part).unlink(missing_ok=True)


def need_space(folder: Path, count: int, remedy: str = "make room, or choose another disk with --to DIR") -> None:
    """Raise ``FetchError`` unless ``count`` bytes more, and some to spare, fit on the disk of ``folder``."""
    free = shutil.disk_usage(folder).free
    if free < count + SPARE:
        raise FetchError(f"{format_bytes(count)} are needed in {folder}, and {format_bytes(free)} are free: {remedy}")


def sha256(path: Path, label: str = "") -> str:
    """The file's sha256 in hex; a bar appears for big files."""
    total, digest = path.stat().st_size, hashlib.sha256()
    with open(path, "rb") as file, tqdm(total=total, desc=f"checking {label or path.name}", delay=2, **BAR) as bar:
        while chunk := file.read(2**20):
            digest.update(chunk)
            bar.update(len(chunk))
    return digest.hexdigest()
