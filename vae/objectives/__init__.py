"""The losses of training: one paper per file, in nats per image, computed from the terms in `terms`."""

from vae.objectives.beta import BetaObjective as BetaObjective
from vae.objectives.capacity import CapacityObjective as CapacityObjective
from vae.objectives.dip import DipObjective as DipObjective
from vae.objectives.factor import FactorObjective as FactorObjective
from vae.objectives.factor import discriminator as discriminator
from vae.objectives.free_bits import FreeBitsObjective as FreeBitsObjective
from vae.objectives.importance_weighted import ImportanceWeightedObjective as ImportanceWeightedObjective
from vae.objectives.multi_rate import MultiRateObjective as MultiRateObjective
from vae.objectives.target_distortion import TargetDistortionObjective as TargetDistortionObjective
from vae.objectives.target_rate import TargetRateObjective as TargetRateObjective
from vae.objectives.terms import DrawnTerms as DrawnTerms
from vae.objectives.terms import Objective as Objective
from vae.objectives.terms import Stateful as Stateful
from vae.objectives.terms import Terms as Terms
from vae.objectives.terms import controllers_of as controllers_of
from vae.objectives.terms import elbo_terms as elbo_terms
from vae.objectives.terms import normalised_beta as normalised_beta
from vae.objectives.terms import schedules_end as schedules_end
from vae.objectives.terms import schedules_of as schedules_of
from vae.objectives.total_correlation import TotalCorrelationObjective as TotalCorrelationObjective
