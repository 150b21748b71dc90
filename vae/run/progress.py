"""What a run prints while it trains."""

import logging
import sys
import time
from collections.abc import Mapping

from tqdm import tqdm

log = logging.getLogger(__name__)

SILENCE_SECONDS = 30.0  # without a bar, a line is printed after so long without one


class Progress:
    """A progress bar on a terminal, and a line for each epoch. Without a bar, long epochs print more lines.

    Args:
        steps: of the whole run.
        done: the steps that are done when a run is resumed, else 0.
        shown: whether to show a bar if stderr is a terminal.
    """

    def __init__(self, steps: int, done: int, *, shown: bool) -> None:
        # disable=None is tqdm's value for no bar unless stderr is a terminal. A closed stderr may be None.
        disable = None if shown and sys.stderr is not None and not sys.stderr.closed else True
        self.bar = tqdm(total=steps, initial=done, disable=disable, unit="step", dynamic_ncols=True)
        self.steps = steps
        self.last_line = time.monotonic()

    def advance(self) -> None:
        """Count one step."""
        self.bar.update()

    def show(self, step: int, means: Mapping[str, float]) -> None:
        """Show the mean ELBO, distortion and rate of the last steps, in nats per image."""
        self.bar.set_postfix_str(
            f"elbo {means['elbo']:.2f}, distortion {means['distortion']:.2f}, rate {means['rate']:.2f}", refresh=False
        )
        if self.bar.disable and time.monotonic() - self.last_line > SILENCE_SECONDS:
            self._print(f"step {step:,}/{self.steps:,}", {"train": means})

    def epoch(self, epoch: int, epochs: int, numbers: Mapping[str, Mapping[str, float]]) -> None:
        """Print the line of an epoch: ELBO, distortion and rate in nats per image, by the name of the split."""
        self._print(f"epoch {epoch:{len(str(epochs))}d}/{epochs}", numbers)

    def close(self) -> None:
        """Leave the bar as it is."""
        self.bar.close()

    def _print(self, when: str, numbers: Mapping[str, Mapping[str, float]]) -> None:
        self.last_line = time.monotonic()
        parts = [
            f"{name} elbo {n['elbo']:8.2f} (distortion {n['distortion']:6.2f}, rate {n['rate']:5.2f})"
            for name, n in numbers.items()
        ]
        log.info("  ".join([when, *parts, "nats"]))
