"""Where the numbers and pictures of a run go: `metrics.jsonl`, TensorBoard event files and `figures/`.

`metrics.jsonl` is the truth that scripts read. TensorBoard is a view of it: a damaged event file loses nothing else,
and where one cannot be written training goes on without.
"""

import io
import json
import logging
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, TextIO

import google_crc32c
from jaxtyping import Float
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer import record_writer
from torch import Tensor
from torch.utils.tensorboard import FileWriter, SummaryWriter
from torch.utils.tensorboard.summary import hparams
from tqdm import tqdm

from vae.figures import Picture, as_image
from vae.run_directory import FIGURES, METRICS, write_atomically

log = logging.getLogger(__name__)

HISTOGRAM_BINS = 64  # TensorBoard shows 30; its own choice of 700 takes ten times as long to write
CONCLUSION = ("test/", "disentanglement/")  # what the tags begin with of numbers that only a run's end has
SILENCE_SECONDS = 30.0  # after which a run without a bar says where it is


class Tracker:
    """Writes what a run measures into its directory.

    Args:
        directory: of the run.
        first_step: 0, or the step a run is continued from: what an earlier process wrote of later steps is dropped.
        tensorboard: also write event files and figures.
    """

    def __init__(self, directory: Path, first_step: int, *, tensorboard: bool) -> None:
        self.directory = directory
        _keep_lines(directory / METRICS, lambda line: line["step"] <= first_step)
        self.metrics = _open_metrics(directory)
        self.writer: SummaryWriter | None = None
        if tensorboard:
            threading.excepthook = _but_for_tensorboards
            # Without purge_step readers show the steps of a continued run twice; what is at first_step is not written
            # again, so it stays.
            self._open_writer(purge_step=first_step + 1 if first_step else 0)

    def begin_conclusion(self, step: int) -> None:
        """What comes now is the test of a run that has made its last `step`, under the tags `CONCLUSION`.

        A kill before its end lets it come again. So it has an event file of its own: what is there already of a
        conclusion at this step is dropped, and no reader that starts afterwards sees a number twice.

        Readers go from one file to the next and do not come back, so the one before is closed first.
        """
        self.metrics.close()
        _keep_lines(
            self.directory / METRICS,
            lambda line: line["step"] != step or not any(tag.startswith(CONCLUSION) for tag in line),
        )
        self.metrics = _open_metrics(self.directory)
        suffix = f".conclusion-{step}"

        def begin(writer: SummaryWriter) -> None:
            writer.close()
            self._empty_event_files(suffix)
            self._open_writer(filename_suffix=suffix)

        self._view(begin)

    @property
    def takes_pictures(self) -> bool:
        """Whether pictures go anywhere; drawing them costs time."""
        return self.writer is not None

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Numbers at a step. Steps never go back."""
        self.metrics.write(json.dumps({"step": step, **values}) + "\n")

        def write(writer: SummaryWriter) -> None:
            # One event for all of them: one each, as add_scalar makes, takes half a hundredth of a training on MNIST.
            summary = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()])
            writer._get_file_writer().add_summary(summary, step)

        self._view(write)

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
        with (self.directory / METRICS).open(encoding="utf-8") as lines:
            for values in map(json.loads, lines):
                for tag in filter(tags, values):
                    curves.setdefault(tag, {})[values["step"]] = float(values[tag])
        return curves

    def histograms(self, values: Mapping[str, Tensor], step: int) -> None:
        """Distributions at a step."""

        def write(writer: SummaryWriter) -> None:
            for tag, value in values.items():
                writer.add_histogram(tag, value.numpy(), step, bins=HISTOGRAM_BINS)

        self._view(write)

    def picture(self, name: str, picture: Picture, step: int) -> None:
        """A picture, shown in TensorBoard and kept as `figures/<name>.png`, where the newest replaces the older."""

        def write(writer: SummaryWriter) -> None:
            encoded = io.BytesIO()
            as_image(picture).save(encoded, "png", compress_level=3)
            png = encoded.getvalue()
            folder = self.directory / FIGURES
            folder.mkdir(exist_ok=True)
            # Nobody goes on from a figure, so it need not have reached the disk when this returns.
            write_atomically(folder / f"{name}.png", png, durable=False)
            # Not add_image, which would encode it a second time.
            height, width, channels = picture.shape
            image = Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=png)
            value = Summary.Value(tag=f"figures/{name}", image=image)
            writer._get_file_writer().add_summary(Summary(value=[value]), step)

        self._view(write)

    def text(self, tag: str, text: str, step: int) -> None:
        """Markdown."""
        self._view(lambda writer: writer.add_text(tag, text, step))

    def charts(self, latents: Mapping[str, str], terms: Sequence[str]) -> None:
        """Lay out the custom-scalars page. Once a run.

        Args:
            latents: for each name, the title of a chart with `z/<name>/*` of all latents.
            terms: for each, a chart of training and validation.
        """
        # The tags are regular expressions. add_scalars would open a run for each line instead.
        per_latent = {title: ["Multiline", [rf"z/{name}/\d+"]] for name, title in latents.items()}
        both = {term: ["Multiline", [rf"(train|validation|train_images)/{term}$"]] for term in terms}
        self._view(lambda writer: writer.add_custom_scalars({"latents": per_latent, "nats per image": both}))

    def embedding(self, points: Float[Tensor, "images latent"], labels: Sequence[int], thumbnails: Tensor) -> None:
        """Points for the embedding projector, with labels and thumbnails (images, channels, height, width)."""

        def write(writer: SummaryWriter) -> None:
            # The "step" only names the folder. torch would add to what an earlier process of the run left there.
            shutil.rmtree(self.directory / "projector", ignore_errors=True)
            (self.directory / "projector_config.pbtxt").unlink(missing_ok=True)
            writer.add_embedding(
                points, metadata=list(labels), label_img=thumbnails, global_step="projector", tag="posterior_mean"
            )

        self._view(write)

    def hyperparameters(self, values: Mapping[str, str | float], metrics: Mapping[str, float], step: int) -> None:
        """The row of this run in the HParams table, beside its scalars `metrics`.

        Readers keep the first row that they find. So it has an event file of its own, and replaces that of fewer
        epochs; a run of an earlier version has it among the rest and keeps it.
        """

        def write(writer: SummaryWriter) -> None:
            writer.flush()
            self._empty_event_files(".hparams")
            # add_hparams would open a run below this one, and an `exp` proto would hide those of other runs.
            _, session_start, session_end = hparams(dict(values), dict(metrics))
            with closing(FileWriter(self.directory, filename_suffix=".hparams")) as file:
                file.add_summary(session_start, step)
                file.add_summary(session_end, step)

        self._view(write)

    def flush(self) -> None:
        """Hand everything to the operating system: a kill loses nothing that came before."""
        self.metrics.flush()
        self._view(SummaryWriter.flush)

    def close(self) -> None:
        """Flush and close the files."""
        self.metrics.close()
        self._view(SummaryWriter.close)

    def _empty_event_files(self, suffix: str) -> None:
        """A reader that stands in one of them would not get over it if it were gone."""
        for path in self.directory.glob(f"events.out.tfevents.*{suffix}"):
            path.write_bytes(b"")

    def _open_writer(self, **options: Any) -> None:
        try:
            self.writer = SummaryWriter(self.directory, max_queue=100, **options)  # which bounds what a kill loses
        except OSError as error:
            self.writer = None
            _warn(error)

    def _view(self, write: Callable[[SummaryWriter], object]) -> None:
        """Write into TensorBoard's files, if there are any; where they cannot be written it is said, and then none."""
        if self.writer is None:
            return
        try:
            write(self.writer)
        except OSError as error:
            failed, self.writer = self.writer, None
            with suppress(OSError):
                failed.close()
            _warn(error)


def _masked_crc32c(data: bytes) -> int:
    """The checksum of a record of an event file, and of its length: CRC-32C, rotated, plus a constant."""
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


# TensorBoard's own is a loop of Python, a sixth of a microsecond a byte, for which the run waits as its thread writes.
record_writer.masked_crc32c = _masked_crc32c


def _warn(error: OSError) -> None:
    log.warning(
        f"warning: TensorBoard's files cannot be written: {error.strerror or error}. The run goes on without them and "
        f"without figures; {METRICS} has the numbers"
    )


def _but_for_tensorboards(failure: threading.ExceptHookArgs) -> None:
    """No traceback of TensorBoard's own thread: what it fails with, it raises again at the next write."""
    if not type(failure.thread).__module__.startswith("tensorboard"):
        _usual_hook(failure)


_usual_hook = threading.excepthook


def latent_tag(name: str, latent: int, latent_dim: int) -> str:
    """The tag of a latent's number, zero-padded so that sorting by name sorts by index.

    Example:
        >>> latent_tag("kl", 7, latent_dim=20)
        'z/kl/07'
    """
    return f"z/{name}/{latent:0{max(2, len(str(latent_dim - 1)))}d}"


def _open_metrics(directory: Path) -> TextIO:
    # Line by line: who follows a run of hours need not wait for the end of an epoch.
    return (directory / METRICS).open("a", encoding="utf-8", buffering=1)


def _keep_lines(path: Path, keep: Callable[[dict[str, float]], bool]) -> None:
    """Drop the lines of `metrics.jsonl` that are not to be kept, and the one that a kill cut short."""
    if not path.exists():
        return
    text = path.read_text(encoding="utf-8")
    kept = ""
    for line in text.splitlines():
        try:
            if keep(json.loads(line)):
                kept += line + "\n"
        except (ValueError, KeyError):
            continue
    if kept != text:
        write_atomically(path, kept.encode())


class Progress:
    """A bar where there is a terminal; a line an epoch everywhere, and in long epochs one now and then without a bar.

    Args:
        steps: of the whole run.
        done: steps of it that an earlier process made.
        shown: False hides the bar.
    """

    def __init__(self, steps: int, done: int, *, shown: bool) -> None:
        # disable=None: no bar where stderr is no terminal.
        self.bar = tqdm(total=steps, initial=done, disable=None if shown else True, unit="step", dynamic_ncols=True)
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
