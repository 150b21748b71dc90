"""What a run writes of its numbers: metrics.jsonl, event files, the progress bar, and JSON that survives a failure."""

import io
import json
import logging
import math
import os
import pty
import re
import shlex
import subprocess
import sys
import termios
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from command import QUIET, ROOT, on_a_terminal
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vae.run import progress as progress_room
from vae.run import tracking
from vae.run.metrics import read_metrics
from vae.run.names import METRICS
from vae.run.progress import Progress
from vae.run.summary import read_summary
from vae.run.tracking import Tracker, latent_tag


def lines(directory: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (directory / METRICS).read_text().splitlines()]


def events(directory: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(directory), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    accumulator.Reload()
    return accumulator


def points(directory: Path, tag: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in events(directory).Scalars(tag)]


def track(directory: Path, first_step: int, values: dict[int, float], *, tensorboard: bool = True) -> None:
    with closing(Tracker(directory, first_step, tensorboard=tensorboard)) as tracker:
        for step, value in values.items():
            tracker.scalars({"a": value}, step)


def everything(directory: Path, *, tensorboard: bool, details: bool = True) -> None:
    """A call of each of the tracker's methods."""
    with closing(Tracker(directory, 0, tensorboard=tensorboard, details=details)) as tracker:
        tracker.charts({"kl": "KL"}, ["elbo"])
        tracker.scalars({"a": 1.0, "b": 2.0}, 1)
        tracker.latents({"kl": torch.tensor([0.25, 0.5])}, 1)
        tracker.histograms({"z": torch.randn(10)}, 1)
        tracker.picture("grey", torch.full((4, 6, 3), 128, dtype=torch.uint8), 1)
        tracker.text("note", "text", 1)
        tracker.embedding(torch.randn(3, 2), [0, 1, 2], torch.rand(3, 1, 4, 4))
        tracker.hyperparameters({"beta": 4.0}, {"a": 1.0}, 1)
        tracker.flush()


# metrics.jsonl


def test_each_number_is_on_the_line_of_its_step(tmp_path):
    everything(tmp_path, tensorboard=False)
    assert lines(tmp_path) == [
        {"step": 1, "a": 1.0, "b": 2.0},
        {"step": 1, "z/kl/00": 0.25, "z/kl/01": 0.5},
    ]


def test_a_real_run_writes_one_object_a_line_whose_steps_never_go_back_and_no_number_twice(finished_run):
    found = lines(finished_run)
    steps = [line["step"] for line in found]
    assert steps == sorted(steps)
    assert set(steps) == set(range(20, 201, 20))
    assert all(len(line) > 1 for line in found)
    assert all(isinstance(number, int | float) for line in found for number in line.values())
    logged = [(line["step"], tag) for line in found for tag in line if tag != "step"]
    assert len(logged) == len(set(logged))


def test_what_was_flushed_is_on_disk_before_the_run_ends(tmp_path, monkeypatch):
    synced = []
    with closing(Tracker(tmp_path, 0, tensorboard=True)) as tracker:
        tracker.scalars({"a": 1.0}, 1)
        with monkeypatch.context() as patched:
            patched.setattr("os.fsync", lambda number: synced.append(os.readlink(f"/proc/self/fd/{number}")))
            tracker.flush()
        assert lines(tmp_path) == [{"step": 1, "a": 1.0}]
        assert points(tmp_path, "a") == [(1, 1.0)]
    assert synced == [str(tmp_path / METRICS)]


# A continued run


# The step that a run is resumed from was logged before it was saved, and is not logged again.
PARTS = {
    "once": (
        [(0, {10: 1.0, 20: 2.0, 30: 3.0, 40: 4.0}), (20, {30: 3.5, 40: 4.5})],
        {10: 1.0, 20: 2.0, 30: 3.5, 40: 4.5},
    ),
    "from the start": ([(0, {10: 1.0}), (0, {10: 1.5})], {10: 1.5}),
    "twice": ([(0, {10: 1.0, 20: 2.0}), (10, {20: 2.5, 30: 3.5}), (20, {30: 3.75})], {10: 1.0, 20: 2.5, 30: 3.75}),
}


@pytest.mark.parametrize("parts", PARTS)
def test_each_step_of_a_continued_run_is_there_and_shown_once(tmp_path, parts):
    for first_step, values in PARTS[parts][0]:
        track(tmp_path, first_step, values)
    assert lines(tmp_path) == [{"step": step, "a": value} for step, value in PARTS[parts][1].items()]
    assert points(tmp_path, "a") == list(PARTS[parts][1].items())


@pytest.mark.parametrize("cut", ['{"step": 3', '{"step": 30, "a": 3.0'])
def test_a_half_written_last_line_is_dropped(tmp_path, cut):
    track(tmp_path, 0, {10: 1.0, 20: 2.0})
    with (tmp_path / METRICS).open("a") as file:
        file.write(cut)
    track(tmp_path, 20, {30: 3.5})
    assert lines(tmp_path) == [{"step": 10, "a": 1.0}, {"step": 20, "a": 2.0}, {"step": 30, "a": 3.5}]


# Event files and figures


def test_without_tensorboard_there_are_numbers_and_nothing_else(tmp_path):
    for folder, tensorboard in (("with", True), ("without", False)):
        (tmp_path / folder).mkdir()
        everything(tmp_path / folder, tensorboard=tensorboard)
    assert [path.name for path in (tmp_path / "without").iterdir()] == [METRICS]
    assert lines(tmp_path / "without") == lines(tmp_path / "with")
    (found,) = (tmp_path / "with").rglob("events.out.tfevents.*")
    assert found.parent == tmp_path / "with"  # one below would be another run
    assert [path.name for path in (tmp_path / "with/figures").iterdir()] == ["grey.png"]
    numbers = {tag: value for line in lines(tmp_path / "with") for tag, value in line.items() if tag != "step"}
    shown = {tag: points(tmp_path / "with", tag) for tag in events(tmp_path / "with").Tags()["scalars"]}
    assert shown == {tag: [(1, value)] for tag, value in numbers.items()}


def test_without_details_there_is_one_event_file_of_numbers_and_text_and_metrics_has_every_number(tmp_path):
    for folder, details in (("with", True), ("without", False)):
        (tmp_path / folder).mkdir()
        everything(tmp_path / folder, tensorboard=True, details=details)
    assert lines(tmp_path / "without") == lines(tmp_path / "with")
    (found,) = (path for path in (tmp_path / "without").iterdir() if path.name != METRICS)
    assert found.name.startswith("events.out.tfevents.")
    shown = events(tmp_path / "without")
    assert (shown.Tags()["scalars"], shown.Tags()["images"], shown.Tags()["histograms"]) == (["a", "b"], [], [])
    assert {"note/text_summary", "_hparams_/session_start_info"} <= shown.summary_metadata.keys()
    layout = shown.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0]
    assert b"elbo" in layout
    assert b"z/kl" not in layout


# Tags


@given(st.integers(1, 1000))
def test_the_tags_of_all_latents_are_equally_long_and_sort_by_index(latent_dim):
    tags = [latent_tag("kl", latent, latent_dim) for latent in range(latent_dim)]
    assert len({len(tag) for tag in tags}) == 1
    assert sorted(tags) == tags
    assert [int(tag.rpartition("/")[2]) for tag in tags] == list(range(latent_dim))


def test_a_continued_run_replaces_its_points_in_the_projector(tmp_path, capfd):
    for first_step, count in ((0, 4), (10, 9)):
        with closing(Tracker(tmp_path, first_step, tensorboard=True)) as tracker:
            tracker.embedding(torch.randn(count, 3), [0] * count, torch.rand(count, 1, 8, 8))
    assert (tmp_path / "projector_config.pbtxt").read_text().count("embeddings {") == 1
    assert len((tmp_path / "projector/posterior_mean/tensors.tsv").read_text().splitlines()) == 9
    assert capfd.readouterr().out == ""


# Progress

MEANS = {"elbo": -150.25, "distortion": 140.0, "rate": 10.25}


def test_without_a_terminal_only_the_line_of_the_epoch_is_said(capfd, caplog):
    progress = Progress(100, 0, shown=True)
    with caplog.at_level(logging.INFO):
        for _ in range(100):
            progress.advance()
        progress.show(100, MEANS)
        progress.epoch(3, 10, {"train": MEANS, "validation": MEANS})
    progress.close()
    assert capfd.readouterr() == ("", "")
    assert caplog.messages == [
        "epoch  3/10  train elbo  -150.25 (distortion 140.00, rate 10.25)  "
        "validation elbo  -150.25 (distortion 140.00, rate 10.25)  nats"
    ]


def test_without_a_bar_a_long_epoch_says_where_it_is_now_and_then(monkeypatch, caplog):
    now = 0.0
    monkeypatch.setattr(progress_room.time, "monotonic", lambda: now)
    progress = Progress(100_000, 0, shown=False)
    with caplog.at_level(logging.INFO):
        for step in range(1_000, 9_000, 1_000):
            now += 10
            progress.show(step, MEANS)
            if step == 5_000:  # a line of any kind is a sign of life
                progress.epoch(1, 2, {"train": MEANS})
    assert [message.split("  ")[0] for message in caplog.messages] == [
        "step 4,000/100,000",
        "epoch 1/2",
    ]


def test_on_a_terminal_a_bar_shows_the_elbo_and_each_epoch_has_a_line(few_images, tmp_path):
    small = ("epochs=1", "threads=1", "model.hidden=[8]", *QUIET, "tracking.log_every_steps=1")
    terminal = on_a_terminal("train.py", *few_images, *small, f"hydra.run.dir='{tmp_path}/run'")
    bars = re.findall(r"\| \d+/10 \[.*?elbo (\S+), distortion (\S+), rate (\S+)\]", terminal)
    assert bars
    for elbo, distortion, rate in bars:
        assert float(elbo) == pytest.approx(-(float(distortion) + float(rate)), abs=0.02)
    assert "10/10" in terminal
    # The bar overwrites its line after each carriage return.
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in terminal.split("\n")]
    assert sum(bool(re.fullmatch(r"epoch 1/1  train elbo .* validation elbo .* nats", line)) for line in lines) == 1


def bar_of(monkeypatch, steps: int, done: int, *, shown: bool) -> str:
    """What a progress that ends after one step writes to a terminal."""
    outer, inner = pty.openpty()
    termios.tcsetwinsize(inner, (24, 160))
    with os.fdopen(inner, "w") as terminal, monkeypatch.context() as patched:
        patched.setattr("sys.stderr", terminal)
        progress = Progress(steps, done, shown=shown)
        progress.advance()
        progress.show(1, MEANS)
        progress.close()
        terminal.write("end")
        terminal.flush()
        said = os.read(outer, 65536).decode()
    os.close(outer)
    return said


def test_the_bar_of_a_continued_run_starts_where_it_was_and_can_be_hidden(monkeypatch):
    assert "40/100" in bar_of(monkeypatch, 100, 40, shown=True)
    assert bar_of(monkeypatch, 100, 40, shown=False) == "end"


# Damage


@pytest.mark.parametrize(
    "line",
    [b"\xff", b"[]", b'{"step": true, "a": 1}', b'{"step": 10, "a": NaN}', b'{"step": 10, "a": ' + b"[" * 100_000],
)
def test_damaged_lines_are_dropped_with_one_warning_and_end_no_run(tmp_path, caplog, line):
    track(tmp_path, 0, {10: 1.0, 20: 2.0})
    with (tmp_path / METRICS).open("ab") as file:
        file.write(line + b"\n" + line + b"\n")
    assert [values["a"] for values in read_metrics(tmp_path / METRICS)[0]] == [1.0, 2.0]
    with closing(Tracker(tmp_path, 20, tensorboard=False)) as tracker:
        (record,) = caplog.records
        assert "metrics.jsonl had 2 damaged lines" in record.message
        tracker.scalars({"a": 3.0}, 30)
        with (tmp_path / METRICS).open("ab") as file:  # while it runs, too
            file.write(line + b"\n")
        assert tracker.history(lambda tag: tag == "a") == {"a": {10: 1.0, 20: 2.0, 30: 3.0}}


@pytest.mark.parametrize("put", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_regular_file_is_set_aside_and_never_waited_for(tmp_path, caplog, put):
    put(tmp_path / METRICS)
    track(tmp_path, 20, {30: 3.0}, tensorboard=False)
    assert lines(tmp_path) == [{"step": 30, "a": 3.0}]
    (record,) = caplog.records
    assert record.message.endswith("It was renamed to metrics.jsonl.damaged")
    assert os.path.lexists(tmp_path / "metrics.jsonl.damaged")


def test_what_is_no_number_is_no_json_and_stands_in_tensorboard_only(tmp_path):
    with closing(Tracker(tmp_path, 0, tensorboard=True)) as tracker:
        tracker.scalars({"a": math.nan, "b": math.inf, "c": 1.0}, 1)
    assert lines(tmp_path) == [{"step": 1, "c": 1.0}]
    assert math.isnan(points(tmp_path, "a")[0][1])


@pytest.mark.parametrize(("kept", "warned"), [(3, False), (2, True), (0, True)])
def test_numbers_that_are_missing_since_the_checkpoint_are_missed(tmp_path, caplog, kept, warned):
    track(tmp_path, 0, {10: 1.0, 20: 2.0, 30: 3.0}, tensorboard=False)
    whole = (tmp_path / METRICS).read_text().splitlines(keepends=True)
    (tmp_path / METRICS).write_text("".join(whole[:kept]))
    with closing(Tracker(tmp_path, 30, tensorboard=False)) as tracker:
        tracker.expect(3)
    said = f"metrics.jsonl has {kept} of the 3 lines that were logged up to step 30"
    assert [said in record.message for record in caplog.records] == [True] * warned


def test_a_conclusion_is_not_among_the_lines_that_are_counted(tmp_path):
    with closing(Tracker(tmp_path, 0, tensorboard=False)) as tracker:
        tracker.scalars({"a": 1.0}, 10)
        tracker.begin_conclusion(10)
        tracker.scalars({"test/a": 1.0}, 10)
        assert tracker.lines == 1
    with closing(Tracker(tmp_path, 10, tensorboard=False)) as tracker:
        assert tracker.lines == 1


# Clocks


def age(path: Path, seconds: float) -> None:
    """As if the clock had been so far ahead when an event file was written."""
    _, _, _, made, rest = path.name.split(".", 4)
    path.rename(path.with_name(f"events.out.tfevents.{int(made) + int(seconds):010d}.{rest}"))


@pytest.mark.parametrize("ahead", [7_200, 2_340_000_000], ids=["two hours", "the year 2100"])
def test_after_the_clock_was_set_back_a_continued_run_is_shown_all_the_same(tmp_path, ahead):
    track(tmp_path, 0, {10: 1.0, 20: 2.0, 30: 3.0})
    for path in tmp_path.glob("events.out.tfevents.*"):
        age(path, ahead)
    with closing(Tracker(tmp_path, 20, tensorboard=True)) as tracker:
        tracker.scalars({"a": 3.5}, 30)
        tracker.begin_conclusion(30)
        tracker.scalars({"test/a": 4.0}, 30)
        tracker.hyperparameters({"beta": 4.0}, {"test/a": 4.0}, 30)
    assert points(tmp_path, "a") == [(10, 1.0), (20, 2.0), (30, 3.5)]
    assert points(tmp_path, "test/a") == [(30, 4.0)]
    names = sorted(path.name for path in tmp_path.glob("events.out.tfevents.*"))
    assert len(names) == 2
    times = [event.wall_time for event in events(tmp_path).Scalars("a")[2:] + events(tmp_path).Scalars("test/a")]
    assert times == sorted(times)
    assert times[0] > time.time() + ahead - 60


# What fails in the view


class RefusedError(Exception):
    pass


@pytest.mark.parametrize("name", ["histogram", "text", "custom_scalars", "hparams", "as_png", "SummaryWriter"])
def test_what_cannot_be_shown_ends_no_run_and_is_said_once(tmp_path, monkeypatch, caplog, name):
    def refused(*_, **__):
        raise RefusedError("for no reason")

    monkeypatch.setattr(tracking, name, refused)
    everything(tmp_path, tensorboard=True)
    (record,) = caplog.records
    assert "could not be written for TensorBoard: for no reason. The run goes on without" in record.message
    assert points(tmp_path, "a") == [(1, 1.0)]


def test_drawing_that_fails_ends_no_run_and_is_said_once(tmp_path, caplog):
    def refused():
        raise RefusedError("nothing to see")

    with closing(Tracker(tmp_path, 0, tensorboard=True)) as tracker:
        assert tracker.drawn(refused) == {}
        assert tracker.drawn(refused) == {}
        assert tracker.drawn(lambda: {"a": 1}) == {"a": 1}
    (record,) = caplog.records
    assert "some figures could not be written for TensorBoard: nothing to see" in record.message
    with closing(Tracker(tmp_path, 0, tensorboard=False)) as tracker:
        assert tracker.drawn(refused) == {}


@pytest.mark.parametrize("values", [[math.inf, 1.0, 2.0], [1e38, -3e38, 1.0], [math.nan, math.inf]])
def test_a_histogram_is_of_the_numbers_that_are_finite(tmp_path, caplog, values):
    with closing(Tracker(tmp_path, 0, tensorboard=True)) as tracker:
        tracker.histograms({"z": torch.tensor(values)}, 1)
    assert not caplog.records
    finite = sum(map(math.isfinite, values))
    found = EventAccumulator(str(tmp_path)).Reload()
    assert found.Tags()["histograms"] == (["z"] if finite else [])
    assert not finite or found.Histograms("z")[0].histogram_value.num == finite


def test_a_path_of_bytes_that_are_no_characters_is_shown(tmp_path, caplog):
    directory = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    directory.mkdir()
    with closing(Tracker(directory, 0, tensorboard=True)) as tracker:
        tracker.scalars({"a": 1.0}, 1)
        tracker.text("configuration", str(directory), 1)
        tracker.picture("grey", torch.full((4, 6, 3), 128, dtype=torch.uint8), 1)
        tracker.embedding(torch.randn(3, 2), [0, 1, 2], torch.rand(3, 1, 4, 4))
        tracker.hyperparameters({"path": str(directory)}, {"a": 1.0}, 1)
    assert not caplog.records
    assert len(list(directory.glob("events.out.tfevents.*"))) == 1


def test_an_event_file_in_the_way_of_a_link_is_not_written_through(tmp_path, caplog):
    (tmp_path / "run").mkdir()
    everything(tmp_path, tensorboard=True)
    (mine,) = tmp_path.glob("events.out.tfevents.*")
    before = mine.read_bytes()
    (tmp_path / "run/events.out.tfevents.1.a.1.0").symlink_to(mine)
    os.mkfifo(tmp_path / "run/events.out.tfevents.2.a.1.0")  # nor is a pipe read
    everything(tmp_path / "run", tensorboard=True)
    assert mine.read_bytes() == before
    assert not caplog.records


@pytest.mark.parametrize("stderr", [None, "closed"])
def test_without_a_stderr_there_is_no_bar(monkeypatch, stderr):
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr("sys.stderr", closed if stderr else None)
    progress = Progress(2, 0, shown=True)
    progress.advance()
    progress.show(1, MEANS)
    progress.close()


@pytest.mark.parametrize(
    "shell", ["%s logvar_min=79 logvar_max=80 >&- 2>&-", "LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 %s"]
)
def test_a_run_ends_well_whoever_listens_and_whatever_is_shown(tmp_path, shell):
    directory = tmp_path / "run"
    pixels = np.random.default_rng(0).integers(0, 256, (200, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "t.npz", images=pixels)
    data = ("data=images", f"data.path={tmp_path}/t.npz", "data.validation_size=40", "data.test_size=40")
    words = (*data, "likelihood=bernoulli", "model.hidden=[16]", "epochs=1", "threads=1", f"hydra.run.dir={directory}")
    command = shell % shlex.join([sys.executable, "train.py", *words])
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert read_summary(directory)["status"] == "done"
