"""The log of a run: numbers in `metrics.jsonl`, and numbers and pictures in TensorBoard's event files and `figures/`.

All scalars are in `metrics.jsonl`, which scripts read. If TensorBoard's files cannot be written, training continues
without them. A process writes one event file.
"""

import logging
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeVar

from jaxtyping import Float
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import custom_scalars, histogram, hparams, text

from vae.figures.images import ImageBytes, as_png
from vae.run.event_file import EventFile, cut_event_files
from vae.run.files import printable, write_atomically
from vae.run.metrics import MetricsFile, read_metrics
from vae.run.names import FIGURES, METRICS

log = logging.getLogger(__name__)

Drawn = TypeVar("Drawn")

HISTOGRAM_BINS = 64  # TensorBoard displays 30, and by default writes 700, which is slow
CONCLUSION = ("test/", "disentanglement/", "metrics/")  # the tags of the final test begin with one of these
HPARAMS = "_hparams_/"  # likewise those of the row in TensorBoard's HParams table


class Tracker:
    """Writes the numbers and pictures of a run into its directory.

    An error in TensorBoard's files or in a figure is reported once and does not end the run.

    Args:
        directory: of the run.
        first_step: 0, or the step from which a run is resumed. Numbers of later steps are removed.
        tensorboard: whether to write an event file as well.
        details: whether that has histograms, figures and the numbers of each latent, and `figures/` and the points of
            the projector are written.

    Attributes:
        lines: the number of lines in `metrics.jsonl`, without those of the final test.
    """

    def __init__(self, directory: Path, first_step: int, *, tensorboard: bool, details: bool = True) -> None:
        self.directory = directory
        self.details = details
        self.metrics = MetricsFile(directory, lambda line: line["step"] <= first_step)
        self.lines = sum(not _is_of_final_test(line) for line in self.metrics.kept)
        self.first_step = first_step
        self.writer: EventFile | None = None
        self.failed: set[str] = set()
        if tensorboard:
            try:
                # Without purge_step TensorBoard would show later steps twice. The first step was logged before.
                self.writer = EventFile(directory, purge_step=first_step + 1 if first_step else 0)
            except Exception as error:
                self._report("files", error)

    def expect(self, lines: int | None) -> None:
        """Warn if `metrics.jsonl` has fewer than `lines` lines, the number at the checkpoint. None: it is unknown."""
        if lines is not None and self.lines < lines:
            log.warning(
                f"warning: {METRICS} has {self.lines} of the {lines} lines that were logged up to step "
                f"{self.first_step}. The rest was truncated, deleted or damaged. The run goes on, and its curves lack "
                "these numbers"
            )

    def begin_conclusion(self, step: int) -> None:
        """Prepare to log the final test of a run. Numbers under the tags `CONCLUSION` come first.

        A killed test at the same step is removed: from `metrics.jsonl`, and from its event file, whose end it is.
        """
        self.metrics.close()
        self.metrics = MetricsFile(self.directory, lambda line: line["step"] != step or not _is_of_final_test(line))
        self._cut(lambda event: event.step == step and _is_of_final_test(_tags_of(event)))

    @property
    def takes_pictures(self) -> bool:
        """Whether pictures are written anywhere."""
        return self.details and self.writer is not None

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Log numbers by tag. Steps must not decrease. `metrics.jsonl` has the finite numbers only."""
        self._add_line(values, step)
        self._show_scalars(values, step)

    def latents(self, values: Mapping[str, Float[Tensor, " latent"]], step: int) -> None:
        """Log one number for each latent, tagged `z/<name>/<zero-padded index>`. TensorBoard: with `details` only."""
        by_tag = {
            latent_tag(name, latent, len(numbers)): number
            for name, numbers in values.items()
            for latent, number in enumerate(numbers.tolist())
        }
        self._add_line(by_tag, step)
        if self.details:
            self._show_scalars(by_tag, step)

    def _add_line(self, values: Mapping[str, float], step: int) -> None:
        self.metrics.add(values, step)
        self.lines += not _is_of_final_test(values)

    def _show_scalars(self, values: Mapping[str, float], step: int) -> None:
        # One event for all tags. One event for each tag, as SummaryWriter.add_scalar writes, slows training.
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()])
        self._show("numbers", lambda writer: writer.add(summary, step))

    def history(self, tags: Callable[[str], bool]) -> dict[str, dict[int, float]]:
        """All logged numbers by tag and step, including those of earlier processes. `tags` selects the tags."""
        curves: dict[str, dict[int, float]] = {}
        for values in read_metrics(self.directory / METRICS)[0]:
            for tag in filter(tags, values):
                curves.setdefault(tag, {})[int(values["step"])] = float(values[tag])
        return curves

    def histograms(self, values: Mapping[str, Tensor], step: int) -> None:
        """Log a histogram of the finite numbers of each tensor."""

        def write(writer: EventFile) -> None:
            for tag, value in values.items():
                finite = value[value.isfinite()].double()  # in float32 the sum of squares may overflow
                if len(finite):
                    writer.add(histogram(tag, finite.numpy(), bins=HISTOGRAM_BINS), step)

        self._show_detail("histograms", write)

    def picture(self, name: str, picture: ImageBytes, step: int) -> None:
        """Log a picture to TensorBoard, and replace `figures/<name>.png` by it."""

        def write(writer: EventFile) -> None:
            png = as_png(picture)
            folder = self.directory / FIGURES
            folder.mkdir(exist_ok=True)
            # A power failure may lose it, as no run is resumed from a figure.
            write_atomically(folder / f"{name}.png", png, durable=False)
            height, width, channels = picture.shape
            image = Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=png)
            value = Summary.Value(tag=f"figures/{name}", image=image)
            writer.add(Summary(value=[value]), step)

        self._show_detail("figures", write)

    def drawn(self, draw: Callable[[], Mapping[str, Drawn]]) -> Mapping[str, Drawn]:
        """The result of `draw()`. Empty if no pictures are written or if drawing fails. A failure is reported once."""
        found: Mapping[str, Drawn] = {}

        def call(_: EventFile) -> None:
            nonlocal found
            found = draw()

        self._show_detail("figures", call)
        return found

    def text(self, tag: str, markdown: str, step: int) -> None:
        """Log a text."""
        self._show("texts", lambda writer: writer.add(text(tag, printable(markdown)), step))

    def charts(self, latents: Mapping[str, str], terms: Sequence[str]) -> None:
        """Define the charts of TensorBoard's page of custom scalars. Called once a run.

        Args:
            latents: the titles of charts by name. A chart has `z/<name>/*` of all latents. Left out without `details`.
            terms: names of scalars. Each has a chart with training and validation.
        """
        # Tags are regular expressions here.
        per_latent = {title: ["Multiline", [rf"z/{name}/\d+"]] for name, title in latents.items()}
        both = {term: ["Multiline", [rf"(train|validation|train_images)/{term}$"]] for term in terms}
        layout = {**({"latents": per_latent} if self.details else {}), "nats per image": both}
        self._show("charts", lambda writer: writer.add(custom_scalars(layout), 0))

    def embedding(
        self, points: Float[Tensor, "images latent"], labels: Sequence[int], thumbnails: Tensor | None
    ) -> None:
        """Write points for the embedding projector, with labels, and thumbnails (images, channels, height, width)."""

        def write(_: EventFile) -> None:
            with tempfile.TemporaryDirectory() as folder:
                # torch also writes an event file, which TensorBoard would show if it were in the run's directory.
                # The "step" is the name of the folder.
                with closing(SummaryWriter(folder)) as writer:
                    writer.add_embedding(
                        points,
                        metadata=list(labels),
                        label_img=thumbnails,
                        global_step="projector",
                        tag="posterior_mean",
                    )
                shutil.rmtree(self.directory / "projector", ignore_errors=True)
                shutil.copytree(Path(folder) / "projector", self.directory / "projector")
                config = (Path(folder) / "projector_config.pbtxt").read_bytes()
                write_atomically(self.directory / "projector_config.pbtxt", config, durable=False)

        self._show_detail("points of the projector", write)

    def hyperparameters(self, values: Mapping[str, str | float], metrics: Mapping[str, float], step: int) -> None:
        """Log the row of this run in the HParams table, with its scalars `metrics`. It is the end of an event file.

        TensorBoard shows the first row that it finds. So those that earlier processes wrote are removed.
        """
        self._cut(lambda event: any(tag.startswith(HPARAMS) for tag in _tags_of(event)))

        def write(writer: EventFile) -> None:
            # SummaryWriter.add_hparams would make another run. The first of the three protos would hide other runs.
            plain = {key: printable(value) if isinstance(value, str) else value for key, value in values.items()}
            _, session_start, session_end = hparams(plain, dict(metrics))
            writer.add(session_start, step)
            writer.add(session_end, step)

        self._show("hyperparameters", write)

    def flush(self) -> None:
        """Wait until all lines of `metrics.jsonl` are on the disk, so that a power failure cannot lose them."""
        self.metrics.flush()

    def close(self) -> None:
        """Close the files."""
        self.metrics.close()
        self._show("files", EventFile.close)

    def _cut(self, is_removed: Callable[[Event], bool]) -> None:
        """Cut the event files of earlier processes before the first event that `is_removed`."""
        self._show("files", lambda writer: cut_event_files(self.directory, writer.path, is_removed))

    def _show_detail(self, what: str, write: Callable[[EventFile], object]) -> None:
        """As `_show`, for what is left out without `details`."""
        if self.details:
            self._show(what, write)

    def _show(self, what: str, write: Callable[[EventFile], object]) -> None:
        """Call `write` with the event file, if there is one. An error is reported once for each `what`.

        After an `OSError` the event file is not used again. Other errors affect this call only.
        """
        if self.writer is None:
            return
        try:
            write(self.writer)
        except OSError as error:
            with suppress(OSError):
                self.writer.close()
            self.writer = None
            self._report("files", error)
        except Exception as error:
            self._report(what, error)

    def _report(self, what: str, error: Exception) -> None:
        if what in self.failed:
            return
        self.failed.add(what)
        reason = (error.strerror if isinstance(error, OSError) else None) or " ".join(str(error).split())[:200]
        reason = reason or type(error).__name__
        if what == "files":
            log.warning(
                f"warning: TensorBoard's files cannot be written: {reason}. The run goes on without them and "
                f"without figures. {METRICS} has the numbers"
            )
        else:
            log.warning(
                f"warning: some {what} could not be written for TensorBoard: {reason}. The run goes on without"
            )


def latent_tag(name: str, latent: int, latent_dim: int) -> str:
    """The tag of a latent's number, zero-padded so that sorting by name sorts by index.

    Example:
        >>> latent_tag("kl", 7, latent_dim=20)
        'z/kl/07'
    """
    return f"z/{name}/{latent:0{max(2, len(str(latent_dim - 1)))}d}"


def _tags_of(event: Event) -> list[str]:
    return [value.tag for value in event.summary.value]


def _is_of_final_test(tags: Iterable[str]) -> bool:
    return any(tag.startswith(CONCLUSION) for tag in tags)
