"""The losses of training: one paper per file, in nats per image, computed from the terms in `terms`."""

from vae.objectives.beta import BetaObjective
from vae.objectives.capacity import CapacityObjective
from vae.objectives.dip import DipObjective
from vae.objectives.factor import FactorObjective, discriminator
from vae.objectives.free_bits import FreeBitsObjective
from vae.objectives.importance_weighted import ImportanceWeightedObjective
from vae.objectives.target_rate import TargetRateObjective
from vae.objectives.terms import (
    DrawnTerms,
    Objective,
    Stateful,
    Terms,
    elbo_terms,
    normalised_beta,
    schedules_end,
    schedules_of,
)
from vae.objectives.total_correlation import TotalCorrelationObjective

__all__ = [
    "BetaObjective",
    "CapacityObjective",
    "DipObjective",
    "DrawnTerms",
    "FactorObjective",
    "FreeBitsObjective",
    "ImportanceWeightedObjective",
    "Objective",
    "Stateful",
    "TargetRateObjective",
    "Terms",
    "TotalCorrelationObjective",
    "discriminator",
    "elbo_terms",
    "normalised_beta",
    "schedules_end",
    "schedules_of",
]
