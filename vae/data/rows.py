"""The user's own tables: numbers in columns, from a CSV, an .npz or an .npy. Columns are found by their names.

Nothing is guessed: a word, a missing value, a decimal comma and a constant column are refused by name, with the fix.
"""

import logging
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from vae.config.preparation import TablePreparation
from vae.config.words import as_word
from vae.data.csv_lines import WRITE_CSV, csv_records, has_content
from vae.data.files import DataError, read_bytes, reason, single_line
from vae.data.npz import read_npz
from vae.data.table import COMMAS_IN_A_NUMBER, MISSING, NUMBER, as_text, composed, shortened

log = logging.getLogger(__name__)

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
ROWS_AT_ONCE = 10_000
NAMED = 10  # columns in a message
LONGEST_NAME = 200  # letters
WRITE_NPZ = "Write it with numpy.savez(file, table=array, columns=names)"


@dataclass(frozen=True)
class Rows:
    """Some rows of a table. `labels` is None where the table has no column of labels, or none is wanted."""

    values: Float64[np.ndarray, "rows columns"]
    labels: list[str] | None


@dataclass(frozen=True)
class CsvTable:
    """A CSV whose rows have not been read yet, in UTF-8.

    Attributes:
        path: of the file.
        names: of its columns.
        separator: between the cells of a line.
    """

    path: Path
    names: tuple[str, ...]
    separator: str

    def count(self) -> int:
        """The number of rows. Blank lines are none, and neither are lines of empty cells at the end."""
        return sum(1 for _ in self._records())

    def rows(
        self, columns: Sequence[str], label: str | None, size: int, dropped: Sequence[str] | None
    ) -> Iterator[Rows]:
        """The rows in their order, at most `size` at a time. `open_table` describes the arguments."""
        places = [self.names.index(name) for name in columns]
        records = self._records()
        while part := list(islice(records, size)):
            cells = [row[place] for _, row in part for place in places]
            values = numbers_of(cells, columns, [f"line {line}" for line, _ in part], self.path, dropped)
            yield Rows(values, None if label is None else [row[self.names.index(label)].strip() for _, row in part])

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """The number of the line at which each row ends, and its cells."""
        records = csv_records(self.path, self.separator)
        next((row for _, row in records if has_content(row)), None)  # the names
        for line, row in without_empty_end(records):
            if len(row) != len(self.names):
                raise DataError(
                    f"{self.path} must have as many values in every line as there are columns, {len(self.names)}, "
                    f"line {line} has {len(row)}: {self.separator.join(row)[:60]}. "
                    "Add or remove some, write decimal points, and put quotes around cells with a separator"
                )
            yield line, row


@dataclass(frozen=True)
class ArrayTable:
    """A table in an array of numbers, (rows, columns). Errors name `source`."""

    source: object
    names: tuple[str, ...]
    values: np.ndarray

    def count(self) -> int:
        """The number of rows."""
        return len(self.values)

    def rows(
        self, columns: Sequence[str], label: str | None, size: int, dropped: Sequence[str] | None
    ) -> Iterator[Rows]:
        """The rows in their order, at most `size` at a time. `open_table` describes the arguments."""
        places = [self.names.index(name) for name in columns]
        for start in range(0, len(self.values), size):
            part = self.values[start : start + size]
            values = part[:, places].astype(np.float64)
            if not np.isfinite(values).all():
                row, column = np.argwhere(~np.isfinite(values))[0]
                refuse_missing(self.source, columns[column], f"row {start + row}", f"{values[row, column]}", dropped)
            labels = (
                None if label is None else [label_of(value) for value in part[:, self.names.index(label)].tolist()]
            )
            yield Rows(values, labels)


def label_of(value: int | float) -> str:
    """A number as a label: as short as it can be without meaning another number.

    Example:
        >>> label_of(True), label_of(2.0), label_of(0.5), label_of(12345678901234567)
        ('1', '2', '0.5', '12345678901234567')
    """
    if isinstance(value, int):
        return str(int(value))
    short = f"{value:.15g}"
    return short if float(short) == value or not math.isfinite(value) else repr(value)


def open_table(path: Path) -> CsvTable | ArrayTable:
    """The table in a file, which is an .npz, an .npy or a CSV by its content.

    Its method `rows(columns, label, size, dropped)` gives the numbers in the columns with these names, and the words
    in the column `label` if it is not None, `size` rows at a time. `dropped` is what `data.drop` has already, for the
    fix in an error. None: the rows are for a trained model, whose columns are fixed.

    Raises:
        DataError: the file cannot be read, or is no table.
    """
    start = read_bytes(path, 6)
    if start.startswith(b"PK"):
        return npz_table(path)
    if start == b"\x93NUMPY":
        try:
            values = np.load(path, mmap_mode="r", allow_pickle=False)
        except Exception as error:  # numpy raises many types for a damaged file
            raise DataError(f"{path} must be an .npy of a plain array: {reason(error)}. {WRITE_NPZ}") from None
        return array_table(values, None, path)
    return csv_table(path)


def csv_table(path: Path) -> CsvTable:
    """The table in a CSV. The separator is the one in its first line.

    Raises:
        DataError: the file is no CSV, or its columns have no names, or not different ones.
    """
    headers = {s: header_of(path, s) for s in SEPARATORS}
    split = {separator: header for separator, header in headers.items() if len(header) > 1}
    if len(split) > 1:
        found = " and ".join(SEPARATORS[separator] for separator in split)
        raise DataError(
            f"{path} must have one separator between the names of its columns, its first line has {found}. "
            "Put quotes around names with one of them"
        )
    separator = next(iter(split), ",")
    names = tuple(composed(name.strip()) for name in headers[separator])
    if not names:
        raise DataError(f"{path} must be a table with the names of its columns in the first line, it is empty")
    if all(NUMBER.fullmatch(name) for name in names):
        raise DataError(
            f"{path} must begin with the names of its columns, its first line has {', '.join(names)[:60]}. Add them"
        )
    check_names(names, path)
    return CsvTable(path, names, separator)


def header_of(path: Path, separator: str) -> list[str]:
    """The cells of the first line that is not empty."""
    return next((row for _, row in csv_records(path, separator, strict=False) if has_content(row)), [])


def without_empty_end(records: Iterator[tuple[int, list[str]]]) -> Iterator[tuple[int, list[str]]]:
    """The lines up to the last one that is not empty: spreadsheets add lines of separators at the end."""
    empty = None  # the first empty line after those that were given: where more follow, it is one without values
    for line, row in records:
        if not has_content(row):
            empty = empty or (line, row)
            continue
        if empty is not None:
            yield empty
            empty = None
        yield line, row


def npz_table(path: Path) -> ArrayTable:
    """The arrays `table` (rows, columns) and `columns` (columns,) of an .npz."""
    try:
        arrays = read_npz(path, ("table", "columns"))
    except Exception as error:  # zipfile, zlib and numpy raise many types for a damaged archive
        raise DataError(
            f"{path} must be a CSV, an .npy, or an .npz of plain arrays: {reason(error)}. {WRITE_CSV}"
        ) from None
    values, names = arrays.get("table"), arrays.get("columns")
    if values is None:
        fix = WRITE_CSV if "[Content_Types].xml" in arrays or "mimetype" in arrays else WRITE_NPZ  # a spreadsheet
        raise DataError(f"{path} must hold an array `table`, it holds {', '.join(arrays)[:200] or 'none'}. {fix}")
    return array_table(values, None if names is None else as_text(names.ravel(), f"{path}: columns"), path)


def array_table(values: np.ndarray, names: Sequence[str] | None, source: object) -> ArrayTable:
    """The table in an array. Without names the columns are called column_0, column_1, ...

    Raises:
        DataError: the array is no table of numbers, or the names do not fit.
    """
    if values.ndim != 2 or 0 in values.shape or values.dtype.kind not in "biuf":
        raise DataError(
            f"{source}: a table must be numbers of shape (rows, columns), got {values.dtype} {values.shape}. "
            f"{WRITE_NPZ}"
        )
    columns = values.shape[1]
    found = tuple(
        f"column_{k}" if names is None else composed(names[k].strip()) for k in range(len(names or values[0]))
    )
    if len(found) != columns:
        raise DataError(f"{source}: columns must be the {columns} names of the columns, got {len(found)}. Name each")
    check_names(found, source)
    return ArrayTable(source, found, values)


def check_names(names: Sequence[str], source: object) -> None:
    """Refuse columns without a name, with the same one, or with a very long one."""
    name, count = Counter(names).most_common(1)[0]
    if count > 1 or "" in names:
        wrong = "one has none" if "" in names else f"two are named {shortened(name)}"
        index = "; of pandas, to_csv(file, index=False) leaves the index out" if names[0] == "" else ""
        raise DataError(f"{source} must have a different name for every column, {wrong}. Rename or remove it{index}")
    longest = max(names, key=len)
    if len(longest) > LONGEST_NAME:
        raise DataError(
            f"{source} must have names of at most {LONGEST_NAME} letters for its columns, {shortened(longest)} has "
            f"{len(longest)}. Shorten it"
        )


def numbers_of(
    cells: Sequence[str], columns: Sequence[str], places: Sequence[str], path: Path, dropped: Sequence[str] | None
) -> Float64[np.ndarray, "rows columns"]:
    """The cells of some rows, one row after the other, as numbers.

    Args:
        cells: of all rows.
        columns: their names.
        places: where each row is, for the errors.
        path: of the table, for the errors.
        dropped: what `data.drop` has already, for the errors. None: the rows are for a trained model.

    Raises:
        DataError: a cell is no finite number. The message names the column and the place.
    """
    try:
        joined = "".join(cells)
        if joined.isascii() and "_" not in joined:  # float() would take 1_000, and digits of other scripts
            values = np.fromiter(map(float, cells), np.float64, len(cells))
            if np.isfinite(values).all():
                return values.reshape(-1, len(columns))
    except ValueError:
        pass
    refuse_cells(cells, columns, places, path, dropped)
    return np.array([float(cell) for cell in cells]).reshape(-1, len(columns))  # with unusual blanks around


def refuse_cells(
    cells: Sequence[str], columns: Sequence[str], places: Sequence[str], path: Path, dropped: Sequence[str] | None
) -> None:
    """Refuse cells that are no finite numbers. The arguments are those of `numbers_of`."""
    for k, name in enumerate(columns):
        for place, cell in zip(places, map(str.strip, cells[k :: len(columns)]), strict=True):
            if is_number(cell):
                continue
            if MISSING.fullmatch(cell):
                refuse_missing(path, name, place, cell or "none", dropped)
            where = f"{path}: the column {shortened(name)}"
            if COMMAS_IN_A_NUMBER.fullmatch(cell):
                raise DataError(
                    f"{where} must have no commas in numbers, {place} has {shortened(cell)}. "
                    "Write decimal points, and no separators of thousands"
                )
            worded = [c for j, c in enumerate(columns) if not all(map(is_number, cells[j :: len(columns)]))]
            fix = "" if dropped is None else f", or {leaving_out([*dropped, *worded])}"
            raise DataError(f"{where} must hold numbers, {place} has {shortened(cell)}. Write numbers{fix}")


def is_number(cell: str) -> bool:
    """Whether a cell is a finite number, written as in a program."""
    return NUMBER.fullmatch(cell.strip()) is not None and math.isfinite(float(cell))


def refuse_missing(source: object, name: str, place: str, cell: str, dropped: Sequence[str] | None) -> None:
    """Refuse a missing value."""
    fix = "" if dropped is None else f", or {leaving_out([*dropped, name])}"
    raise DataError(
        f"{source}: the column {shortened(name)} must have a number in every row, {place} has {cell}. "
        f"Fill it in, or remove the row{fix}"
    )


def leaving_out(names: Sequence[str]) -> str:
    """How columns are left out, as words of a command.

    Example:
        >>> print(leaving_out(["sex", "body mass"]))
        leave columns out with "data.drop=[sex,'body mass']"
    """
    words = list(map(as_word, names))
    drop = f"data.drop=[{','.join(words)}]"
    return f"leave columns out with {drop}" if words == list(names) else f'leave columns out with "{drop}"'


def rows_of_array(given: Any, preparation: TablePreparation) -> Rows:
    """The rows of an array (rows, columns) in the order of the model's columns, or of a pandas table by their names.

    Raises:
        DataError: it has other columns, or a number that is not finite.
    """
    columns, labels = preparation.columns, None
    if hasattr(given, "columns"):  # a table of pandas or polars
        names = list(given.columns)
        check_columns(names, preparation, "the table")
        labels = [str(value) for value in given[preparation.label]] if preparation.label in names else None
        given = given[list(columns)].to_numpy()
    given = np.asarray(given)
    given = given[None] if given.ndim == 1 else given
    if given.ndim != 2 or given.shape[1] != len(columns):
        raise DataError(
            f"rows must have the {len(columns)} columns of the model, {', '.join(columns[:NAMED])}, "
            f"got the shape {given.shape}. Give (rows, {len(columns)}) in this order"
        )
    table = array_table(given, columns, "the rows")
    return Rows(next(table.rows(columns, None, len(given), None)).values, labels)


def label_in(table: CsvTable | ArrayTable, preparation: TablePreparation) -> str | None:
    """The column of labels of a table for a trained model, whose columns are checked. None if it has none.

    Columns are found by their names. Other columns are ignored, which is logged.

    Raises:
        DataError: a column of the model is missing.
    """
    source = table.path if isinstance(table, CsvTable) else table.source
    check_columns(table.names, preparation, source)
    label = preparation.label if preparation.label in table.names else None
    others = [name for name in table.names if name not in preparation.columns and name != label]
    if others:
        log.info(
            single_line(f"{source}: ignored the columns {', '.join(others)[:200]}, which the model does not have")
        )
    return label


def check_columns(names: Sequence[str], preparation: TablePreparation, source: object) -> None:
    """Refuse a table that lacks a column of the model."""
    missing = [name for name in preparation.columns if name not in names]
    if missing:
        raise DataError(
            f"{source} must have the columns of the model, it lacks {', '.join(missing[:NAMED])}. "
            f"It has {', '.join(map(str, names[:NAMED]))}. Add or rename them"
        )
