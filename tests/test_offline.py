"""The archive of the site: whole, and the same bytes whenever the site is the same."""

import os
import zipfile

import offline


def test_the_same_site_gives_the_same_bytes(tmp_path):
    archives = []
    for turn, names in enumerate((["a.html", "b/c.webp"], ["b/c.webp", "a.html"])):
        site = tmp_path / f"site{turn}"
        for name in names:
            (site / name).parent.mkdir(parents=True, exist_ok=True)
            (site / name).write_text(name)
        (site / ".buildinfo").write_text(f"build {turn}")
        os.utime(site / "a.html", (turn, turn))
        offline.pack(site, tmp_path / f"{turn}.zip")
        archives.append(tmp_path / f"{turn}.zip")
    assert archives[0].read_bytes() == archives[1].read_bytes()
    with zipfile.ZipFile(archives[0]) as pile:
        assert pile.namelist() == [f"{offline.NAME}/{name}" for name in ("READ-ME.txt", "a.html", "b/c.webp")]
        assert b"index.html" in pile.read(f"{offline.NAME}/READ-ME.txt")
