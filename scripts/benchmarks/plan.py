"""How much is measured: the whole table, or enough of it to see within a minute that nothing broke."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """Sizes and repetitions.

    Attributes:
        rounds: turns that each of several loops gets; the median is taken over them.
        images: training images of an epoch, the first of MNIST.
        steps: of a burst whose time is taken.
        logged_epochs: length of the run whose logging is timed.
        processes: turns of what is a process of its own.
        process_epochs: what such a process trains for.
        sweeps: turns of a sweep with one worker and of the same with two.
        members: of a sweep.
        member_epochs: that each member trains for.
        nll_images: of which the NLL is estimated; the time is extrapolated to 10 000.
        drawn_images: of an epoch on random images.
    """

    rounds: int
    images: int
    steps: int
    logged_epochs: int
    processes: int
    process_epochs: int
    sweeps: int
    members: int
    member_epochs: int
    nll_images: int
    drawn_images: int


FULL = Plan(
    rounds=7,
    images=60_000,
    steps=100,
    logged_epochs=25,
    processes=3,
    process_epochs=10,
    sweeps=2,
    members=4,
    member_epochs=5,
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
    sweeps=1,
    members=2,
    member_epochs=1,
    nll_images=20,
    drawn_images=1_280,
)
