"""How much is measured: the whole table, or a part of it within a minute."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """Sizes and repetitions."""

    rounds: int  # how often each of several loops is timed; the rows are medians
    images: int  # training images of an epoch, the first of MNIST
    steps: int  # steps that are timed together
    logged_epochs: int  # epochs of the run whose logging is timed
    processes: int  # how often each whole process is timed
    process_epochs: int  # epochs of such a process
    nll_images: int  # test images of the NLL; the time is extrapolated to 10 000


FULL = Plan(
    rounds=7,
    images=60_000,
    steps=100,
    logged_epochs=25,
    processes=3,
    process_epochs=10,
    nll_images=200,
)
QUICK = Plan(
    rounds=2,
    images=6_400,
    steps=30,
    logged_epochs=2,
    processes=1,
    process_epochs=1,
    nll_images=20,
)
