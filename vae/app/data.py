"""Builds the reader of the images from the configuration, and checks that a run gets the data it was trained on."""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, assert_never

from vae.app.foreign import imported, raised
from vae.config import (
    Config,
    CustomDataConfig,
    DataConfig,
    DspritesConfig,
    ImagesConfig,
    MnistConfig,
    SpritesConfig,
    TableConfig,
)
from vae.data import CustomData, Data, DataError, DspritesData, ImagesData, MnistData, SpritesData, TableData


def build_data(config: Config, *, may_write: bool = True) -> Data:
    """The reader of a run's images. It has read nothing yet.

    Args:
        config: of the run.
        may_write: whether data may be downloaded or generated wherever the configuration says. If False, only in the
            user's own cache: a stored configuration may come from another person.

    Raises:
        ConfigError: `data.target` names nothing that can be imported.
    """
    data: DataConfig = config.data
    match data:
        case MnistConfig():
            may_download = data.download and (may_write or in_own_cache(data.root))
            return MnistData(replace(data, download=may_download))
        case SpritesConfig():
            return SpritesData(data, may_write or in_own_cache(data.root))
        case DspritesConfig():
            may_download = data.download and (may_write or in_own_cache(data.path))
            return DspritesData(replace(data, download=may_download))
        case ImagesConfig():
            return ImagesData(data, may_write or in_own_cache(data.root))
        case TableConfig():
            return TableData(data)
        case CustomDataConfig():
            return CustomData(data, build_reader(data.target))
        case _:
            assert_never(data)


def in_own_cache(place: str) -> bool:
    """Whether the path is in `$XDG_CACHE_HOME/beta-vae`, the default place of data."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser().absolute() / "beta-vae"
    return Path(os.path.normpath(Path(place).expanduser().absolute())).is_relative_to(cache)


def build_reader(target: str) -> Callable[[Path, Mapping[str, Any]], Any]:
    """The user's function that reads images. Its errors become a `DataError` of one line.

    Args:
        target: `module:name`.

    Raises:
        ConfigError: it names nothing that can be imported.
    """
    function = imported(target, "data.target")

    def read(path: Path, options: Mapping[str, Any]) -> Any:
        try:
            return function(path, **options)
        except MemoryError:
            raise
        except Exception as error:  # the user's code may raise anything
            raise DataError(f"data.target={target} must read data.path={path}, it raised {raised(error)}") from error

    return read


def refuse_other_data(before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Refuse to resume or evaluate a run with other images than it was trained on. Their path may differ.

    Args:
        before: the checksums stored with the run, by file name. Empty if it has not read its images yet.
        now: the checksums of the images that have been read.

    Raises:
        DataError: they differ.
    """
    if before and sorted(before.values()) != sorted(now.values()):
        changed = [name for name, sha256 in now.items() if sha256 not in before.values()]
        raise DataError(
            f"a run goes on with the data it was trained on, but {', '.join(changed)} is not what it was. "
            "Bring the old data back, continue with data.path=PLACE, or start a new run"
        )
