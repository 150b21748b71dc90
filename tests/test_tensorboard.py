"""What TensorBoard shows of a run: the real server is started on the run's folder and asked over HTTP."""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from board import LOADERS, Server, decoded, serving
from command import SMALL, run_train

from vae.config import Binarisation, Dataset, MnistConfig
from vae.data import ImageSet, MnistData
from vae.training.monitoring import CHARTS, HISTOGRAM_IMAGES, PROJECTED_IMAGES, RECONSTRUCTED, TERMS

# Of `finished_run`: 50 000 images in batches of 500, two epochs, a logged step every 20.
RUN = "beta=4"
LATENTS = 2
EPOCH_STEPS = [100, 200]
LOGGED_STEPS = list(range(20, 201, 20))
LAST_STEP = 200


@pytest.fixture(scope="module", params=LOADERS)
def server(request, finished_run, tmp_path_factory) -> Iterator[Server]:
    """The server on the folder of `finished_run`, with the loader in Python and with the default one."""
    with serving(finished_run, tmp_path_factory.mktemp("server") / "output", request.param) as server:
        yield server


@pytest.fixture(scope="module")
def collapsed(few_images, tmp_path_factory) -> Path:
    """The directory of a run whose beta lets no information through."""
    directory = tmp_path_factory.mktemp("collapsed") / "beta=100000"
    done = run_train("beta=100000", *SMALL, *few_images, "epochs=1", "batch_size=25", directory=directory)
    assert done.returncode == 0, done.stderr
    return directory


@pytest.fixture(scope="module")
def logged(finished_run) -> dict[str, list[tuple[int, float]]]:
    """The numbers in `metrics.jsonl` by tag."""
    numbers = defaultdict(list)
    for line in (finished_run / "metrics.jsonl").read_text().splitlines():
        values = json.loads(line)
        step = values.pop("step")
        for tag, value in values.items():
            numbers[tag].append((step, value))
    return dict(numbers)


@pytest.fixture(scope="module")
def validation(mnist_root) -> ImageSet:
    """The images that the run's epochs were measured on."""
    config = MnistConfig(Dataset.MNIST, str(mnist_root), False, 1.0, 10_000, Binarisation.dynamic)
    return MnistData(config).read().validation


def latent_tags(name: str) -> list[str]:
    return [f"z/{name}/{latent:02d}" for latent in range(LATENTS)]


# The run


def test_the_run_is_one_row_with_the_name_of_its_directory(server):
    assert server.ask("runs") == [RUN]


def test_every_logged_number_is_served_at_its_step_and_no_other(server, logged):
    assert server.tags("scalars") == set(logged)
    for tag, points in logged.items():
        assert server.steps(tag) == [step for step, _ in points], tag
        assert server.values(tag) == pytest.approx([value for _, value in points], rel=1e-6), tag


# Scalars


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_loss_distortion_rate_and_elbo_are_served_and_agree(server, split):
    loss, distortion, rate, elbo = (
        np.array(server.values(f"{split}/{name}")) for name in ("loss", "distortion", "rate", "elbo")
    )
    assert elbo == pytest.approx(-(distortion + rate), rel=1e-5)
    assert loss == pytest.approx(distortion + 4 * rate, rel=1e-5)


@pytest.mark.parametrize("name", ["loss", "distortion", "rate", "elbo"])
def test_training_is_logged_by_steps_validation_by_epochs_and_the_test_at_the_end(server, name):
    assert server.steps(f"train/{name}") == LOGGED_STEPS
    assert server.steps(f"validation/{name}") == EPOCH_STEPS
    assert server.steps(f"test/{name}") == [LAST_STEP]


def test_what_is_said_of_a_step_is_served_at_every_logged_one(server):
    assert server.series("train/beta") == [(step, 4.0) for step in LOGGED_STEPS]
    for name in ("learning_rate", "gradient_norm", "images_per_second"):
        assert server.steps(f"train/{name}") == LOGGED_STEPS
        assert all(value > 0 for value in server.values(f"train/{name}"))
    assert server.values("train/learning_rate") == pytest.approx([1e-3] * len(LOGGED_STEPS))


def test_what_is_said_of_the_latents_is_served_at_every_epoch(server):
    for name in ("active_units", "active_units_by_rate", "active_units_by_posterior_variance"):
        for split, steps in (("validation", EPOCH_STEPS), ("test", [LAST_STEP])):
            assert server.series(f"{split}/{name}") == [(step, LATENTS) for step in steps]
    for name, low, high in (("participation_ratio", 1, LATENTS), ("saturated_fraction", 0, 1)):
        assert server.steps(f"validation/{name}") == EPOCH_STEPS
        assert all(low <= value <= high for value in server.values(f"validation/{name}"))


@pytest.mark.parametrize("split", ["validation", "test"])
def test_the_parts_of_the_rate_are_served_at_the_last_step_and_sum_to_it(server, split):
    parts = ("mutual_information", "total_correlation", "dimension_wise_kl", "decomposition_residual")
    assert all(server.steps(f"{split}/{part}") == [LAST_STEP] for part in parts)
    total = sum(server.values(f"{split}/{part}")[-1] for part in parts)
    assert total == pytest.approx(server.values(f"{split}/rate")[-1], rel=1e-4)
    assert 0 < server.values(f"{split}/mutual_information")[-1] <= np.log(10_000) + 1e-4


# Latents


@pytest.mark.parametrize("name", CHARTS)
def test_each_latent_has_a_zero_padded_series_of_each_statistic(server, name):
    tags = {tag for tag in server.tags("scalars") if tag.startswith(f"z/{name}/")}
    assert tags == set(latent_tags(name))
    for tag in tags:
        assert server.steps(tag) == (LOGGED_STEPS if name == "train_kl" else EPOCH_STEPS)


def test_the_three_terms_of_the_kl_sum_to_it_and_its_latents_to_the_rate(server):
    terms = ("kl_variance_term", "kl_mean_term", "kl_logvar_term")
    for latent in range(LATENTS):
        kl, *parts = (np.array(server.values(latent_tags(name)[latent])) for name in ("kl", *terms))
        assert kl == pytest.approx(sum(parts), abs=1e-4)
    total = sum(np.array(server.values(tag)) for tag in latent_tags("kl"))
    assert total == pytest.approx(server.values("validation/rate"), rel=1e-4)
    for latent in range(LATENTS):
        assert all(value > 0.01 for value in server.values(latent_tags("variance_of_posterior_mean")[latent]))
        assert all(0 < value < 1 for value in server.values(latent_tags("mean_posterior_variance")[latent]))


def test_one_custom_chart_of_each_statistic_holds_a_series_of_each_latent(server):
    layout = server.ask("plugin/custom_scalars/layout")
    category = next(category for category in layout["category"] if category["title"] == "latents")
    assert [chart["title"] for chart in category["chart"]] == list(CHARTS.values())
    for name, chart in zip(CHARTS, category["chart"], strict=True):
        (pattern,) = chart["multiline"]["tag"]
        found = server.ask("plugin/custom_scalars/scalars", run=RUN, tag=pattern)
        assert found["regex_valid"]
        assert sorted(found["tag_to_events"]) == latent_tags(name)
        for tag, points in found["tag_to_events"].items():
            assert [(step, value) for _, step, value in points] == server.series(tag)


def test_custom_charts_show_training_beside_validation(server):
    layout = server.ask("plugin/custom_scalars/layout")
    category = next(category for category in layout["category"] if category["title"] == "nats per image")
    assert [chart["title"] for chart in category["chart"]] == list(TERMS)
    for term, chart in zip(TERMS, category["chart"], strict=True):
        (pattern,) = chart["multiline"]["tag"]
        found = server.ask("plugin/custom_scalars/scalars", run=RUN, tag=pattern)
        assert sorted(found["tag_to_events"]) == [f"train/{term}", f"validation/{term}"]


# Histograms


def test_histograms_are_of_mean_logvar_z_and_the_kl_of_each_latent_at_every_epoch(server):
    names = {f"posterior/{name}" for name in ("mean", "logvar", "z", "kl")}
    assert server.tags("histograms") == names
    for tag in names:
        histograms = server.ask("plugin/histograms/histograms", run=RUN, tag=tag)
        assert [step for _, step, _ in histograms] == EPOCH_STEPS
        for _, _, bins in histograms:
            assert sum(n for _, _, n in bins) == pytest.approx(HISTOGRAM_IMAGES * LATENTS)


# Pictures

# Of a run with two latents, with the size in pixels where images alone decide it: each is doubled, with a gap of 2.
PICTURES = {
    "reconstructions": None,
    "samples": (582, 582),
    "traversals": None,
    "manifold": (602, 602),
    "latent_scatter": (500, 600),
    "correlation": (500, 600),
    "rate_per_latent": (350, 600),
    "rates_in_training": (600, 800),
}
GRIDS = {"reconstructions", "samples", "traversals", "manifold"}


@pytest.mark.parametrize(("name", "size"), PICTURES.items())
def test_a_picture_is_served_of_the_last_epoch_and_is_the_file_in_figures(server, finished_run, name, size):
    assert server.tags("images") == {f"figures/{name}" for name in PICTURES}
    pictures = server.pictures(name)
    assert list(pictures) == [LAST_STEP]
    kept = decoded((finished_run / "figures" / f"{name}.png").read_bytes())
    assert np.array_equal(pictures[LAST_STEP], kept)
    channels = () if name in GRIDS else (3,)  # grey images stay grey
    assert kept.shape[2:] == channels
    assert size is None or kept.shape[:2] == size


def test_reconstructions_have_the_inputs_beside_them(server, validation):
    picture = server.pictures("reconstructions")[LAST_STEP]
    cell = 2 * 28 + 2
    left = picture.shape[1] - 10 * cell
    assert picture.shape[0] == 2 + cell * 2 * RECONSTRUCTED // 10
    for column in range(10):
        x = left + column * cell
        shown = picture[2 : 2 + 56 : 2, x : x + 56 : 2]
        output = picture[2 + cell : 2 + cell + 56 : 2, x : x + 56 : 2]
        image = validation.pixels[column, 0].numpy()
        assert np.array_equal(shown, image)
        # Two epochs are enough to tell an output from a picture that has nothing to do with the input.
        assert np.corrcoef(output.flatten(), image.flatten())[0, 1] > 0.2


# Projector


def test_the_projector_has_a_labelled_point_with_a_thumbnail_for_each_image(server, validation):
    assert server.ask("plugin/projector/runs") == [RUN]  # and no other run was opened for it
    (info,) = server.ask("plugin/projector/info", run=RUN)["embeddings"]
    assert info["tensorShape"] == [PROJECTED_IMAGES, LATENTS]

    def served(what: str) -> bytes:
        return server.bytes(f"plugin/projector/{what}", run=RUN, name=info["tensorName"])

    points = np.frombuffer(served("tensor"), dtype=np.float32).reshape(PROJECTED_IMAGES, LATENTS)
    # All validation images have the moments that the scalars show; a part of them has nearly the same.
    moments = [server.values(tag)[-1] for tag in latent_tags("variance_of_posterior_mean")]
    assert points.var(0) == pytest.approx(moments, rel=0.2)
    labels = [int(label) for label in served("metadata").decode().split()]
    assert labels == validation.labels[:PROJECTED_IMAGES].tolist()
    assert info["sprite"]["singleImageDim"] == [28, 28]
    sprite = decoded(served("sprite_image"))
    side = 23  # of the square that holds 500 images
    assert sprite.shape[:2] == (side * 28, side * 28)
    for number in (0, 1, side, PROJECTED_IMAGES - 1):
        y, x = (28 * part for part in divmod(number, side))
        assert np.array_equal(sprite[y : y + 28, x : x + 28, 0], validation.pixels[number, 0].numpy())


# Texts


def test_configuration_and_environment_are_served_as_text(server, finished_run):
    (configuration,), (environment,) = server.text("configuration"), server.text("environment")
    assert "beta: 4.0" in configuration["text"]
    assert "latent_dim: 2" in configuration["text"]
    assert all(key in environment["text"] for key in json.loads((finished_run / "run.json").read_text()))


def test_a_run_whose_latents_carry_information_raises_no_alarm(server):
    assert "alarm/text_summary" not in server.tags("text")


def test_a_run_whose_latents_have_all_collapsed_raises_the_alarm(collapsed, tmp_path):
    with serving(collapsed, tmp_path / "output") as server:
        (entry,) = server.text("alarm")
    assert entry["step"] == 100
    assert "All latents have collapsed" in entry["text"]
    assert "weight of the rate is 100000" in entry["text"]


# HParams


def test_the_run_is_one_row_of_the_hparams_table_with_its_values_and_test_numbers(server, finished_run):
    (group,) = server.session_groups()
    (session,) = group["sessions"]
    assert (session["name"], session["status"]) == (RUN, "STATUS_SUCCESS")
    expected = {"beta": 4.0, "seed": 0.0, "model.latent_dim": 2.0, "data.name": "MNIST"}
    assert {key: group["hparams"][key] for key in expected} == expected
    metrics = {metric["name"]["tag"]: metric["value"] for metric in group["metricValues"]}
    test = json.loads((finished_run / "summary.json").read_text())["test"]
    for name in ("elbo", "distortion", "rate", "loss", "active_units"):
        assert metrics[f"test/{name}"] == pytest.approx(test[name], rel=1e-6)
    experiment = server.post("plugin/hparams/experiment", {})
    assert {"beta", "seed", "learning_rate"} <= {info["name"] for info in experiment["hparamInfos"]}
    assert "test/elbo" in {info["name"]["tag"] for info in experiment["metricInfos"]}
