"""Speed and memory beside other projects: `python scripts/benchmark.py`, or `make bench`.

Prints one table, measured on this machine. How it is measured, and the limits: scripts/benchmarks/README.md.
"""

import argparse
import json
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import (
    beside,
    epochs,
    evaluations,
    growth,
    logging_cost,
    ours,
    rivals,
    steps,
    sweeps,
    whole_runs,
)
from benchmarks.plan import FULL, QUICK, Plan
from benchmarks.rows import HEADING, Absent, Row, line
from vae.app.data import build_data
from vae.app.main import EXPECTED, exit_code
from vae.run.provenance import revision
from vae.training.hardware import cpu, prepare_torch, uses_onednn

Subject = Callable[[Plan], Sequence[Row | Absent]]

SUBJECTS: Mapping[str, tuple[str, Subject]] = {
    "epoch": ("a training epoch, MNIST, 784-400-20-400-784, batch 128, Adam", epochs.rows),
    "step": ("a train step beside the peak rate of matrix multiplications", steps.rows),
    "logging": ("cost of logging, default run", logging_cost.rows),
    "evaluation": ("evaluation", evaluations.rows),
    "first_step": ("from the start of the process to the first step", whole_runs.rows_of_first_steps),
    "process": ("the whole process", whole_runs.rows_of_whole_runs),
    "growth": ("how the time of an image grows with the data", growth.rows),
    "scores": ("disentanglement", evaluations.rows_of_scores),
    "sweep": ("a sweep of small runs", sweeps.rows),
    "beside": ("a train step of the default run beside processes that keep cores busy", beside.rows),
}
IN_QUICK = ("epoch", "step", "evaluation", "first_step")


def main() -> int:
    """Measure, print the rows of each subject, and write them as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subjects", nargs="*", choices=SUBJECTS, metavar="subject", help="default all: %(choices)s")
    parser.add_argument("--quick", action="store_true", help="about a minute: fewer subjects, rough numbers")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    arguments = parser.parse_args()
    # Before torch starts its threads, as in a run: they inherit how denormals are treated.
    prepare_torch(ours.configured(["device=cpu"]))
    names = arguments.subjects or (IN_QUICK if arguments.quick else tuple(SUBJECTS))
    try:
        build_data(ours.configured(ours.GREY)).read()  # downloads MNIST, which must not be timed
    except EXPECTED as error:
        print(f"error: {error}", file=sys.stderr)
        return exit_code(error)
    origin = where() | {"plan": "quick" if arguments.quick else "full"}
    print("\n".join(f"{name:12} {value}" for name, value in origin.items()))
    table = measure(names, QUICK if arguments.quick else FULL)
    if arguments.json:
        arguments.json.write_text(json.dumps(origin | as_json(table), indent=2) + "\n")
    return 0


def where() -> dict[str, Any]:
    """The revision, the machine and the versions."""
    return {
        "revision": revision(),
        "machine": cpu().get("cpu_name") or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "rivals": rivals.versions(),
        "python": platform.python_version(),
        "fp32 matrix multiplications": "by oneDNN" if uses_onednn() else "by the library that torch chooses",
    }


def measure(names: Sequence[str], plan: Plan) -> dict[str, Sequence[Row | Absent]]:
    """Measure and print each subject. Returns the rows by subject."""
    table: dict[str, Sequence[Row | Absent]] = {}
    print(HEADING)
    for name in names:
        title, subject = SUBJECTS[name]
        print(title, flush=True)
        table[name] = subject(plan)
        print("\n".join(map(line, table[name])), flush=True)
    return table


def as_json(table: Mapping[str, Sequence[Row | Absent]]) -> dict[str, Any]:
    """The rows by subject, and the lines in place of rows that could not be measured."""
    rows = {name: [row.as_json() for row in found if isinstance(row, Row)] for name, found in table.items()}
    absent = [row.line for found in table.values() for row in found if isinstance(row, Absent)]
    return {"rows": rows, "absent": absent}


if __name__ == "__main__":
    sys.exit(main())
