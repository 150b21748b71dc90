"""Resuming a run: its stored configuration, and what overrides may change in it."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from hydra.core.override_parser.types import Override

from vae.app.command_line.composition import bare, refuse_prefix, with_absolute_paths, with_values
from vae.app.foreign import refuse_unnamed_parts
from vae.config import ConfigError, near, plain, typed
from vae.config.options import FREE
from vae.run import record
from vae.run.directory import has_checkpoint
from vae.run.names import CONFIGURATION, LAST_CHECKPOINT
from vae.run.record import Record, changes


def resumed(run: str, overrides: Sequence[Override], groups: Collection[str]) -> Record:
    """The configuration with which a run is resumed. The path of its data may have changed, not their checksum.

    Raises:
        ConfigError: there is nothing to resume, or the overrides would change what the run computes.
    """
    directory = Path(run).expanduser()
    check_has_checkpoint(directory)
    before = record.read(directory)
    after = with_overrides(before, overrides, groups)
    other_options = [
        f"{bare(o)} {before.choices.get(bare(o))} -> {o.get_value_string()}"
        for o in overrides
        if bare(o) in groups and str(o.value()) != before.choices.get(bare(o))
    ]
    differences = [*other_options, *changes(before, after, FREE | {"data.path"})]
    if differences:
        raise ConfigError(
            f"resume would change the run's mathematics: {', '.join(differences)}. Start a new run, or drop these"
        )
    refuse_unnamed_parts(directory, after.config, {bare(o): o.value() for o in overrides})
    return replace(after, config=replace(after.config, resume=str(directory)))


def check_has_checkpoint(run: Path) -> None:
    """Check that the directory holds a run with a checkpoint.

    Raises:
        ConfigError: it does not.
    """
    if not run.is_dir():
        hint = near(run.name, (path.name for path in run.parent.glob("*/")))
        raise ConfigError(f"resume must be the directory of a run, got {run}, which is none.{hint}")
    if not has_checkpoint(run):
        is_sweep = any(run.glob(f"*/{CONFIGURATION}"))
        missing = LAST_CHECKPOINT if (run / CONFIGURATION).exists() else CONFIGURATION
        sweep = " It is a sweep: its command goes on with it" if is_sweep else ""
        raise ConfigError(f"resume needs a run with a checkpoint, got {run} without {missing}.{sweep}")


def with_overrides(before: Record, overrides: Sequence[Override], groups: Collection[str]) -> Record:
    """A stored configuration with the overrides applied.

    Raises:
        ConfigError: a key is unknown, or a value is wrong.
    """
    for o in overrides:
        refuse_prefix(o, groups)
    values = with_values(plain(before.config), [o for o in overrides if bare(o) not in groups])
    return replace(before, config=with_absolute_paths(typed(before.choices, values)))
