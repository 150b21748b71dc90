"""To continue a run: its stored configuration, and what the words given now may change in it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vae.app.command_line.composition import Composer, bare, container, leaves, plain, set_value, with_absolute_paths
from vae.app.command_line.wording import near, said_by
from vae.config import ConfigError, typed
from vae.config.options import FREE
from vae.run import record
from vae.run.directory import has_checkpoint
from vae.run.names import CONFIGURATION, LAST_CHECKPOINT
from vae.run.record import Record, changes


def resumed(run: Path, overrides: Sequence[Override], composer: Composer) -> Record:
    """The configuration with which `run` goes on.

    The data may lie elsewhere by now: they are known by their checksum.

    Raises:
        ConfigError: there is nothing to continue, or the numbers would not be those of one run.
    """
    refuse_no_run(run)
    before = record.read(run)
    after = changed(before, overrides, composer)
    differences = changes(before, after, FREE | {"data.path"})
    if differences:
        raise ConfigError(
            f"resume would change the run's mathematics: {', '.join(differences)}. Start a new run, or drop these"
        )
    return replace(after, config=replace(after.config, resume=str(run)))


def refuse_no_run(run: Path) -> None:
    """Refuse a directory without anything to go on from.

    Raises:
        ConfigError: one line.
    """
    if not run.is_dir():
        hint = near(run.name, (path.name for path in run.parent.glob("*/")))
        raise ConfigError(f"resume must be the directory of a run, got {run}, which is none.{hint}")
    if not has_checkpoint(run):
        sweep = " It is a sweep: its command goes on with it" if (run / "multirun.yaml").exists() else ""
        missing = LAST_CHECKPOINT if (run / CONFIGURATION).exists() else CONFIGURATION
        raise ConfigError(f"resume needs a run with a checkpoint, got {run} without {missing}.{sweep}")


def changed(before: Record, overrides: Sequence[Override], composer: Composer) -> Record:
    """A stored configuration with the values that words give: a group's option as far as it is the same.

    Raises:
        ConfigError: an unknown key, a wrong value, or an option that is not the run's.
    """
    config = container(before)
    known = leaves(config)
    others = []
    for o in overrides:
        key = bare(o)
        if o.is_sweep_override():
            raise ConfigError(f"resume continues one run, got {o.input_line}. [] is for a list")
        if key in composer.groups:
            if str(o.value()) != before.choices.get(key):
                others.append(f"{key} {before.choices.get(key)} -> {o.get_value_string()}")
        elif key != "resume" and not o.is_hydra_override():
            set_value(config, known, o, composer.groups)
    if others:
        raise ConfigError(
            f"resume would change the run's mathematics: {', '.join(others)}. Start a new run, or drop these"
        )
    try:
        OmegaConf.to_object(config)
        return replace(before, config=typed(before.choices, with_absolute_paths(plain(config))))
    except OmegaConfBaseException as error:
        raise ConfigError(said_by(error)) from None
