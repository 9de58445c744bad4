"""What the tests of pages ask a browser for."""

from __future__ import annotations

from browsing import asked, complaints, hosts, resize
from selenium import webdriver

__all__ = ["complaints", "hosts_asked", "resize"]


def hosts_asked(browser: webdriver.Chrome) -> set[str]:
    """Hosts that the pages asked for anything since the last call."""
    return hosts(asked(browser))
