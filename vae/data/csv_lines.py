"""The lines of a CSV in UTF-8, one after the other."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from vae.data.files import DataError, reason

WRITE_CSV = "Save it as a CSV in UTF-8, with the names of its columns in the first line"


def csv_records(path: Path, separator: str, *, strict: bool = True) -> Iterator[tuple[int, list[str]]]:
    """The lines that are not blank: the number of the line, from 1, and its cells. A quoted cell may have lines.

    A line of empty cells is not blank: it is a row without values.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets write a byte order mark
            reader = csv.reader(file, delimiter=separator, strict=strict)
            for row in reader:
                if len(row) > 1 or row == [""] or has_content(row):
                    yield reader.line_num, row
    except UnicodeDecodeError as error:
        raise DataError(f"{path} must be a table in CSV, in UTF-8: {reason(error)}. {WRITE_CSV}") from None
    except csv.Error as error:
        raise DataError(
            f"{path} must be a table in CSV: {reason(error)}. Close every quote, and shorten long cells"
        ) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {reason(error)}") from None


def has_content(row: Sequence[str]) -> bool:
    """Whether a cell is not empty."""
    return any(map(str.strip, row))
