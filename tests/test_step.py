"""A step with the terms compiled is the step as it stands."""

from command import run

# Processes of their own: the checks of shapes that the tests run under cannot be compiled.
SAME = """
import sys
import torch
from vae import BetaObjective, LinearWarmup, conv_vae, mlp_vae
from vae.model.heads import GaussianHead
from vae.objectives import FactorObjective, ImportanceWeightedObjective, TotalCorrelationObjective, discriminator
from vae.training.step import backpropagate, compiled_terms, terms_of_step

def same(objective, make=mlp_vae, image=(1, 12, 12), lost=0.0, **sizes):
    torch.manual_seed(0)
    vaes = [make(image, 3, **sizes).train().to(memory_format=torch.channels_last) for _ in range(2)]
    list(vaes[0].encoder.parameters())[-1].data[3:] += lost
    vaes[1].load_state_dict(vaes[0].state_dict())
    x = torch.rand(8, *image)
    numbers = [
        backpropagate(vae, x, objective, 3, torch.Generator().manual_seed(1), terms_of_step=terms)
        for vae, terms in zip(vaes, (terms_of_step, compiled_terms()))
    ]
    for name in ("loss", "distortion", "rate"):
        torch.testing.assert_close(getattr(numbers[0], name), getattr(numbers[1], name))
    for one, other in zip(vaes[0].parameters(), vaes[1].parameters(), strict=True):
        torch.testing.assert_close(one, other, msg="a parameter that a reset changes")
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-4)

warm = LinearWarmup(4.0, steps=7)
if sys.argv[1] == "compiled":
    same(BetaObjective(warm), hidden=(16,))
    same(BetaObjective(warm), hidden=(16,), lost=50.0)
else:
    from functools import partial
    torch.compile = partial(torch.compile, backend="aot_eager")  # traced as ever, and not compiled to machine code
    same(FactorObjective(warm, 0.0, discriminator(3, [8]), 1e-2), hidden=(16,))
    same(ImportanceWeightedObjective(3), hidden=(16,))
    same(TotalCorrelationObjective(0.5, warm, 2.0, 170, stratified=True), hidden=(16,))
    same(BetaObjective(warm), head=GaussianHead(0.1, learned=True))
    same(BetaObjective(warm), make=conv_vae, image=(3, 16, 16), channels=4, width=16)
"""


def test_compiled_the_loss_and_its_gradients_are_the_same():
    done = run("-c", SAME, "compiled")
    assert done.returncode == 0, done.stderr


def test_every_kind_of_terms_is_the_same_in_a_graph():
    done = run("-c", SAME, "traced")
    assert done.returncode == 0, done.stderr
