"""Make the lesson, the KL note as a page that one can touch: `python scripts/lesson.py`.

Without --run-summaries, beta is shown on the trained models of outputs/reference: the curve of multi_rate.json, and
the runs of beta_sweep.json. The page is one file that needs no network.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from vae.app import console
from vae.app.invocation import Parser
from vae.app.main import EXPECTED, exit_code, said
from vae.config import ConfigError
from vae.data.files import DataError
from vae.pages.lesson import PAGE, RateParts, TrainedPoint, lesson_page
from vae.run.files import DamagedFileError, read_json, relative_to_cwd, write_atomically
from vae.run.names import SUMMARY
from vae.run.summary import is_count, is_finite, problem_of_summary

REFERENCE = Path(__file__).resolve().parents[1] / "outputs" / "reference"
OF_REFERENCE = (
    "MNIST, binarised, test set. Curve: one network for every β (Bae et al., 2022). Large dots: one training each, "
    "with fewer epochs. The numbers are in the folder outputs/reference of beta-vae: multi_rate.json, beta_sweep.json."
)
PARTS = ("mutual_information", "total_correlation", "total_correlation_shuffled")


def main() -> int:
    """Make the page and print its path. Returns the exit code."""
    parser = Parser("python scripts/lesson.py", __doc__ or "")
    parser.add_argument(
        "--output", metavar="FILE", type=Path, default=REFERENCE / PAGE, help=f"default: outputs/reference/{PAGE}"
    )
    parser.add_argument(
        "--run-summaries",
        metavar="FILE",
        type=Path,
        nargs="+",
        help=f"{SUMMARY} of runs of different beta, for the curve",
    )
    given = parser.parse_args()
    try:
        write(given.output, given.run_summaries)
    except EXPECTED as error:
        sys.stderr.write(f"error: {console.one_line(said(error))}\n")
        return exit_code(error)
    console.say(str(relative_to_cwd(given.output.absolute())))
    return 0


def write(output: Path, summaries: Sequence[Path] | None) -> None:
    """Write the page.

    Args:
        output: the file, which is replaced.
        summaries: of the runs whose rate and distortion are shown. None for the kept ones.

    Raises:
        ConfigError: `output` is a folder, or the runs give no curve.
        DataError: a summary cannot be used.
    """
    if output.is_dir():
        raise ConfigError(f"--output must be a file, got the folder {output}. Name a file, as in {output / PAGE}")
    if summaries is None:
        multi_rate, runs = (read_json(REFERENCE / name) for name in ("multi_rate.json", "beta_sweep.json"))
        curve, separate, origin = points(multi_rate["curve"]), points(map(flat, runs["runs"])), OF_REFERENCE
        tested = [flat(run) for run in runs["runs"]]
    else:
        tested = [flat(read(path)) for path in summaries]
        curve, separate, origin = points(tested), [], f"{len(tested)} runs of your own, test set."
        betas = [point.beta for point in curve]
        if len(set(betas)) < max(2, len(betas)) or min(betas) <= 0:
            raise ConfigError(
                "--run-summaries must name runs of two betas or more, one of each, above 0, got beta = "
                f"{', '.join(f'{beta:g}' for beta in betas)}. Name one run for each beta"
            )
    text = lesson_page(
        curve,
        separate,
        [parts(test) for test in tested if is_decomposed(test)],
        curve_origin=origin,
        made=f"Made by beta-vae, with its script scripts/lesson.py and torch {torch.__version__.partition('+')[0]}.",
    )
    write_atomically(output, text.encode())


def read(path: Path) -> dict[str, Any]:
    """The summary of a run that is done.

    Raises:
        DataError: it is missing or damaged, or the run is not done.
    """
    try:
        summary = read_json(path)
    except DamagedFileError as error:
        raise DataError(f"{path.parent}: {error}. Name the {SUMMARY} of a finished run") from None
    problem = problem_of_summary(summary)
    if problem is None and summary["status"] != "done":
        problem = f"the run is {summary['status']}"
    if problem is not None:
        raise DataError(f"{path}: {problem}. Name the {SUMMARY} of a finished run")
    return summary


def flat(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of the test, and beta."""
    return {**summary["test"], "beta": summary["beta"]}


def points(tested: Iterable[Mapping[str, Any]]) -> list[TrainedPoint]:
    """Rate and distortion by rising beta."""
    found = [TrainedPoint(test["beta"], test["distortion"], test["rate"]) for test in tested]
    return sorted(found, key=lambda point: point.beta)


def is_decomposed(test: Mapping[str, Any]) -> bool:
    """Whether the parts of the rate were estimated; runs without a test of the aggregate posterior have none."""
    return all(is_finite(test.get(name)) for name in (*PARTS, "information_ceiling")) and is_count(test.get("images"))


def parts(test: Mapping[str, Any]) -> RateParts:
    """The rate and the estimates of its parts."""
    estimates = {name: test[name] for name in PARTS}
    return RateParts(
        test["beta"], test["rate"], **estimates, ceiling=test["information_ceiling"], images=test["images"]
    )


if __name__ == "__main__":
    console.prepare()
    sys.exit(main())
