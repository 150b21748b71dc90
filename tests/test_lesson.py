"""The lesson in a browser: its formulas beside torch's, and its figures by mouse and by keyboard."""

import json
import math
import re
from pathlib import Path

import pytest
from browsing import TEXTS, asked, contrast, show, webdriver

import lesson
import vae.pages.assemble
from vae.pages.lesson import PAGE, reference_values
from vae.pages.mathml import mathml, with_formulas

KEPT = Path(__file__).resolve().parents[1] / "outputs" / "reference" / PAGE
LARGEST = 400_000  # bytes of the page
SMALLEST_TEXT = 9  # pixels high
WIDTHS = (375, 2560)
CALL = "{body}\nreturn arguments[1].map((call) => ({{{name}}})[arguments[0]](...call));"
TITLED = """
const [root, name] = arguments;
const titles = [...root.querySelectorAll("dt, .key")];
const title = titles.find(t => t.textContent.replaceAll("\\u2009", "").startsWith(name));
return (title.tagName === "DT" ? title.nextElementSibling : title).querySelector("output").textContent;
"""
FOCUSED = """
arguments[0].focus({preventScroll: true});
const names = ["label", "valuetext", "valuenow", "valuemin", "valuemax"];
return names.map(name => arguments[0].getAttribute(`aria-${name}`));
"""

OUTSIDE = """
const outside = (grip) => {
    const area = grip.closest("svg").querySelector("clipPath rect").getBBox();
    const disc = grip.querySelector(".disc").getBBox();
    const [x, y] = [disc.x + disc.width / 2 - area.x, disc.y + disc.height / 2 - area.y];
    return !(x > -1 && x < area.width + 1 && y > -1 && y < area.height + 1);
};
return [...document.querySelectorAll(".grip")].filter(outside).map(grip => grip.getAttribute("aria-label"));
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    """The lesson on the kept runs."""
    path = tmp_path_factory.mktemp("lesson") / PAGE
    lesson.write(path, None)
    return path


@pytest.fixture
def opened(browser, page):
    """The browser with the lesson as it is at first."""
    show(browser, page)
    return browser


class Figure:
    """One figure of the lesson, as a person uses it."""

    def __init__(self, browser, name):
        self.browser = browser
        self.root = browser.find_element("id", f"figure-{name}")
        browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", self.root)

    def says(self):
        """Its verdict."""
        return self.root.find_element("class name", "verdict").text

    def number(self, name):
        """The number that stands beside a name."""
        text = self.browser.execute_script(TITLED, self.root, name).removesuffix(" %")
        return float(text.replace("−", "-").replace("∞", "inf"))

    def press(self, text):
        """Click a button."""
        next(b for b in self.root.find_elements("tag name", "button") if b.text.replace("\u2009", "") == text).click()

    def handle(self, name):
        """A handle by its label."""
        return self.root.find_element("css selector", f"[role=slider][aria-label='{name}']")

    def keys(self, name, *keys):
        """Press keys while a handle has the focus."""
        self.browser.execute_script("arguments[0].focus({preventScroll: true})", self.handle(name))
        webdriver.ActionChains(self.browser, duration=0).send_keys(*keys).perform()

    def drag(self, name, right, down=0):
        """Drag a handle by pixels."""
        disc = self.handle(name).find_element("class name", "disc")
        hand = webdriver.ActionChains(self.browser, duration=20)
        hand.click_and_hold(disc).move_by_offset(right, down).release().perform()


def in_the_browser(browser, name, calls):
    """What a formula of the page returns for these calls."""
    return browser.execute_script(CALL.format(body=vae.pages.assemble.source("formulas.js"), name=name), name, calls)


def difference(found, wanted):
    """Absolute, or relative to values above 1."""
    return abs(found - wanted) / max(1.0, abs(wanted))


@pytest.mark.parametrize("reference", reference_values(), ids=lambda reference: reference["name"])
def test_a_formula_of_the_page_is_the_packages(browser, reference):
    found = in_the_browser(browser, reference["name"], reference["arguments"])
    keys, tolerated = reference["keys"], reference["tolerated"]
    assert tolerated <= (2e-7 if "32" in reference["name"] else 1e-9)
    assert len(found) == len(reference["values"]) > 20
    for one, wanted in zip(found, reference["values"], strict=True):
        pairs = zip((one[key] for key in keys), wanted, strict=True) if keys else [(one, wanted)]
        assert all(difference(*pair) <= tolerated for pair in pairs)


def test_the_page_says_that_its_formulas_are_torchs(opened):
    line = opened.find_element("id", "check")
    assert line.get_attribute("class") == "check good"
    assert int(line.get_attribute("data-points")) > 5000
    assert float(line.get_attribute("data-worst")) < 1e-9
    assert line.get_attribute("data-wrong") == ""


WRONG = {  # in formulas.js: what is right, what is wrong, and the formula that then differs from torch
    "(Math.expm1(logvar) - logvar)": ("(Math.exp(logvar) - logvar)", "klStandard"),
    "2 * (Math.log(rootP[0][0]": ("(Math.log(rootP[0][0]", "klNormal2d"),
    "Math.sign(beyond) + clamp": ("Math.sign(beyond) - clamp", "boundGradient"),
}


def test_the_page_notices_wrong_formulas(browser, tmp_path, monkeypatch):
    source = vae.pages.assemble.source

    def wrong(name):
        text = source(name)
        for right, (other, _) in WRONG.items():
            assert name != "formulas.js" or right in text
            text = text.replace(right, other)
        return text

    monkeypatch.setattr(vae.pages.assemble, "source", wrong)
    lesson.write(tmp_path / PAGE, None)
    show(browser, tmp_path / PAGE)
    line = browser.find_element("id", "check")
    assert line.get_attribute("class") == "check bad"
    assert {name for _, name in WRONG.values()} <= set(line.get_attribute("data-wrong").split())
    assert "klCategorical" not in line.get_attribute("data-wrong")


def test_the_page_is_small_and_asks_for_nothing_and_complains_of_nothing(browser, page):
    assert page.stat().st_size < LARGEST
    show(browser, page)
    for name in ("closed", "vae"):
        Figure(browser, name).press("Start again")
    assert asked(browser) == [page.as_uri()]
    assert browser.get_log("browser") == []


def test_the_kept_page_is_that_of_the_script(page):
    def parts(path):  # without the numbers and the versions that made them
        text = re.sub(r'<script type="application/json" id="(references-of-torch|ceiling)">.*', "", path.read_text())
        return re.sub(r"Made by .*", "", text)

    assert parts(KEPT) == parts(page), "make it again: python scripts/lesson.py"


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_fits_the_window_and_its_text_can_be_read(browser, page, width):
    show(browser, page, width=width)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    wide = "return [...document.querySelectorAll('math')].filter(m => m.scrollWidth > m.clientWidth + 1).length"
    assert browser.execute_script(wide) == 0
    heights = "return [...document.querySelectorAll('svg text')].filter(t => t.textContent)"
    heights += ".map(t => t.getBoundingClientRect().height)"
    assert min(height for height in browser.execute_script(heights) if height > 0) >= SMALLEST_TEXT


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_contrast(browser, page, scheme):
    show(browser, page, scheme=scheme)
    texts = browser.execute_script(TEXTS)
    assert len(texts) > 500
    assert [(text, colour) for text, colour, below in texts if contrast(colour, below) < 4.5] == []


def test_every_handle_can_be_moved_by_keys_and_says_where_it_is(opened):
    handles = opened.find_elements("css selector", "[role=slider]")
    assert len(handles) == 50
    for handle in handles:
        name, said, now, low, high = opened.execute_script(FOCUSED, handle)
        assert float(low) <= float(now) <= float(high), name
        for key in (webdriver.Keys.ARROW_LEFT, webdriver.Keys.ARROW_RIGHT):  # one of them, if it is at an end
            webdriver.ActionChains(opened, duration=0).send_keys(key).perform()
            moved = handle.get_attribute("aria-valuetext")
            if moved != said:
                break
        assert moved != said, name
        for key, wanted in ((webdriver.Keys.HOME, low), (webdriver.Keys.END, high)):
            webdriver.ActionChains(opened, duration=0).send_keys(key).perform()
            assert float(handle.get_attribute("aria-valuenow")) == pytest.approx(float(wanted), rel=1e-5), name
        webdriver.ActionChains(opened, duration=0).send_keys(webdriver.Keys.PAGE_DOWN).perform()
        assert [low, high] == opened.execute_script(FOCUSED, handle)[3:], name
    assert opened.execute_script(OUTSIDE) == []
    assert opened.get_log("browser") == []


def test_a_large_step_is_ten_small_ones(opened):
    figure = Figure(opened, "vae")
    name = "Mean of the posterior of image 3"
    figure.keys(name, webdriver.Keys.PAGE_UP)
    assert figure.handle(name).get_attribute("aria-valuenow") == "1"
    figure.keys(name, *10 * [webdriver.Keys.ARROW_DOWN])
    assert float(figure.handle(name).get_attribute("aria-valuenow")) == pytest.approx(0)


def test_of_handles_at_one_place_the_one_used_last_is_dragged(opened):
    figure = Figure(opened, "vae")
    names = [f"Mean of the posterior of image {i}" for i in range(1, 6)]
    for name in names:
        figure.keys(name, webdriver.Keys.HOME)
    figure.drag(names[4], 60)  # the one that is drawn last
    figure.keys(names[4], webdriver.Keys.HOME)
    figure.drag(names[0], 60)
    means = [float(figure.handle(name).get_attribute("aria-valuenow")) for name in names]
    assert means[:4] == 4 * [-3.5]
    assert means[4] > -3


def test_a_handle_is_dragged_beside_one_that_is_drawn_over_it(opened):
    figure = Figure(opened, "vae")
    first, second = (f"Mean of the posterior of image {i}" for i in (1, 2))
    figure.keys(second, *8 * [webdriver.Keys.ARROW_LEFT])  # to -1.6, and the first lies at -1.9
    figure.drag(first, -60)
    assert float(figure.handle(second).get_attribute("aria-valuenow")) == pytest.approx(-1.6)
    assert float(figure.handle(first).get_attribute("aria-valuenow")) < -2.3


def test_the_area_under_the_integrand_is_the_kl_of_the_closed_form(opened):
    figure = Figure(opened, "definition")
    before = figure.number("KL(P‖Q)")
    figure.drag("Mean of P", -60)
    figure.drag("Standard deviation of Q", 25)
    assert figure.number("KL(P‖Q)") > before + 0.3
    assert figure.number("area below zero") < 0
    assert figure.number("their sum") == pytest.approx(figure.number("KL(P‖Q)"), abs=0.006)
    figure.press("KL(Q‖P)")
    assert figure.number("their sum") == pytest.approx(figure.number("KL(Q‖P)"), abs=0.006)


def test_a_handle_follows_the_pointer(opened):
    figure = Figure(opened, "definition")
    disc = figure.handle("Mean of Q").find_element("class name", "disc")
    middle = "const box = arguments[0].getBoundingClientRect(); return box.left + box.width / 2"
    before = opened.execute_script(middle, disc)
    figure.drag("Mean of Q", 40)
    assert opened.execute_script(middle, disc) == pytest.approx(before + 40, abs=2)
    assert opened.switch_to.active_element.get_attribute("aria-label") == "Mean of Q"  # the keys go on from here


def test_a_finger_drags_a_handle_and_scrolls_beside_it(opened):
    opened.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    try:
        figure = Figure(opened, "closed")
        handle = figure.handle("Mean and log-variance")
        for start, is_dragged in ((handle.find_element("class name", "disc"), True), (figure.root, False)):
            before, scrolled = handle.get_attribute("aria-valuetext"), opened.execute_script("return scrollY")
            box = opened.execute_script("return arguments[0].getBoundingClientRect().toJSON()", start)
            x, y = box["left"] + box["width"] / 2, box["top"] + box["height"] / 2
            for step in range(9):
                points = [{"x": x, "y": y - 10 * step}] if step < 8 else []
                kind = "touchStart" if step == 0 else "touchMove" if points else "touchEnd"
                opened.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
            assert (handle.get_attribute("aria-valuetext") != before) == is_dragged
            assert (opened.execute_script("return scrollY") == scrolled) == is_dragged
    finally:
        opened.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})


def test_no_search_finds_a_negative_kl(opened):
    figure = Figure(opened, "nonnegative")
    for _ in range(2):
        figure.press("Search 10 000 random pairs")
    assert figure.says().startswith("20 000 pairs of Gaussians, some of them almost equal")
    assert figure.says().endswith("None is negative.")


def test_the_kl_is_zero_only_where_both_are_equal(opened):
    figure = Figure(opened, "equal")
    figure.keys("Mean of Q", *10 * [webdriver.Keys.ARROW_LEFT])
    assert figure.says().endswith("above zero: Q is not P.")
    figure.root.find_element("css selector", "input").send_keys(*5 * [webdriver.Keys.ARROW_LEFT])
    assert figure.says() == "KL(P\u2009‖\u2009Q) = 0.000: Q equals P."


def test_the_two_directions_choose_different_gaussians(opened):
    figure = Figure(opened, "symmetric")
    found = {}
    for direction in ("KL(P‖Q)", "KL(Q‖P)"):
        figure.press(f"Lowest {direction}")
        found[direction] = [float(figure.handle(f"{name} of Q").get_attribute("aria-valuenow")) for name in
                            ("Mean", "Standard deviation")]  # fmt: skip
    mean, sigma = found["KL(P‖Q)"]
    assert mean == pytest.approx(0, abs=0.02)
    assert sigma == pytest.approx(math.sqrt(0.6**2 + 1.9**2), abs=0.02)  # the moments of P
    mean, sigma = found["KL(Q‖P)"]
    assert abs(mean) == pytest.approx(1.9, abs=0.05)
    assert sigma == pytest.approx(0.6, abs=0.05)


def test_the_triangle_inequality_can_be_broken(opened):
    figure = Figure(opened, "triangle")
    assert figure.says().startswith("Holds here")
    figure.keys("Mean of Q", *30 * [webdriver.Keys.ARROW_LEFT])
    assert figure.says().startswith("Broken")
    assert figure.number("KL(P‖R)") > figure.number("KL(P‖Q)") + figure.number("KL(Q‖R)")
    for name in "PQ":
        figure.keys(f"Mean of {name}", webdriver.Keys.HOME)
    assert figure.says() == f"Equal: the way over Q costs the same, {figure.number('KL(P‖R)'):.2f}."


def test_cross_entropy_is_entropy_and_kl_and_can_be_infinite(opened):
    figure = Figure(opened, "discrete")
    figure.drag("Q of outcome 2", 0, -40)
    for _ in range(5):  # the numbers add up as they are shown
        figure.keys("P of outcome 1", webdriver.Keys.ARROW_UP)
        entropy = figure.number("entropy")
        assert figure.number("cross-entropy") == pytest.approx(entropy + figure.number("KL(P‖Q)"), abs=1e-9)
        assert entropy == pytest.approx(round(math.log(4), 2) - figure.number("KL(P‖uniform)"), abs=1e-9)
    figure.press("q₄ = 0")
    assert figure.number("KL(P‖Q)") == math.inf
    figure.press("Q = P")
    assert figure.number("KL(P‖Q)") == 0


def test_the_rate_grows_as_posteriors_become_points_and_is_zero_when_they_are_the_prior(opened):
    figure = Figure(opened, "vae")
    before = figure.number("rate")
    figure.press("To points")
    assert figure.number("rate") > before + 3
    figure.press("Posterior collapse")
    assert figure.number("rate") == 0


def test_what_is_said_of_the_posteriors_depends_on_rate_and_holes(opened):
    figure = Figure(opened, "vae")
    assert figure.says().startswith("The posteriors share the room under the prior")
    for i in range(1, 6):
        figure.keys(f"Mean of the posterior of image {i}", webdriver.Keys.HOME)
    assert figure.number("samples of the prior") > 90
    assert figure.says().startswith("All posteriors are the same: z says nothing about the image")
    figure.keys("Mean of the posterior of image 1", webdriver.Keys.ARROW_RIGHT)
    assert figure.says().startswith("The posteriors leave most of the room under the prior empty")


def test_half_the_sum_of_the_four_terms_is_the_kl(opened):
    figure = Figure(opened, "plane")
    figure.drag("Mean of q", 30, 20)
    terms = [figure.number(name) for name in ("trace", "distance", "−k", "log-determinant")]
    assert figure.number("KL(q‖p)") == pytest.approx(sum(terms) / 2, abs=0.011)
    figure.press("q = p")
    assert [figure.number(name) for name in ("trace", "distance", "log-determinant", "KL(q‖p)")] == [2, 0, 0, 0]


def test_the_three_terms_add_up_and_the_kl_grows_as_sigma_falls(opened):
    figure = Figure(opened, "closed")
    figure.keys("Mean and log-variance", webdriver.Keys.ARROW_UP, webdriver.Keys.ARROW_RIGHT)
    terms = [figure.number(name) for name in ("(σ² − 1) / 2", "μ² / 2", "−ln σ² / 2")]
    assert figure.number("KL") == pytest.approx(sum(terms), abs=0.002)
    figure.press("The prior")
    assert figure.number("KL") == 0
    feature = {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]}
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", feature)
    figure.press("σ → 0")
    assert figure.number("KL") == pytest.approx((math.exp(-10) - 1 + 10) / 2, abs=0.001)
    assert figure.number("(σ² − 1) / 2") == pytest.approx(-0.5, abs=0.001)


def test_outside_the_bounds_only_this_packages_gradient_leads_back(opened):
    figure = Figure(opened, "clamp")  # at 12
    assert figure.number("without a clamp") == pytest.approx((math.exp(12) - 1) / 2, rel=1e-3)
    assert figure.number("torch.clamp") == 0
    assert figure.number("this package") == 3
    figure.keys("Log-variance from the network", *10 * [webdriver.Keys.ARROW_LEFT])
    assert figure.number("torch.clamp") == figure.number("this package") == figure.number("without a clamp")


def test_without_the_trick_float32_overflows(opened):
    figure = Figure(opened, "logsumexp")
    assert figure.number("without") == figure.number("with the trick")
    figure.keys("a", *10 * [webdriver.Keys.ARROW_RIGHT])
    assert figure.number("without") == math.inf
    assert figure.number("with the trick") == pytest.approx(110 + math.log(1 + math.exp(-1) + math.exp(-2)), abs=1e-3)


def test_the_loss_at_beta_is_that_of_the_kept_run(opened):
    figure = Figure(opened, "beta")
    curve = json.loads((KEPT.parent / "multi_rate.json").read_text())["curve"]
    (run,) = (point for point in curve if point["beta"] == 4)
    loss = run["distortion"] + 4 * run["rate"]
    assert figure.number("loss") == pytest.approx(loss, abs=0.006)
    assert loss - 0.5 < figure.number("lowest loss on the curve") <= loss + 0.006
    assert figure.number("loss") == pytest.approx(figure.number("distortion") + figure.number("β · rate"), abs=1e-9)
    assert figure.says().startswith("The lowest loss on the curve is within 0.01 of it.")
    rate = figure.number("rate")
    figure.keys("Beta", webdriver.Keys.ARROW_RIGHT)
    assert figure.number("rate") < rate


def test_mutual_information_lies_between_independence_and_equality(opened):
    figure = Figure(opened, "joint")
    figure.press("Independent")
    assert figure.number("I(X; Z)") == 0
    assert figure.says().endswith("Knowing Z changes nothing.")
    figure.press("Z = X")
    assert figure.number("I(X; Z)") == pytest.approx(math.log(3), abs=0.006)


def test_the_parts_of_the_rate_add_up_and_the_information_stays_below_ln_n(opened):
    figure = Figure(opened, "aggregate")
    sliders = figure.root.find_elements("css selector", "input")
    sliders[1].send_keys(webdriver.Keys.HOME)  # the smallest sigma
    parts = [figure.number(name) for name in ("I(X; Z)", "KL(q(z)‖p(z))")]
    assert figure.number("rate") == pytest.approx(sum(parts), abs=0.011)
    assert parts[0] == pytest.approx(math.log(5), abs=0.006)
    assert figure.says().startswith("The ceiling is reached")


def test_above_the_ceiling_the_estimate_shows_dependence_that_is_not_there(opened):
    figure = Figure(opened, "ceiling")
    assert figure.number("mutual information") <= math.log(256) + 0.01
    assert figure.number("total correlation") > 2
    assert figure.says().startswith("ln 256 = 5.55 is below the rate 10")


def test_own_runs_give_the_curve(tmp_path, called):
    summaries = []
    for beta, distortion, rate in ((1.0, 80.0, 20.0), (4.0, 100.0, 8.0)):
        test = {"distortion": distortion, "rate": rate, "elbo": -distortion - rate}
        summary = {"status": "done", "beta": beta, "seed": 0, "epochs": 1, "steps": 1, "seconds": 1.0, "test": test}
        path = tmp_path / f"{beta}" / "summary.json"
        path.parent.mkdir()
        path.write_text(json.dumps(summary))
        summaries.append(str(path))
    done = called(lesson, "--output", str(tmp_path / PAGE), "--run-summaries", *summaries)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / PAGE).read_text()
    assert '{"beta":4.0,"distortion":100.0,"rate":8.0}' in text
    assert "2 runs of your own" in text
    assert "<caption>MNIST" not in text

    for words, code, said in (
        (["--run-summaries", summaries[0], summaries[0]], 1, "one of each, above 0, got beta = 1, 1. Name one run"),
        (["--run-summaries", summaries[0], str(tmp_path / "none.json")], 4, "none.json is missing. Name the summary"),
        (["--output", str(tmp_path)], 1, "--output must be a file, got the folder"),
    ):  # fmt: skip
        done = called(lesson, *words, *([] if words[0] == "--output" else ["--output", str(tmp_path / PAGE)]))
        assert done.returncode == code
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1
        assert said in done.stderr


def test_a_formula_becomes_mathml():
    assert mathml(r"\frac{1}{2} \ln x") == (
        "<math><mfrac><mn>1</mn><mn>2</mn></mfrac><mrow><mspace width=\"0.17em\"></mspace><mi>ln</mi><mo>\u2061</mo>"
        '<mspace width="0.17em"></mspace></mrow><mi>x</mi></math>'
    )  # fmt: skip
    assert with_formulas("a $x < 2$ b") == "a <math><mi>x</mi><mo>&lt;</mo><mn>2</mn></math> b"
    assert 'display="block"' in with_formulas("$$x$$")


@pytest.mark.parametrize(
    ("latex", "problem"),
    [
        (r"\wrong", r"\\wrong is not known"),
        ("x}", "braces must match"),
        ("{x", "} is missing"),
        (r"\frac{1}", "ends too early"),
        (r"\text x", "must stand in braces"),
    ],
)
def test_a_formula_that_cannot_be_read_is_refused(latex, problem):
    with pytest.raises(ValueError, match=problem):
        mathml(latex)
