"""Extending a sweep that has a name: which of its members are there, and how new ones are called."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override

from vae.app.command_line.composition import bare
from vae.app.command_line.naming import member_name
from vae.config import ConfigError, flat, written
from vae.run import record
from vae.run.directory import holds_a_run, is_run
from vae.run.record import Record, changes, fingerprint


class Extension:
    """A command for a sweep that may have members already, from commands with other words.

    Args:
        sweep: the directory of the sweep.
        overrides: of the command, those of Hydra's own keys included.
        free: the keys that may differ from those of a member that is there.
    """

    def __init__(self, sweep: Path, overrides: Sequence[Override], free: Collection[str]) -> None:
        self.sweep = sweep
        named = {bare(o) for o in overrides if not o.is_hydra_override()}
        self.named = named | ({"likelihood"} if "data" in named else set())  # which an option of data may choose
        self.swept = {bare(o) for o in overrides if o.is_sweep_override()}
        self.free = free
        self.members = stored_members(sweep)
        self.values = {path: all_values(stored) for path, stored in self.members.items()}
        self.alike: dict[str, list[Path]] = {}
        for path, stored in self.members.items():
            self.alike.setdefault(fingerprint(stored), []).append(path)
        trained = [known for path, known in self.values.items() if holds_a_run(path)]
        self.left_to_files = distinct(map(self.not_named, trained))
        self.under_named = {key: distinct(self.compared(known, key) for known in trained) for key in self.named}

    def name_of(self, wanted: Record, words: Sequence[Override]) -> str:
        """The name of the member's directory: of the one that is there, else a new one.

        A new name has beta, the seed, what is swept, and what the command names and other members have otherwise.

        Args:
            wanted: the configuration of the member.
            words: the overrides of the member.

        Raises:
            ConfigError: two members have this configuration, or the command leaves a value to the configuration files
                that no member has.
        """
        there = self.found(wanted)
        if there is not None:
            return there.name
        self.check_named(wanted)
        last = {bare(o): o for o in words if bare(o) in self.swept or self.varies(bare(o), wanted)}
        return member_name(wanted, list(last.values()))

    def found(self, wanted: Record) -> Path | None:
        """The directory of the member with this configuration.

        Raises:
            ConfigError: there are two, which differ only in keys that are free and that the command does not sweep.
        """
        keys = self.swept if "data.path" in self.free else self.swept | {"data.path"}
        ours = all_values(wanted)
        same = [
            path
            for path in self.alike.get(fingerprint(wanted), ())
            if all(under(self.values[path], key) == under(ours, key) for key in keys)
        ]
        if len(same) < 2:
            return same[0] if same else None
        apart = {path: changes(self.members[path], wanted, {"resume", "sweep"}) for path in same}
        first, second = sorted(same, key=lambda path: len(apart[path]))[:2]
        if len(apart[first]) == len(apart[second]):
            differing = [line.partition(" ")[0] for line in changes(self.members[first], self.members[second], ())]
            raise ConfigError(
                f"{self.sweep} has two such members, {first.name} and {second.name}. "
                f"Say which by {' and '.join(differing) or 'removing one'}"
            )
        return first

    def check_named(self, wanted: Record) -> None:
        """Check that some trained member has all values that the command leaves to the configuration files.

        Raises:
            ConfigError: names the values of the most similar member.
        """
        left = self.not_named(all_values(wanted))
        if not self.left_to_files or "experiment" in self.named or left in self.left_to_files:
            return
        apart = [{key for key in {**other, **left} if other.get(key) != left.get(key)} for other in self.left_to_files]
        keys, other = min(zip(apart, self.left_to_files, strict=True), key=lambda pair: len(pair[0]))
        keys -= {key for key in keys if key.partition(".")[0] in keys and "." in key}  # those of another option
        theirs, ours = (
            " ".join(f"{key}={written(known[key])}" for key in sorted(keys) if key in known) for known in (other, left)
        )
        raise ConfigError(
            f"{self.sweep} has members with {theirs}, this command leaves that to the configuration: {ours}. "
            "Name the first to extend the sweep, or the second for members beside them"
        )

    def not_named(self, known: Mapping[str, Any]) -> dict[str, Any]:
        """The values, by dotted key, that the command does not name and that are not free."""
        return {k: v for k, v in known.items() if not {k, k.partition(".")[0]} & {*self.named, *self.free}}

    def varies(self, key: str, wanted: Record) -> bool:
        """Whether a trained member has another value of a key, or section, that the command names and is not free."""
        ours = self.compared(all_values(wanted), key)
        return any(theirs != ours for theirs in self.under_named.get(key, []))

    def compared(self, known: Mapping[str, Any], key: str) -> dict[str, Any]:
        """As `under`, without values that are free and those that the command names by their own key."""
        apart = self.named - {key}
        return {
            name: value
            for name, value in under(known, key).items()
            if name not in apart and not {name, name.partition(".")[0]} & set(self.free)
        }


def stored_members(sweep: Path) -> dict[Path, Record]:
    """The configuration of each member in the directory. Those whose configuration is damaged are left out."""
    found = {}
    for path in sorted(filter(is_run, sweep.glob("*"))):
        try:
            found[path] = record.read(path)
        except ConfigError:
            continue
    return found


def all_values(known: Record) -> dict[str, Any]:
    """The option of each group, and all values by dotted key."""
    return {**known.choices, **flat(known.config)}


def under(known: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The value of a key; of a group or section, the option and all values."""
    return {name: value for name, value in known.items() if f"{name}.".startswith(f"{key}.")}


def distinct(found: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries without repetitions."""
    kept: list[dict[str, Any]] = []
    for entry in found:
        if entry not in kept:
            kept.append(entry)
    return kept
