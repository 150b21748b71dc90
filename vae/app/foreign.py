"""Parts that users bring: an objective, a network, a reader of data, a metric, each named as `module:name`.

What is imported is what the person names who gives the command. A run's directory never decides it: to continue or to
load a run with such parts is to name them again.
"""

import importlib
import sys
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from vae.config import ConfigError
from vae.config.rules import raised as raised


def imported(text: str, key: str) -> Callable[..., Any]:
    """What `module:name` stands for. Modules are also looked for in the working directory.

    Args:
        text: as in `my_losses:MMD`.
        key: of the configuration, for the error.

    Raises:
        ConfigError: one line: the text is of another form, or nothing callable of this name can be imported.
    """
    module_name, _, name = text.partition(":")
    if not (module_name and name.isidentifier() and all(part.isidentifier() for part in module_name.split("."))):
        raise ConfigError(f"{key} must be module:name, as in my_module:{name or 'name'}, got {text}")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # it stays: a module may import its neighbours later
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        fix = f"Start in the directory of {module_name.partition('.')[0]}.py, or name that in PYTHONPATH"
        raise ConfigError(f"{key} must name a module that can be imported, got {text}: {error.msg}. {fix}") from None
    except Exception as error:  # whatever the module raises, a reader gets one line of it
        raise ConfigError(f"{key} must name a module that can be imported, got {text}: {raised(error)}") from error
    found = getattr(module, name, None)
    if not callable(found):
        close = get_close_matches(name, [known for known in vars(module) if not known.startswith("_")], 1)
        hint = f" Did you mean {module_name}:{close[0]}?" if close else ""
        what = "which it has not" if found is None else "which cannot be called"
        raise ConfigError(f"{key} must name a function or class of {module_name}, got {name}, {what}.{hint}")
    return found  # type: ignore[no-any-return]
