"""Tables of codes, written row by row: their length is not limited by the memory."""

import shutil
import zipfile
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from vae.data.inputs import Inputs
from vae.trained.model import Coded

NUMBER = "%.9g"  # from which the same float32 is read again
EXACT = "%r"  # likewise the same float64: a column of a table may be 1e9 +- 1
ROWS = 10_000  # texts at a time


def write_codes_csv(path: Path, inputs: Inputs, coded: Iterable[Coded], latent_dim: int) -> None:
    """A CSV with the columns file, label, z_00 …, sd_00 …, distortion, rate, elbo. The label is empty if unknown."""
    columns = [f"{kind}_{number}" for kind in ("z", "sd") for number in numbered(latent_dim)]
    numbers = (row for batch in coded for row in np.concatenate([*numbers_of(batch).values()], axis=1).tolist())
    rows = ([inputs.name(k), inputs.label(k), *row] for k, row in enumerate(numbers))
    write_csv(path, ["file", "label", *columns, "distortion", "rate", "elbo"], rows, texts=2)


def write_csv(
    path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]], texts: int = 0, number: str = NUMBER
) -> None:
    """A CSV in UTF-8.

    Args:
        path: of the new file.
        columns: their names, for the first line.
        rows: of texts, then numbers.
        texts: the number of columns with texts.
        number: the format of a number.
    """
    line = ",".join([*["%s"] * texts, *[number] * (len(columns) - texts)]) + "\n"
    with path.open("x", encoding="utf-8", errors="backslashreplace", newline="") as file:
        file.write(",".join(map(cell, columns)) + "\n")
        file.writelines(line % (*map(cell, row[:texts]), *row[texts:]) for row in rows)


def write_npz(path: Path, inputs: Inputs, coded: Iterable[Coded], latent_dim: int) -> None:
    """An .npz with mean and sd (inputs, latents); distortion, rate and elbo (inputs,); and files and labels if known.

    Each array is a file of its own beside `path` until all are put into one.
    """
    count = inputs.count
    widths = {"mean": latent_dim, "sd": latent_dim, "distortion": None, "rate": None, "elbo": None}
    parts = path.with_suffix(".parts")
    try:
        parts.mkdir()
        with ExitStack() as stack:
            files = {name: stack.enter_context((parts / f"{name}.npy").open("xb")) for name in widths}
            for name, width in widths.items():
                write_header(files[name], np.dtype(np.float32), (count,) if width is None else (count, width))
            for batch in coded:
                for name, values in numbers_of(batch).items():
                    files[name].write(np.ascontiguousarray(values).tobytes())
        texts = {"files": None if isinstance(inputs.names, range) else inputs.names, "labels": inputs.labels}
        for name, words in texts.items():
            if words is not None:
                write_words(parts / f"{name}.npy", words)
        with zipfile.ZipFile(path, "x") as archive:
            for part in sorted(parts.iterdir()):
                kind = zipfile.ZIP_DEFLATED if part.stem in texts else zipfile.ZIP_STORED
                archive.write(part, part.name, kind)
                part.unlink()
    finally:
        shutil.rmtree(parts, ignore_errors=True)


def numbers_of(batch: Coded) -> dict[str, np.ndarray]:
    """The numbers of a batch by name, each of shape (batch, columns)."""
    sd = (0.5 * batch.posterior.logvar).exp()
    terms = {name: values[:, None].numpy() for name, values in batch.terms._asdict().items()}
    return {"mean": batch.posterior.mean.numpy(), "sd": sd.numpy(), **terms}


def numbered(count: int) -> list[str]:
    """Numbers from 0 of the same length, two digits or more.

    Example:
        >>> numbered(2)
        ['00', '01']
    """
    width = max(2, len(str(count - 1)))
    return [f"{k:0{width}d}" for k in range(count)]


def write_words(path: Path, words: Sequence[str]) -> None:
    """An .npy of texts."""
    kind = np.dtype(f"U{max(1, max(map(len, words), default=1))}")
    with path.open("xb") as file:
        write_header(file, kind, (len(words),))
        for start in range(0, len(words), ROWS):
            file.write(np.array(words[start : start + ROWS], dtype=kind).tobytes())


def write_header(file: BinaryIO, dtype: np.dtype, shape: tuple[int, ...]) -> None:
    """The header of an .npy, after which the values come."""
    descr = np.lib.format.dtype_to_descr(dtype)
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})


def cell(text: str) -> str:
    """A cell of a CSV, in quotes if it must be.

    Example:
        >>> cell('a "b", c')
        '"a ""b"", c"'
    """
    if any(character in text for character in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text
