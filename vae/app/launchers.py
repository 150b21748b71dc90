"""The launchers of a sweep, by their settings `hydra.launcher.*`: where its members train."""

from collections.abc import Iterable, Mapping
from typing import Any

from vae.config import ConfigError
from vae.training.cores import usable_cores

HYDRAS_LAUNCHER = (
    "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher"  # has `n_jobs` too, and is not used
)


def is_cluster(settings: Mapping[str, Any]) -> bool:
    """Whether the members are jobs, which submitit starts."""
    return "submitit" in str(settings.get("_target_"))


def checked_settings(name: str, settings: Mapping[str, Any], given: Iterable[str]) -> dict[str, int]:
    """The checked settings of members that train side by side on this machine: `n_jobs` alone.

    Args:
        name: that was given as `hydra/launcher`.
        settings: `hydra.launcher`. Where Hydra's plugin for joblib is installed, Hydra adds the defaults of that.
        given: the keys on the command line.

    Raises:
        ConfigError: it is another launcher, `n_jobs` is no number of members, or another setting was given.
    """
    if "n_jobs" not in settings or settings.get("_target_", HYDRAS_LAUNCHER) != HYDRAS_LAUNCHER:
        raise ConfigError(
            "hydra/launcher must be basic, for one member after another, joblib, for several at a time, or slurm, "
            f"for jobs of a cluster, got {name}"
        )
    named = [key for key in given if key.startswith("hydra.launcher.")]
    named += [f"hydra.launcher.{key}" for key in settings if "_target_" not in settings]
    others = [key for key in named if key != "hydra.launcher.n_jobs"]
    if others:
        raise ConfigError(f"members side by side have hydra.launcher.n_jobs alone, got {others[0]}. Leave it out")
    n_jobs = settings["n_jobs"]
    if not isinstance(n_jobs, int) or isinstance(n_jobs, bool) or n_jobs == 0:
        raise ConfigError(
            f"hydra.launcher.n_jobs must be a number of members, or -1 for one a core, got {n_jobs}. Set 2 for two"
        )
    return {"n_jobs": n_jobs}


def members_at_once(settings: Mapping[str, int]) -> int:
    """How many members train at a time: `n_jobs`. -1 is one a core, -2 one less, as in joblib."""
    n_jobs = settings["n_jobs"]
    return n_jobs if n_jobs > 0 else max(1, usable_cores() + 1 + n_jobs)
