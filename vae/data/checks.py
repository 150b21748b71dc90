"""What the four files of a data set must hold."""

import hashlib

from vae.config import Dataset
from vae.data.files import DataError
from vae.data.idx import FILES, idx_shape

SHAPES = dict(zip(FILES, [(60_000, 28, 28), (60_000,), (10_000, 28, 28), (10_000,)], strict=True))

# One byte more than the largest good file: what is longer need not be read to its end.
READ_MOST = 4 + 4 * 3 + 60_000 * 28 * 28 + 1

# Of the decompressed files. FashionMNIST and KMNIST have none here: torchvision compares the md5 of
# the archives it fetches, and afterwards structure is all that is checked.
MNIST_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


def check(name: Dataset, file: str, data: bytes, source: object) -> None:
    """Refuse `data` that is not the content of `file`, one of FILES. `source` is named in the error.

    Raises:
        DataError: the structure, a label or, for MNIST, the checksum is wrong.
    """
    shape = idx_shape(data, source)
    if shape != SHAPES[file]:
        raise DataError(f"{source} must have the shape {_product(SHAPES[file])}, has {_product(shape)}. Replace it")
    if len(shape) == 1 and (largest := max(data[8:])) > 9:
        raise DataError(f"{source} must hold labels from 0 to 9, holds {largest}. Replace it")
    if name is Dataset.MNIST and (sha256 := hash_of(data)) != MNIST_SHA256[file]:
        raise DataError(f"{source} must have the sha256 {MNIST_SHA256[file][:12]}…, has {sha256[:12]}…. Replace it")


def hash_of(data: bytes) -> str:
    """The sha256 in hexadecimal digits.

    Example:
        >>> hash_of(b"")[:8]
        'e3b0c442'
    """
    return hashlib.sha256(data).hexdigest()


def _product(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
