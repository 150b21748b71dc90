"""Recommend a beta for a stated aim: `beta-vae choose outputs/SWEEP --rate 12`.

The evidence is one of these:
  - folders of runs with several betas. Between them rate and distortion are interpolated by monotone cubics; beyond
    them nothing is said, but which beta to train next;
  - one run with objective=multi_rate, which has the whole curve;
  - no run, but words as for training, data=mnist likelihood=gaussian data.binarisation=none: then the beta is that of
    a linear model of the same data, likelihood and number of latents.

Rate, distortion and active latents are those of the test set, means over the seeds. A factor has a latent of its own
if that latent tells at least 0.5 nats more about it than any other latent, and no more about any other factor.
"""

import json
import math
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae.app import console
from vae.app.invocation import UsageError
from vae.app.verbs.report import refuse_without_runs
from vae.config import ConfigError
from vae.run.files import relative_to_cwd

if TYPE_CHECKING:
    from vae.report.choice import Aim, Choice

DIGITS = 4  # of a beta that is not one of the trained ones
TITLES = {"udr": "UDR", "own_factors": "factors with an own latent"}
COUNTS = ("active_units", "own_factors")
RUNS_NAMED = 3


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        "places",
        nargs="+",
        metavar="place",
        help="sweeps, folders of runs, runs; or words as for training, with likelihood=gaussian",
    )
    aims = parser.add_argument_group("aims, of which one is needed")
    aims.add_argument("--rate", type=float, metavar="NATS", help="smallest distortion with at most this rate")
    aims.add_argument("--distortion", type=float, metavar="NATS", help="smallest rate with at most this distortion")
    aims.add_argument("--active", type=int, metavar="K", help="smallest distortion with at most K active latents")
    aims.add_argument("--udr", action="store_true", help="highest UDR, of settings of two seeds or more")
    aims.add_argument("--factors", action="store_true", help="most known factors with a latent of their own")
    aims.add_argument(
        "--score", metavar="NAME", help="highest score of known factors, as in mig or dci_disentanglement"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: Namespace) -> int:
    """Print the recommendation, its evidence, its cautions and the next command. Returns the exit code.

    Raises:
        UsageError: there is not exactly one aim, or folders and words are mixed.
        ConfigError: the runs do not show which beta to take.
        DataError: the images of a linear model cannot be read.
    """
    aim = aim_of(arguments)
    places = list(arguments.places)
    words = [place for place in places if "=" in place and not Path(place).exists()]
    if words and len(words) < len(places):
        raise UsageError(f"name runs or give the words of a training, got both: {words[0]} is no folder")
    if words:
        from vae.app.linear_choice import linear_choice  # loads torch, which choosing among runs does not need

        choice = linear_choice(words, aim)
        command = f"{command_of(safe(choice, aim), None)} {joined(words)}"
    else:
        choice = choice_of_runs(places, aim)
        command = command_of(safe(choice, aim), choice)
    if arguments.json:
        from vae.report.choice import as_json

        console.say(json.dumps(as_json(aim, choice) | {"next": command}, indent=2))
    else:
        console.say("\n".join(lines_of(aim, choice, command)))
    return 0


def aim_of(arguments: Namespace) -> "Aim":
    """The one aim of the command.

    Raises:
        UsageError: there is none, or more than one, or its number is out of range.
    """
    from vae.report.choice import Aim, Goal

    given = [goal for goal in Goal if is_given(getattr(arguments, goal.value))]
    names = [f"--{goal.value}" for goal in Goal]
    if len(given) != 1:
        found = " and ".join(f"--{goal.value}" for goal in given) or "none"
        raise UsageError(f"one aim is needed: {', '.join(names[:-1])} or {names[-1]}, got {found}")
    (goal,) = given
    value = getattr(arguments, goal.value)
    match goal:
        case Goal.score:
            return Aim(goal, score=value)
        case Goal.udr | Goal.factors:
            return Aim(goal)
    if not math.isfinite(value) or (goal is not Goal.distortion and value < 0):
        rule = "a finite number of nats" if goal is Goal.distortion else "0 or more"
        raise UsageError(f"--{goal.value} must be {rule}, got {value:g}")
    return Aim(goal, float(value))


def is_given(value: float | int | str | bool | None) -> bool:
    """Whether an option was typed. A budget of 0 was, a flag that is False was not."""
    return value is not None and value is not False


def choice_of_runs(places: Sequence[str], aim: "Aim") -> "Choice":
    """The choice that the runs in these folders support.

    Raises:
        ConfigError: a place is no folder of runs, or the runs do not show which beta to take.
    """
    from vae.report.choice import NoChoiceError
    from vae.report.choosing import choose
    from vae.report.members import read_members

    for place in places:
        refuse_without_runs(place, "a choice")
    try:
        return choose(read_members(*map(Path, places)), aim)
    except NoChoiceError as error:
        command = ""
        if error.betas and error.like is not None:
            from vae.app.retyping import command_like

            beta = f"beta={','.join(f'{beta:g}' for beta in error.betas)}"
            command = command_like(error.like.directory, [beta], is_sweep=len(error.betas) > 1)[0]
        raise ConfigError(f"{error}. Try {command}" if command else str(error)) from None


def safe(choice: "Choice", aim: "Aim") -> str:
    """The beta as it is typed: a trained one as it is, another one with few digits, rounded into the budget."""
    if choice.origin == "trained":
        return f"{choice.beta:.15g}"
    unit = 10.0 ** (math.floor(math.log10(choice.beta)) + 1 - DIGITS)
    up = aim.goal.value != "distortion"  # a larger beta has less rate and more distortion
    steps = choice.beta / unit
    whole = round(steps)
    if abs(steps - whole) > 1e-9 * steps:
        whole = math.ceil(steps) if up else math.floor(steps)
    return f"{whole * unit:.{DIGITS}g}"


def command_of(beta: str, choice: "Choice | None") -> str:
    """The command that trains this beta, with the other values of the runs that support the choice."""
    from vae.app.retyping import command_like

    if choice is None or not choice.support:
        return command_like(None, [f"beta={beta}"])[0]
    seeds = {int(member.summary["seed"]) for member in choice.support}
    seed = [f"seed={max(seeds) + 1}"] if choice.origin == "trained" else []
    command, known = command_like(choice.support[0].directory, [f"beta={beta}", *seed])
    return command if known else f"{command} and the other values of these runs"


def joined(words: Sequence[str]) -> str:
    """The words as they are typed in a shell."""
    import shlex

    return shlex.join(words)


def lines_of(aim: "Aim", choice: "Choice", command: str) -> list[str]:
    """What the program prints."""
    among = f", {choice.among}" if choice.among else ""
    neighbours = [f"beta={row.beta:g}" for row in choice.rows if row.mark == "neighbour"]
    how = {"interpolated": f"interpolated between {' and '.join(neighbours)}", "trained": "trained"}
    lines = [
        f"beta = {safe(choice, aim)}{among} ({how.get(choice.origin, f'by the {choice.origin}')})",
        f"aim     {aim.words}",
        f"expect  {expected_words(choice)}",
        "",
        *table_of(aim, choice),
        "",
        *(f"caution: {console.one_line(text)}" for text in choice.cautions),
    ]
    runs = list(dict.fromkeys(str(relative_to_cwd(member.directory)) for member in choice.support))
    if choice.origin == "trained" and runs:
        more = f" and {len(runs) - RUNS_NAMED} more" if len(runs) > RUNS_NAMED else ""
        lines.append(f"run     {', '.join(runs[:RUNS_NAMED])}{more}")
    return [*lines, f"next    {command}"]


def expected_words(choice: "Choice") -> str:
    """The numbers that are expected, in words."""
    from vae.report.tables import formatted, title

    words = []
    for name, values in choice.expected.items():
        cells = [formatted(value, whole=name in COUNTS) for value in values]
        between = cells[0] if len(set(cells)) == 1 else f"{' to '.join(sorted(set(cells), key=cells.index))}"
        unit = " nats" if name in ("distortion", "rate") else ""
        words.append(f"{TITLES.get(name, title(name))} {between}{unit}")
    return ", ".join(words)


def table_of(aim: "Aim", choice: "Choice") -> list[str]:
    """The evidence in Markdown."""
    from vae.report.tables import formatted, title

    names: list[Any] = [
        name
        for name in dict.fromkeys(["distortion", "rate", "active_units", aim.column])
        if any(name in row.numbers for row in choice.rows)
    ]
    header = ["setting", "runs", *(TITLES.get(name, title(name)) for name in names), "choice"]
    cells = [
        [
            row.setting if row.members or not row.mark else f"beta={safe(choice, aim)}",
            str(row.seeds or ""),
            *(formatted(row.numbers.get(name), whole=name in COUNTS) for name in names),
            row.mark,
        ]
        for row in choice.rows
    ]
    texts = [[cell.replace("|", "\\|") for cell in row] for row in (header, *cells)]
    lines = [f"| {' | '.join(row)} |" for row in texts]
    return [lines[0], "|---" + "|---:" * (len(header) - 2) + "|---|", *lines[1:]]
