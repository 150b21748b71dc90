"""Values as words of a command line, in the grammar of Hydra's overrides."""

import re
from typing import Any

READ_OTHERWISE = {"null", "true", "false", "nan", "inf"}  # words that Hydra does not read as text


def as_word(text: str) -> str:
    r"""The text as Hydra reads it unchanged: in quotes, unless it is a plain name.

    Example:
        >>> as_word("conv"), as_word("null"), as_word("it's here")
        ('conv', "'null'", "'it\\'s here'")
    """
    is_plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text) and text.lower() not in READ_OTHERWISE
    return text if is_plain else quoted(text)


def quoted(text: str) -> str:
    """The text in single quotes."""
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", text)  # backslashes count before a quote only
    ending = len(escaped) - len(escaped.rstrip("\\"))
    return f"'{escaped}{ending * chr(92)}'"


def written(value: Any) -> str:
    """A plain value as it is written on a command line.

    Example:
        >>> written([1, None, True])
        '[1,null,true]'
    """
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case "":
            return "nothing"
        case list():
            return f"[{','.join(map(written, value))}]"
        case dict():
            return f"{{{','.join(f'{key}:{written(below)}' for key, below in value.items())}}}"
    return str(value)
