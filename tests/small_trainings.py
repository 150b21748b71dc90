"""A training of a second: small images, small networks, in this process."""

from dataclasses import replace

import pytest
import torch
from results import logged, same

from vae.config.preparation import ImagePreparation
from vae.data import ImageSet, Splits
from vae.model.gates import multi_rate_vae
from vae.model.mlp import mlp_vae
from vae.objectives import (
    BetaObjective,
    CapacityObjective,
    FactorObjective,
    ImportanceWeightedObjective,
    MultiRateObjective,
    Stateful,
    TargetDistortionObjective,
    TargetRateObjective,
    TotalCorrelationObjective,
    discriminator,
)
from vae.objectives.optimizers import adam
from vae.objectives.schedules import LinearWarmup
from vae.run import checkpoint
from vae.run.progress import Progress
from vae.run.tracking import Tracker
from vae.training.loop import Options, Training, fit
from vae.training.state import TrainState, no_sums

OPTIONS = Options(
    epochs=2,
    batch_size=50,
    seed=3,
    gradient_norm_limit=None,
    early_stopping_epochs=None,
    log_every_steps=2,
    bf16=False,
    learning_rate=LinearWarmup(1e-3),
)


@pytest.fixture
def splits(tiny_images):
    """170 images to train on, so that the last batch is smaller, and 40 each to validate and test."""

    def part(start, end, redrawn=False):
        return ImageSet(tiny_images.pixels[start:end], tiny_images.labels[start:end], redrawn)

    preparation = ImagePreparation(tiny_images.shape, binarised=True)
    return Splits(part(0, 170, redrawn=True), part(170, 210), part(210, 250), preparation)


def small_training(
    directory,
    splits,
    *,
    beta=1.0,
    warmup=0,
    stop=lambda: False,
    make=mlp_vae,
    hidden=16,
    head=None,
    resume=None,
    objective=None,
    **changes,
):
    """A training at step 0, or in the state `resume`."""
    directory.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    sizes = {"hidden": [hidden]} if make is mlp_vae else {"channels": 4, "width": 16}
    vae = make(splits.train.shape, 3, head=head, **sizes)
    vae.start_at(splits.train.mean(), splits.train.variance())
    made = BetaObjective(LinearWarmup(beta, warmup)) if objective is None else objective()
    if isinstance(made, MultiRateObjective):
        vae = multi_rate_vae(vae, 0.1, 10.0, made.beta_of_run)
    state = TrainState(
        vae=vae,
        optimizer=adam(vae.parameters(), 1e-3),
        generator=torch.Generator().manual_seed(1),
        interval_sums=no_sums(3),
        epoch_sums=no_sums(3).double(),
        learner=made if isinstance(made, Stateful) else None,
    )
    if resume is not None:
        state.load_state_dict(resume)
    return Training(
        state=state,
        splits=splits,
        objective=made,
        options=replace(OPTIONS, **changes),
        tracker=Tracker(directory, state.step, tensorboard=False),
        progress=Progress(1, 0, shown=False),
        directory=directory,
        stop_asked=stop,
    )


@pytest.fixture
def begin():
    """`small_training`, resumed from the last checkpoint in a folder; what it opened is closed after the test."""
    begun = []

    def begin(directory, splits, *, resume=None, **options):
        state = None if resume is None else checkpoint.load(resume / "checkpoints" / "last")
        begun.append(small_training(directory, splits, resume=state, **options))
        return begun[-1]

    yield begin
    for training in begun:
        training.tracker.close()


def parameters(training):
    return torch.cat([p.detach().flatten() for p in training.state.vae.parameters()])


class StopAfter:
    """Asks to stop at the `steps`-th time it is asked."""

    def __init__(self, steps):
        self.left = steps

    def __call__(self):
        self.left -= 1
        return self.left == 0


def check_resuming(begin, folder, splits, steps, **options):
    """A run that is stopped after `steps` steps and resumed ends like one that is not stopped, bit for bit."""
    assert fit(begin(folder / "whole", splits, **options))
    first = begin(folder / "parts", splits, stop=StopAfter(steps + 1), **options)
    assert not fit(first)
    first.tracker.close()
    resume(begin, folder, splits, steps, **options)


def resume(begin, folder, splits, steps, **options):
    """Resume the run in `parts` at a step, and compare its end with that of the run in `whole`."""
    torch.rand(17)  # another process has another state of torch's generator
    second = begin(folder / "parts", splits, resume=folder / "parts", **options)
    assert second.state.step == steps
    assert fit(second)
    assert logged(folder / "whole") == logged(folder / "parts")
    for name in ("last", "best"):
        one, other = (checkpoint.load(folder / run / "checkpoints" / name) for run in ("whole", "parts"))
        assert same(one | {"seconds": 0}, other | {"seconds": 0})


WARM = LinearWarmup(4.0, steps=7)
OBJECTIVES = {
    "factor": lambda: FactorObjective(WARM, 5.0, discriminator(3, [8, 8]), 1e-2),
    "target_distortion": lambda: TargetDistortionObjective(40.0, 0.001, 0.9, torch.device("cpu")),
    "target_rate": lambda: TargetRateObjective(4.0, 0.05, 0.005, torch.device("cpu")),
    "multi_rate": lambda: MultiRateObjective(2.0, 0.25),
    "capacity": lambda: CapacityObjective(10.0, LinearWarmup(5.0, 6, start=0.5)),
    "importance_weighted": lambda: ImportanceWeightedObjective(3),
    "total_correlation": lambda: TotalCorrelationObjective(1.0, WARM, 1.0, 170, stratified=True),
}
