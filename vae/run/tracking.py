"""Where the numbers and pictures of a run go: `metrics.jsonl`, TensorBoard's event files and `figures/`.

`metrics.jsonl` is complete, and scripts read it. TensorBoard is a view of it: if its files cannot be written, training
goes on without them.
"""

import io
import logging
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeVar

from jaxtyping import Float
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import custom_scalars, histogram, hparams, text

from vae.figures.images import ImageBytes, as_image
from vae.run.event_file import EventFile, empty_event_files
from vae.run.files import printable, write_atomically
from vae.run.metrics import Line, MetricsFile, read_metrics
from vae.run.names import FIGURES, METRICS

log = logging.getLogger(__name__)

Drawn = TypeVar("Drawn")

HISTOGRAM_BINS = 64  # TensorBoard displays 30; its own choice of 700 is slow to write
CONCLUSION = ("test/", "disentanglement/", "metrics/")  # tags that begin so are of the end of a run


class Tracker:
    """Writes what a run measures into its directory.

    A failure in TensorBoard's files or in a figure is reported once and does not end the run.

    Args:
        directory: of the run.
        first_step: 0, or the step that a run is resumed from. Numbers of later steps are dropped.
        tensorboard: whether to write event files and figures, too.

    Attributes:
        lines: of `metrics.jsonl`, without those of the conclusion.
    """

    def __init__(self, directory: Path, first_step: int, *, tensorboard: bool) -> None:
        self.directory = directory
        self.metrics = MetricsFile(directory, lambda line: line["step"] <= first_step)
        self.lines = sum(not _concludes(line) for line in self.metrics.kept)
        self.first_step = first_step
        self.writer: EventFile | None = None
        self.failed: set[str] = set()
        if tensorboard:
            # Without purge_step TensorBoard would show later steps twice. The first step is not written again.
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
        """Prepare to log the final test of a run, under the tags `CONCLUSION`.

        Numbers of an earlier test at this step, which was killed before its end, are dropped. So the test has an
        event file of its own. The file before it is closed first, as TensorBoard never returns to a file that it left.
        """
        self.metrics.close()
        self.metrics = MetricsFile(self.directory, lambda line: line["step"] != step or not _concludes(line))
        suffix = f".conclusion-{step}"

        def begin(writer: EventFile) -> None:
            writer.close()
            empty_event_files(self.directory, suffix)
            self._open_writer(suffix=suffix)

        self._view("files", begin)

    @property
    def takes_pictures(self) -> bool:
        """Whether pictures are written anywhere."""
        return self.writer is not None

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Log numbers by tag. Steps never decrease. `metrics.jsonl` has the finite ones only."""
        self.metrics.add(values, step)
        self.lines += not _concludes(values)

        # One event for all tags: an event each, as add_scalar makes, slows training noticeably.
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()])
        self._view("numbers", lambda writer: writer.add(summary, step))

    def latents(self, values: Mapping[str, Float[Tensor, " latent"]], step: int) -> None:
        """Log a number of each latent, tagged `z/<name>/<zero-padded index>`."""
        self.scalars(
            {
                latent_tag(name, latent, len(numbers)): number
                for name, numbers in values.items()
                for latent, number in enumerate(numbers.tolist())
            },
            step,
        )

    def history(self, tags: Callable[[str], bool]) -> dict[str, dict[int, float]]:
        """The numbers so far, those of earlier processes included, by tag and step. `tags` selects the tags."""
        curves: dict[str, dict[int, float]] = {}
        for values in read_metrics(self.directory / METRICS)[0]:
            for tag in filter(tags, values):
                curves.setdefault(tag, {})[int(values["step"])] = float(values[tag])
        return curves

    def histograms(self, values: Mapping[str, Tensor], step: int) -> None:
        """Log a histogram of the finite numbers of each tensor."""

        def write(writer: EventFile) -> None:
            for tag, value in values.items():
                finite = value[value.isfinite()].double()  # in float32 their squares may overflow
                if len(finite):
                    writer.add(histogram(tag, finite.numpy(), bins=HISTOGRAM_BINS), step)

        self._view("histograms", write)

    def picture(self, name: str, picture: ImageBytes, step: int) -> None:
        """Log a picture to TensorBoard, and write it to `figures/<name>.png` in place of an older one."""

        def write(writer: EventFile) -> None:
            encoded = io.BytesIO()
            as_image(picture).save(encoded, "png", compress_level=3)
            png = encoded.getvalue()
            folder = self.directory / FIGURES
            folder.mkdir(exist_ok=True)
            # No run is resumed from a figure, so a power failure may lose it.
            write_atomically(folder / f"{name}.png", png, durable=False)
            height, width, channels = picture.shape
            image = Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=png)
            value = Summary.Value(tag=f"figures/{name}", image=image)
            writer.add(Summary(value=[value]), step)

        self._view("figures", write)

    def drawn(self, draw: Callable[[], Mapping[str, Drawn]]) -> Mapping[str, Drawn]:
        """The result of `draw`. Empty if no pictures are written, or if drawing fails, which is reported once."""
        found: Mapping[str, Drawn] = {}

        def call(_: EventFile) -> None:
            nonlocal found
            found = draw()

        self._view("figures", call)
        return found

    def text(self, tag: str, markdown: str, step: int) -> None:
        """Log a text."""
        self._view("texts", lambda writer: writer.add(text(tag, printable(markdown)), step))

    def charts(self, latents: Mapping[str, str], terms: Sequence[str]) -> None:
        """Lay out TensorBoard's page of custom scalars. Once a run.

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
                # torch writes an event file beside the points. In the run's directory it would be shown with the
                # run. The "step" only names the folder.
                with closing(SummaryWriter(folder)) as writer:
                    writer.add_embedding(
                        points,
                        metadata=list(labels),
                        label_img=thumbnails,
                        global_step="projector",
                        tag="posterior_mean",
                    )
                shutil.rmtree(self.directory / "projector", ignore_errors=True)  # of an earlier process
                shutil.copytree(Path(folder) / "projector", self.directory / "projector")
                config = (Path(folder) / "projector_config.pbtxt").read_bytes()
                write_atomically(self.directory / "projector_config.pbtxt", config, durable=False)

        self._view("the projector", write)

    def hyperparameters(self, values: Mapping[str, str | float], metrics: Mapping[str, float], step: int) -> None:
        """Log the row of this run in the HParams table, with its scalars `metrics`.

        TensorBoard keeps the first row that it finds, so the row has an event file of its own, which a resumed run
        empties.
        """

        def write(_: EventFile) -> None:
            empty_event_files(self.directory, ".hparams")
            # SummaryWriter.add_hparams would make a run below this one. Its first proto, `exp`, would hide other runs.
            plain = {key: printable(value) if isinstance(value, str) else value for key, value in values.items()}
            _, session_start, session_end = hparams(plain, dict(metrics))
            with closing(EventFile(self.directory, ".hparams")) as file:
                file.add(session_start, step)
                file.add(session_end, step)

        self._view("hyperparameters", write)

    def flush(self) -> None:
        """Wait until all numbers are on the disk, so that a power failure cannot lose them."""
        self.metrics.flush()

    def close(self) -> None:
        """Close the files."""
        self.metrics.close()
        self._view("files", EventFile.close)

    def _open_writer(self, *, suffix: str = "", purge_step: int | None = None) -> None:
        self.writer = None
        try:
            self.writer = EventFile(self.directory, suffix, purge_step)
        except Exception as error:
            self._report("files", error)

    def _view(self, what: str, write: Callable[[EventFile], object]) -> None:
        """Call `write` with the event file, if there is one. A failure to show `what` is reported once.

        After an `OSError` the event file is not used again. Other errors concern this call only.
        """
        if self.writer is None:
            return
        try:
            write(self.writer)
        except OSError as error:
            failed, self.writer = self.writer, None
            if failed is not None:
                with suppress(OSError):
                    failed.close()
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


def _concludes(line: Line | Mapping[str, float]) -> bool:
    return any(tag.startswith(CONCLUSION) for tag in line)
