"""beta-vae: the β-VAE as a library. `python train.py beta=4` is the application built on it.

    >>> import torch, vae
    >>> posterior = vae.DiagonalNormal(mean=torch.zeros(3, 2), logvar=torch.zeros(3, 2))
    >>> posterior.kl_to_standard().sum()
    tensor(0.)

Names are imported when they are first used, so that `train.py` can answer a wrong option before torch is loaded;
neither Hydra nor TensorBoard is needed by any of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vae.distributions import Bernoulli as Bernoulli
    from vae.distributions import DiagonalNormal as DiagonalNormal
    from vae.distributions import Gaussian as Gaussian
    from vae.distributions import LogvarBounds as LogvarBounds
    from vae.divergences import cross_entropy as cross_entropy
    from vae.divergences import entropy as entropy
    from vae.divergences import kl_categorical as kl_categorical
    from vae.divergences import kl_normal as kl_normal
    from vae.divergences import kl_to_standard_normal as kl_to_standard_normal
    from vae.divergences import kl_to_standard_normal_terms as kl_to_standard_normal_terms
    from vae.divergences import mutual_information as mutual_information
    from vae.estimators import importance_weighted_bound as importance_weighted_bound
    from vae.model import VAE as VAE
    from vae.model import conv_vae as conv_vae
    from vae.model import mlp_vae as mlp_vae
    from vae.objectives import BetaObjective as BetaObjective
    from vae.objectives import Terms as Terms
    from vae.objectives import elbo_terms as elbo_terms
    from vae.schedules import LinearWarmup as LinearWarmup

_HOME = {
    "Bernoulli": "distributions",
    "DiagonalNormal": "distributions",
    "Gaussian": "distributions",
    "LogvarBounds": "distributions",
    "cross_entropy": "divergences",
    "entropy": "divergences",
    "kl_categorical": "divergences",
    "kl_normal": "divergences",
    "kl_to_standard_normal": "divergences",
    "kl_to_standard_normal_terms": "divergences",
    "mutual_information": "divergences",
    "importance_weighted_bound": "estimators",
    "VAE": "model",
    "conv_vae": "model",
    "mlp_vae": "model",
    "BetaObjective": "objectives",
    "Terms": "objectives",
    "elbo_terms": "objectives",
    "LinearWarmup": "schedules",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'vae' has no attribute {name!r}. It has {', '.join(_HOME)}")
    return getattr(import_module(f"vae.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOME)
