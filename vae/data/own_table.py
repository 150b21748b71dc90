"""The user's own table as data: which columns are modelled, how they are standardised, and its three sets of rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64, Int64

from vae.config import TableConfig
from vae.config.preparation import TablePreparation
from vae.data.files import DataError, expanded, read_bytes, sha256_of
from vae.data.images import ImageSet, Splits
from vae.data.preparation import standardised
from vae.data.rows import NAMED, ROWS_AT_ONCE, is_number, leaving_out, open_table
from vae.data.splits import split_indices
from vae.data.table import MISSING, composed, shortened

MOST_LABELS = 1_000  # different values of the label
MOST_COLUMNS = 50_000  # a run stores their names and moments as text, which takes seconds to read


@dataclass(frozen=True)
class TableData:
    """The user's own table. Each column is standardised by its mean and standard deviation over the training rows."""

    config: TableConfig

    def read(self) -> Splits:
        """The rows, in three disjoint sets. x has the shape (rows, 1, 1, columns)."""
        config, path = self.config, expanded(self.config.path, "data.path")
        table = open_table(path)
        columns, label = chosen_columns(table.names, config, path)
        parts = list(table.rows(columns, label, ROWS_AT_ONCE, config.drop))
        if not parts:
            raise DataError(f"{path} must have rows below the names of its columns, it has none. Add some")
        values = np.concatenate([part.values for part in parts])
        labels, label_names = None, None
        if label is not None:
            labels, label_names = labels_of([word for part in parts for word in part.labels or []], label, path)
        indices = split_indices(len(values), labels, config.validation_size, config.test_size)
        mean, deviation = moments(values[indices[0]], columns, path, config.drop)
        preparation = TablePreparation(columns, mean, deviation, label)
        labels = np.zeros(len(values), dtype=np.int64) if labels is None else labels
        x = standardised(values, preparation)
        train, validation, test = (
            ImageSet(x[torch.from_numpy(part)], torch.from_numpy(labels[part]), redrawn=False) for part in indices
        )
        return Splits(train, validation, test, preparation, label_names)

    def checksums(self) -> dict[str, str]:
        """The sha256 of the file."""
        path = expanded(self.config.path, "data.path")
        return {path.absolute().name: sha256_of(read_bytes(path))}

    def describe(self) -> str:
        """The path, and what is done with the columns."""
        config = self.config
        label = "" if config.label is None else f", label {config.label}"
        drop = f", without {', '.join(config.drop)}" if config.drop else ""
        return f"{config.path}, columns standardised{label}{drop}"


def chosen_columns(names: Sequence[str], config: TableConfig, source: object) -> tuple[tuple[str, ...], str | None]:
    """The columns to model, which are all but the label and those in `data.drop`; and the column of the label.

    Raises:
        DataError: `data.label` or `data.drop` names a column that is missing, or no column is left.
    """
    label = None if config.label is None else composed(config.label.strip())
    drop = [composed(name.strip()) for name in config.drop]
    for key, wanted in (("data.drop", drop), ("data.label", [] if label is None else [label])):
        unknown = [name for name in wanted if name not in names]
        if unknown:
            raise DataError(
                f"{key} must name columns of {source}, got {shortened(unknown[0])}. "
                f"It has {', '.join(names[:NAMED])}{', …' if len(names) > NAMED else ''}"
            )
    left = tuple(name for name in names if name not in drop and name != label)
    if not left:
        raise DataError(f"{source} must have a column besides data.label and data.drop, it has none. Leave out fewer")
    if len(left) > MOST_COLUMNS:
        raise DataError(f"{source} must have at most {MOST_COLUMNS} columns to model, got {len(left)}. Leave some out")
    return left, label


def labels_of(words: Sequence[str], name: str, source: object) -> tuple[Int64[np.ndarray, " rows"], tuple[str, ...]]:
    """The number of each row's label, and the names of the labels: sorted as numbers if all are, else as words."""
    where = f"{source}: the column {shortened(name)}, which is data.label,"
    different = set(words)
    missing = next((word for word in different if MISSING.fullmatch(word)), None)
    if missing is not None:
        raise DataError(
            f"{where} must have a value in every row, row {words.index(missing)} has {missing or 'none'}. Fill it in"
        )
    if len(different) > MOST_LABELS:
        raise DataError(
            f"{where} must have at most {MOST_LABELS} different values, got {len(different)}. "
            "Name a column of classes, or leave data.label out"
        )
    ordered = sorted(different)
    if all(map(is_number, ordered)):
        ordered.sort(key=float)  # 1 and 1.0 are equal, and stay in the order of the words
    place = {word: k for k, word in enumerate(ordered)}
    return np.array([place[word] for word in words], dtype=np.int64), tuple(map(composed, ordered))


def moments(
    values: Float64[np.ndarray, "rows columns"], columns: Sequence[str], source: object, dropped: Sequence[str]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each column.

    Raises:
        DataError: there are too few rows, a column is constant, or its numbers are too large.
    """
    if len(values) < 2:
        raise DataError(
            f"{source} must have 2 rows or more for training, got {len(values)}. "
            "Add rows, or set data.validation_size=0"
        )
    constant = [name for name, same in zip(columns, (values == values[0]).all(0), strict=True) if same]
    if constant:
        value = values[0, columns.index(constant[0])]
        raise DataError(
            f"{source}: the column {shortened(constant[0])} must vary, all {len(values)} rows for training have "
            f"{value:.10g}. It has nothing to learn: {leaving_out([*dropped, *constant])}"
        )
    largest = np.abs(values).max(0)  # the numbers are divided by it first, so that no square overflows
    scaled = values / np.where(largest > 0, largest, 1)
    centre, spread = scaled.mean(0), scaled.std(0)
    mean, deviation = centre * largest, spread * largest
    for name, m, d in zip(columns, mean, deviation, strict=True):
        if not (1e-100 < d < 1e100 and abs(m) < 1e100):
            raise DataError(
                f"{source}: the column {shortened(name)} must have usual sizes, it has mean {m:g} and standard "
                f"deviation {d:g}. Write it in another unit"
            )
    return tuple(mean.tolist()), tuple(deviation.tolist())
