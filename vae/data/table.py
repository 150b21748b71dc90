"""Factors that people have written down: the table `factors.csv` of a folder, and text in arrays.

A mistake raises `DataError`: one line that names the table, the rule, what was given and the fix.
"""

import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np

from vae.data.csv_lines import csv_records, has_content
from vae.data.factors import Factors
from vae.data.files import DataError, read_bytes, reason, single_line

log = logging.getLogger(__name__)

KEY = "file"  # the column with the names of the pictures
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
COMMAS_IN_A_NUMBER = re.compile(r"[+-]?[0-9]*(,[0-9]+)+([eE][+-]?[0-9]+)?")
MISSING = re.compile(r"|n/?a|#n/a|null|none|-|\?|[+-]?(nan|inf|infinity)", re.IGNORECASE)
STARTS_LIKE_A_NUMBER = re.compile(r"['\"]?[+−-]?[.,]?\d.*")
LONGEST_SHOWN = 60  # characters of a cell in a message


def read_table(path: Path, files: Sequence[Path]) -> Factors:
    """The factors of the pictures, in the order of `files`. The table has a column `file` and one for each factor.

    Args:
        path: a CSV file in UTF-8, with commas, decimal points, and the names of the columns in the first row.
        files: the pictures, in the folder of the table or below it. A row names one by its path in that folder, with
            `/`, or by its last part if no other picture has that. Rows of other files are left out with a warning.

    Raises:
        DataError: the table is damaged or ambiguous, has no row for a picture, or no factor varies.
    """
    names, rows = parse(path)
    shown = [composed(file.relative_to(path.parent).as_posix()) for file in files]
    lasts = Counter(composed(file.name) for file in files)
    known = {composed(file.name): name for file, name in zip(files, shown, strict=True)}
    known = {last: name for last, name in known.items() if lasts[last] == 1} | {name: name for name in shown}
    table: dict[str, list[str]] = {}
    for row in rows:
        given = row[0] if row[0] in known else row[0].strip()
        name = known.get(given, given)
        if name in table:
            raise DataError(f"{path} must have one row for a picture, {shortened(name)} has two. Remove one")
        table[name] = row[1:]
    unknown = [name for name in table if name not in known]
    missing = [name for name in shown if name not in table]
    if missing:
        unmatched = f"; the first row without a picture is {shortened(unknown[0])}" if unknown else ""
        below = "/" in missing[0]
        raise DataError(
            f"{path} must have a row for every picture, {shortened(missing[0])} has none{unmatched}. "
            f"Add it; write the names with their suffix and {'as class/name' if below else 'without the folder'}"
        )
    if unknown:
        first = shortened(unknown[0])
        log.warning(single_line(f"warning: {path}: rows without a picture: {len(unknown)}, first {first}"))
    columns = {name: [table[picture][k] for picture in shown] for k, name in enumerate(names)}
    return as_factors({name: from_words(column, name, path, shown) for name, column in columns.items()}, path)


def parse(path: Path) -> tuple[list[str], list[list[str]]]:
    """The names of the factors, and the rows: the name of the picture, then the value of each factor."""
    read_bytes(path, 0)  # refuses what is no regular file
    rows = [list(map(composed, row)) for _, row in csv_records(path, ",") if has_content(row)]
    header = [name.strip() for name in rows[0]] if rows else []
    if KEY not in header or len(rows) < 2:
        raise DataError(
            f"{path} must begin with the names of its columns, one of them `{KEY}`, and have a row for each picture, "
            f"got {' | '.join(header)[:100] or 'nothing'} and {max(len(rows) - 1, 0)} rows. Separate columns by commas"
        )
    name, count = Counter(header).most_common(1)[0]
    if count > 1 or "" in header:
        wrong = "one has none" if "" in header else f"two are named {shortened(name)}"
        raise DataError(f"{path} must have a different name for every column, {wrong}. Rename or remove it")
    at = header.index(KEY)
    for row in rows[1:]:
        if len(row) != len(header):
            raise DataError(
                f"{path} must have as many values in every row as there are columns, {len(header)}, "
                f"the row {','.join(row)[:100]} has {len(row)}. Add or remove some"
            )
    return header[:at] + header[at + 1 :], [[row[at], *row[:at], *row[at + 1 :]] for row in rows[1:]]


def from_words(column: Sequence[str], name: str, source: object, images: Sequence[object]) -> np.ndarray:
    """A column of text as numbers if every cell is a number, or else as words.

    Numbers become exact decimals: 10 comes after 9, and 1, 1.0 and 1e0 are the same level. The words true and false
    may be written in any case. A warning is logged if a word starts like a number, as 5% does.

    Args:
        column: the cells.
        name: the name of the factor.
        source: where the column comes from. Errors name it.
        images: the names of the rows. Errors name them.
    """
    cells = [cell.strip() for cell in column]
    where = f"{source}: the factor {shortened(name)}"
    for image, cell in zip(images, cells, strict=True):
        if MISSING.fullmatch(cell):
            raise DataError(
                f"{where} must have a value for every image, {shortened(image)} has {cell or 'none'}. "
                "Fill it in, use another word if that is a value, or remove the picture"
            )
        if COMMAS_IN_A_NUMBER.fullmatch(cell):
            raise DataError(
                f"{where} must have no commas in numbers, got {shortened(cell)}. "
                "Write decimal points, and no separators of thousands"
            )
    number = next((cell for cell in cells if NUMBER.fullmatch(cell)), None)
    word = next((cell for cell in cells if not NUMBER.fullmatch(cell)), None)
    if number is not None and word is not None:
        raise DataError(
            f"{where} must have numbers or words, not both, got {shortened(number)} and {shortened(word)}. "
            "Write all as numbers, or all as words"
        )
    if word is None:
        return np.array([Decimal(cell) for cell in cells], dtype=object)
    if {cell.lower() for cell in cells} <= {"true", "false"}:
        cells = [cell.lower() for cell in cells]
    words = [composed(cell) for cell in cells]
    suspect = next((word for word in words if STARTS_LIKE_A_NUMBER.fullmatch(word)), None)
    if suspect is not None:
        said = f"warning: {where} is sorted as words, because {shortened(suspect)} is no number. "
        log.warning(single_line(f"{said}Write numbers without units or quotes to sort them by value"))
    return np.array(words)


def composed(text: str) -> str:
    """The text in Unicode's normal form C. Some systems give file names in form D, with separate accents."""
    return unicodedata.normalize("NFC", text)


def shortened(value: object) -> str:
    """A cell or a name, cut if it is too long for a message."""
    text = str(value)
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "…"


def as_text(array: np.ndarray, where: str) -> list[str]:
    """The words in an array of text, or of bytes in UTF-8."""
    try:
        if array.dtype.kind in "US":
            return [word.decode() if isinstance(word, bytes) else str(word) for word in array.tolist()]
    except UnicodeDecodeError as error:
        raise DataError(f"{where} must be text in UTF-8: {reason(error)}. Encode it so") from None
    raise DataError(f"{where} must be text, got {array.dtype}. Convert it")


def as_factors(columns: dict[str, np.ndarray], source: object) -> Factors:
    """The factors that vary. Constant factors are left out and logged."""
    if not columns:
        raise DataError(f"{source}: there are no factors. Add a column for each, or leave them out")
    factors = Factors.of(columns)
    if not factors.names:
        raise DataError(f"{source}: a factor must vary, and none of {', '.join(columns)[:200]} does. Add one")
    constant = [name for name in columns if name not in factors.names]
    if constant:
        log.info(single_line(f"{source}: left out constant factors: {', '.join(constant)[:200]}"))
    return factors
