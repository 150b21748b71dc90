"""What a run shows of itself: numbers under their tags, the alarm, and the pictures that fit the model."""

import copy
import json
import math
from contextlib import closing
from dataclasses import replace

import pytest
import torch
from results import same
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vae.config.preparation import ImagePreparation
from vae.figures import plots
from vae.measures.evaluation import Encoding, encode_images
from vae.model.mlp import mlp_vae
from vae.model.vae import VAE
from vae.run.tracking import Tracker
from vae.training.monitoring import (
    CHARTS,
    draw_figures,
    draw_last_figures,
    prepare_end,
    report_numbers,
    show_end,
    show_pictures,
)

ALWAYS = {"reconstructions", "samples", "traversals", "rate_per_latent", "correlation"}

PREPARATION = ImagePreparation((1, 28, 28))


def seeded_vae(latent_dim: int) -> VAE:
    torch.manual_seed(latent_dim)
    return mlp_vae((1, 28, 28), latent_dim, hidden=(16,)).eval()


def encoding_of(rate: torch.Tensor) -> Encoding:
    """An encoding with these rates."""
    images, latents = rate.shape
    normal = torch.randn(images, latents, generator=torch.Generator().manual_seed(0))
    return Encoding(
        distortion=torch.full((images,), 100.0),
        rate=rate,
        mean=normal,
        logvar=torch.zeros(images, latents),
        z=normal,
        saturated=torch.zeros(images, latents, dtype=torch.bool),
        labels=torch.zeros(images, dtype=torch.int64),
    )


def report(directory, encoding: Encoding, beta: float) -> EventAccumulator:
    with closing(Tracker(directory, 0, tensorboard=True)) as tracker:
        report_numbers(tracker, "validation", encoding, beta, 7)
    events = EventAccumulator(str(directory))
    events.Reload()
    return events


def texts(events: EventAccumulator) -> dict[str, str]:
    """The texts of a run by tag."""
    return {
        tag: events.Tensors(tag)[0].tensor_proto.string_val[0].decode()
        for tag in events.Tags()["tensors"]
        if tag.endswith("/text_summary")
    }


# Numbers


def test_the_loss_is_distortion_plus_beta_times_rate(tmp_path):
    report(tmp_path, encoding_of(torch.full((4, 3), 0.5)), beta=4.0)
    numbers = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])
    assert numbers["step"] == 7
    assert numbers["validation/distortion"] == 100.0
    assert numbers["validation/rate"] == 1.5
    assert numbers["validation/elbo"] == -101.5
    assert numbers["validation/loss"] == 106.0
    assert numbers["validation/loss_weight"] == 4.0


def test_every_statistic_of_the_latents_that_is_logged_has_a_chart(tmp_path):
    report(tmp_path, encoding_of(torch.ones(4, 3)), beta=1.0)
    numbers = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[1])
    assert set(numbers) - {"step"} == {
        f"z/{name}/{latent:02d}" for name in CHARTS if name != "train_kl" for latent in range(3)
    }


# The rates in training


def logged_rates(tracker, steps, capacity=False):
    for step in steps:
        tracker.scalars({"train/rate": 3.0 * step} | ({"train/capacity": 2.0} if capacity else {}), step)
        tracker.latents({"train_kl": torch.tensor([1.0 * step, 2.0 * step])}, step)


@pytest.mark.parametrize("capacity", [False, True])
def test_the_rates_in_training_are_drawn_from_all_that_was_logged(tmp_path, monkeypatch, capacity):
    drawn = []
    monkeypatch.setattr(
        plots, "rates_over_steps", lambda *curves: drawn.append(curves) or torch.zeros(2, 2, 3, dtype=torch.uint8)
    )
    with closing(Tracker(tmp_path, 0, tensorboard=True)) as tracker:
        logged_rates(tracker, [100, 200], capacity)
    with closing(Tracker(tmp_path, 200, tensorboard=True)) as tracker:  # continued
        logged_rates(tracker, [300], capacity)
        tracker.scalars({"validation/rate": 1.0}, 300)
        show_pictures(tracker, draw_last_figures(tracker, None, ()), 300)
    [(latents, totals)] = drawn
    assert latents == {"00": {100: 100.0, 200: 200.0, 300: 300.0}, "01": {100: 200.0, 200: 400.0, 300: 600.0}}
    assert totals["rate"] == {100: 300.0, 200: 600.0, 300: 900.0}
    assert totals.get("capacity C") == ({100: 2.0, 200: 2.0, 300: 2.0} if capacity else None)
    assert (tmp_path / "figures/rates_in_training.png").exists()


def test_of_one_point_no_rates_are_drawn(tmp_path):
    with closing(Tracker(tmp_path, 0, tensorboard=True)) as tracker:
        logged_rates(tracker, [100])
        show_pictures(tracker, draw_last_figures(tracker, None, ()), 100)
    assert not (tmp_path / "figures").exists()


# The alarm


@pytest.mark.parametrize("nats", [0.0, 0.009])
def test_the_alarm_is_raised_when_no_latent_carries_information_and_names_beta(tmp_path, nats):
    alarms = texts(report(tmp_path, encoding_of(torch.full((4, 3), nats)), beta=250.0))
    assert list(alarms) == ["alarm/text_summary"]
    assert "All latents have collapsed" in alarms["alarm/text_summary"]
    assert "weight of the rate is 250;" in alarms["alarm/text_summary"]
    assert f"{3 * nats:.4f} nats" in alarms["alarm/text_summary"]


def test_one_latent_above_the_threshold_raises_no_alarm(tmp_path):
    rate = torch.zeros(4, 3)
    rate[:, 1] = 0.011
    assert texts(report(tmp_path, encoding_of(rate), beta=250.0)) == {}


# Pictures


@pytest.mark.parametrize(
    ("latent_dim", "more"), [(1, set()), (2, {"latent_scatter", "manifold"}), (5, {"latent_scatter"})]
)
def test_the_pictures_are_those_that_the_number_of_latents_allows(tiny_images, latent_dim, more):
    vae = seeded_vae(latent_dim)
    assert (
        set(draw_figures(vae, tiny_images, encode_images(vae, tiny_images), weight=4.0, preparation=PREPARATION))
        == ALWAYS | more
    )


@pytest.mark.parametrize(("images", "pairs_of_rows"), [(1, 1), (7, 1), (10, 1), (11, 2), (29, 3), (30, 3), (256, 3)])
def test_up_to_thirty_images_are_reconstructed_in_rows_of_ten(tiny_images, images, pairs_of_rows):
    vae, few = seeded_vae(2), tiny_images.first(images)
    pictures = draw_figures(vae, few, encode_images(vae, few), weight=1.0, preparation=PREPARATION)
    assert set(pictures) == ALWAYS | {"latent_scatter", "manifold"}
    assert pictures["reconstructions"].shape[0] == 2 + 58 * 2 * pairs_of_rows


def test_there_is_a_row_of_the_traversals_for_each_latent_up_to_ten(tiny_images):
    heights = []
    for latent_dim in (1, 5, 10, 12):
        vae = seeded_vae(latent_dim)
        heights.append(
            draw_figures(vae, tiny_images, encode_images(vae, tiny_images), 1.0, preparation=PREPARATION)[
                "traversals"
            ].shape[0]
        )
    title = heights[0] - 58
    assert heights == [title + 58 * rows for rows in (1, 5, 10, 10)]


def test_the_scatter_of_many_latents_is_of_the_two_with_the_highest_rate(tiny_images):
    vae = seeded_vae(5)
    encoding = encode_images(vae, tiny_images)
    first, second = encoding.by_rate[:2]
    moved = encoding.mean.clone()
    others = [latent for latent in range(5) if latent not in (first, second)]
    moved[:, others] += 10 * torch.randn(len(moved), len(others), generator=torch.Generator().manual_seed(0))
    shown = draw_figures(vae, tiny_images, encoding, 1.0, preparation=PREPARATION)["latent_scatter"]
    assert torch.equal(
        shown,
        draw_figures(vae, tiny_images, replace(encoding, mean=moved), 1.0, preparation=PREPARATION)["latent_scatter"],
    )
    moved[:, first] += 10 * torch.randn(len(moved), generator=torch.Generator().manual_seed(0))
    assert not torch.equal(
        shown,
        draw_figures(vae, tiny_images, replace(encoding, mean=moved), 1.0, preparation=PREPARATION)["latent_scatter"],
    )


def test_the_same_model_is_drawn_the_same_twice(tiny_images):
    vae, redrawn = seeded_vae(2), replace(tiny_images, redrawn=True)
    encoding = encode_images(vae, redrawn)
    first, second = (draw_figures(vae, redrawn, encoding, weight=1.0, preparation=PREPARATION) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_drawing_changes_neither_parameters_nor_torchs_generator(tiny_images):
    vae = seeded_vae(2)
    encoding = encode_images(vae, tiny_images)
    with torch.no_grad():
        vae.encoder.layers[-1].bias[2:] = 1_000.0  # far outside the bounds: a training step would reset it
    before = copy.deepcopy(vae.state_dict())
    state = torch.get_rng_state()
    draw_figures(vae.train(), tiny_images, encoding, weight=1.0, preparation=PREPARATION)
    assert torch.equal(torch.get_rng_state(), state)
    assert same(vae.state_dict(), before)


def test_collapsed_latents_can_be_drawn(tiny_images):
    vae = seeded_vae(3)
    with torch.no_grad():
        vae.encoder.layers[-1].weight.zero_()
        vae.encoder.layers[-1].bias.zero_()
    encoding = encode_images(vae, tiny_images)
    assert float(encoding.rate.abs().max()) == 0
    assert set(draw_figures(vae, tiny_images, encoding, weight=math.inf, preparation=PREPARATION)) == ALWAYS | {
        "latent_scatter"
    }


@pytest.mark.parametrize("images", [3, 256])
def test_the_projector_takes_fewer_images_than_it_could(tiny_images, images, tmp_path):
    vae, few = seeded_vae(2), tiny_images.first(images)
    with closing(Tracker(tmp_path, 0, tensorboard=True)) as tracker:
        show_end(tracker, prepare_end(tracker, vae, few, None, (), PREPARATION), 0)
    folder = tmp_path / "projector" / "posterior_mean"
    assert [int(line) for line in (folder / "metadata.tsv").read_text().split()] == few.labels.tolist()
    assert len((folder / "tensors.tsv").read_text().splitlines()) == images
