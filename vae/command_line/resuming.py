"""To continue a run: its own overrides, in its own directory, with numbers that stay those of one run."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import DictConfig, OmegaConf

from vae.command_line.composition import Composer
from vae.command_line.older import completed
from vae.command_line.wording import near, said_by
from vae.config import ConfigError
from vae.run_directory import CONFIGURATION, LAST_CHECKPOINT, OVERRIDES, has_checkpoint

# What a resumed run may change: how long, where and how visibly it trains, but not what it computes.
FREE = {"epochs", "early_stopping_epochs", "resume", "device", "threads", "compile", "disentanglement"}
FREE |= {"tracking", "data.root", "data.download", "data.timeout_seconds"}


def resumed(run: Path, overrides: Sequence[str], composer: Composer) -> list[str]:
    """The overrides that continue `run`: its own, those given now, and its directory.

    Raises:
        ConfigError: there is nothing to continue, or the numbers would not be those of one run.
    """
    if not run.is_dir():
        hint = near(run.name, (path.name for path in run.parent.glob("*/")))
        raise ConfigError(f"resume must be the directory of a run, got {run}, which is none.{hint}")
    missing = [name for name in (CONFIGURATION, OVERRIDES) if not (run / name).exists()]
    if missing or not has_checkpoint(run):
        sweep = " It is a sweep: its command goes on with it" if (run / "multirun.yaml").exists() else ""
        raise ConfigError(
            f"resume needs a run with a checkpoint, got {run} without {(*missing, LAST_CHECKPOINT)[0]}.{sweep}"
        )
    stored = _stored(run / OVERRIDES)
    if not isinstance(stored, list):
        raise ConfigError(f"{run / OVERRIDES} must be a list, it is damaged. Start a new run")
    texts: dict[str, str] = {}
    for o in composer.parse([*map(str, stored), *overrides]):
        texts.pop(o.get_key_element(), None)  # the last one counts, and runs resumed often keep a short list
        texts[o.get_key_element()] = str(o.input_line)
    texts["hydra.mode"] = "hydra.mode=RUN"  # of a member, whose preset may describe the sweep
    texts["hydra.run.dir"] = f"hydra.run.dir={_quoted(str(run))}"
    after = composer.configured(composer.parse(texts.values()))
    changed = changes(run, after)
    if changed:
        raise ConfigError(
            f"resume would change the run's mathematics: {', '.join(changed)}. Start a new run, or drop these"
        )
    return list(texts.values())


def changes(run: Path, config: DictConfig, free: Collection[str] = FREE) -> list[str]:
    """What `config` would do otherwise than `run` did: each key, but the `free` ones, with its value before and after.

    Raises:
        ConfigError: the configuration of `run` is missing or damaged.
    """
    before = _stored(run / CONFIGURATION)
    old = _flat(completed(before) if isinstance(before, dict) else before)
    new = _flat(OmegaConf.to_container(config, resolve=True, enum_to_str=True))
    changed = [key for key in sorted(old | new) if old.get(key) != new.get(key)]
    changed = [key for key in changed if key not in free and key.partition(".")[0] not in free]
    return [f"{key} {old.get(key)} -> {new.get(key)}" for key in changed]


def _stored(file: Path) -> Any:
    try:
        return OmegaConf.to_container(OmegaConf.load(file), resolve=True)
    except Exception as error:
        raise ConfigError(f"{file} is damaged: {said_by(error)}. Start a new run") from None


def _flat(section: Any, prefix: str = "") -> dict[str, Any]:
    """The values below `section` by their dotted keys."""
    if not isinstance(section, dict):
        return {prefix[:-1]: section}
    return {key: value for name, below in section.items() for key, value in _flat(below, f"{prefix}{name}.").items()}


def with_literal_path(text: str) -> str:
    """`resume=` takes a path as it is, though Hydra's grammar wants quotes around `=`, `,` and the like."""
    key, _, path = text.partition("=")
    literal = key == "resume" and path not in ("", "null", "???") and path[0] not in "'\""
    return f"resume={_quoted(path)}" if literal else text


def _quoted(text: str) -> str:
    return QuotedString(text, Quote.single).with_quotes()
