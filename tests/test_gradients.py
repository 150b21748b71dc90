"""The gradient of the loss, compiled: what torch makes of it beside what it is."""

from command import run

# Processes of their own: the checks of shapes that the tests run under cannot be compiled.
SAME = """
import torch
from torch._dynamo.utils import counters
from vae import conv_vae, mlp_vae
from vae.gradients import backpropagate, compiled, joins_both_ways
from vae.model import GaussianHead
from vae.objectives import *
from vae.optimizers import Adam
from vae.schedules import CyclicalWarmup, LinearWarmup

def same(objective, steps, make=mlp_vae, thrown=0.0, image=(1, 12, 12), **sizes):
    vaes = [make(image, 3, **sizes).train().to(memory_format=torch.channels_last) for _ in range(2)]
    vaes[0].encoder.layers[-1].bias.data[3:] += thrown
    vaes[1].load_state_dict(vaes[0].state_dict())
    x = torch.rand(8, *image)
    ways = [(vae, way, objective(), Adam(vae.parameters(), 1e-3)) for vae, way in zip(vaes, (backpropagate, whole))]
    for step in steps:
        noise = torch.randn(*ways[0][2].sample_shape, 8, 3)
        found = []
        for vae, way, made, adam in ways:
            adam.zero_grad()
            loss, terms = way(vae, x, noise, made, step, bf16=False)
            found.append([loss, terms.distortion, terms.rate])
        torch.testing.assert_close(*found)
        for ours, its in zip(vaes[0].parameters(), vaes[1].parameters(), strict=True):
            torch.testing.assert_close(its, ours, msg="a parameter that a reset changes")
            torch.testing.assert_close(its.grad, ours.grad, rtol=1e-3, atol=1e-4)
            assert its.grad.stride() == ours.grad.stride()
            its.grad = ours.grad.clone()  # or Adam makes a step of what was rounded
        for *_, adam in ways:
            adam.step()
"""

IN_ONE_GRAPH = """
whole = compiled()
warm = lambda: BetaObjective(LinearWarmup(4.0, steps=7))
same(warm, (0, 3, 8), hidden=(16,))
same(warm, (3,), thrown=50.0, hidden=(16,))  # beyond the bounds, and reset
# Where a value is looked at a graph ends; where a number is taken for a constant there is one for each.
if joins_both_ways():
    assert counters["stats"]["unique_graphs"] == 1 and not counters["graph_break"], counters
learning = lambda: TargetRateObjective(4.0, 0.05, 0.005, torch.device("cpu"))  # not in a graph
same(learning, (0, 1), hidden=(16,))
if joins_both_ways():
    assert counters["stats"]["unique_graphs"] == 2, counters
"""

EVERY_OBJECTIVE = """
from functools import partial
torch.compile = partial(torch.compile, backend="aot_eager")  # traced as ever, and run as it stands
whole = compiled()
warm = LinearWarmup(4.0, steps=7)
factor = lambda: FactorObjective(warm, 5.0, discriminator(3, [8]), 1e-2, torch.Generator().manual_seed(2))
for objective in (
    lambda: BetaObjective(CyclicalWarmup(4.0, 2, 2)),
    lambda: CapacityObjective(10.0, LinearWarmup(5.0, 6, start=0.5)),
    lambda: DipObjective(warm, 2.0, 3.0, aggregate=True),
    lambda: FreeBitsObjective(warm, 0.05),
    lambda: ImportanceWeightedObjective(3),
    lambda: TotalCorrelationObjective(0.5, warm, 2.0, 170, stratified=False),
    lambda: TotalCorrelationObjective(0.5, warm, 2.0, 170, stratified=True),
):
    torch._dynamo.reset()
    counters.clear()
    same(objective, (0, 3, 8), hidden=(16,))
    if joins_both_ways():
        assert counters["stats"]["unique_graphs"] == 1 and not counters["graph_break"], (objective(), counters)
torch._dynamo.reset()
both = [factor() for _ in range(2)]
both[1].load_state_dict(both[0].state_dict())
same(iter(both).__next__, (0, 3, 8), hidden=(16,))
same(lambda: BetaObjective(warm), (0, 3, 8), head=GaussianHead(0.1, learned=True))
same(lambda: BetaObjective(warm), (0, 3, 8), make=conv_vae, image=(3, 16, 16), channels=4, width=16)
"""


def test_compiled_into_one_graph_the_loss_and_its_gradients_are_the_same():
    done = run("-c", SAME + IN_ONE_GRAPH)
    assert done.returncode == 0, done.stderr


def test_every_objective_is_the_same_in_a_graph():
    done = run("-c", SAME + EVERY_OBJECTIVE)
    assert done.returncode == 0, done.stderr
