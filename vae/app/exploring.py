"""What an explorer page of runs shows: which of the runs, their models, and the test images of the first."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from vae.app.foreign import refuse_unnamed, values_of_words
from vae.app.load import read_images
from vae.app.trained_model import own_networks
from vae.config import ConfigError, CustomDataConfig, flat
from vae.config.model import CustomModelConfig
from vae.config.objective import MultiRateConfig
from vae.config.options import FREE
from vae.data import DataError
from vae.data.images import ImageSet, Splits
from vae.measures.curve import few_betas
from vae.measures.evaluation import encode_images, rate_numbers
from vae.pages.explorer import ExploredModel, beta_of, explorer_page
from vae.report.members import Member, read_members
from vae.run import record
from vae.run.files import printable, relative_to_cwd
from vae.run.names import LAST, LOG
from vae.run.record import Record
from vae.trained.exported import is_exported
from vae.trained.load import load_trained

MOST_MODELS = 8
FREE_DATA = FREE | {"data.path"}  # keys that may differ between runs of the same data

Item = TypeVar("Item")


@dataclass(frozen=True)
class Asked:
    """What was asked for besides the runs.

    Attributes:
        checkpoint: `last` or `best`.
        betas: of runs with `objective=multi_rate`. Empty for a few of their range.
        parts: words that name the user's own parts again, as in `["model.encoder=my_nets:encoder"]`.
    """

    checkpoint: str = LAST
    betas: Sequence[float] = ()
    parts: Sequence[str] = ()


@dataclass(frozen=True)
class Explored:
    """An explorer page.

    Attributes:
        page: as text.
        models: their names, by rising beta.
        not_done: a line for each run of a folder that is not done.
        surplus: a line about the models that are too many for a page, if there are such.
    """

    page: str
    models: Sequence[str]
    not_done: Sequence[str]
    surplus: Sequence[str]


class Candidate(NamedTuple):
    """A model that the page may show."""

    name: str
    member: Member
    stored: Record
    beta: float | None  # of a multi-rate run. None: the run has one model


def explore(places: Sequence[Path], asked: Asked = Asked()) -> Explored:
    """The page of runs, with at most `MOST_MODELS` models.

    A folder of runs gives the lowest seed of each setting. A run that is named itself is never left out for its seed.

    Args:
        places: folders of runs, and runs.
        asked: the checkpoint, the betas, and the user's own parts.

    Raises:
        ConfigError: no run is done, one that is named itself is not, or the page cannot show their models.
        CheckpointError: a checkpoint is missing or damaged.
        DataError: the images cannot be read, or the runs have different ones.
    """
    values_of_words(asked.parts)  # refuses words of another form
    members, not_done = members_of(places)
    stored = [record.read(member.directory) for member in members]
    refuse_different_data(members, stored)
    candidates = candidates_of(members, stored, asked.betas)
    shown = evenly(candidates, MOST_MODELS)
    surplus = [each.name for each in candidates if each not in shown]
    splits = images_of(shown[0], asked.parts)
    models = sorted((explored_model(each, asked, splits.test) for each in shown), key=lambda model: model.beta)
    title = printable(title_of(members))
    page = explorer_page(
        models,
        splits.test,
        splits.preparation,
        title=title,
        label_names=splits.label_names,
        train=splits.train,
    )
    most = f"left out, as a page has at most {MOST_MODELS} models: {', '.join(surplus)}"
    return Explored(page, [model.name for model in models], not_done, [most] if surplus else [])


def members_of(places: Sequence[Path]) -> tuple[list[Member], list[str]]:
    """The runs of the page, in the order of beta, and a line for each run of a folder that is not done.

    Raises:
        ConfigError: no run is done, or one that is named itself is not, or a place is an exported folder.
    """
    exported = next((place for place in places if is_exported(place)), None)
    if exported is not None:
        raise ConfigError(
            f"an explorer page needs the test images of a run, {exported} is an exported model, which has none. "
            "Name the run that it came from"
        )
    alone = {place.resolve() for place in places if (place / LOG).exists()}
    members, not_done, settings = [], [], set()
    for member in read_members(*places):  # by beta, setting and seed
        is_alone = member.directory.resolve() in alone
        if not member.done and is_alone:
            shown = relative_to_cwd(member.directory)
            raise ConfigError(f"an explorer page needs a finished run, {shown} {ending_of(member)}. Resume it")
        if not member.done:
            not_done.append(f"left out: {printable(member.name)}, which {ending_of(member)}")
        elif is_alone or member.setting not in settings:
            members.append(member)
        if member.done and not is_alone:
            settings.add(member.setting)
    if not members:
        has = f"{places[0]} has none" if len(places) == 1 else "these folders have none"
        raise ConfigError(f"an explorer page needs a finished run, {has}")
    return members, not_done


def ending_of(member: Member) -> str:
    """How a run ended that is not done.

    Example:
        >>> ending_of(Member(Path("run"), {"status": "failed", "code": 3, "error": "the loss is nan"}, "run", "run"))
        'failed, code 3: the loss is nan'
    """
    summary = member.summary
    code = f", code {summary['code']}" if "code" in summary else ""
    why = f": {summary['error']}" if "error" in summary else ""
    return f"{'failed' if summary['status'] == 'failed' else 'has not ended'}{code}{why}"


def refuse_different_data(members: Sequence[Member], stored: Sequence[Record]) -> None:
    """Refuse runs that do not have the data of the first one. A path may differ if the files are the same.

    Raises:
        DataError: names two runs and what differs.
    """
    first = data_of(stored[0])
    for member, each in zip(members, stored, strict=True):
        other = data_of(each)
        differing = [key for key in sorted(first | other) if first.get(key) != other.get(key)]
        if differing:
            raise DataError(
                f"the models of one page must have the same data, {members[0].name} and {member.name} differ in "
                f"{', '.join(differing)}. Make a page of each"
            )


def data_of(stored: Record) -> dict[str, Any]:
    """What runs of the same data share: the values of the configuration, the checksums and the preparation."""
    values = {key: value for key, value in flat(stored.config).items() if key.startswith("data.")}
    return {
        **{key: value for key, value in values.items() if key not in FREE_DATA},
        "the checksums of the files": sorted(stored.data_sha256.values()),
        "the preparation of the images": stored.preparation,
    }


def candidates_of(members: Sequence[Member], stored: Sequence[Record], betas: Sequence[float]) -> list[Candidate]:
    """The models of these runs: one each, and of a multi-rate run one for each beta.

    Raises:
        ConfigError: betas are given, and none of the runs is a multi-rate one.
    """
    if betas and not any(isinstance(each.config.objective, MultiRateConfig) for each in stored):
        raise ConfigError(
            f"--beta is of runs with objective=multi_rate, got {', '.join(f'{beta:g}' for beta in betas)} for "
            f"{relative_to_cwd(members[0].directory)}. Leave it out"
        )
    settings = Counter(member.setting for member in members)
    found = []
    for member, each in zip(members, stored, strict=True):
        says_all = settings[member.setting] == 1 and "folder" not in member.told_apart
        name = printable(member.setting if says_all else member.name)
        objective = each.config.objective
        if not isinstance(objective, MultiRateConfig):
            found.append(
                Candidate(printable(member.directory.name) if len(members) == 1 else name, member, each, None)
            )
            continue
        wanted = sorted(set(betas)) or few_betas(objective.beta_min, objective.beta_max, each.config.beta)
        before = "" if len(members) == 1 else f"{name}, model of "
        found += [Candidate(f"{before}beta={beta:g}", member, each, beta) for beta in wanted]
    return found


def evenly(items: Sequence[Item], most: int) -> list[Item]:
    """At most so many of the items, evenly chosen, the first and the last among them.

    Example:
        >>> evenly("abcdefg", 4)
        ['a', 'c', 'e', 'g']
    """
    if len(items) <= most:
        return list(items)
    return [items[round(number * (len(items) - 1) / (most - 1))] for number in range(most)]


def images_of(candidate: Candidate, parts: Sequence[str]) -> Splits:
    """The images of a run. A reader of the user's own must be named in `parts`.

    Raises:
        ConfigError: it is not, or it cannot be imported.
        DataError: the images cannot be read, or are not those of the training.
    """
    data = candidate.stored.config.data
    if isinstance(data, CustomDataConfig):
        refuse_unnamed(candidate.member.directory, {"data.target": data.target}, values_of_words(parts))
    return read_images(candidate.stored)


def explored_model(candidate: Candidate, asked: Asked, images: ImageSet) -> ExploredModel:
    """The model with its weights, and its test numbers: those of the run, or new ones of another beta or checkpoint.

    Raises:
        ConfigError: its networks are the user's own and are not named, or it has no such beta.
        CheckpointError: the checkpoint is missing or damaged.
    """
    name, member, stored, beta = candidate
    own = isinstance(stored.config.model, CustomModelConfig)
    networks = own_networks(member.directory, asked.parts) if own else {}
    vae = load_trained(member.directory, asked.checkpoint, beta=beta, **networks).vae.eval()
    summary = member.summary
    weight = float(summary["test"].get("loss_weight", summary["beta"]))
    known_by, minimised = beta_of(stored.config, weight) if beta is None else (beta, True)
    if asked.checkpoint == LAST and beta in (None, stored.config.beta):
        return ExploredModel(name, vae, known_by, summary["test"], summary["disentanglement"] or None, minimised)
    return ExploredModel(name, vae, known_by, rate_numbers(encode_images(vae, images)), None, minimised)


def title_of(members: Sequence[Member]) -> str:
    """The name of the run, or of the folders."""
    if len(members) == 1:
        return members[0].directory.name
    return ", ".join(sorted({member.folder for member in members}))
