"""What the best linear model reaches on data, without a training: `beta-vae predict data=mnist beta=.25,.5,1`.

For a linear decoder and a Gaussian likelihood, the optimum of distortion + beta * rate is known in closed form from
the spectrum of the training images (Lucas et al., 2019, arXiv 1911.02469). No network does better on Gaussian data of
this covariance; on other data a nonlinear one may. So it is a baseline, and it says which beta is too large.

The words are those of a training. Commas give several values of beta, model.latent_dim or the likelihood:

  beta-vae predict data=mnist data.binarisation=none likelihood=gaussian likelihood.variance=1 beta=.25,.5,1
  beta-vae predict data=images data.path=PLACE likelihood=gaussian_learned model.latent_dim=2,10

The first table has a line for each latent: its eigenvalue, the part of the variance that it and those before it have,
the beta from which on it is inactive, and its rates. The second table has a line for each beta. Distortion, rate, loss
and ELBO are in nats per image. At beta = 1 the ELBO is the mean of ln p(x).
"""

import argparse
import math
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from vae.app import console
from vae.app.command_line import compose_members
from vae.app.invocation import configs_directory
from vae.app.outputs import check_file, new_file
from vae.config import Config, ConfigError, GaussianConfig

if TYPE_CHECKING:
    from vae.measures.linear_vae import LinearPrediction, Spectrum

MOST_LATENTS = 30  # lines of the first table
MOST_RATES = 8  # settings whose rates are columns of the first table
TERMS = ("variance", "active", "rate", "distortion", "loss", "elbo")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("words", nargs="*", metavar="key=value", help="as for a training; commas give several values")
    parser.add_argument("-m", "--multirun", action="store_true", help="allowed, as for a training, but not needed")
    parser.add_argument("--exact", action="store_true", help="use all images, even if that takes minutes")
    parser.add_argument(
        "--output", type=Path, metavar="FILE.csv", help="write a line for each setting, with all rates"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print both tables, and write the CSV. Returns the exit code.

    Raises:
        UsageError, ConfigError: the words are wrong, or the theory does not apply to such a run.
        DataError: the data cannot be read.
        OSError: the CSV cannot be written.
    """
    members = compose_members(arguments.words, configs_directory())
    if arguments.output is not None:
        check_file(arguments.output, (".csv",))
    if any(member.data != members[0].data for member in members):
        raise ConfigError("a prediction is of one data set, got several values of data. Call it once for each")
    if any(member.resume is not None for member in members):
        raise ConfigError("a prediction is made from the words of a run, got resume. Give the words instead")
    from vae.app.linear import notes_on, predicted, refuse_unpredictable, spectrum_of_data  # loads torch: a second

    for member in members:
        refuse_unpredictable(member)
    configs = list({setting_of(member): member for member in members}.values())
    described, spectrum = spectrum_of_data(configs, exact=arguments.exact)
    predictions = [predicted(config, spectrum) for config in configs]
    console.say(f"data   {described}; spectrum of {spectrum.source}")
    console.say(f"       {spectrum.dimensions} dimensions, whose variances have the sum {spectrum.trace:.4g}")
    console.say("\n" + aligned(latent_rows(configs, predictions, spectrum)))
    console.say("\n" + aligned(setting_rows(configs, predictions)))
    for note in dict.fromkeys(n for c, p in zip(configs, predictions, strict=True) for n in notes_on(c, p)):
        console.say(f"note: {note}")
    if arguments.output is not None:
        write_table(arguments.output, configs, predictions)
        console.say(f"\n{arguments.output}")
    return 0


def setting_of(config: Config) -> tuple[float, int, float | None]:
    """What a prediction depends on besides the data: beta, the latents, and the variance, None if it is learned."""
    from vae.app.linear import final_beta

    assert isinstance(config.likelihood, GaussianConfig)
    variance = None if config.likelihood.learned else config.likelihood.variance
    return final_beta(config), config.model.latent_dim, variance


def latent_rows(
    configs: Sequence[Config], predictions: Sequence["LinearPrediction"], spectrum: "Spectrum"
) -> list[list[str]]:
    """A line for each latent."""
    from vae.app.linear import thresholds

    latents = min(max(config.model.latent_dim for config in configs), spectrum.dimensions)
    shown = min(latents, MOST_LATENTS)
    explained = (spectrum.eigenvalues.cumsum(0) / spectrum.trace if spectrum.trace > 0 else spectrum.eigenvalues) * 100
    of_variance: dict[str, list[float]] = {}
    several = len({setting_of(config)[2] for config in configs}) > 1
    for config in sorted(configs, key=lambda config: config.model.latent_dim):
        variance = setting_of(config)[2]
        named = f" (variance {'learned' if variance is None else f'{variance:g}'})" if several else ""
        of_variance[f"inactive from beta{named}"] = thresholds(config, spectrum)
    columns = {
        "latent": [str(number + 1) for number in range(shown)],
        "eigenvalue": [f"{value:.4g}" for value in spectrum.eigenvalues[:shown].tolist()],
        "variance so far": [f"{value:.1f} %" for value in explained[:shown].tolist()],
        **{name: [f"{beta:.4g}" for beta in betas[:shown]] for name, betas in of_variance.items()},
    }
    if len(configs) <= MOST_RATES:
        for config, prediction in zip(configs, predictions, strict=True):
            rates = prediction.rates[:shown].tolist()
            columns[f"rate, {label(config, configs)}"] = [f"{rate:.3f}" if rate > 0 else "-" for rate in rates]
    rows = [list(columns), *(list(row) for row in zip_longest(*columns.values(), fillvalue=""))]
    if shown < latents:
        rows.append([f"… {latents}", *[""] * (len(columns) - 1)])
    return rows


def setting_rows(configs: Sequence[Config], predictions: Sequence["LinearPrediction"]) -> list[list[str]]:
    """A line for each setting."""
    rows = [["setting", *("ELBO" if term == "elbo" else term for term in TERMS)]]
    for config, p in zip(configs, predictions, strict=True):
        numbers = (f"{p.rate:.3f}", f"{p.distortion:.2f}", f"{p.loss:.2f}", f"{p.elbo:.2f}")
        rows.append([label(config, configs), f"{p.variance:.4g}", f"{p.active} of {len(p.rates)}", *numbers])
    return rows


def label(config: Config, configs: Sequence[Config]) -> str:
    """The values that tell a setting from the others, as on the command line; at least beta."""
    beta, latents, variance = setting_of(config)
    words = [f"beta={beta:g}"]
    if len({setting_of(other)[1] for other in configs}) > 1:
        words.append(f"latent_dim={latents}")
    if len({setting_of(other)[2] for other in configs}) > 1:
        words.append("learned" if variance is None else f"variance={variance:g}")
    return " ".join(words)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """The rows as a table of Markdown with columns of equal width. The first row is the header."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "| "
        + " | ".join(c.ljust(w) if k == 0 else c.rjust(w) for k, (c, w) in enumerate(zip(row, widths, strict=True)))
        + " |"
        for row in rows
    ]
    rule = "|" + "|".join("-" * (w + 1) + ("-" if k == 0 else ":") for k, w in enumerate(widths)) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def write_table(path: Path, configs: Sequence[Config], predictions: Sequence["LinearPrediction"]) -> None:
    """Write a CSV with a line for each setting, with the rate of each latent. A latent that is not there has NaN."""
    from vae.app.codes import EXACT, numbered, write_csv

    latents = max(config.model.latent_dim for config in configs)
    names = [f"rate_{number}" for number in numbered(latents)]

    def rows() -> Iterator[list[float]]:
        for config, p in zip(configs, predictions, strict=True):
            rates = p.rates.tolist() + [math.nan] * (latents - len(p.rates))
            yield [setting_of(config)[0], len(p.rates), *(getattr(p, term) for term in TERMS), *rates]

    with new_file(path) as temporary:
        write_csv(temporary, ["beta", "latents", *TERMS, *names], rows(), number=EXACT)
