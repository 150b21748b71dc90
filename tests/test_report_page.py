"""The report as a browser shows it: on a phone and on a desk, by day and by night, without a network."""

import base64
from pathlib import Path

import numpy as np
import pytest
from browsing import READABLE, TEXTS, asked, contrast, luminance, rgba, show
from fake_runs import put_run, put_sweep, summary_of
from PIL import Image

from vae.report import PAGE, write_report

WIDTHS = (375, 1400)  # pixels: a phone, a desk


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    """A report with every part, long names, long settings, an own objective, and a run that failed."""
    folder = put_sweep(tmp_path_factory.mktemp("page") / ("sweep_" + 30 * "long_"), [1.0, 4.0], 2)
    for seed in range(2):
        name = f"mnist_custom_latent_dim=4_beta=1.0_seed={seed}_" + "objective.options.bandwidths=[1,2,4,8]" * 4
        summary = summary_of(1.0, seed) | {"objective": "custom", "metrics": {"own_score_of_a_long_name": 0.5}}
        own = {"objective": "custom", "objective.target": "my_losses:MMD", "data.path": "/a/long/path" * 10}
        summary["conditions"] |= own
        put_run(folder / name, summary)
    put_run(folder / "beta=8.0_seed=0", {"status": "failed", "code": 1, "error": "/a/path" * 50 + " <b>is</b> bad"})
    assert write_report(folder, output=folder) is not None
    return folder / PAGE


def test_contrast_is_that_of_the_definition():
    assert contrast("rgb(0, 0, 0)", ["rgba(0, 0, 0, 0)", "rgb(255, 255, 255)"]) == pytest.approx(21)
    assert contrast("rgb(118, 118, 118)", ["rgb(255, 255, 255)"]) == pytest.approx(4.54, abs=0.01)
    assert contrast("rgb(9, 9, 9)", ["rgb(9, 9, 9)", "rgb(255, 255, 255)"]) == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_is_readable(browser, page, scheme):
    show(browser, page, scheme=scheme)
    browser.execute_script("document.querySelectorAll('details').forEach(details => details.open = true)")
    texts = browser.execute_script(TEXTS)
    assert len(texts) > 300
    assert any("Rate and distortion" in text for text, _, _ in texts)
    assert [(text, colour) for text, colour, below in texts if contrast(colour, below) < READABLE] == []


def test_the_page_follows_the_preference_for_light_or_dark(browser, page):
    seen = {}
    for scheme in ("light", "dark"):
        show(browser, page, scheme=scheme)
        seen[scheme] = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        picture = browser.execute_cdp_cmd("Page.captureScreenshot", {})["data"]
        (page.parent / "seen.png").write_bytes(base64.b64decode(picture))
        corner = np.asarray(Image.open(page.parent / "seen.png").convert("RGB"))[5, 5]
        assert tuple(corner.tolist()) == tuple(rgba(seen[scheme])[:3])  # the whole window, not the body alone
    assert luminance(rgba(seen["light"])[:3]) > 0.8
    assert luminance(rgba(seen["dark"])[:3]) < 0.05


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_is_not_wider_than_the_window(browser, page, width):
    show(browser, page, width=width)
    assert browser.execute_script("return innerWidth") == width
    browser.execute_script("document.querySelectorAll('details').forEach(details => details.open = true)")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    browser.execute_script("window.scrollTo(500, 0)")
    assert browser.execute_script("return window.scrollX") == 0


@pytest.mark.parametrize("width", WIDTHS)
def test_every_picture_and_plot_is_seen(browser, page, width):
    show(browser, page, width=width)
    sizes = browser.execute_script("return [...document.images].map(i => [i.naturalWidth, i.clientWidth])")
    assert len(sizes) == 2
    assert all(natural > 0 and shown > 100 for natural, shown in sizes)
    plots = browser.execute_script(
        "return [...document.querySelectorAll('svg')].map(s => [s.getBoundingClientRect().width, "
        "s.getBoundingClientRect().height, [...s.querySelectorAll('text')].filter(t => t.getBBox().width > 0).length, "
        "[...s.querySelectorAll('text')].map(t => t.getBoundingClientRect().height)])"
    )
    assert len(plots) == 5
    for plot_width, height, texts, heights in plots:
        assert plot_width > 250
        assert height > 100
        assert texts > 10
        assert max(heights) >= 8  # pixels


def test_the_page_asks_for_nothing_and_complains_of_nothing(browser, page):
    show(browser, page)
    assert asked(browser) == [page.as_uri()]
    assert browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)") == []
    assert browser.get_log("browser") == []


def test_a_page_that_asks_or_complains_would_be_noticed(browser, tmp_path):
    (tmp_path / "asks.html").write_text('<link rel="stylesheet" href="missing.css"><script>console.error(1)</script>')
    show(browser, tmp_path / "asks.html")
    assert asked(browser) == [(tmp_path / name).as_uri() for name in ("asks.html", "missing.css")]
    assert any("console-api" in entry["source"] for entry in browser.get_log("browser"))


@pytest.mark.parametrize("width", WIDTHS)
def test_a_long_name_leaves_the_numbers_beside_it_in_sight(browser, page, width):
    show(browser, page, width=width)
    widths = browser.execute_script(
        "return [...document.querySelectorAll('tbody td:first-child')].map(cell => cell.getBoundingClientRect().width)"
    )
    assert max(widths) < 0.6 * width
    assert "objective=MMD" in browser.execute_script("return document.body.innerText")


def test_hostile_text_is_shown_and_not_obeyed(browser, page):
    show(browser, page)
    assert "<b>is</b> bad" in browser.execute_script("return document.body.innerText")
    assert browser.execute_script("return document.querySelectorAll('b, script').length") == 0
