"""The explorer page of a run at its end: its model, or the models of a few betas if it is a multi-rate one."""

import copy
import logging
from collections.abc import Mapping
from typing import Any

from vae.config import Config, ConfigError
from vae.config.objective import MultiRateConfig
from vae.measures.curve import few_betas
from vae.measures.evaluation import encode_images, rate_numbers
from vae.model.gates import MultiRateVAE
from vae.model.vae import VAE
from vae.pages.explorer import ExploredModel, beta_of, explorer_page
from vae.run.files import printable, relative_to_cwd, remove, write_atomically
from vae.run.names import EXPLORER
from vae.training.loop import Training

log = logging.getLogger(__name__)


def drawn_explorer(
    config: Config, training: Training, test: Mapping[str, Any], found: Mapping[str, Any] | None
) -> str | ConfigError:
    """The page as text, or the reason why there is none. Nothing is written.

    Args:
        config: of the run.
        training: the run after its last step.
        test: the numbers of the test.
        found: what `disentanglement_numbers` returned, if the factors are known.
    """
    splits, name = training.splits, printable(training.directory.name)
    try:
        return explorer_page(
            explored_models(config, training, test, found, name),
            splits.test.to("cpu"),
            splits.preparation,
            title=name,
            label_names=splits.label_names,
            train=None if splits.train.factors is None else splits.train.to("cpu"),
        )
    except ConfigError as error:
        return error
    except Exception as error:  # a page that fails must not end a run, which may have trained for days
        return ConfigError(f"the page failed, {type(error).__name__}: {' '.join(str(error).split())[:200]}")


def explored_models(
    config: Config, training: Training, test: Mapping[str, Any], found: Mapping[str, Any] | None, name: str
) -> list[ExploredModel]:
    """The models of the page, by rising beta, on the CPU. `drawn_explorer` describes the arguments."""
    vae, objective, own = training.state.vae, config.objective, config.beta
    if not (isinstance(vae, MultiRateVAE) and isinstance(objective, MultiRateConfig)):
        beta, minimised = beta_of(config, float(test["loss_weight"]))
        return [ExploredModel(name, on_cpu(copy.deepcopy(vae)), beta, test, found, minimised)]
    models = []
    for each in few_betas(objective.beta_min, objective.beta_max, own):
        plain = vae.at(each)
        numbers = test if each == own else rate_numbers(encode_images(plain, training.splits.test))
        models.append(ExploredModel(f"beta={each:g}", on_cpu(plain), each, numbers, found if each == own else None))
    return models


def on_cpu(vae: VAE) -> VAE:
    """The model on the CPU, in evaluation mode."""
    return vae.cpu().eval()


def write_explorer(training: Training, drawn: str | ConfigError) -> str:
    """Write the page into the directory of the run. Returns the line of the log about it.

    Raises:
        OSError: the disk is full or cannot be written.
    """
    path = training.directory / EXPLORER
    if isinstance(drawn, ConfigError):
        remove(path)  # it is of an earlier step
        return f"explore none: {drawn}"
    write_atomically(path, drawn.encode(errors="replace"), durable=False)
    return f"explore {relative_to_cwd(path)}"
