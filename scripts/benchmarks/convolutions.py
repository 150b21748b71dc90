"""The convolutional model, in images a second."""

from statistics import median

from benchmarks import ours
from benchmarks.plan import Plan
from benchmarks.rows import Absent, Row
from benchmarks.turns import ratio, take_turns

SIDES = (32, 64)
FP32, BF16 = "fp32", "bf16"


def rows(plan: Plan) -> list[Row | Absent]:
    """Training on random binary images of both sizes, in both precisions."""
    lacking = ours.without_bf16()
    found: list[Row | Absent] = [*lacking]
    for side in SIDES:
        splits = ours.random_binary(plan.drawn_images, side)
        name = f"model=conv, {side}x{side}"
        with ours.Runs() as started:
            runs = {
                precision: started.start(
                    ours.configured(["data=sprites", "model=conv", "device=cpu", f"precision={precision}"]), splits
                )
                for precision in ([FP32] if lacking else [FP32, BF16])
            }
            turns = {precision: lambda run=run: ours.epoch(run) for precision, run in runs.items()}
            seconds = take_turns(turns, plan.rounds)
        for precision, taken in seconds.items():
            found.append(Row(f"{name}, {precision}", len(splits.train) / median(taken), "images/s"))
        if not lacking:
            found.append(ratio(f"{name}: bf16 over fp32", seconds[FP32], seconds[BF16]))
    return found
