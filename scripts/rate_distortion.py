"""The rate-distortion table of runs at several beta: `python scripts/rate_distortion.py outputs/SWEEP`, or of runs.

Prints a Markdown table from their summary.json and checks two laws of the optimum of each beta: distortion rises and
rate falls with beta, and the slope -dD/dR between two betas lies between them. The exit code is 1 if one is broken.
"""

import argparse
import itertools
import json
import sys
from pathlib import Path
from typing import Any

from vae.run_directory import SUMMARY


def main() -> int:
    """Print the table, then the laws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", metavar="folder", help="a sweep, or runs")
    arguments = parser.parse_args()
    summaries = [s for folder in arguments.folders for s in find_summaries(folder)]
    if not summaries:
        print(f"error: no finished run below {', '.join(map(str, arguments.folders))}", file=sys.stderr)
        return 1
    summaries.sort(key=lambda summary: summary["beta"])
    print("| beta | distortion | rate | ELBO | active units | training |")
    print("|---:|---:|---:|---:|---:|---:|")
    for summary in summaries:
        test = summary["test"]
        print(
            f"| {summary['beta']:g} | {test['distortion']:.2f} | {test['rate']:.2f} | {test['elbo']:.2f} | "
            f"{test['active_units']:.0f} of {len(test['rate_per_latent'])} | {summary['seconds']:.0f} s |"
        )
    broken = [law for pair in itertools.pairwise(summaries) for law in broken_laws(*pair)]
    for law in broken:
        print(law, file=sys.stderr)
    if len(summaries) > 1 and not broken:
        print("laws hold: distortion rises, rate falls, and every slope lies between its betas", file=sys.stderr)
    return 1 if broken else 0


def find_summaries(folder: Path) -> list[dict[str, Any]]:
    """Those of the finished runs in `folder`, itself a run or not."""
    contents = [json.loads(path.read_text()) for path in sorted(folder.rglob(SUMMARY))]
    return [summary for summary in contents if summary["status"] == "done"]


def broken_laws(low: dict[str, Any], high: dict[str, Any]) -> list[str]:
    """What the runs at two betas, the lower one first, do that optima would not."""
    beta, more = low["beta"], high["beta"]
    if beta == more:
        return []
    rise = high["test"]["distortion"] - low["test"]["distortion"]
    fall = low["test"]["rate"] - high["test"]["rate"]
    laws = []
    if rise <= 0:
        laws.append(f"distortion falls by {-rise:.3f} nats from beta {beta:g} to {more:g}")
    if fall <= 0:
        laws.append(f"rate rises by {-fall:.3f} nats from beta {beta:g} to {more:g}")
    if rise > 0 and fall > 0:
        slope = rise / fall
        print(f"slope between beta {beta:g} and {more:g}: {slope:.2f}", file=sys.stderr)
        if not beta <= slope <= more:
            laws.append(f"the slope {slope:.3f} between beta {beta:g} and {more:g} does not lie between them")
    return laws


if __name__ == "__main__":
    sys.exit(main())
