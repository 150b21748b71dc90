"""An .npz whose headers promise more than is there, or that is no .npz: one line, and no memory is taken."""

import io
import os
import resource
import zipfile
from pathlib import Path

import numpy as np
import pytest

from vae.data.dsprites import read_dsprites
from vae.data.files import DataError
from vae.data.own import read_own

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 4, 5), dtype=np.uint8)
GIB = 2**30


def npy(shape: tuple[int, ...], data: bytes, dtype: str = "|u1", version: tuple[int, int] = (1, 0)) -> bytes:
    """An .npy whose header says `shape`, whatever `data` holds."""
    file = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    write = {(1, 0): np.lib.format.write_array_header_1_0, (2, 0): np.lib.format.write_array_header_2_0}[version]
    write(file, header)
    return file.getvalue() + data


def archive(path: Path, compression: int = zipfile.ZIP_STORED, **entries: bytes) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in entries.items():
            file.writestr(f"{name}.npy", data)
    return path


def megabytes_used() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_a_header_that_claims_40_gib_is_refused_and_takes_no_memory(tmp_path, compression, version):
    before = megabytes_used()
    path = archive(tmp_path / "own.npz", compression, images=npy((40, GIB), IMAGES.tobytes(), version=version))
    with pytest.raises(
        DataError, match=r"own\.npz (must be an \.npz of plain arrays: EOF|does not fit in the memory)"
    ):
        read_own(path)
    classes = npy((6, 6), bytes(288), "<i8")
    path = archive(path, compression, imgs=npy((40 * GIB, 8, 8), bytes(64)), latents_classes=classes)
    with pytest.raises(DataError, match=r"layout of dSprites: imgs ends too early"):
        read_dsprites(path)
    path = archive(path, compression, imgs=npy((6, 8, 8), bytes(384)), latents_classes=npy((40, GIB), b""))
    with pytest.raises(DataError, match=r"layout of dSprites: (EOF|Unable to allocate 40)"):
        read_dsprites(path)
    assert megabytes_used() < before + 100


@pytest.mark.parametrize("name", ["labels", "factors", "factor_names"])
@pytest.mark.parametrize(("shape", "dtype"), [((2**62, 8), "<f8"), ((-1,), "<i8"), ((2**33,), "<U9"), ((3,), "<i8")])
def test_so_is_that_of_every_other_array(tmp_path, name, shape, dtype):
    good = npy(IMAGES.shape, IMAGES.tobytes())
    path = archive(tmp_path / "own.npz", images=good, **{name: npy(shape, bytes(48), dtype)})
    with pytest.raises(DataError, match=r"own\.npz (must be an \.npz of plain arrays|does not fit in the memory)"):
        read_own(path)


def test_an_archive_whose_table_lies_too_is_refused(tmp_path):
    path = archive(tmp_path / "own.npz", zipfile.ZIP_DEFLATED, images=npy((3 * GIB // 2,), bytes(64)))
    data = bytearray(path.read_bytes())
    at, size = data.index(b"PK\1\2") + 24, int(3 * GIB // 2 + len(npy((3 * GIB // 2,), b"")))
    data[at : at + 4] = size.to_bytes(4, "little")  # the unpacked size in the table of contents
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"own\.npz must be an \.npz of plain arrays: "):
        read_own(path)


def test_an_archive_that_exceeds_the_memory_is_one_line(tmp_path):
    path = tmp_path / "own.npz"
    np.savez_compressed(path, images=np.zeros((256, 1_024, 1_024), dtype=np.uint8))
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**26, hard))
    try:
        with pytest.raises(DataError, match=r"own\.npz does not fit in the memory\. Take fewer or smaller images$"):
            read_own(path)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_every_version_of_the_format_is_read(tmp_path, version):
    file = io.BytesIO()
    np.lib.format.write_array(file, IMAGES, version=version)
    assert (read_own(archive(tmp_path / "own.npz", images=file.getvalue())).images == IMAGES[:, None]).all()
    later = archive(tmp_path / "own.npz", images=file.getvalue().replace(bytes(version), b"\4\0", 1))
    with pytest.raises(DataError, match=r"own\.npz must be an \.npz of plain arrays: .*version"):
        read_own(later)


def test_two_arrays_of_one_name_are_refused(tmp_path):
    good = npy(IMAGES.shape, IMAGES.tobytes())
    archive(tmp_path / "own.npz", images=good, imagez=good)
    data = (tmp_path / "own.npz").read_bytes().replace(b"imagez", b"images")
    (tmp_path / "own.npz").write_bytes(data)
    with pytest.raises(DataError, match="two of its arrays have the same name"):
        read_own(tmp_path / "own.npz")


def test_an_archive_that_is_a_link_is_read_and_anything_but_a_file_refused(tmp_path):
    (tmp_path / "link.npz").symlink_to(archive(tmp_path / "own.npz", images=npy(IMAGES.shape, IMAGES.tobytes())))
    assert (read_own(tmp_path / "link.npz").images == IMAGES[:, None]).all()
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(DataError, match=r"pipe\.npz, which is none of them: it is a pipe"):
        read_own(tmp_path / "pipe.npz")
    with pytest.raises(DataError, match="File name too long"):
        read_own(tmp_path / ("x" * 300))
    with pytest.raises(DataError, match=r"data\.path must be an \.npz, an \.npy or a folder"):
        read_own(Path("a\0b"))
