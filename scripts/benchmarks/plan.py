"""How much is measured: the whole table, or enough to see within a minute that everything works."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """Sizes and repetitions."""

    rounds: int  # turns of each of several loops; the median is taken over them
    images: int  # training images of an epoch, the first of MNIST
    steps: int  # steps that are timed together
    logged_epochs: int  # length of the run whose logging is timed
    processes: int  # turns of what is a process of its own
    process_epochs: int  # length of the training in such a process
    nll_images: int  # test images of the NLL; the time is extrapolated to 10 000
    drawn_images: int  # random images of an epoch


FULL = Plan(
    rounds=7,
    images=60_000,
    steps=100,
    logged_epochs=25,
    processes=3,
    process_epochs=10,
    nll_images=200,
    drawn_images=6_400,
)
QUICK = Plan(
    rounds=2,
    images=6_400,
    steps=30,
    logged_epochs=2,
    processes=1,
    process_epochs=1,
    nll_images=20,
    drawn_images=1_280,
)
