"""A real browser: what it shows of a page, what the page asks for, and whether its text can be read.

Test files that import from here are skipped where there is no browser.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")

if BROWSER is None or DRIVER is None:
    pytest.skip("no Chromium with its chromedriver on the PATH", allow_module_level=True)
webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: pip install '.[dev]'")
WebDriverWait = pytest.importorskip("selenium.webdriver.support.wait").WebDriverWait
Select = pytest.importorskip("selenium.webdriver.support.select").Select

READABLE = 4.5  # contrast of text, WCAG 2 AA

# Of every element that shows a text of its own: the text, its colour, and all backgrounds below it.
TEXTS = """
return [...document.querySelectorAll("body, body *")].filter(e =>
    e.checkVisibility() && [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())
).map(e => {
    const below = [];
    for (let at = e; at; at = at.parentElement) below.push(getComputedStyle(at).backgroundColor);
    const style = getComputedStyle(e);
    return [e.textContent.trim().slice(0, 40), e instanceof SVGElement ? style.fill : style.color, below];
});
"""


@contextmanager
def opened() -> Iterator[Any]:
    """A Chromium without a window."""
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # which root cannot have
    for word in ("--headless=new", "--disable-dev-shm-usage", "--hide-scrollbars", *sandbox):
        options.add_argument(word)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def show(browser: Any, page: Path, *, width: int = 1400, scheme: str = "light") -> None:
    """Load the page in a window of that width, with that preference."""
    preference = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [preference]})
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get("about:blank")
    for kind in ("browser", "performance"):
        browser.get_log(kind)  # what earlier pages did
    browser.get(page.as_uri())
    # On a busy machine get() has been seen to return while the page was loading.
    loaded = "return location.href !== 'about:blank' && document.readyState === 'complete'"
    WebDriverWait(browser, 60).until(lambda _: browser.execute_script(loaded))


def rgba(colour: str) -> tuple[float, float, float, float]:
    """Of `rgb(1, 2, 3)` or `rgba(1, 2, 3, 0.4)`."""
    numbers = [float(number) for number in colour[colour.index("(") + 1 : -1].split(",")]
    return numbers[0], numbers[1], numbers[2], numbers[3] if len(numbers) > 3 else 1.0


def blended(colours: list[str]) -> tuple[float, float, float]:
    """What colours that let light through, the uppermost first, look like on white."""
    red, green, blue = 255.0, 255.0, 255.0
    for r, g, b, share in map(rgba, reversed(colours)):
        red, green, blue = (share * new + (1 - share) * old for new, old in ((r, red), (g, green), (b, blue)))
    return red, green, blue


def luminance(colour: tuple[float, float, float]) -> float:
    """Relative, as WCAG 2 defines it."""
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in (c / 255 for c in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(text: str, backgrounds: list[str]) -> float:
    """Between 1 and 21."""
    light, dark = sorted((luminance(blended([text, *backgrounds])), luminance(blended(backgrounds))), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def asked(browser: Any) -> list[str]:
    """What the last page asked for, itself first. `performance` in the page would not name files that are missing."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    return [url for url in urls if not url.startswith("data:")]
