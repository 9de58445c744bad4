"""What the tests of pages ask a browser for."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

from selenium import webdriver


def resize(browser: webdriver.Chrome, width: int, height: int = 900) -> None:
    """Give the page this many CSS pixels, as a phone does below 500."""
    sizes = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", sizes)


def complaints(browser: webdriver.Chrome) -> list[str]:
    """Warnings and errors in the console since the last call."""
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


def hosts_asked(browser: webdriver.Chrome) -> set[str]:
    """Hosts that the pages asked for anything since the last call."""
    events = (json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
    asked = (e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent")
    return {urlsplit(address).netloc for address in asked if not address.startswith(("data:", "chrome:"))} - {""}
