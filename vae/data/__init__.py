"""Images as one uint8 tensor a split: found or fetched, verified, read, and taken in batches."""

from vae.data.files import DataError
from vae.data.idx import FILES, read_idx
from vae.data.images import ImageSet, Splits, epoch_order, load_splits
from vae.data.sources import checksums, ensure_files, folder_of

__all__ = [
    "FILES",
    "DataError",
    "ImageSet",
    "Splits",
    "checksums",
    "ensure_files",
    "epoch_order",
    "folder_of",
    "load_splits",
    "read_idx",
]
