"""beta-vae: the β-VAE as a library. `beta-vae train beta=4` is the application built on it, `vae.train` starts it.

    >>> import torch, vae
    >>> posterior = vae.DiagonalNormal(mean=torch.zeros(3, 2), logvar=torch.zeros(3, 2))
    >>> posterior.kl_to_standard().sum()
    tensor(0.)

Names are imported when they are first used, so that the application can report a wrong option before torch is loaded.
None of them needs Hydra or TensorBoard in this process.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"  # pyproject.toml reads it here

if TYPE_CHECKING:
    from vae.app.from_python import train as train
    from vae.measures.bound import importance_weighted_bound as importance_weighted_bound
    from vae.model.burgess import conv_vae as conv_vae
    from vae.model.mlp import mlp_vae as mlp_vae
    from vae.model.vae import VAE as VAE
    from vae.objectives import BetaObjective as BetaObjective
    from vae.objectives import Terms as Terms
    from vae.objectives import elbo_terms as elbo_terms
    from vae.objectives.schedules import LinearWarmup as LinearWarmup
    from vae.probability.distributions import Bernoulli as Bernoulli
    from vae.probability.distributions import DiagonalNormal as DiagonalNormal
    from vae.probability.distributions import Gaussian as Gaussian
    from vae.probability.distributions import LogvarBounds as LogvarBounds
    from vae.probability.divergences import cross_entropy as cross_entropy
    from vae.probability.divergences import entropy as entropy
    from vae.probability.divergences import kl_categorical as kl_categorical
    from vae.probability.divergences import kl_normal as kl_normal
    from vae.probability.divergences import kl_to_standard_normal as kl_to_standard_normal
    from vae.probability.divergences import kl_to_standard_normal_terms as kl_to_standard_normal_terms
    from vae.probability.divergences import mutual_information as mutual_information
    from vae.trained.export import export as export
    from vae.trained.hub import from_pretrained as from_pretrained
    from vae.trained.hub import push_to_hub as push_to_hub
    from vae.trained.load import load as load
    from vae.trained.model import TrainedModel as TrainedModel

_NAMES = {
    "app.from_python": ["train"],
    "measures.bound": ["importance_weighted_bound"],
    "model.burgess": ["conv_vae"],
    "model.mlp": ["mlp_vae"],
    "model.vae": ["VAE"],
    "objectives": ["BetaObjective", "Terms", "elbo_terms"],
    "objectives.schedules": ["LinearWarmup"],
    "probability.distributions": ["Bernoulli", "DiagonalNormal", "Gaussian", "LogvarBounds"],
    "probability.divergences": [
        "cross_entropy",
        "entropy",
        "kl_categorical",
        "kl_normal",
        "kl_to_standard_normal",
        "kl_to_standard_normal_terms",
        "mutual_information",
    ],
    "trained.export": ["export"],
    "trained.hub": ["from_pretrained", "push_to_hub"],
    "trained.load": ["load"],
    "trained.model": ["TrainedModel"],
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}
__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'vae' has no attribute {name!r}. It has {', '.join(_MODULES)}")
    return getattr(import_module(f"vae.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_MODULES)
