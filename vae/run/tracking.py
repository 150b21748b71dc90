"""Where the numbers and pictures of a run go: `metrics.jsonl`, TensorBoard event files and `figures/`.

`metrics.jsonl` is the truth that scripts read. TensorBoard is a view of it: a damaged event file loses nothing else,
and where one cannot be written training goes on without.
"""

import io
import json
import logging
import math
import os
import re
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TextIO, TypeVar

from jaxtyping import Float
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import custom_scalars, histogram, hparams, text
from tqdm import tqdm

from vae.figures.images import Picture, as_image
from vae.run.files import IrregularFileError, read_regular, set_aside, write_atomically
from vae.run.names import FIGURES, METRICS
from vae.run.summary import is_count, is_finite

log = logging.getLogger(__name__)

Drawn = TypeVar("Drawn")
Line = dict[str, int | float]  # of metrics.jsonl: a step, and numbers by their tags

HISTOGRAM_BINS = 64  # TensorBoard shows 30; its own choice of 700 takes ten times as long to write
CONCLUSION = ("test/", "disentanglement/", "metrics/")  # what the tags begin with of numbers that only a run's end has
LAST_SECOND = 9_999_999_998  # in the names of event files, which sort as numbers up to ten digits
SILENCE_SECONDS = 30.0  # after which a run without a bar says where it is


class EventFile:
    """An event file of TensorBoard. What was added is out of this process when `add` returns.

    TensorBoard reads the files of a folder in the order of their names, which begin with a time, and of a step that is
    in two of them it shows the later file's. So the time of this one lies above those of all that are there, whatever
    the clock says. Neither torch's nor TensorBoard's own writer of such files lets its caller choose the name.

    Args:
        directory: of the run.
        suffix: of the file's name.
        purge_step: what earlier files say of this step and later ones is hidden.

    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, directory: Path, suffix: str = "", purge_step: int | None = None) -> None:
        now = time.time()
        seconds = max(int(now), 1 + max(map(_time_of, directory.glob("events.out.tfevents.*")), default=0))
        self.ahead = max(0.0, seconds - now)  # seconds, of all this file's times
        name = f"events.out.tfevents.{seconds:010d}.{socket.gethostname()}.{os.getpid()}.0{suffix}"
        self.file = RecordWriter((directory / name).open("xb"))
        version = "brain.Event:2"  # what readers must understand to skip what is purged
        self._write(Event(file_version=version))
        if purge_step is not None:
            self._write(Event(step=purge_step, session_log=SessionLog(status=SessionLog.START)))

    def add(self, summary: Summary, step: int) -> None:
        """Something at a step.

        Raises:
            OSError: it cannot be written.
        """
        self._write(Event(summary=summary, step=step))

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def _write(self, event: Event) -> None:
        event.wall_time = time.time() + self.ahead
        self.file.write(event.SerializeToString())
        self.file.flush()


def _time_of(event_file: Path) -> int:
    """The time in the name of an event file or that of its last event, whichever is later, in seconds."""
    found = re.match(r"events\.out\.tfevents\.(\d{10})\.", event_file.name)
    named = int(found[1]) if found else 0
    return min(max(named, int(event_file.lstat().st_mtime)), LAST_SECOND)


def _printable(text: str) -> str:
    """A path may hold bytes that are no characters, which TensorBoard's files do not take."""
    return text.encode(errors="replace").decode()


class Tracker:
    """Writes what a run measures into its directory.

    Whatever fails in TensorBoard's files or figures is said once, and ends no run.

    Args:
        directory: of the run.
        first_step: 0, or the step a run is continued from: what an earlier process wrote of later steps is dropped,
            and so are damaged lines, with a warning.
        tensorboard: also write event files and figures.

    Attributes:
        lines: how many of `metrics.jsonl` there are, but for those of a conclusion.
    """

    def __init__(self, directory: Path, first_step: int, *, tensorboard: bool) -> None:
        self.directory = directory
        kept = _keep_lines(directory / METRICS, lambda line: line["step"] <= first_step)
        self.lines = sum(not _concludes(line) for line in kept)
        self.first_step = first_step
        self.metrics = _open_metrics(directory)
        self.writer: EventFile | None = None
        self.failed_views: set[str] = set()
        if tensorboard:
            # Without purge_step readers show the steps of a continued run twice; what is at first_step is not written
            # again, so it stays.
            self._open_writer(purge_step=first_step + 1 if first_step else 0)

    def expect(self, lines: int | None) -> None:
        """Warn if `metrics.jsonl` has fewer `lines` than when the checkpoint was saved. None: that is not known."""
        if lines is not None and self.lines < lines:
            log.warning(
                f"warning: {METRICS} has {self.lines} of the {lines} lines that were logged up to step "
                f"{self.first_step}. The rest is lost: it was truncated, deleted or damaged. The run goes on, and its "
                "curves lack these numbers"
            )

    def begin_conclusion(self, step: int) -> None:
        """What comes now is the test of a run that has made its last `step`, under the tags `CONCLUSION`.

        A kill before its end lets it come again. So it has an event file of its own: what is there already of a
        conclusion at this step is dropped, and no reader that starts afterwards sees a number twice.

        Readers go from one file to the next and do not come back, so the one before is closed first.
        """
        self.metrics.close()
        _keep_lines(self.directory / METRICS, lambda line: line["step"] != step or not _concludes(line))
        self.metrics = _open_metrics(self.directory)
        suffix = f".conclusion-{step}"

        def begin(writer: EventFile) -> None:
            writer.close()
            self._empty_event_files(suffix)
            self._open_writer(suffix=suffix)

        self._view("files", begin)

    @property
    def takes_pictures(self) -> bool:
        """Whether pictures go anywhere; drawing them costs time."""
        return self.writer is not None

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Numbers at a step. Steps never go back. `metrics.jsonl` lacks NaN and infinity, which JSON has not."""
        no_numbers = {tag for tag, value in values.items() if isinstance(value, float) and not math.isfinite(value)}
        line = {"step": step} | {tag: value for tag, value in values.items() if tag not in no_numbers}
        self.metrics.write(json.dumps(line) + "\n")
        self.lines += not _concludes(line)

        def write(writer: EventFile) -> None:
            # One event for all of them: one each, as add_scalar makes, takes half a hundredth of a training on MNIST.
            writer.add(
                Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]), step
            )

        self._view("numbers", write)

    def latents(self, values: Mapping[str, Float[Tensor, " latent"]], step: int) -> None:
        """Numbers of each latent, tagged `z/<name>/<zero-padded index>`."""
        self.scalars(
            {
                latent_tag(name, latent, len(numbers)): number
                for name, numbers in values.items()
                for latent, number in enumerate(numbers.tolist())
            },
            step,
        )

    def history(self, tags: Callable[[str], bool]) -> dict[str, dict[int, float]]:
        """The numbers so far whose tag is asked for, by tag and step, those of earlier processes included."""
        curves: dict[str, dict[int, float]] = {}
        for values in read_metrics(self.directory / METRICS)[0]:
            for tag in filter(tags, values):
                curves.setdefault(tag, {})[int(values["step"])] = float(values[tag])
        return curves

    def histograms(self, values: Mapping[str, Tensor], step: int) -> None:
        """Distributions at a step, of the numbers that are finite."""

        def write(writer: EventFile) -> None:
            for tag, value in values.items():
                finite = value[value.isfinite()].double()  # whose squares do not overflow
                if len(finite):
                    writer.add(histogram(tag, finite.numpy(), bins=HISTOGRAM_BINS), step)

        self._view("histograms", write)

    def picture(self, name: str, picture: Picture, step: int) -> None:
        """A picture, shown in TensorBoard and kept as `figures/<name>.png`, where the newest replaces the older."""

        def write(writer: EventFile) -> None:
            encoded = io.BytesIO()
            as_image(picture).save(encoded, "png", compress_level=3)
            png = encoded.getvalue()
            folder = self.directory / FIGURES
            folder.mkdir(exist_ok=True)
            # Nobody goes on from a figure, so it need not have reached the disk when this returns.
            write_atomically(folder / f"{name}.png", png, durable=False)
            height, width, channels = picture.shape
            image = Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=png)
            value = Summary.Value(tag=f"figures/{name}", image=image)
            writer.add(Summary(value=[value]), step)

        self._view("figures", write)

    def drawn(self, draw: Callable[[], Mapping[str, Drawn]]) -> Mapping[str, Drawn]:
        """What `draw` draws; nothing where nobody would see it, or where drawing fails, which is said once."""
        if self.writer is None:
            return {}
        try:
            return draw()
        except Exception as error:
            self._say_once("figures", error)
            return {}

    def text(self, tag: str, markdown: str, step: int) -> None:
        """Markdown."""
        self._view("texts", lambda writer: writer.add(text(tag, _printable(markdown)), step))

    def charts(self, latents: Mapping[str, str], terms: Sequence[str]) -> None:
        """Lay out the custom-scalars page. Once a run.

        Args:
            latents: for each name, the title of a chart with `z/<name>/*` of all latents.
            terms: for each, a chart of training and validation.
        """
        # The tags are regular expressions.
        per_latent = {title: ["Multiline", [rf"z/{name}/\d+"]] for name, title in latents.items()}
        both = {term: ["Multiline", [rf"(train|validation|train_images)/{term}$"]] for term in terms}
        layout = {"latents": per_latent, "nats per image": both}
        self._view("charts", lambda writer: writer.add(custom_scalars(layout), 0))

    def embedding(self, points: Float[Tensor, "images latent"], labels: Sequence[int], thumbnails: Tensor) -> None:
        """Points for the embedding projector, with labels and thumbnails (images, channels, height, width)."""

        def write(_: EventFile) -> None:
            with tempfile.TemporaryDirectory() as folder:
                # torch writes an event file beside the points, which does not belong to the run. The "step" only
                # names the folder.
                with closing(SummaryWriter(folder)) as writer:
                    writer.add_embedding(
                        points,
                        metadata=list(labels),
                        label_img=thumbnails,
                        global_step="projector",
                        tag="posterior_mean",
                    )
                # Of an earlier process of the run.
                shutil.rmtree(self.directory / "projector", ignore_errors=True)
                shutil.copytree(Path(folder) / "projector", self.directory / "projector")
                config = (Path(folder) / "projector_config.pbtxt").read_bytes()
                write_atomically(self.directory / "projector_config.pbtxt", config, durable=False)

        self._view("the projector", write)

    def hyperparameters(self, values: Mapping[str, str | float], metrics: Mapping[str, float], step: int) -> None:
        """The row of this run in the HParams table, beside its scalars `metrics`.

        Readers keep the first row that they find. So it has an event file of its own, and replaces that of fewer
        epochs; a run of an earlier version has it among the rest and keeps it.
        """

        def write(_: EventFile) -> None:
            self._empty_event_files(".hparams")
            # add_hparams would open a run below this one, and an `exp` proto would hide those of other runs.
            plain = {key: _printable(value) if isinstance(value, str) else value for key, value in values.items()}
            _, session_start, session_end = hparams(plain, dict(metrics))
            with closing(EventFile(self.directory, ".hparams")) as file:
                file.add(session_start, step)
                file.add(session_end, step)

        self._view("hyperparameters", write)

    def flush(self) -> None:
        """Have all numbers on the disk, where not even a machine that loses its power loses them."""
        self.metrics.flush()
        os.fsync(self.metrics.fileno())

    def close(self) -> None:
        """Flush and close the files."""
        self.metrics.close()
        self._view("files", EventFile.close)

    def _empty_event_files(self, suffix: str) -> None:
        """A reader that stands in one of them would not get over it if it were gone."""
        for path in self.directory.glob(f"events.out.tfevents.*{suffix}"):
            os.close(os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK))

    def _open_writer(self, *, suffix: str = "", purge_step: int | None = None) -> None:
        self.writer = None
        try:
            self.writer = EventFile(self.directory, suffix, purge_step)
        except Exception as error:
            self._say_once("files", error)

    def _view(self, what: str, write: Callable[[EventFile], object]) -> None:
        """Show something in TensorBoard, if it is written for at all. What fails is said once, and ends no run.

        Args:
            what: is shown.
            write: does it. A file that could not be written is not tried again; anything else may succeed next time.
        """
        if self.writer is None:
            return
        try:
            write(self.writer)
        except Exception as error:
            if isinstance(error, OSError):
                failed, self.writer = self.writer, None
                if failed is not None:
                    with suppress(OSError):
                        failed.close()
                what = "files"
            self._say_once(what, error)

    def _say_once(self, what: str, error: Exception) -> None:
        if what in self.failed_views:
            return
        self.failed_views.add(what)
        reason = (error.strerror if isinstance(error, OSError) else None) or " ".join(str(error).split())[:200]
        reason = reason or type(error).__name__
        if what == "files":
            log.warning(
                f"warning: TensorBoard's files cannot be written: {reason}. The run goes on without them and "
                f"without figures; {METRICS} has the numbers"
            )
        else:
            log.warning(f"warning: TensorBoard does not get {what} that failed: {reason}. The run goes on without")


def latent_tag(name: str, latent: int, latent_dim: int) -> str:
    """The tag of a latent's number, zero-padded so that sorting by name sorts by index.

    Example:
        >>> latent_tag("kl", 7, latent_dim=20)
        'z/kl/07'
    """
    return f"z/{name}/{latent:0{max(2, len(str(latent_dim - 1)))}d}"


def _open_metrics(directory: Path) -> TextIO:
    # Line by line: who follows a run of hours need not wait for the end of an epoch.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    return open(os.open(directory / METRICS, flags, 0o666), "a", encoding="utf-8", buffering=1)


def _concludes(line: Mapping[str, int | float]) -> bool:
    return any(tag.startswith(CONCLUSION) for tag in line)


def read_metrics(path: Path) -> tuple[list[Line], int]:
    """The lines of a `metrics.jsonl`: a step and the numbers by their tags; and how many were none, and left out.

    A last line without an end, which a kill cuts short, is not counted among those.

    Raises:
        OSError: the file is missing or cannot be read.
    """
    *complete, last = read_regular(path).split(b"\n")
    lines = [_numbers(line) for line in complete if line.strip()]
    found = [line for line in (*lines, _numbers(last)) if line is not None]
    return found, lines.count(None)


def _numbers(line: bytes) -> Line | None:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, dict) or not is_count(values.get("step")):
        return None
    return values if all(map(is_finite, values.values())) else None


def _keep_lines(path: Path, keep: Callable[[Line], bool]) -> list[Line]:
    """Drop the lines of `metrics.jsonl` that are not to be kept, and those that are damaged; return the others."""
    try:
        if path.is_symlink():
            raise IrregularFileError(f"{path} is a link")
        lines, damaged = read_metrics(path)
    except FileNotFoundError:
        return []
    except IrregularFileError:
        log.warning(f"warning: {METRICS} is not a regular file. It is now {set_aside(path).name}; numbers begin anew")
        return []
    if damaged:
        log.warning(f"warning: {METRICS} had {damaged} damaged lines, which are dropped: the numbers on them are lost")
    kept = [line for line in lines if keep(line)]
    content = "".join(json.dumps(line) + "\n" for line in kept).encode()
    if content != read_regular(path):
        write_atomically(path, content)
    return kept


class Progress:
    """A bar where there is a terminal; a line an epoch everywhere, and in long epochs one now and then without a bar.

    Args:
        steps: of the whole run.
        done: steps of it that an earlier process made.
        shown: False hides the bar.
    """

    def __init__(self, steps: int, done: int, *, shown: bool) -> None:
        # disable=None: no bar where stderr is no terminal. It is None where it was closed before Python started.
        disable = None if shown and sys.stderr is not None and not sys.stderr.closed else True
        self.bar = tqdm(total=steps, initial=done, disable=disable, unit="step", dynamic_ncols=True)
        self.steps = steps
        self.spoke = time.monotonic()

    def advance(self) -> None:
        """One step further."""
        self.bar.update()

    def show(self, step: int, means: Mapping[str, float]) -> None:
        """ELBO, distortion and rate of the last steps, in nats per image: behind the bar, or a line if it is time."""
        self.bar.set_postfix_str(
            f"elbo {means['elbo']:.2f}, distortion {means['distortion']:.2f}, rate {means['rate']:.2f}", refresh=False
        )
        if self.bar.disable and time.monotonic() - self.spoke > SILENCE_SECONDS:
            self._say(f"step {step:,}/{self.steps:,}", {"train": means})

    def epoch(self, epoch: int, epochs: int, numbers: Mapping[str, Mapping[str, float]]) -> None:
        """The line of an epoch: ELBO, distortion and rate by the name of the images."""
        self._say(f"epoch {epoch:{len(str(epochs))}d}/{epochs}", numbers)

    def close(self) -> None:
        """Leave the bar as it is."""
        self.bar.close()

    def _say(self, when: str, numbers: Mapping[str, Mapping[str, float]]) -> None:
        self.spoke = time.monotonic()
        parts = [
            f"{name} elbo {n['elbo']:8.2f} (distortion {n['distortion']:6.2f}, rate {n['rate']:5.2f})"
            for name, n in numbers.items()
        ]
        log.info("  ".join([when, *parts, "nats"]))
