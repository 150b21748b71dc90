"""Errors in one line: the nearest known name, and what Hydra said without its own hints."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException


def near(word: str, names: Iterable[str]) -> str:
    """` Did you mean x?` for the name closest to `word`, or nothing."""
    known = {name.lower(): name for name in names}
    matches = get_close_matches(word.lower(), known, 1)
    return f" Did you mean {known[matches[0]]}?" if matches else ""


def near_key(key: str, keys: Iterable[str]) -> str:
    """The same for dotted keys, of which the last part alone may be what was meant."""
    by_end = {name.rpartition(".")[2]: name for name in keys}
    end = key.rpartition(".")[2]
    ends = [end] if end in by_end else get_close_matches(end, by_end, 1)
    whole = "" if end in by_end else near(key, by_end.values())
    return whole or (f" Did you mean {by_end[ends[0]]}?" if ends else "")


def said_by(error: BaseException) -> str:
    """What Hydra or OmegaConf said, in one line and without its hints, of which one suggests a `+`."""
    texts: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        text = re.sub(r"(?s)\n(Config s|S)earch path:.*", "", str(cause))
        text = re.sub(r"(?m)^(\s*(object|reference)_type=.*|See https.*|To append to .*)$", "", text)
        text = re.sub(r"(?m)^\s*full_key: (.+)$", r"(key \1)", re.sub(r"(?m)^\s*full_key:\s*$", "", text))
        texts.append(" ".join(text.split()))
        cause = cause.__cause__
    texts = [text.rstrip(".") for i, text in enumerate(texts) if not any(text in outer for outer in texts[:i])]
    said = ": ".join(filter(None, texts))
    ours = isinstance(error, HydraException | OmegaConfBaseException)
    return (said if ours else f"{type(error).__name__}: {said}").rstrip(".: ")


def one_line(text: str) -> str:
    """`text` without line breaks, control characters and words longer than any name."""
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(text.split()))
    return re.sub(r"(\S{120})\S{180,}", r"\1…", text).rstrip(".")
