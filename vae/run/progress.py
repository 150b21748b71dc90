"""What a run prints while it trains."""

import logging
import sys
import time
from collections.abc import Mapping

from tqdm import tqdm

log = logging.getLogger(__name__)

SILENCE_SECONDS = 30.0  # after which a run without a bar prints a line


class Progress:
    """A progress bar on a terminal, and a line an epoch. Without a bar, long epochs print a line now and then.

    Args:
        steps: of the whole run.
        done: steps that an earlier process made.
        shown: False for no bar on a terminal either.
    """

    def __init__(self, steps: int, done: int, *, shown: bool) -> None:
        # tqdm's disable=None: no bar if stderr is no terminal. sys.stderr is None if it was closed before the start.
        disable = None if shown and sys.stderr is not None and not sys.stderr.closed else True
        self.bar = tqdm(total=steps, initial=done, disable=disable, unit="step", dynamic_ncols=True)
        self.steps = steps
        self.last_line = time.monotonic()

    def advance(self) -> None:
        """Count one step."""
        self.bar.update()

    def show(self, step: int, means: Mapping[str, float]) -> None:
        """Show ELBO, distortion and rate of the last steps, in nats per image."""
        self.bar.set_postfix_str(
            f"elbo {means['elbo']:.2f}, distortion {means['distortion']:.2f}, rate {means['rate']:.2f}", refresh=False
        )
        if self.bar.disable and time.monotonic() - self.last_line > SILENCE_SECONDS:
            self._print(f"step {step:,}/{self.steps:,}", {"train": means})

    def epoch(self, epoch: int, epochs: int, numbers: Mapping[str, Mapping[str, float]]) -> None:
        """Print the line of an epoch: ELBO, distortion and rate, in nats per image, by the name of the images."""
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
