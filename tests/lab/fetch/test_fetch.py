"""Fetching from a server on this machine: resumed, verified, unpacked safely, and refused in plain words.

The run that is killed at 50 moments instead of 3 needs QGC_SLOW=1 (some minutes); real files need QGC_REAL_DATA.
"""

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import random
import signal
import socket
import stat
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import requests
import torch
from fetch_one import collection as killed_collection
from fetch_server import UNSAID, File, Server
from rooms_writer import write_rooms

from qgc.cli import main
from qgc.data import rooms
from qgc.errors import FetchError
from qgc.lab.fetch import download as downloading
from qgc.lab.fetch import sources, unpack
from qgc.lab.fetch.chosen import images_of
from qgc.lab.fetch.download import RetryPolicy
from qgc.lab.fetch.fetch import fetch
from qgc.lab.fetch.sources import COLLECTIONS, Archive, Collection, Source, registry_table

HASTY = RetryPolicy(connect=2, stall=0.4, tries=3, pause=0.01)
JPEG = b"\xff\xd8 a photograph \xff\xd9"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running = Server()
    yield running
    running.close()


@pytest.fixture
def body():
    return np.random.default_rng(0).bytes(10**6)


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def one(server: Server, name="file.bin", **known) -> Collection:
    """A collection of one file."""
    source = Source(name, (server.address(name),), 10**6, **known)
    return Collection("one", "one file", "https://example.org", "none", (source,), "Nothing is lost without it.")


def bring(collection, folder, **options):
    """Fetch in a hurry, quietly."""
    return fetch(collection, folder, retry=HASTY, say=lambda line: None, **options)


def reason(report) -> str:
    assert report.missing, "nothing was refused"
    return " ".join(report.missing.values())


def zipped(files: dict[str, bytes], kind=zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", kind) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, kind)
    return out.getvalue()


def tarred(members: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def entry(name: str, kind=tarfile.REGTYPE, link="") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


# One file


def test_a_file_arrives_whole_and_is_noted(server, body, tmp_path):
    server.files["file.bin"] = File(body)
    report = bring(one(server, size=len(body), sha256=digest(body)), tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == body and not report.missing
    noted = json.loads((tmp_path / "fetched.json").read_text())["file.bin"]
    assert noted["sha256"] == digest(body) and noted["address"] == server.address("file.bin")
    assert noted["checked"] == "its published sha256"
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"file.bin", "fetched.json", "lock"}


def test_the_second_run_asks_the_server_nothing(server, body, tmp_path):
    server.files["file.bin"] = File(body)
    bring(one(server), tmp_path)
    asked = len(server.asked)
    assert bring(one(server), tmp_path).files["file.bin"]["how"] == "was there"
    assert len(server.asked) == asked


@pytest.mark.parametrize("known", [{}, {"checked": True}], ids=["first download", "published checksum"])
@pytest.mark.parametrize("stall", [False, True], ids=["broken off", "stalled"])
def test_what_was_cut_off_goes_on_by_ranges(server, body, tmp_path, stall, known):
    server.files["file.bin"] = File(body, cut=[300_000, 200_000], stall=stall)
    bring(one(server, sha256=digest(body) if known else ""), tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == body
    starts = [int(span[6:-1]) if span else 0 for _, span, _ in server.asked]
    assert starts[0] == 0 and 0 < starts[1] <= 300_000 < starts[2] <= 500_000
    assert server.asked[1][2] == server.files["file.bin"].etag()


def test_a_server_that_ignores_ranges_is_asked_for_all_of_it(server, body, tmp_path):
    server.files["file.bin"] = File(body, ranges=False, cut=[300_000])
    bring(one(server), tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == body and len(server.asked) == 2


def test_a_file_that_changes_midway_is_never_spliced(server, body, tmp_path):
    server.files["file.bin"] = File(body, cut=[300_000] + [0] * 9)
    assert "broke off" in reason(bring(one(server), tmp_path))
    assert (tmp_path / ".fetch" / "file.bin.part").stat().st_size == 300_000
    server.files["file.bin"] = File(body[::-1])
    bring(one(server), tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == body[::-1]


def test_a_server_that_names_no_version_is_only_gone_on_with_where_a_checksum_tells(server, body, tmp_path):
    server.files["file.bin"] = File(body, tag="", cut=[300_000])
    bring(one(server), tmp_path / "unknown")
    assert [span for _, span, _ in server.asked] == ["", ""]
    server.files["file.bin"] = File(body, tag="", cut=[300_000])
    bring(one(server, sha256=digest(body)), tmp_path / "known")
    assert [span for _, span, _ in server.asked][2:] == ["", "bytes=300000-"]


def test_a_file_of_unsaid_length_is_only_taken_where_a_checksum_tells(server, body, tmp_path, monkeypatch):
    server.files["file.bin"] = File(body, length=UNSAID)
    assert "how long" in reason(bring(one(server), tmp_path / "unknown"))
    assert not bring(one(server, sha256=digest(body)), tmp_path / "known").missing
    usage = type("Usage", (), {"free": downloading.SPARE + 10**6 + 1000})
    monkeypatch.setattr(downloading.shutil, "disk_usage", lambda _: usage)
    server.files["file.bin"] = File(body + bytes(10**6), length=UNSAID)
    assert "fits on the disk" in reason(bring(one(server, sha256=digest(body)), tmp_path / "endless"))


def test_a_lying_range_is_not_believed(server, body, tmp_path, monkeypatch):
    """A server that answers 206 from another place: the part is begun anew."""
    server.files["file.bin"] = File(body, cut=[300_000])
    monkeypatch.setattr(downloading, "_fits", lambda *_: False)
    bring(one(server), tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == body
    assert [span for _, span, _ in server.asked] == ["", "bytes=300000-", ""]


@pytest.mark.parametrize(
    ("header", "fits"),
    [
        ("bytes 10-19/20", True),
        ("bytes 10-19/*", True),
        ("bytes 0-19/20", False),
        ("bytes 10-29/30", False),
        ("", False),
    ],
)
def test_a_range_fits_only_where_the_part_ends(header, fits):
    class Answer:
        headers = {"Content-Range": header, "ETag": '"a"'}

    assert downloading._fits(Answer, downloading._State("x", '"a"', 20), 10) is fits


def test_a_stalling_server_is_left_with_a_clear_message_and_nothing_is_lost(server, body, tmp_path):
    server.files["file.bin"] = File(body, cut=[300_000] + [0] * 9, stall=True)
    said = reason(bring(one(server), tmp_path))
    assert "stalls" in said and "again to resume" in said
    assert not (tmp_path / "file.bin").exists()
    assert (tmp_path / ".fetch" / "file.bin.part").stat().st_size > 200_000
    server.files["file.bin"] = File(body)
    bring(one(server), tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == body and server.asked[-1][1]


def test_a_busy_server_is_asked_again(server, body, tmp_path):
    server.files["file.bin"] = File(body, status=[503, 429])
    bring(one(server), tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == body


@pytest.mark.parametrize(
    ("file", "word"),
    [
        (None, "gone"),
        (File(b"x", status=[410] * 9), "gone"),
        (File(b"x", status=[403] * 9), "does not hand it out"),
        (File(b"<html>", kind="text/html; charset=utf-8"), "web page"),
        (File(b"x" * 50, length=40), "40 bytes where 50 were published"),
        (File(b"x" * 50, status=[500] * 9), "not ready"),
        (File(b"x" * 50, status=[302] * 9), "unexpected"),
    ],
    ids=["404", "410", "403", "web page", "wrong length", "500", "no place to go to"],
)
def test_refusals_are_in_plain_words(server, tmp_path, file, word):
    if file:
        server.files["file.bin"] = file
    assert word in reason(bring(one(server, size=50), tmp_path))
    assert not (tmp_path / "file.bin").exists() and not (tmp_path / "fetched.json").exists()


def test_a_server_that_is_not_there(tmp_path, server):
    collection = one(server)
    server.close()
    assert "cannot be reached" in reason(bring(collection, tmp_path))


def test_a_name_that_nobody_knows(tmp_path, monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setenv("NO_PROXY", "*")
    source = Source("a.bin", ("http://nobody.invalid/a.bin",), 10)
    assert "name is not known" in reason(bring(Collection("one", "", "", "", (source,), ""), tmp_path))


def test_the_second_address_is_tried_when_the_first_is_gone(server, body, tmp_path):
    server.files["mirror.bin"] = File(body)
    source = Source("file.bin", (server.address("gone.bin"), server.address("mirror.bin")), 10**6)
    bring(Collection("one", "", "", "", (source,), ""), tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == body
    assert json.loads((tmp_path / "fetched.json").read_text())["file.bin"]["address"].endswith("mirror.bin")


def test_a_wrong_checksum_is_refused_after_a_second_try(server, body, tmp_path):
    server.files["file.bin"] = File(body)
    assert "sha256" in reason(bring(one(server, sha256=digest(b"other")), tmp_path))
    assert len(server.asked) == 2 and not (tmp_path / "file.bin").exists()
    assert not list((tmp_path / ".fetch").glob("*.part"))


def test_a_file_damaged_on_the_way_is_fetched_once_more(server, body, tmp_path):
    server.files = Swapping({"file.bin": [File(body[:-1] + b"\0"), File(body)]})
    bring(one(server, sha256=digest(body)), tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == body and len(server.asked) == 2


class Swapping(dict):
    """Serves another file at each request."""

    def get(self, name, default=None):
        return self[name].pop(0) if name in self else default


def test_only_the_first_digits_of_a_checksum_may_be_known(server, body, tmp_path):
    server.files["file.bin"] = File(body)
    assert not bring(one(server, sha256=digest(body)[:8]), tmp_path / "a").missing
    assert "sha256" in reason(bring(one(server, sha256="0" * 8), tmp_path / "b"))


def test_all_digits_are_pinned_where_only_the_first_are_published(server, body, tmp_path):
    server.files["file.bin"] = File(body)
    bring(one(server, sha256=digest(body)[:1]), tmp_path)
    (tmp_path / "file.bin").unlink()
    other = next(body + bytes([i]) for i in range(256) if digest(body + bytes([i]))[0] == digest(body)[0])
    server.files["file.bin"] = File(other)
    assert "first fetched" in reason(bring(one(server, sha256=digest(body)[:1]), tmp_path))


def test_the_first_download_is_pinned_where_no_checksum_is_published(server, body, tmp_path):
    server.files["file.bin"] = File(body)
    assert bring(one(server), tmp_path).files["file.bin"]["checked"] == "nothing yet, now noted"
    (tmp_path / "file.bin").unlink()
    server.files["file.bin"] = File(body[::-1])
    said = reason(bring(one(server), tmp_path))
    assert "first fetched" in said and "fetched.json" in said and not (tmp_path / "file.bin").exists()
    server.files["file.bin"] = File(body)
    assert bring(one(server), tmp_path).files["file.bin"]["checked"] == "the first download"


def test_a_file_changed_in_its_place_is_noticed_and_left_alone(server, body, tmp_path):
    server.files["file.bin"] = File(body)
    bring(one(server, sha256=digest(body)), tmp_path)
    (tmp_path / "file.bin").write_bytes(b"mine")
    assert "move it away" in reason(bring(one(server, sha256=digest(body)), tmp_path))
    assert (tmp_path / "file.bin").read_bytes() == b"mine"


@pytest.mark.parametrize(
    "text", ["{", "[]", "3", '{"file.bin": 3}', '{"file.bin": {"sha256": 3}}', '{"a": {"bytes": "1"}}', "[" * 9999]
)
def test_a_damaged_record_is_said(server, body, tmp_path, text):
    (tmp_path / "fetched.json").write_text(text)
    with pytest.raises(FetchError, match="move it away"):
        bring(one(server), tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"address": 3}', '{"address": "ADDRESS", "total": "many"}', '{"a": 1}'])
def test_a_part_of_which_nothing_sensible_is_noted_is_begun_anew(server, body, tmp_path, text):
    server.files["file.bin"] = File(body)
    (tmp_path / ".fetch").mkdir()
    (tmp_path / ".fetch" / "file.bin.part").write_bytes(b"other")
    noted = text.replace("ADDRESS", server.address("file.bin"))
    (tmp_path / ".fetch" / "file.bin.part.json").write_text(noted)
    bring(one(server, sha256=digest(body)), tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == body and [span for _, span, _ in server.asked] == [""]


@pytest.mark.parametrize("name", ["file", "file/in/it", "x" * 5000, "a\0b"], ids=["file", "below", "long", "nul"])
def test_a_folder_that_cannot_be_made_is_named(server, tmp_path, name):
    (tmp_path / "file").write_text("somebody's")
    for collection in (one(server), "daquar"):
        with pytest.raises(FetchError, match="no folder can be made at .*; choose another, --to DIR") as caught:
            fetch(collection, tmp_path / name, say=lambda line: None)
        assert len(str(caught.value)) < 500
    assert (tmp_path / "file").read_text() == "somebody's" and not server.asked


@pytest.mark.parametrize("value", ["x" * 10**6, 10**5000, [], None, b"x", "\0"], ids=range(6))
def test_names_of_any_kind_are_refused_in_a_line(server, tmp_path, value):
    for options in ({"collection": value}, {"parts": [value]}, {"given": value or "none"}):
        if "given" in options and not isinstance(value, str):
            continue
        with pytest.raises(FetchError) as caught:
            fetch(**{"collection": "vqa2", "folder": tmp_path, "say": lambda line: None, **options})
        assert len(str(caught.value)) < 500


def test_one_photograph_may_be_named_without_a_list(server, tmp_path):
    server.files["p3.jpg"] = File(JPEG)
    for images in ("3", 3, [3]):
        report = bring(photos(server, single=(server.address("{}"),)), tmp_path, images=images)
        assert not report.missing and report.photographs == {"wanted": 1, "there": 1}
    assert {path.name for path in (tmp_path / "photos").iterdir()} == {"p3.jpg"}


def test_too_little_room_is_said_before_anything_is_fetched(server, body, tmp_path, monkeypatch):
    server.files["file.bin"] = File(body)
    usage = type("Usage", (), {"free": 10**6})
    monkeypatch.setattr(downloading.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(FetchError, match="--to DIR"):
        bring(one(server), tmp_path)
    assert not server.asked


def test_two_runs_at_once_do_not_destroy_each_other(server, body, tmp_path):
    server.files["file.bin"] = File(body, pause=0.005)
    said: list[str] = []

    def run():
        fetch(one(server), tmp_path, retry=HASTY, say=said.append)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "file.bin").read_bytes() == body and len(server.asked) == 1
    assert any("another run" in line for line in said)


@pytest.mark.parametrize("checked", [False, True])
def test_what_no_checksum_protects_comes_over_https_where_that_answers(tmp_path, monkeypatch, checked):
    """Even a part that was begun over plain http is not gone on with; and no answer may lead away from https."""
    asked = []
    part = tmp_path / "part"
    part.write_bytes(b"1")
    (tmp_path / "part.json").write_text(json.dumps({"address": "http://a.example/file", "validator": "v", "total": 3}))

    def go_on(self):
        asked.append(self.address)
        return True

    monkeypatch.setattr(downloading._Download, "_request", go_on)
    downloading.download(("http://a.example/file", "https://a.example/file"), part, checked=checked)
    assert asked == ["http://a.example/file" if checked else "https://a.example/file"]


@pytest.mark.parametrize("checked", [False, True])
def test_no_answer_leads_from_https_to_plain_http_unless_a_checksum_is_known(
    server, body, tmp_path, monkeypatch, checked
):
    server.files["file.bin"] = File(body)
    get, plain = requests.get, server.address("file.bin")
    monkeypatch.setattr(requests, "get", lambda address, **more: get(plain, **more))  # as if redirected there
    source = Source("file.bin", ("https://a.example/file.bin",), 10**6, sha256=digest(body) if checked else "")
    report = bring(Collection("one", "", "", "", (source,), ""), tmp_path)
    assert bool(report.missing) != checked and (checked or "plain http" in reason(report))


# Files that are there already


def test_a_given_file_is_checked_and_taken(server, body, tmp_path):
    given = tmp_path / "given" / "inside"
    given.mkdir(parents=True)
    (given / "file.bin").write_bytes(body)
    report = bring(one(server, sha256=digest(body)), tmp_path / "to", given=tmp_path / "given")
    assert (tmp_path / "to" / "file.bin").read_bytes() == body and not server.asked
    (tmp_path / "to" / "file.bin").write_bytes(b"mine")
    assert (given / "file.bin").read_bytes() == body  # a copy: no link, through which the original would change
    assert "taken from" in report.files["file.bin"]["how"]
    (given / "file.bin").write_bytes(body[:-1])
    assert "sha256" in reason(bring(one(server, sha256=digest(body)), tmp_path / "b", given=tmp_path / "given"))
    (given / "file.bin").rename(given / "theirs.bin")
    source = Source("ours.bin", (server.address("theirs.bin"),), 10**6)
    bring(Collection("one", "", "", "", (source,), ""), tmp_path / "c", given=tmp_path / "given")
    assert (tmp_path / "c" / "ours.bin").read_bytes() == body[:-1] and not server.asked


def photos(server, **more) -> Collection:
    archive = Archive(("p*.jpg",), 10**6, "photos", 5, photo="p{}.jpg", **more)
    source = Source("photos.zip", (server.address("photos.zip"),), 10**6, archive=archive)
    return Collection("photos", "", "", "", (source,), "")


def five() -> dict[str, bytes]:
    return {f"some/folder/p{i}.jpg": JPEG[:-2] + bytes([65 + i]) + JPEG[-2:] for i in range(5)}


@pytest.mark.parametrize("inside", ["photos", "images", ".", "below/images"])
def test_an_archive_that_somebody_unpacked_is_taken(server, tmp_path, inside):
    folder = tmp_path / "given" / inside
    folder.mkdir(parents=True)
    for name, content in five().items():
        (folder / Path(name).name).write_bytes(content)
    assert not bring(photos(server), tmp_path / "to", given=tmp_path / "given").missing
    assert len(list((tmp_path / "to" / "photos").glob("*.jpg"))) == 5 and not server.asked
    (folder / "p3.jpg").unlink()
    assert "4 of the 5 files" in reason(bring(photos(server), tmp_path / "b", given=tmp_path / "given"))
    (folder / "p3.jpg").write_bytes(JPEG[:-4])
    said = reason(bring(photos(server), tmp_path / "c", given=tmp_path / "given"))
    assert "4 files" in said and "p3.jpg is not a whole photograph" in said
    assert len(list((tmp_path / "c" / "photos").glob("*.jpg"))) == 4


def test_a_given_archive_is_unpacked_where_it_lies(server, tmp_path):
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "photos.zip").write_bytes(zipped(five()))
    assert not bring(photos(server), tmp_path / "to", given=tmp_path / "given").missing
    assert len(list((tmp_path / "to" / "photos").glob("*.jpg"))) == 5
    assert (tmp_path / "given" / "photos.zip").exists()


@pytest.mark.skipif("QGC_REAL_DATA" not in os.environ, reason="QGC_REAL_DATA is not set")
def test_the_real_photographs_are_taken_from_where_they_are(tmp_path):
    real = Path(os.environ["QGC_REAL_DATA"]) / "daquar"
    report = bring("daquar", tmp_path, given=real)
    assert not report.missing
    assert len(list((tmp_path / "images").iterdir())) == 1449
    asked = [len(images_of(tmp_path / f"qa.894.raw.{part}.txt")) for part in ("train", "test")]
    assert asked == [794, 653]  # nobody asks about two of the 1,449: image366 and image190


@pytest.mark.skipif("QGC_REAL_DATA" not in os.environ, reason="QGC_REAL_DATA is not set")
def test_the_real_labels_are_unpacked_and_their_photographs_taken(tmp_path):
    report = bring("nyu13", tmp_path, given=Path(os.environ["QGC_REAL_DATA"]), parts=["test"])
    assert not report.missing and "published sha256" in report.files["nyuv2_test_class13.tgz"]["checked"]
    assert len(rooms.numbers(tmp_path, "test")) == 654 and rooms.photograph(tmp_path, 1).colours


# Chosen photographs


def test_single_photographs_come_from_their_own_addresses(server, tmp_path):
    collection = photos(server, single=(server.address("{}"),))
    for name, content in five().items():
        server.files[Path(name).name] = File(content)
    report = bring(collection, tmp_path, images=["3", "p1", "p1.jpg", "03", "p9.jpg", "cat.jpg"])
    assert {path.name for path in (tmp_path / "photos").iterdir()} == {"p1.jpg", "p3.jpg"}
    assert set(report.missing) == {"p9.jpg", "cat.jpg"} and "gone" in report.missing["p9.jpg"]
    assert report.photographs == {"wanted": 6, "there": 4}
    asked = len(server.asked)
    bring(collection, tmp_path, images=["3", "1"])
    assert len(server.asked) == asked


def test_a_photograph_is_looked_for_in_each_part(server, tmp_path):
    def part(name):
        archive = Archive((f"{name}_*.jpg",), 10**6, name, photo=name + "_{}.jpg", single=(server.address("{}"),))
        return Source(f"{name}.zip", (server.address(f"{name}.zip"),), 10**6, archive=archive, part=name)

    collection = Collection("parts", "", "", "", (part("train"), part("val")), "")
    server.files["val_7.jpg"] = File(JPEG)
    server.files["train_8.jpg"] = File(b"an error, in words")
    report = bring(collection, tmp_path, images=["7", "8"])
    assert (tmp_path / "val" / "val_7.jpg").exists() and not (tmp_path / "train").exists()
    assert "not a whole photograph" in report.missing["8"]
    assert "7" in bring(collection, tmp_path / "b", images=["7"], parts=["train"]).missing


def test_photographs_without_addresses_come_from_the_archive_and_it_is_kept(server, tmp_path):
    server.files["photos.zip"] = File(zipped(five()))
    report = bring(photos(server), tmp_path, images=["1", "p1.jpg", "8"])
    assert {path.name for path in (tmp_path / "photos").iterdir()} == {"p1.jpg"}
    assert report.missing == {"8": "it is not in the archive"}
    bring(photos(server), tmp_path, images=["2"])
    assert {path.name for path in (tmp_path / "photos").iterdir()} == {"p1.jpg", "p2.jpg"} and len(server.asked) == 1
    bring(photos(server), tmp_path)
    assert len(list((tmp_path / "photos").iterdir())) == 5 and len(server.asked) == 1
    assert not (tmp_path / ".fetch" / "photos.zip").exists()


def test_given_photographs_are_taken_first(server, tmp_path):
    (tmp_path / "given" / "photos").mkdir(parents=True)
    (tmp_path / "given" / "photos" / "p1.jpg").write_bytes(JPEG)
    collection = photos(server, single=(server.address("{}"),))
    server.files["p2.jpg"] = File(JPEG)
    assert not bring(collection, tmp_path / "to", given=tmp_path / "given", images=["1", "2"]).missing
    assert [name for name, _, _ in server.asked] == ["p2.jpg"]


def test_a_photograph_that_was_published_cut_off_is_taken_from_its_source_alone(server, tmp_path):
    cut = five() | {"some/folder/p3.jpg": JPEG[:-4]}
    server.files["photos.zip"], server.files["p3.jpg"] = File(zipped(cut)), File(JPEG[:-4])
    assert not bring(photos(server), tmp_path / "zip").missing
    assert not bring(photos(server, single=(server.address("{}"),)), tmp_path / "alone", images=["3"]).missing
    assert (tmp_path / "zip" / "photos" / "p3.jpg").read_bytes() == JPEG[:-4]
    given = {"given": tmp_path / "zip" / "photos", "images": ["3"]}
    asked = len(server.asked)
    assert not bring(photos(server, single=(server.address("{}"),)), tmp_path / "again", **given).missing
    assert len(server.asked) == asked + 1


def test_when_the_server_of_the_photographs_is_gone_it_is_not_asked_for_each(server, tmp_path):
    collection = photos(server, single=(server.address("{}"),))
    server.close()
    report = bring(collection, tmp_path, images=[str(i) for i in range(200)])
    assert len(report.missing) == 200


def test_no_photograph_at_all_may_be_chosen(server, tmp_path):
    assert not bring(photos(server), tmp_path, images=[]).missing and not server.asked
    with pytest.raises(FetchError, match="no photographs to choose"):
        bring(one(server), tmp_path, images=["1"])


def test_the_photographs_that_a_file_asks_about(tmp_path):
    path = tmp_path / "questions"
    questions = [{"image_id": 9, "question": "?"}, {"image_id": 25}, {"image_id": 9}]
    path.write_text(json.dumps({"data_subtype": "val2014", "questions": questions}))
    assert images_of(path) == ["COCO_val2014_000000000009.jpg", "COCO_val2014_000000000025.jpg"]
    path.write_text("what is in the image3 ?\nimage_holder\nwhat is left in image1 ?\ndesk\n")
    assert images_of(path) == ["3", "1"]
    path.write_text("9\n25 9\n")
    assert images_of(path) == ["9", "25"]
    for text in ("", "{", '{"questions": [{}]}', "{}"):
        path.write_text(text)
        with pytest.raises(FetchError):
            images_of(path)
    path.write_bytes(JPEG)
    with pytest.raises(FetchError, match="not a text"):
        images_of(path)


# Archives


def archived(server, body: bytes, name="hostile.zip", **more) -> Collection:
    server.files[name] = File(body)
    archive = Archive(("*.txt",), 10**6, "in")
    return Collection("a", "", "", "", (Source(name, (server.address(name),), 10**6, archive=archive, **more),), "")


def symlink(target: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo("link.txt")
        info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, target)
    return out.getvalue()


GOOD = {"a/one.txt": b"1" * 1000, "b/two.txt": b"2" * 1000}
GOOD_TAR = tarred([(entry(name), content) for name, content in GOOD.items()])
BIG_HEADER = entry("x").tobuf()[:124] + b"77777777777\0" + entry("x").tobuf()[136:]


def device(kind: bytes) -> bytes:
    return tarred([(entry("good.txt"), b"good"), (entry("dev.txt", kind), b"")])


def linked(target: str, kind: bytes = tarfile.SYMTYPE) -> bytes:
    return tarred([(entry("good.txt"), b"good"), (entry("other", kind, target), b"")])


def encrypted() -> bytes:
    body = bytearray(zipped({"a.txt": b"1"}))
    body[6] |= 1
    at = body.index(b"PK\x01\x02")
    body[at + 8] |= 1
    return bytes(body)


HOSTILE = {
    "up.zip": (zipped({"good.txt": b"g", "../evil.txt": b"e"}), "leads out"),
    "absolute.zip": (zipped({"/tmp/evil.txt": b"e"}), "leads out"),
    "drive.zip": (zipped({"C:evil.txt": b"e"}), "leads out"),
    "backslash.zip": (zipped({"..\\evil.txt": b"e"}), "leads out"),
    "control.zip": (zipped({"a\nb.txt": b"e"}), "not a name"),
    "long.zip": (zipped({"x" * 300 + ".txt": b"e"}), "not a name"),
    "link.zip": (symlink("/etc/passwd"), "leads out"),
    "link-up.zip": (symlink("../../x"), "leads out"),
    "link-inside.zip": (symlink("one.txt"), "is a link"),
    "encrypted.zip": (encrypted(), "encrypted"),
    "bomb.zip": (zipped({f"{i}.txt": bytes(10**6) for i in range(5)}, zipfile.ZIP_DEFLATED), "more than 4000000"),
    "twice.zip": (zipped({"a/x.txt": b"1", "b/X.txt": b"2"}), "two files of one name"),
    "same.zip": (zipped({"a.txt": b"1", "b/a.txt": b"2"}), "two files of one name"),
    "nameless.zip": (zipped({"": b"e", "a.txt": b"1"}), "not a name"),
    "dot.zip": (zipped({"a/.": b"e", "a.txt": b"1"}), "which is none"),
    "megabyte.zip": (zipped({"x" * 60_000: b"e"}), "not a name"),
    "cut.zip": (zipped(GOOD)[:1500], "damaged"),
    "crc.zip": (zipped(GOOD).replace(b"2222", b"2223", 1), "damaged"),
    "noise.zip": (b"PK\x03\x04" + bytes(500), "damaged"),
    "other.zip": (zipped({"a.md": b"1"}), "does not hold"),
    "empty.zip": (zipped({}), "but nothing"),
    "up.tar": (tarred([(entry("a/../../evil.txt"), b"e")]), "leads out"),
    "absolute.tar": (tarred([(entry("/tmp/evil.txt"), b"e")]), "leads out"),
    "dot.tar": (tarred([(entry("."), b"e")]), "which is none"),
    "headers.tar": (entry("x", tarfile.XHDTYPE).tobuf() * 2000 + bytes(1024), "damaged"),
    "link.tar": (linked("/etc/passwd"), "leads out"),
    "hard-link.tar": (linked("../x", tarfile.LNKTYPE), "leads out"),
    "link-inside.tar": (tarred([(entry("a.txt", tarfile.SYMTYPE, "b"), b"")]), "is a link"),
    "device.tar": (device(tarfile.CHRTYPE), "device"),
    "block.tar": (device(tarfile.BLKTYPE), "device"),
    "pipe.tar": (device(tarfile.FIFOTYPE), "device"),
    "sparse.tar": (device(tarfile.GNUTYPE_SPARSE), "sparse"),
    "bomb.tar.gz": (gzip.compress(tarred([(entry("a.txt"), bytes(5 * 10**6))])), "more than 4000000"),
    "bomb-behind.tar.gz": (gzip.compress(GOOD_TAR + bytes(2**27)), "much more"),
    "cut.tar": (GOOD_TAR[:1800], "damaged"),
    "cut-between.tar": (GOOD_TAR[: 512 + 1024], "no end"),
    "cut.tar.gz": (gzip.compress(GOOD_TAR)[:-20], "damaged"),
    "crc.tar.gz": (gzip.compress(GOOD_TAR)[:-8] + bytes(8), "damaged"),
    "noise.tar": (b"noise" * 1000, "damaged"),
    "nothing.tar": (b"", "damaged"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_and_damaged_archives_are_refused(server, tmp_path, name):
    body, word = HOSTILE[name]
    folder = tmp_path / "deep" / "to"
    assert word in reason(bring(archived(server, body, name), folder))
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert left <= {f"deep/to/.fetch/{each}" for each in ("lock", name, f"{name}.part.json")}, left
    assert not Path("/tmp/evil.txt").exists()


@pytest.mark.parametrize("pack", [zipped, lambda files: tarred([(entry(n), c) for n, c in files.items()])])
def test_more_files_than_any_archive_of_ours_has(tmp_path, monkeypatch, pack):
    monkeypatch.setattr(unpack, "MOST_FILES", 5)
    (tmp_path / "a").write_bytes(pack({f"{i}.txt": b"" for i in range(6)}))
    with pytest.raises(FetchError, match="more than 5 files"):
        unpack.contents(tmp_path / "a", 10**9)


def test_a_header_of_huge_size_does_not_fill_the_memory(tmp_path):
    long_name = bytearray(tarfile.TarInfo("x").tobuf(tarfile.GNU_FORMAT))
    long_name[156:157] = tarfile.GNUTYPE_LONGNAME
    long_name[124:136] = b"77777777777\0"  # 8 GB of name
    long_name[148:156] = b"%06o\0 " % tarfile.calc_chksums(bytes(long_name))[0]
    (tmp_path / "a.tar").write_bytes(bytes(long_name) + bytes(1024))
    with pytest.raises(FetchError, match="damaged"):
        unpack.contents(tmp_path / "a.tar", 10**9)


def test_a_damaged_archive_is_fetched_anew_by_the_next_run(server, tmp_path):
    collection = archived(server, zipped(GOOD)[:1500])
    assert bring(collection, tmp_path).missing
    server.files["hostile.zip"] = File(zipped(GOOD))
    assert not bring(collection, tmp_path).missing
    assert sorted(path.name for path in (tmp_path / "in").iterdir()) == ["one.txt", "two.txt"]


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz"])
def test_good_archives_are_unpacked_and_taken_away(server, tmp_path, name):
    pack = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}.get(name.split(".")[-1], bytes)
    body = zipped(GOOD, zipfile.ZIP_DEFLATED) if name == "a.zip" else pack(GOOD_TAR)
    assert not bring(archived(server, body, name), tmp_path).missing
    assert {p.name: p.read_bytes() for p in (tmp_path / "in").iterdir()} == {
        Path(path).name: content for path, content in GOOD.items()
    }
    left = {path.name for path in (tmp_path / ".fetch").iterdir()}
    assert left == {"lock", f"{name}.files.json"}
    (tmp_path / "in" / "one.txt").unlink()
    assert not bring(archived(server, body, name), tmp_path).missing
    assert (tmp_path / "in" / "one.txt").exists()


# Weights


class Evil:
    def __reduce__(self):
        return os.mkdir, (str(Path(os.environ["QGC_TEST_EVIL"])),)


@pytest.mark.parametrize("new", [True, False], ids=["zip", "old format"])
def test_weights_that_would_run_code_are_refused(server, tmp_path, monkeypatch, new):
    monkeypatch.setenv("QGC_TEST_EVIL", str(tmp_path / "ran"))
    out = io.BytesIO()
    torch.save({"weight": Evil()}, out, _use_new_zipfile_serialization=new)
    server.files["w.pth"] = File(out.getvalue())
    assert "could run any code" in reason(bring(one(server, "w.pth"), tmp_path / "to"))
    assert not (tmp_path / "ran").exists() and not (tmp_path / "to" / "w.pth").exists()
    packed = tarred([(entry("x/best_model.pth"), out.getvalue())])
    collection = archived(server, packed, "w.tar")
    source = collection.files[0]
    object.__setattr__(source.archive, "take", ("*.pth",))
    assert "could run any code" in reason(bring(collection, tmp_path / "to"))
    assert not (tmp_path / "ran").exists() and not list((tmp_path / "to").rglob("*.pth"))


@pytest.mark.parametrize("new", [True, False], ids=["zip", "old format"])
def test_good_weights_pass_and_damaged_ones_do_not(server, tmp_path, new):
    out = io.BytesIO()
    torch.save({"weight": torch.zeros(1000), "epoch": 3}, out, _use_new_zipfile_serialization=new)
    server.files["w.pth"] = File(out.getvalue())
    assert not bring(one(server, "w.pth"), tmp_path / "a").missing
    for bad in (out.getvalue()[:-700], b"<html>", b""):
        server.files["w.pth"] = File(bad)
        assert "w.pth" in reason(bring(one(server, "w.pth"), tmp_path / "b"))


# Killed


def to_kill(server: Server) -> None:
    """A text, a zip and a compressed tar, served slowly enough to be caught in the middle of each."""
    random_bytes = np.random.default_rng(1)
    pictures = {f"{i:03d}.jpg": b"\xff\xd8" + random_bytes.bytes(8000) + b"\xff\xd9" for i in range(60)}
    texts = [(entry(f"{i:03d}.txt"), random_bytes.bytes(8000)) for i in range(60)]
    server.files["words.txt"] = File(random_bytes.bytes(200_000), pause=0.01)
    server.files["photos.zip"] = File(zipped(pictures), pause=0.01)
    server.files["more.tar.gz"] = File(gzip.compress(tarred(texts)), pause=0.01)


def tree(folder: Path) -> dict[str, str]:
    """Every file and its checksum; of the record all but the times."""
    found = {p.relative_to(folder).as_posix(): digest(p.read_bytes()) for p in sorted(folder.rglob("*")) if p.is_file()}
    record = json.loads((folder / "fetched.json").read_text())
    timeless = {name: {k: v for k, v in e.items() if k not in ("date", "changed")} for name, e in record.items()}
    return found | {"fetched.json": json.dumps(timeless, sort_keys=True)}


def start(server: Server, folder: Path) -> subprocess.Popen:
    program = [sys.executable, str(Path(__file__).with_name("fetch_one.py")), server.address(""), str(folder)]
    here = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    return subprocess.Popen(program, env=here, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def whole_under_final_names(folder: Path, finished: dict[str, str]) -> None:
    """Whatever stands outside of .fetch is whole, at any moment."""
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not name.startswith((".fetch", "fetched.json", ".fetched")):
            assert finished[name] == digest(path.read_bytes()), name


def test_killed_at_random_moments_it_ends_as_if_undisturbed(server, tmp_path):
    to_kill(server)
    began = time.monotonic()
    assert start(server, tmp_path / "undisturbed").wait(60) == 0
    takes = time.monotonic() - began
    finished = tree(tmp_path / "undisturbed")
    assert len(finished) == 1 + 60 + 60 + 1 + 3
    moments, chance, halves = (50 if os.environ.get("QGC_SLOW") else 3), random.Random(6), 0
    for moment in range(moments):
        folder = tmp_path / f"killed{moment}"
        process = start(server, folder)
        time.sleep(takes * (0.25 + 0.75 * chance.random()) if moments > 3 else takes * (0.35 + 0.2 * moment))
        process.send_signal(signal.SIGKILL)
        process.wait()
        whole_under_final_names(folder, finished)
        halves += not (folder / "fetched.json").exists() or tree(folder) != finished
        assert start(server, folder).wait(60) == 0
        assert tree(folder) == finished, moment
    print(f"{halves} of {moments} were killed before they were done")
    assert halves > moments / 2, "killed too late to be a test"


@pytest.fixture(scope="module")
def quick():
    """The same files, served without pauses, and what an undisturbed run makes of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")
        running = Server()
        to_kill(running)
        for file in running.files.values():
            file.pause = 0
        collection = killed_collection(running.address(""))
        with tempfile.TemporaryDirectory() as folder:
            bring(collection, folder)
            yield collection, tree(Path(folder))
        running.close()


@pytest.mark.parametrize("step", range(11))
def test_broken_off_between_any_two_steps_it_ends_as_if_undisturbed(quick, tmp_path, monkeypatch, step):
    """The moments that a random kill rarely hits: just before the n-th move of a file to its place."""
    collection, undisturbed = quick
    count, move = iter(range(10**6)), os.replace

    def breaking(source, target):
        if next(count) == step * 23:
            raise KeyboardInterrupt
        move(source, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "replace", breaking)
        bring(collection, tmp_path)
    bring(collection, tmp_path)
    assert tree(tmp_path) == undisturbed


# The registry and the command


def test_the_registry_is_well_formed():
    assert list(COLLECTIONS) == (
        "daquar nyu13 vqa2 vqa1 vgg19 vgg19-caffe resnet152 squeezenet1_1 glove deeper-lstm pythia".split()
    )
    for collection in COLLECTIONS.values():
        assert collection.without and collection.home.startswith("https://") and collection.terms
        assert len({source.name for source in collection.files}) == len(collection.files)
        for source in collection.files:
            single = source.archive.single if source.archive else ()
            for addresses in filter(None, (source.addresses, single)):
                assert addresses[0].startswith("https://")
                assert all(address.startswith(("https://", "http://")) for address in addresses)
            assert not set(source.sha256) - set("0123456789abcdef") and len(source.sha256) in (0, 8, 64)
            assert bool(source.sha256) == bool(source.checksum_from)
            assert all(address.count("/") > 3 and not address.endswith("/") for address in source.addresses)
            assert source.size is None or abs(source.size - source.about) < 0.2 * source.size
    assert registry_table().count("\n") == 1 + sum(len(c.files) for c in COLLECTIONS.values())


def test_torchvisions_names_and_checksums_are_those_of_torchvision():
    from torchvision import models

    for name, weights in (
        ("vgg19", models.VGG19_Weights.IMAGENET1K_V1),
        ("resnet152", models.ResNet152_Weights.IMAGENET1K_V1),
        ("squeezenet1_1", models.SqueezeNet1_1_Weights.IMAGENET1K_V1),
    ):
        (source,) = COLLECTIONS[name].files
        assert source.addresses == (weights.url,) and source.sha256 in weights.url
        assert abs(source.bytes / 2**20 - weights.meta["_file_size"]) < (0.001 if source.size else 0.5)


def test_coco_photographs_have_their_official_names():
    train, validation = (source for source in COLLECTIONS["vqa2"].files if source.photographs)
    assert train.archive.photo.format(9) == "COCO_train2014_000000000009.jpg"
    assert train.archive.takes("COCO_train2014_000000000009.jpg")
    official = "http://images.cocodataset.org/val2014/COCO_val2014_000000000042.jpg"
    assert official in [address.format("COCO_val2014_000000000042.jpg") for address in validation.archive.single]


def test_the_command(server, body, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(COLLECTIONS, "vgg19", one(server, sha256=digest(body)))
    server.files["file.bin"] = File(body)
    assert main(["fetch", "vgg19", "--to", str(tmp_path), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["files"]["file.bin"]["sha256"] == digest(body) and not shown["missing"]
    assert main(["fetch", "vgg19", "--to", str(tmp_path)]) == 0
    assert "was there" in capsys.readouterr().out


def test_the_command_says_what_to_do_when_a_source_is_gone(server, tmp_path, monkeypatch, capsys):
    gone = Collection("daquar", "", "https://example.org", "", one(server).files, "Search for it.")
    monkeypatch.setitem(COLLECTIONS, "daquar", gone)
    assert main(["fetch", "daquar", "--to", str(tmp_path)]) == 2
    shown = capsys.readouterr().out
    assert "HTTP 404" in shown and "--from FOLDER" in shown and "Search for it." in shown


@pytest.mark.parametrize("gone", ["nyuv2_train_class13.tgz", "nyu_depth_images.tar"])
def test_the_command_makes_the_rooms_of_what_is_there(server, tmp_path, monkeypatch, capsys, gone):
    lacking = Collection("nyu13", "", "https://example.org", "", one(server, gone).files, "Search for it.")
    monkeypatch.setitem(COLLECTIONS, "nyu13", lacking)
    write_rooms(tmp_path, 3)
    assert main(["fetch", "nyu13", "--to", str(tmp_path)]) == 2
    shown = capsys.readouterr().out
    assert f"not fetched: {gone}" in shown
    made = gone == "nyuv2_train_class13.tgz"  # without the photographs there is nothing to make
    assert made == ("photographs with a pair" in shown) == rooms.made(tmp_path).exists()


def test_the_command_lists_the_registry(capsys):
    assert main(["fetch", "--list"]) == 0
    assert "train2014.zip" in capsys.readouterr().out
    assert main(["fetch", "vgg19-caffe", "--list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["vgg19-caffe"]["files"][0]["sha256"] == "d01eb7cb"


def test_bad_input_of_the_command(capsys, tmp_path):
    for arguments, word in (
        ([], "say what to fetch"),
        (["vqa2", "--part", "dev"], "no part 'dev'"),
        (["vgg19", "--part", "train"], "no parts"),
        (["vgg19", "--from", str(tmp_path / "none")], "no folder"),
        (["vqa2", "--images-of", str(tmp_path / "none")], "none is missing; give VQA's JSON"),
        (["vgg19", "--images", "3"], "no photographs to choose"),
    ):
        assert main(["fetch", *arguments, "--to", str(tmp_path / "to")]) == 2
        assert word in capsys.readouterr().err


def test_sizes_for_people():
    assert [sources.format_bytes(n) for n in (0, 999, 1000, 4958839, 13510573713)] == [
        "0 B",
        "999 B",
        "1 kB",
        "5 MB",
        "13.5 GB",
    ]
