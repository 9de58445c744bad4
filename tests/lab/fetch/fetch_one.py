"""A process that the tests kill: fetches the test's collection from a server into a folder.

python fetch_one.py ADDRESS FOLDER
"""

import sys

from qgc.lab.fetch.download import RetryPolicy
from qgc.lab.fetch.fetch import fetch
from qgc.lab.fetch.sources import Archive, Collection, Source


def collection(address: str) -> Collection:
    """A text, a zip and a compressed tar, none with a published checksum, and one with."""
    at = address.rstrip("/")
    zipped = Archive(("*.jpg",), 10**7, "photos", 60, photo="{:03d}.jpg")
    files = (
        Source("words.txt", (f"{at}/words.txt",), 10**5),
        Source("photos.zip", (f"{at}/photos.zip",), 10**6, archive=zipped),
        Source("more.tar.gz", (f"{at}/more.tar.gz",), 10**6, archive=Archive(("*.txt",), 10**7, "more")),
    )
    return Collection("killed", "for the tests", at, "none", files, "Nothing.")


if __name__ == "__main__":
    report = fetch(collection(sys.argv[1]), sys.argv[2], retry=RetryPolicy(stall=10, pause=0.05))
    sys.exit(bool(report.missing))
