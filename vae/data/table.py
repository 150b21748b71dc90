"""Factors as people write them down, in the table `factors.csv` of a folder.

What is wrong with them raises `DataError`: one line that names the table, the rule, what was given and the fix.
"""

import csv
import io
import logging
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np

from vae.data.factors import Factors
from vae.data.files import DataError, read_bytes, reason, single_line

log = logging.getLogger(__name__)

KEY = "file"  # the column with the names of the pictures
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
DECIMAL_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+([eE][+-]?[0-9]+)?")
THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}(,[0-9]{3})+")
NO_NUMBER = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
MISSING = re.compile(r"|n/?a|#n/a|null|none|-|\?", re.IGNORECASE)  # what spreadsheets and people write for no value
LIKE_A_NUMBER = re.compile(r"['\"]?[+−-]?[.,]?\d.*")
LONGEST_SHOWN = 60  # characters of a cell in a message
OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs"}


def read_table(path: Path, files: Sequence[Path]) -> Factors:
    """The factors of the pictures, in their order, from a table with a column `file` and one a factor.

    Args:
        path: of a CSV file: UTF-8, commas, decimal points, the names of the columns in the first row.
        files: the pictures. Rows of others are left out, with a warning.

    Raises:
        DataError: the table is damaged, ambiguous or has no row for a picture; no factor varies.
    """
    names, rows = parse(path)
    shown = [composed(file.name) for file in files]
    known = set(shown)
    if len(known) < len(shown):
        (name, _), *_ = Counter(shown).most_common(1)
        raise DataError(
            f"{path}: two pictures have the name {shortened(name)}, in different Unicode forms. Rename one"
        )
    table: dict[str, list[str]] = {}
    for row in rows:
        name = row[0] if row[0] in known else row[0].strip()
        if name in table:
            raise DataError(f"{path} must have one row for a picture, {shortened(name)} has two. Remove one")
        table[name] = row[1:]
    strangers = [name for name in table if name not in known]
    missing = [name for name in shown if name not in table]
    if missing:
        unmatched = f"; the first row without a picture is {shortened(strangers[0])}" if strangers else ""
        raise DataError(
            f"{path} must have a row for every picture, {shortened(missing[0])} has none{unmatched}. "
            "Add it; names are those in the folder, with the suffix and without a directory"
        )
    if strangers:
        first = shortened(strangers[0])
        log.warning(
            single_line(f"warning: {path}: rows of pictures that are not there: {len(strangers)}, first {first}")
        )
    columns = {name: [table[picture][k] for picture in shown] for k, name in enumerate(names)}
    return as_factors({name: from_words(column, name, path, shown) for name, column in columns.items()}, path)


def parse(path: Path) -> tuple[list[str], list[list[str]]]:
    """The names of the factors; and the rows, the picture's name first and then a value a factor."""
    try:
        text = read_bytes(path).decode("utf-8-sig")  # spreadsheets write a byte order mark
        refuse_other_delimiters(text, path)
        reader = csv.reader(io.StringIO(composed(text), newline=""), strict=True)
        rows = [row for row in reader if any(map(str.strip, row))]
    except UnicodeDecodeError as error:
        raise DataError(f"{path} must be a table in CSV, in UTF-8: {reason(error)}. Save it so") from None
    except csv.Error as error:
        raise DataError(
            f"{path} must be a table in CSV: {reason(error)}. Close every quote, and shorten long cells"
        ) from None
    header = [name.strip() for name in rows[0]] if rows else []
    if KEY not in header or len(rows) < 2:
        raise DataError(
            f"{path} must begin with the names of its columns, one of them `{KEY}`, and have a row a picture; "
            f"got {', '.join(header)[:100] or 'nothing'} and {max(len(rows) - 1, 0)} rows"
        )
    repeated = [name for name, count in Counter(header).items() if count > 1]
    if repeated or "" in header:
        wrong = f"two are named {shortened(repeated[0])}" if repeated and repeated[0] else "one has none"
        raise DataError(f"{path} must have a different name for every column, {wrong}. Rename or remove it")
    at = header.index(KEY)
    body = [[row[at], *row[:at], *row[at + 1 :]] if len(row) == len(header) else row for row in rows[1:]]
    uneven = [row for row in body if len(row) != len(header)]
    if uneven:
        raise DataError(
            f"{path} must have as many values in every row as names, {len(header)}; "
            f"the row {','.join(uneven[0])[:100]} has {len(uneven[0])}"
        )
    return header[:at] + header[at + 1 :], body


def refuse_other_delimiters(text: str, path: Path) -> None:
    """Refuse a table that a spreadsheet of another language, or another program, has written."""
    first = text.strip().partition("\n")[0]
    for delimiter, called in OTHER_DELIMITERS.items():
        cells = [cell.strip(' "\r') for cell in first.split(delimiter)]
        if len(cells) > 1 and KEY in cells:
            raise DataError(f"{path} must be separated by commas, is by {called}. Save it as CSV with commas")


def from_words(column: Sequence[str], name: str, source: object, images: Sequence[object]) -> np.ndarray:
    """A column of text as numbers, where all of it is numbers, or else as the words they are.

    Numbers become exact decimals: 10 comes after 9, and 1, 1.0 and 1e0 are one level. The words true and false are
    two levels in any case of their letters. `images` are the names of the rows, for the error. A warning names words
    that begin as numbers do, as 5% does.
    """
    cells = [cell.strip() for cell in column]
    where = f"{source}: the factor {shortened(name)}"
    for image, cell in zip(images, cells, strict=True):
        if MISSING.fullmatch(cell):
            raise DataError(
                f"{where} must have a value for every image, {shortened(image)} has {cell or 'none'}. "
                "Fill it in, with another word if that is a value, or remove the picture"
            )
        if THOUSANDS.fullmatch(cell):
            whole, point = cell.replace(",", ""), cell.replace(",", ".")
            decimal = f", or {point} if the comma is a decimal one" if cell.count(",") == 1 else ""
            raise DataError(
                f"{where} must have no commas in numbers, got {shortened(cell)}. "
                f"Write {shortened(whole)} if it separates thousands{shortened(decimal)}"
            )
        if DECIMAL_COMMA.fullmatch(cell):
            point = shortened(cell.replace(",", "."))
            raise DataError(f"{where} must have decimal points, got {shortened(cell)}. Write {point}")
        if NO_NUMBER.fullmatch(cell) or (NUMBER.fullmatch(cell) and not math.isfinite(float(cell))):
            raise DataError(
                f"{where} must have finite numbers or words, got {shortened(cell)}. Replace it, or remove the picture"
            )
    number = next((cell for cell in cells if NUMBER.fullmatch(cell)), None)
    word = next((cell for cell in cells if not NUMBER.fullmatch(cell)), None)
    if number is not None and word is not None:
        raise DataError(
            f"{where} must have numbers or words, not both, got {shortened(number)} and {shortened(word)}. "
            "Write them alike"
        )
    if word is None:
        return np.array([Decimal(cell) for cell in cells], dtype=object)
    if {cell.lower() for cell in cells} <= {"true", "false"}:
        cells = [cell.lower() for cell in cells]
    words = [composed(cell) for cell in cells]
    like_numbers = next((word for word in words if LIKE_A_NUMBER.fullmatch(word)), None)
    if like_numbers is not None:
        log.warning(
            single_line(
                f"warning: {where} is sorted as words, because {shortened(like_numbers)} is no number. "
                "Write numbers without units or quotes to have them sorted by value"
            )
        )
    return np.array(words)


def composed(text: str) -> str:
    """The text in Unicode's normal form C. Some systems give names of files in form D, where accents are separate."""
    return unicodedata.normalize("NFC", text)


def shortened(value: object) -> str:
    """A cell or a name, cut where it is too long for a message."""
    text = str(value)
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "…"


def as_text(array: np.ndarray, where: str) -> list[str]:
    """The words in an array of text or of bytes in UTF-8."""
    try:
        if array.dtype.kind in "US":
            return [word.decode() if isinstance(word, bytes) else str(word) for word in array.tolist()]
    except UnicodeDecodeError as error:
        raise DataError(f"{where} must be text in UTF-8: {reason(error)}") from None
    raise DataError(f"{where} must be text, got {array.dtype}")


def as_factors(columns: dict[str, np.ndarray], source: object) -> Factors:
    """The factors that vary. The others are named in the log."""
    if not columns:
        raise DataError(f"{source}: there are no factors. Add a column for each, or leave them out")
    factors = Factors.of(columns)
    if not factors.names:
        raise DataError(f"{source}: a factor must vary, and none of {', '.join(columns)[:200]} does")
    constant = [name for name in columns if name not in factors.names]
    if constant:
        log.info(
            single_line(f"{source}: left out, because they are the same in every image: {', '.join(constant)[:200]}")
        )
    return factors
