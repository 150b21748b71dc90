"""The explorer under the pointer and the keys of a real browser."""

import base64
import io
import json
import math
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from browsing import READABLE, TEXTS, Select, WebDriverWait, asked, contrast, show, webdriver
from explorers import (
    PROMISED,
    barely_trained,
    bars_of,
    canvas_of,
    complaints,
    explore,
    number_in,
    random_images,
    settle,
    state_of,
    written,
)
from PIL import Image

from vae.data import ImageSet
from vae.data.factors import Factors
from vae.model.mlp import mlp_vae
from vae.pages import ExploredModel

KEYS = webdriver.Keys
SHADE = 1 / 255  # a step of a pixel on a canvas
NAMES = ["across", "up", "shade"]
RATES = [[2.5, 0.001, 1.5, 3.5, 0.5], [1.5, 0.7, 0.002, 0.9, 0.004]]  # of the latents of the two models, in nats
HOSTILE = '</script><script>window.hit = 1</script><img src=x onerror="window.hit = 1">&amp;<b>bold</b>'


def models_of(images: ImageSet, names: tuple[str, str] = ("first", "second")) -> list[ExploredModel]:
    """Two models with five latents, at beta 1 and 4, with numbers of a test."""
    x = images.batch(torch.arange(len(images)), torch.Generator().manual_seed(0))
    found = []
    for seed, (name, beta, rates) in enumerate(zip(names, (1.0, 4.0), RATES, strict=True)):
        torch.manual_seed(seed)
        vae = barely_trained(mlp_vae(images.shape, 5, (24,)), x, steps=60, beta=beta)
        test = {"rate_per_latent": rates, "elbo": -150.0 - seed, "distortion": 140.0 + seed, "rate": 10.0}
        told = {"factors": NAMES, "matrices": {"mutual_information": np.linspace(0, 1, 15).reshape(5, 3).tolist()}}
        found.append(ExploredModel(name, vae, beta, test, told))
    return found


@pytest.fixture(scope="module")
def drawn_images(tiny_images) -> ImageSet:
    """60 grey digits of sorts, 1 x 28 x 28, of ten labels and three factors."""
    images = tiny_images.first(60)
    words = ["dark", "light"] * 30
    return ImageSet(
        images.pixels,
        images.labels,
        redrawn=False,
        factors=Factors.of({"across": images.labels.tolist(), "up": np.arange(60) // 20, "shade": words}),
    )


@pytest.fixture(scope="module")
def models(drawn_images) -> list[ExploredModel]:
    return models_of(drawn_images)


@pytest.fixture(scope="module")
def page(tmp_path_factory, models, drawn_images) -> Path:
    return written(tmp_path_factory.mktemp("explorer"), models, drawn_images, title="bars of light")


@pytest.fixture(scope="module")
def binary_page(tmp_path_factory, tiny_images) -> Path:
    """Of binarised images."""
    images = ImageSet(tiny_images.pixels[:40], tiny_images.labels[:40], redrawn=True)
    torch.manual_seed(0)
    model = ExploredModel("binary", mlp_vae(images.shape, 3, (16,)).eval(), 1.0, {})
    return written(tmp_path_factory.mktemp("binary"), [model], images)


@pytest.fixture(scope="module")
def colour_page(tmp_path_factory) -> Path:
    """Of images in colours, without labels."""
    images = random_images((3, 20, 24), 8)
    images = ImageSet(images.pixels, torch.zeros(8, dtype=torch.long), redrawn=False)
    torch.manual_seed(0)
    model = ExploredModel("colours", mlp_vae(images.shape, 2, (16,)).eval(), 2.0, {})
    return written(tmp_path_factory.mktemp("colours"), [model], images)


@pytest.fixture
def opened(browser, page) -> Iterator[Any]:
    """The browser with the page. Afterwards, it must not have complained or asked for anything."""
    explore(browser, page)
    yield browser
    assert complaints(browser, page) == []


def hand(browser: Any) -> Any:
    return webdriver.ActionChains(browser, duration=20)


def into_view(browser: Any, selector: str) -> Any:
    element = browser.find_element("css selector", selector)
    browser.execute_script("arguments[0].scrollIntoView({ block: 'center', behavior: 'instant' })", element)
    return element


def click(browser: Any, selector: str) -> None:
    hand(browser).click(into_view(browser, selector)).perform()
    settle(browser)


def press(browser: Any, selector: str, *keys: str) -> None:
    """Press keys while the element has the focus."""
    browser.execute_script("arguments[0].focus()", browser.find_element("css selector", selector))
    hand(browser).send_keys(*keys).perform()
    settle(browser)


def named(label: str) -> str:
    """The selector of what a screen reader calls so."""
    return f"[aria-label={json.dumps(label)}]"


def text_of(browser: Any, selector: str) -> str:
    return browser.execute_script("return document.querySelector(arguments[0]).textContent", selector)


@torch.no_grad()
def check_picture(browser: Any, model: ExploredModel) -> None:
    """The picture and the numbers are what torch says of the page's x and z."""
    vae, state = model.vae, state_of(browser)
    x = torch.tensor(state["x"], dtype=torch.float32).view(1, 1, 28, 28)
    likelihood, posterior = vae.decode(torch.tensor(state["z"], dtype=torch.float32)[None]), vae.encode(x)
    mean = likelihood.mean[0, 0].numpy()
    assert np.abs(canvas_of(browser, "#decoded")[:, :, 0] / 255 - mean).max() < PROMISED + SHADE / 2 + 1e-6
    numbers = state["numbers"]
    distortion, rate = -likelihood.log_prob(x).item(), posterior.kl_to_standard().sum().item()
    assert numbers["distortion"] == pytest.approx(distortion, rel=1e-4)
    assert numbers["rate"] == pytest.approx(rate, abs=5 * PROMISED)
    assert numbers["beta"] == model.beta


def uniforms(seed: int) -> Iterator[float]:
    """The page's numbers in [0, 1): mulberry32."""
    while True:
        seed = (seed + 0x6D2B79F5) % 2**32
        t = (seed ^ seed >> 15) * (seed | 1) % 2**32
        t ^= (t + (t ^ t >> 7) * (t | 61)) % 2**32
        yield (t ^ t >> 14) / 2**32


@torch.no_grad()
def expected_distortion(model: ExploredModel, x: torch.Tensor) -> float:
    """The mean of -ln p(x|z) over the page's 32 draws of q(z|x)."""
    x = x.view(1, 1, 28, 28)
    draws = uniforms(2)
    pairs = [(next(draws), next(draws)) for _ in range(32 * model.vae.latent_dim)]
    normal = [math.sqrt(-2 * math.log(1 - u)) * math.cos(2 * math.pi * v) for u, v in pairs]  # Box and Muller
    noise = torch.tensor(normal).view(32, 1, model.vae.latent_dim)
    assert abs(float(noise.mean())) < 0.3
    return -model.vae.log_likelihood(x, model.vae.encode(x).rsample(noise)).mean().item()


class Stack(NamedTuple):
    """Bars that follow one another: their title and sum, and of each bar its name, its number and its place."""

    title: str
    total: float
    names: list[str]
    values: list[float]
    bars: list[tuple[float, float]]


STACKS = """
return [...document.querySelectorAll("#numbers .stack")].map((stack) => ({
    title: stack.querySelector(".sum span").textContent,
    total: stack.querySelector("b").textContent,
    parts: [...stack.querySelectorAll(".parts span")].map((part) => part.textContent),
    bars: [...stack.querySelectorAll(".track .distortion, .track .rate")].map((bar) => {
        const { left, right } = bar.getBoundingClientRect();
        return [left, right];
    }),
}));
"""


def stacks_of(browser: Any) -> list[Stack]:
    """The bars of the numbers, as they are shown."""
    found = []
    for stack in browser.execute_script(STACKS):
        parts = [part.rsplit(" ", 1) for part in stack["parts"]]
        values = [number_in(number) for _, number in parts]
        found.append(
            Stack(stack["title"], number_in(stack["total"]), [name for name, _ in parts], values, stack["bars"])
        )
    return found


def png(pixels: np.ndarray) -> str:
    """The file in base64."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


DROP = """
const [name, content] = arguments, bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
const files = new DataTransfer();
files.items.add(new File([bytes], name));
const how = { dataTransfer: files, bubbles: true, cancelable: true };
const send = (kind) => document.body.dispatchEvent(new DragEvent(kind, how));
send("dragover");
const marked = document.body.classList.contains("dropping");
send("drop");
return [marked, document.body.classList.contains("dropping")];
"""


def drop(browser: Any, name: str, content: str) -> None:
    """Drop a file on the page."""
    assert browser.execute_script(DROP, name, content) == [True, False]
    await_name(browser, name)


def await_name(browser: Any, name: str) -> None:
    """Wait until the page speaks of this file."""
    WebDriverWait(browser, 10).until(lambda _: name in text_of(browser, "#original-name"))
    settle(browser)


# ---- Latents ----


def test_arrow_keys_move_a_latent(opened, models):
    before = state_of(opened)
    press(opened, named("latent 2"), *[KEYS.ARROW_RIGHT] * 3)
    after = state_of(opened)
    steps = after["z"] - before["z"]
    assert steps[2] == pytest.approx(0.03, abs=0.006)
    assert np.flatnonzero(steps).tolist() == [2]
    assert after["selected"] == 2
    check_picture(opened, models[0])
    press(opened, named("latent 2"), KEYS.END)
    assert state_of(opened)["z"][2] == before["reach"]
    check_picture(opened, models[0])
    assert not np.array_equal(canvas_of(opened, "#decoded"), canvas_of(opened, "#original"))


def test_dragging_a_slider_moves_the_latent_to_the_pointer(opened, models):
    before = state_of(opened)
    slider = into_view(opened, named("latent 3"))
    thumb, wide = 16, slider.size["width"]
    place = lambda z: (z / (2 * before["reach"])) * (wide - thumb)  # noqa: E731 - from the middle, pixels
    hand(opened).move_to_element_with_offset(
        slider, round(place(before["z"][3])), 0
    ).click_and_hold().move_to_element_with_offset(slider, round(place(1.8)), 0).release().perform()
    after = state_of(opened)
    assert after["z"][3] == pytest.approx(1.8, abs=0.1)
    assert np.flatnonzero(after["z"] - before["z"]).tolist() == [3]
    check_picture(opened, models[0])
    assert number_in(text_of(opened, ".row[data-latent='3'] .value")) == pytest.approx(after["z"][3], abs=0.006)


def test_the_dot_of_the_plot_is_a_handle(opened, models):
    click(opened, named("show latent 0"))
    press(opened, named("z of latent 0"), KEYS.ARROW_RIGHT, KEYS.ARROW_RIGHT)
    moved = state_of(opened)
    assert moved["z"][0] == pytest.approx(moved["mean"][0] + 0.2, abs=1e-5)
    dot = into_view(opened, named("z of latent 0"))
    hand(opened).click_and_hold(dot).move_by_offset(-60, 0).release().perform()
    assert state_of(opened)["z"][0] < moved["z"][0] - 0.5
    check_picture(opened, models[0])


def test_latents_are_sorted_by_rate_and_collapsed_ones_are_folded(opened):
    order = "return [...document.querySelectorAll(arguments[0])].map((row) => Number(row.dataset.latent))"
    assert opened.execute_script(order, "#rows > .row") == [3, 0, 2, 4]
    assert opened.execute_script(order, "#dead .row") == [1]
    assert not opened.find_element("css selector", named("latent 1")).is_displayed()
    click(opened, "#dead summary")
    assert opened.find_element("css selector", named("latent 1")).is_displayed()
    press(opened, named("latent 1"), KEYS.END)
    assert state_of(opened)["z"][1] == state_of(opened)["reach"]


def test_the_terms_shown_sum_to_the_kl_which_is_that_of_torch(opened, models):
    with torch.no_grad():
        x = torch.tensor(state_of(opened)["x"], dtype=torch.float32).view(1, 1, 28, 28)
        kl = models[0].vae.encode(x).kl_to_standard()[0]
    click(opened, "#dead summary")
    for k in range(5):
        click(opened, named(f"show latent {k}"))
        *terms, total = bars_of(opened).values()
        assert len(terms) == 3
        assert sum(terms) == pytest.approx(total, abs=2.1e-3)  # each is rounded to 0.001
        assert total == pytest.approx(kl[k].item(), abs=PROMISED + 5e-4)
        of_row = text_of(opened, f".row[data-latent='{k}'] .kl .number")
        assert number_in(of_row.removesuffix(" nats")) == pytest.approx(kl[k].item(), abs=PROMISED + 5e-3)
        formula = text_of(opened, "#latent .formula")  # KL = ... = ... = 0.8778 nats, for ...
        assert number_in(formula.split(" nats")[0].split()[-1]) == pytest.approx(total, abs=6e-4)


def test_a_held_latent_stays_when_another_image_is_chosen(opened):
    press(opened, named("latent 0"), KEYS.END)
    click(opened, named("hold latent 0"))
    held = state_of(opened)["z"][0]
    click(opened, named("test image 30, across 4"))
    after = state_of(opened)
    assert after["image"] == 29
    assert after["z"][0] == held != after["mean"][0]
    assert after["z"][1:].tolist() == after["mean"][1:].tolist()
    for button in ("#to-sample", "#to-prior", "#to-mean"):
        click(opened, button)
        assert state_of(opened)["z"][0] == held
    click(opened, named("hold latent 0"))
    click(opened, "#to-mean")
    assert state_of(opened)["z"].tolist() == after["mean"].tolist()


def test_reset_takes_one_latent_back_to_the_posterior_mean(opened):
    press(opened, named("latent 0"), KEYS.END)
    press(opened, named("latent 2"), KEYS.END)
    click(opened, named("reset latent 0"))
    after = state_of(opened)
    assert after["z"][0] == after["mean"][0]
    assert after["z"][2] == after["reach"]


def test_keys_on_a_slider_play_hold_and_reset_its_latent(opened):
    press(opened, named("latent 2"), KEYS.END)
    press(opened, named("latent 2"), "h")
    click(opened, named("test image 30, across 4"))
    held = state_of(opened)
    assert (held["held"], held["z"][2]) == ([2], held["reach"])
    press(opened, named("latent 2"), "h", "r")
    reset = state_of(opened)
    assert (reset["held"], reset["z"][2]) == ([], reset["mean"][2])
    press(opened, named("latent 2"), " ")
    assert state_of(opened)["animated"] == 2
    press(opened, named("latent 2"), " ")
    assert state_of(opened)["animated"] is None


@pytest.mark.parametrize("stopped_by", ["Escape", "its own button", "the button Stop"])
def test_an_animation_moves_one_latent_until_it_is_stopped(opened, stopped_by):
    before = state_of(opened)
    click(opened, named("animate latent 2"))
    places = [state_of(opened)["z"] for _ in range(4)]
    assert state_of(opened)["animated"] == 2
    assert len({z[2] for z in places}) == 4
    assert all(abs(z[2]) <= 3 for z in places)
    assert all(np.delete(z - before["z"], 2).tolist() == [0] * 4 for z in places)
    if stopped_by == "Escape":
        hand(opened).send_keys(KEYS.ESCAPE).perform()
    else:
        click(opened, named("animate latent 2") if stopped_by == "its own button" else "#stop")
    stopped = state_of(opened)
    assert stopped["animated"] is None
    assert state_of(opened)["z"].tolist() == stopped["z"].tolist()
    assert not opened.find_element("id", "stop").is_displayed()


def test_the_strip_shows_the_latent_from_minus_3_to_3_and_sets_it(opened, models):
    click(opened, named("show latent 2"))
    state = state_of(opened)
    for i, value in enumerate(range(-3, 4)):
        z = torch.tensor(state["z"], dtype=torch.float32)
        z[2] = value
        with torch.no_grad():
            mean = models[0].vae.decode(z[None]).mean[0, 0].numpy()
        seen = canvas_of(opened, f".strip button:nth-child({i + 1}) canvas")[:, :, 0]
        assert np.abs(seen / 255 - mean).max() < PROMISED + SHADE / 2 + 1e-6
    click(opened, named("set the latent to -3"))
    assert state_of(opened)["z"][2] == -3
    check_picture(opened, models[0])


@pytest.mark.parametrize("button", ["to-sample", "to-prior"])
def test_draws_have_the_mean_and_the_variance_of_their_distribution(opened, button):
    drawn = opened.execute_script(
        "const found = [], button = document.getElementById(arguments[0]);"
        "for (let i = 0; i < 400; i++) { button.click(); found.push(Array.from(window.explorer.state.z)); }"
        "return found;",
        button,
    )
    state = state_of(opened)
    z = np.array(drawn)
    if button == "to-sample":
        z = (z - state["mean"]) / np.exp(state["logvar"] / 2)
    assert np.abs(z.mean(0)).max() < 5 / math.sqrt(400)
    assert np.abs(z.var(0) - 1).max() < 5 * math.sqrt(2 / 400)
    check_shown = [number_in(text_of(opened, f".row[data-latent='{k}'] .value")) for k in range(5)]
    assert check_shown == pytest.approx(state["z"].tolist(), abs=0.0051)


# ---- The image ----


def test_arrow_keys_move_over_the_wall(opened, models):
    buttons = opened.find_elements("css selector", "#panel-wall button")
    assert len(buttons) == 60
    press(opened, named("test image 1, across 0"), KEYS.ARROW_RIGHT)
    assert state_of(opened)["image"] == 1
    hand(opened).send_keys(KEYS.ARROW_DOWN).perform()
    below = state_of(opened)["image"]
    left, other = buttons[1].rect, buttons[below].rect
    assert other["x"] == left["x"]
    assert other["y"] > left["y"]
    hand(opened).send_keys(KEYS.ARROW_UP).perform()
    assert state_of(opened)["image"] == 1
    hand(opened).send_keys(KEYS.END).perform()
    assert state_of(opened)["image"] == 59
    assert opened.switch_to.active_element == buttons[59]
    check_picture(opened, models[0])


def stroke(browser: Any, points: list[tuple[int, int]]) -> None:
    """Draw through these points of the pad, in pixels from its middle."""
    pad = into_view(browser, "#pad")
    pen = hand(browser).move_to_element_with_offset(pad, *points[0]).click_and_hold()
    for point in points[1:]:
        pen = pen.move_to_element_with_offset(pad, *point)
    pen.release().perform()
    settle(browser)


def as_mnist(ink: np.ndarray) -> np.ndarray:
    """Ink in [0, 1] as MNIST has it: fitted into 20x20, with the centre of mass in the middle of 28x28."""
    rows, columns = np.flatnonzero(ink.max(1) > 0.16), np.flatnonzero(ink.max(0) > 0.16)
    cut = Image.fromarray((255 * ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]).astype(np.uint8))
    scale = 20 / max(cut.size)
    small = np.asarray(cut.resize([max(1, round(side * scale)) for side in cut.size], Image.Resampling.BOX)) / 255
    y, x = centre_of_mass(small)
    top, left = round(14 - y), round(14 - x)
    result = np.zeros((28, 28))
    result[top : top + small.shape[0], left : left + small.shape[1]] = small
    return result


def centre_of_mass(image: np.ndarray) -> tuple[float, float]:
    """Down and across; the middle of the first pixel is at 0.5."""
    y, x = np.indices(image.shape) + 0.5
    return float((y * image).sum() / image.sum()), float((x * image).sum() / image.sum())


def test_a_drawing_is_centred_and_scaled_as_mnist_is(opened, models):
    click(opened, "#show-draw")
    stroke(opened, [(-80, -70), (-20, -70), (-40, 0), (-60, 60)])  # a seven, left of the middle
    state = state_of(opened)
    assert (state["name"], state["image"]) == ("your drawing.", None)
    found = state["x"].reshape(28, 28)
    assert centre_of_mass(found) == pytest.approx((14, 14), abs=1)
    inked = [np.flatnonzero(found.max(axis) > 0.1) for axis in (0, 1)]
    assert 19 <= max(ink[-1] - ink[0] + 1 for ink in inked) <= 22
    expected = as_mnist(canvas_of(opened, "#pad")[:, :, 0] / 255)
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.9  # they differ by parts of a pixel
    assert np.abs(found - expected).mean() < 0.03
    check_picture(opened, models[0])
    drawn = canvas_of(opened, "#original")[:, :, 0] / 255
    assert np.abs(drawn - found).max() <= SHADE
    click(opened, "#centre")
    small = Image.fromarray(canvas_of(opened, "#pad")[:, :, 0]).resize((28, 28), Image.Resampling.BOX)
    assert np.abs(state_of(opened)["x"].reshape(28, 28) - np.asarray(small) / 255).mean() < 0.03
    click(opened, "#invert")
    assert np.abs(1 - state_of(opened)["x"].reshape(28, 28) - np.asarray(small) / 255).mean() < 0.03
    click(opened, "#clear-pad")
    click(opened, "#invert")
    assert state_of(opened)["x"].max() == 0
    check_picture(opened, models[0])


def test_a_digit_on_paper_is_cut_out(opened, models):
    """Dark ink on bright paper in uneven light, as a photograph shows it."""
    y, x = np.indices((300, 200))
    paper = 200 - 0.1 * x + 0.1 * y
    on_line = (np.abs(x - 60 - 0.2 * (y - 60)) < 8) & (y > 60) & (y < 160)
    drop(opened, "photo.png", png(np.where(on_line, 40, paper).astype(np.uint8)))
    assert opened.find_element("id", "invert").is_selected()
    found = state_of(opened)["x"].reshape(28, 28)
    assert centre_of_mass(found) == pytest.approx((14, 14), abs=1)
    assert (found == 0).mean() > 0.8
    assert found.max() > 0.9
    rows = np.flatnonzero(found.max(1) > 0.5)
    assert rows[-1] - rows[0] + 1 == pytest.approx(20, abs=1)
    check_picture(opened, models[0])


@pytest.mark.parametrize("minimised", [True, False])
def test_a_loss_and_its_line_are_shown_only_where_the_training_minimised_it(browser, tmp_path, minimised):
    images = random_images((1, 8, 8), 6)
    torch.manual_seed(0)
    test = {"elbo": -30.0, "distortion": 20.0, "rate": 10.0}
    model = ExploredModel("one", mlp_vae(images.shape, 2, (8,)).eval(), 6.0, test, minimised=minimised)
    page = written(tmp_path, [model], images)
    explore(browser, page)
    assert ("loss, β = 6" in text_of(browser, "#numbers")) == minimised
    assert "−ELBO" in text_of(browser, "#numbers")
    assert bool(browser.find_elements("css selector", "#tradeoff .slope")) == minimised
    assert ("another than distortion" in text_of(browser, "#tradeoff")) != minimised
    assert complaints(browser, page) == []


def test_a_drawing_in_colours_has_the_colour_of_the_pen(browser, colour_page):
    explore(browser, colour_page)
    click(browser, "#show-draw")
    browser.execute_script("document.getElementById('ink').value = '#ff8000'")
    stroke(browser, [(-40, 0), (40, 0)])
    found = state_of(browser)["x"].reshape(3, 20, 24)
    assert found.max((1, 2)) / found.max() == pytest.approx([1, 128 / 255, 0], abs=0.02)
    assert found.max() > 0.5
    assert not browser.find_element("id", "centre").is_selected()
    assert complaints(browser, colour_page) == []


def test_a_drawing_is_binarised_as_the_data_were(browser, binary_page):
    explore(browser, binary_page)
    click(browser, "#show-draw")
    stroke(browser, [(-60, -60), (60, 60)])
    state = state_of(browser)
    assert set(state["x"]) == {0.0, 1.0}
    assert centre_of_mass(state["x"].reshape(28, 28)) == pytest.approx((14, 14), abs=1)
    expected = as_mnist(canvas_of(browser, "#pad")[:, :, 0] / 255)
    assert state["x"].sum() == pytest.approx(expected.sum(), rel=0.1)
    nats = state["numbers"]["expected"] + state["numbers"]["rate"]
    assert f"= {nats / math.log(2) / 784:.3f} bits per pixel" in text_of(browser, "#numbers")
    assert complaints(browser, binary_page) == []


def test_a_picture_that_is_dropped_becomes_x(opened, models):
    pixels = np.random.default_rng(0).integers(0, 80, (28, 28), dtype=np.uint8)  # dark, and so not swapped
    drop(opened, "noise.png", png(pixels))
    click(opened, "#centre")
    state = state_of(opened)
    assert np.abs(state["x"].reshape(28, 28) - pixels / 255).max() < 1e-6
    assert (state["name"], state["image"]) == ("noise.png.", None)
    check_picture(opened, models[0])
    # Of another shape and size: whole, and what is beside it has the colour of its border.
    drop(opened, "high.png", png(np.full((112, 56), 100, dtype=np.uint8)))
    assert np.abs(state_of(opened)["x"] - 100 / 255).max() < 0.02


def test_a_picture_on_white_is_swapped_where_the_data_lie_on_black(opened):
    paper = np.full((112, 56), 255, dtype=np.uint8)
    paper[40:72, 12:44] = 0
    click(opened, "#show-open")
    if opened.find_element("id", "centre").is_selected():
        click(opened, "#centre")
    drop(opened, "ink.png", png(paper))
    assert opened.find_element("id", "invert").is_selected()
    x = state_of(opened)["x"].reshape(28, 28)
    assert x[:, :7].max() < 0.02
    assert x[12:16, 12:16].min() > 0.98
    click(opened, "#invert")
    assert np.abs(state_of(opened)["x"].reshape(28, 28) - (1 - x)).max() < 0.02


# What a person does first, without the window in which files are chosen.
CLICK = """
const input = document.getElementById("file");
input.addEventListener("click", (event) => event.preventDefault(), { once: true });
input.click();
"""


def test_a_picture_that_is_chosen_becomes_x_as_often_as_it_is_chosen(browser, colour_page, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "colours.png")
    explore(browser, colour_page)
    assert browser.find_element("id", "panel-wall").text == ""  # no labels
    for _ in range(2):
        click(browser, "#show-open")
        browser.execute_script(CLICK)
        browser.find_element("id", "file").send_keys(str(tmp_path / "colours.png"))
        await_name(browser, "colours.png")
        x = state_of(browser)["x"].reshape(3, 20, 24)
        assert np.abs(x - pixels.transpose(2, 0, 1) / 255).max() < 1e-6
        assert np.array_equal(canvas_of(browser, "#original"), pixels)
        click(browser, "#show-wall")
        click(browser, named("test image 2"))
        assert state_of(browser)["image"] == 1
    assert complaints(browser, colour_page) == []


@pytest.mark.parametrize(("name", "content"), [("notes.txt", b"no picture"), ("empty.png", b"")])
def test_a_file_that_is_no_picture_is_refused_in_words(opened, name, content):
    before = state_of(opened)
    drop(opened, name, base64.b64encode(content).decode())
    assert text_of(opened, "#original-name").startswith(f"{name} is no picture that this browser reads.")
    after = state_of(opened)
    assert after["x"].tolist() == before["x"].tolist()
    assert after["z"].tolist() == before["z"].tolist()


def test_a_picture_that_is_pasted_becomes_x(opened):
    paste = DROP.replace("dataTransfer:", "clipboardData:").replace("DragEvent", "ClipboardEvent")
    paste = paste.split('send("dragover")')[0]
    pixels = np.random.default_rng(1).integers(0, 80, (28, 28), dtype=np.uint8)
    opened.execute_script(paste + 'send("paste");', "pasted.png", png(pixels))
    await_name(opened, "pasted.png")
    click(opened, "#centre")
    assert np.abs(state_of(opened)["x"].reshape(28, 28) - pixels / 255).max() < 1e-6


# ---- Models ----


@pytest.mark.parametrize("by", ["pointer", "keys", "its picture"])
def test_another_beta_shows_the_same_image_by_its_model(opened, models, by):
    click(opened, named("test image 30, across 4"))
    x = state_of(opened)["x"]
    check_picture(opened, models[0])
    if by == "pointer":
        click(opened, "#models label:nth-child(2) span")
    elif by == "keys":
        press(opened, "#models input", KEYS.ARROW_RIGHT)
    else:
        click(opened, "#compare button:nth-child(2)")
    state = state_of(opened)
    assert (state["model"], state["image"]) == (1, 29)
    assert np.array_equal(state["x"], x)
    check_picture(opened, models[1])
    assert text_of(opened, "#about").startswith("second: trained with β = 4; 3 of 5 latents are used.")
    assert opened.execute_script("return document.querySelector('#models input:checked').value") == "1"
    pressed = "return [...document.querySelectorAll('#compare button')].map((b) => b.getAttribute('aria-pressed'))"
    assert opened.execute_script(pressed) == ["false", "true"]


def test_every_beta_is_shown_beside_the_others(opened, models):
    x = torch.tensor(state_of(opened)["x"], dtype=torch.float32).view(1, 1, 28, 28)
    for i, model in enumerate(models):
        with torch.no_grad():
            posterior = model.vae.encode(x)
            likelihood = model.vae.decode(posterior.mean)
        cell = f"#compare button:nth-child({i + 1})"
        seen = canvas_of(opened, f"{cell} canvas")[:, :, 0]
        assert np.abs(seen / 255 - likelihood.mean[0, 0].numpy()).max() < PROMISED + SHADE / 2 + 1e-6
        rate, distortion = (text_of(opened, f"{cell} .ink-{kind}").split()[1] for kind in ("rate", "distortion"))
        assert number_in(rate) == pytest.approx(posterior.kl_to_standard().sum().item(), abs=0.06)
        assert number_in(distortion) == pytest.approx(expected_distortion(model, x), abs=0.06)
    words = opened.find_element("id", "tradeoff").text
    assert "β = 1" in words
    assert "β = 4" in words


def test_the_bars_of_the_loss_add_up(opened, models):
    for number, weight in ((1, 1.0), (2, 4.0)):
        click(opened, f"#models label:nth-child({number}) span")
        numbers = state_of(opened)["numbers"]
        of_z, *others = stacks_of(opened)
        assert of_z.total == pytest.approx(numbers["distortion"], abs=0.0051)
        assert len(others) == number  # at beta 1, the loss is the negative ELBO
        for stack, beta in zip(others, (weight, 1.0), strict=False):
            assert stack.values == pytest.approx([numbers["expected"], beta * numbers["rate"]], abs=0.0051)
            assert stack.total == pytest.approx(sum(stack.values), abs=0.011)
            (begin, middle), (again, end) = stack.bars
            assert again == pytest.approx(middle, abs=0.5)
            assert (end - begin) / (middle - begin) == pytest.approx(stack.total / stack.values[0], rel=0.02)
    x = torch.tensor(state_of(opened)["x"], dtype=torch.float32)
    assert numbers["expected"] == pytest.approx(expected_distortion(models[1], x), rel=1e-4)


# ---- The map ----


def choose(browser: Any, select: str, value: str) -> None:
    Select(browser.find_element("id", select)).select_by_value(value)
    settle(browser)


# A tile of the pictures behind the map, brought into the page so that it can be read.
TILE = """
const { canvas } = window.explorer.state.manifold[arguments[0]];
document.body.append(canvas);
return canvas;
"""


def click_map(browser: Any, across: float, up: float) -> float:
    """Click at this place, in units of z. Returns how much a pixel is."""
    reach = state_of(browser)["mapReach"]
    canvas = into_view(browser, "#map")
    half = canvas.size["width"] / 2
    hand(browser).move_to_element_with_offset(
        canvas, round(across / reach * half), round(-up / reach * half)
    ).click().perform()
    settle(browser)
    return reach / half


def test_a_click_on_the_map_goes_there(opened, models):
    choose(opened, "map-x", "2")
    choose(opened, "map-y", "4")
    before = state_of(opened)
    pixel = click_map(opened, 1.2, -0.7)
    after = state_of(opened)
    assert after["z"][2] == pytest.approx(1.2, abs=2 * pixel)
    assert after["z"][4] == pytest.approx(-0.7, abs=2 * pixel)
    assert after["z"][[0, 1, 3]].tolist() == before["z"][[0, 1, 3]].tolist()
    check_picture(opened, models[0])
    press(opened, "#map", KEYS.ARROW_LEFT, KEYS.ARROW_UP)
    moved = state_of(opened)["z"] - after["z"]
    assert moved == pytest.approx([0, 0, -0.1, 0, 0.1], abs=1e-5)
    choose(opened, "map-y", "2")  # the same latent in both directions: another is taken
    assert len(set(opened.execute_script("return window.explorer.state.mapAxes"))) == 2


def test_principal_components_are_those_of_the_posterior_means(opened):
    choose(opened, "map-x", "pca")
    assert not opened.find_element("id", "map-y").is_displayed()
    points, origin, across, up = opened.execute_script(
        "const { models, state: { plane } } = window.explorer;"
        "return [models[0].points, plane.origin, plane.across, plane.up].map((v) => Array.from(v))"
    )
    points, axes = np.array(points).reshape(-1, 5), np.array([across, up])
    _, vectors = np.linalg.eigh(np.cov(points.T))
    assert origin == pytest.approx(points.mean(0).tolist(), abs=1e-6)
    assert np.abs(axes @ vectors[:, [-1, -2]]).round(3).tolist() == np.eye(2).tolist()
    before = state_of(opened)["z"]
    pixel = click_map(opened, 0.6, -0.4)
    after = state_of(opened)["z"]
    assert axes @ (after - origin) == pytest.approx([0.6, -0.4], abs=2 * pixel)
    away = (after - before) - axes.T @ (axes @ (after - before))
    assert np.abs(away).max() < 1e-5


def test_decoded_pictures_lie_behind_the_map(opened, models):
    choose(opened, "map-x", "2")
    choose(opened, "map-y", "0")
    without = canvas_of(opened, "#map")
    click(opened, "#manifold")
    WebDriverWait(opened, 20).until(
        lambda _: opened.execute_script("return window.explorer.state.manifold?.length === 169")
    )
    settle(opened)
    assert (canvas_of(opened, "#map") != without).mean() > 0.2
    z = torch.tensor(state_of(opened)["z"], dtype=torch.float32)
    for tile, place in ((0, (-3, 3)), (12, (3, 3)), (168, (3, -3))):
        z[2], z[0] = place
        with torch.no_grad():
            mean = models[0].vae.decode(z[None]).mean[0, 0].numpy()
        seen = canvas_of(opened, opened.execute_script(TILE, tile))
        assert np.abs(seen[:, :, 0] / 255 - mean).max() < PROMISED + SHADE / 2 + 1e-6
    click(opened, "#manifold")
    assert np.array_equal(canvas_of(opened, "#map"), without)


def test_the_map_is_coloured_by_a_factor(opened):
    options = "return [...document.getElementById('map-colour').options].map((o) => o.textContent)"
    assert opened.execute_script(options)[-4:] == ["across", "up", "shade", "none"]
    seen = []
    for value, words in (("0", [str(level) for level in range(10)]), ("1", ["0", "1", "2"]), ("none", [])):
        choose(opened, "map-colour", value)
        assert (
            opened.execute_script("return [...document.querySelectorAll('#legend span')].map((e) => e.textContent)")
            == words
        )
        seen.append(canvas_of(opened, "#map"))
    assert all((seen[i] != seen[i + 1]).any() for i in range(2))


def test_labels_that_are_no_factor_have_their_own_names_and_colours(browser, tmp_path, tiny_images, models):
    images = tiny_images.first(12)
    factors = Factors.of({"size": np.arange(12) % 3})
    images = ImageSet(images.pixels, images.labels, redrawn=False, factors=factors)
    page = written(tmp_path, models, images)
    explore(browser, page)
    options = "return [...document.getElementById('map-colour').options].map((o) => o.textContent)"
    assert browser.execute_script(options) == ["label", "size", "none"]
    click(browser, named("test image 12, 9"))
    assert text_of(browser, "#original-name") == "test image 12 of 12: 9"
    assert complaints(browser, page) == []


def test_the_matrix_of_factors_marks_the_latent(opened):
    shown = opened.execute_script(
        "const lines = [...document.querySelectorAll('#matrix tbody tr')];"
        "return lines.map((line) => [...line.querySelectorAll('td')].map((td) => td.textContent))"
    )
    expected = np.linspace(0, 1, 15).reshape(5, 3)[[3, 0, 2, 4, 1]]
    assert [[number_in(cell) for cell in line] for line in shown] == pytest.approx(expected, abs=0.0051)
    hand(opened).move_to_element(into_view(opened, "#matrix tr[data-latent='2'] td")).perform()
    assert "marked" in opened.find_element("css selector", ".row[data-latent='2']").get_attribute("class")
    click(opened, f"#matrix {named('show latent 2')}")
    assert state_of(opened)["selected"] == 2
    assert "it tells most about shade: 0.57 nats" in text_of(opened, "#latent")


# ---- The page ----


def test_the_keyboard_reaches_everything_and_leaves_it(opened):
    """Tab goes through the page once, and out of it."""
    focused = (
        "const e = document.activeElement;"
        "return e === document.body ? null : e.getAttribute('aria-label') ?? (e.id || e.name || e.textContent.trim());"
    )
    opened.execute_script("document.querySelector('#dead').open = true; document.activeElement.blur(); scrollTo(0, 0)")
    found = []
    for _ in range(120):
        hand(opened).send_keys(KEYS.TAB).perform()
        now = opened.execute_script(focused)
        if now is None or now in found[:1]:
            break
        found.append(now)
    else:
        pytest.fail(f"120 times Tab did not lead through the page: {found}")
    latents = [f"latent {k}" for k in range(5)]
    strip = [f"set the latent to {value}" for value in range(-3, 4)]
    buttons = ["show-wall", "show-draw", "show-open", "to-mean", "to-sample", "to-prior", "manifold", "map-x", "map-y"]
    expected = {*latents, *strip, *buttons, "model", "test image 1, across 0", "map-colour"}
    assert expected - set(found) == set()
    assert any(name.startswith("posterior means; click to go there") for name in found)
    assert any(name.startswith("z of latent") for name in found)
    assert len(found) < 90  # the wall is one stop


# What a person can use, but finds something else lying on it, after scrolling there.
COVERED = """
const all = [...document.querySelectorAll("button, select, summary, input, #map")].filter((e) => e.checkVisibility());
return all.filter((element) => {
    const target = element.closest("label") ?? element;
    target.scrollIntoView({ block: "center", behavior: "instant" });
    const { x, y, width, height } = target.getBoundingClientRect();
    return !target.contains(document.elementFromPoint(x + width / 2, y + height / 2));
}).map((element) => element.getAttribute("aria-label") ?? element.id ?? element.textContent);
"""


@pytest.mark.parametrize("width", [375, 720, 768, 1119, 1120, 1400, 2560])
def test_the_page_is_not_wider_than_the_window(browser, page, width):
    explore(browser, page, width=width)
    for source in ("wall", "draw", "open"):
        browser.execute_script("document.getElementById(arguments[0]).click()", f"show-{source}")
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    browser.execute_script(
        "document.getElementById('show-wall').click(); document.querySelector('#dead').open = true;"
    )
    assert browser.execute_script(COVERED) == []
    sizes = browser.execute_script(
        "const ids = ['decoded', 'original', 'map', 'rows', 'numbers'];"
        "return ids.map((id) => document.getElementById(id).getBoundingClientRect().width)"
    )
    assert min(sizes) > 100
    assert complaints(browser, page) == []


# The numbers of the matrix, which lie on a shade of their own.
CELLS = """
return [...document.querySelectorAll("#matrix td")].map((cell) => {
    const shade = getComputedStyle(cell.querySelector("i")), card = getComputedStyle(cell.closest(".card"));
    const [r, g, b] = shade.backgroundColor.match(/[0-9.]+/g);
    const below = [`rgba(${r}, ${g}, ${b}, ${shade.opacity})`, card.backgroundColor];
    return [cell.textContent, getComputedStyle(cell).color, below];
});
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_is_readable(browser, page, scheme):
    explore(browser, page, scheme=scheme)
    browser.execute_script("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    for source in ("draw", "open", "wall"):
        browser.execute_script("document.getElementById(arguments[0]).click()", f"show-{source}")
        texts = browser.execute_script(TEXTS)
        assert len(texts) > 80
        assert [(text, colour) for text, colour, below in texts if contrast(colour, below) < READABLE] == []
    cells = browser.execute_script(CELLS)
    assert len(cells) == 15
    assert [text for text, colour, below in cells if contrast(colour, below) < READABLE] == []


def test_the_time_from_a_slider_to_pixels_is_measured(opened):
    press(opened, named("latent 2"), KEYS.ARROW_RIGHT)
    latency = opened.execute_script("return document.documentElement.dataset.latency")
    assert float(latency) >= 0
    assert f"{float(latency):.1f} ms" in text_of(opened, "#latency")


def test_text_of_the_data_is_shown_and_not_obeyed(browser, tmp_path, tiny_images):
    images = tiny_images.first(30)
    names = {f"{HOSTILE}{k}": images.labels.tolist() if k else list(range(30)) for k in range(2)}
    images = ImageSet(images.pixels, images.labels, redrawn=False, factors=Factors.of(names))
    models = [
        ExploredModel(f"{HOSTILE}{i}", mlp_vae(images.shape, 2, (8,)).eval(), 1.0, {}, {
            "factors": list(names), "matrices": {"mutual_information": [[0.1, 0.2], [0.3, 0.4]]}
        })
        for i in range(2)
    ]  # fmt: skip
    labels = [f"{HOSTILE} label {k}" for k in range(10)]
    page = written(tmp_path, models, images, title=HOSTILE, label_names=labels)
    explore(browser, page)
    assert browser.title == HOSTILE
    assert text_of(browser, "h1") == HOSTILE
    seen = browser.execute_script("return document.body.textContent")
    for text in (f"{HOSTILE}0", f"{HOSTILE}1", *labels):
        assert text in seen
    assert browser.execute_script(
        "return [window.hit ?? null, document.querySelectorAll('b:not(.stack b), img').length]"
    ) == [None, 0]
    assert browser.execute_script("return document.scripts.length") == 5
    drop(browser, f"{HOSTILE[:20]}.txt", "")
    assert complaints(browser, page) == []


class Counting(BaseHTTPRequestHandler):
    """Answers everything, and counts what was asked."""

    def do_GET(self) -> None:
        self.server.paths.append(self.path)  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Access-Control-Allow-Origin", "*")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def counting() -> Iterator[ThreadingHTTPServer]:
    """A server on this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Counting) as server:
        server.paths = []  # type: ignore[attr-defined]
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


ASK = """
const [address, done] = arguments;
const image = document.createElement("img");
image.src = `${address}/img`;
document.body.append(image);
const script = document.createElement("script");
script.textContent = "window.hit = 1";
document.body.append(script);
const source = document.createElement("script");
source.src = `${address}/script`;
document.body.append(source);
const button = document.createElement("div");
button.setAttribute("onclick", "window.hit = 1");
document.body.append(button);
button.click();
const loaded = new Promise((resolve, reject) => { image.onload = resolve; image.onerror = reject; });
const answer = ([fetched]) => setTimeout(() => done([fetched.status, window.hit ?? null]), 100);
Promise.allSettled([fetch(`${address}/fetch`), loaded]).then(answer);
"""


def test_the_policy_stops_what_would_ask_or_run(browser, page, counting, tmp_path):
    address = f"http://127.0.0.1:{counting.server_port}"
    explore(browser, page)
    policy = browser.execute_script(
        "return document.querySelector('meta[http-equiv=Content-Security-Policy]').content"
    )
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert browser.execute_async_script(ASK, address) == ["rejected", None]
    assert counting.paths == []
    assert any("Content Security Policy" in entry["message"] for entry in browser.get_log("browser"))
    (tmp_path / "open.html").write_text("<body>a page without a policy</body>")
    show(browser, tmp_path / "open.html")
    assert browser.execute_async_script(ASK, address) == ["fulfilled", 1]
    assert sorted(counting.paths) == ["/fetch", "/img", "/script"]


def test_a_damaged_page_says_that_it_failed(browser, page, tmp_path):
    text = page.read_text(encoding="utf-8")
    start = text.index('id="model1">') + len('id="model1">')
    (tmp_path / "damaged.html").write_text(text[:start] + text[start + 400 :], encoding="utf-8")
    show(browser, tmp_path / "damaged.html")
    failure = browser.find_element("id", "failure")
    WebDriverWait(browser, 10).until(lambda _: failure.is_displayed())
    assert len(failure.text) > 10


@pytest.mark.parametrize("latents", [1, 2])
def test_few_latents_are_explored_likewise(browser, tmp_path, tiny_images, latents):
    images = tiny_images.first(12)
    torch.manual_seed(0)
    model = ExploredModel("few", mlp_vae(images.shape, latents, (8,)).eval(), 1.0, {})
    page = written(tmp_path, [model], images)
    explore(browser, page)
    assert not browser.find_element("id", "models").is_displayed()
    click_map(browser, 1.0, 1.0)
    assert state_of(browser)["z"] == pytest.approx([1.0] * latents, abs=0.05)
    check_picture(browser, model)
    assert asked(browser) == [page.as_uri()]
