"""Data sets: find or download, verify, read, split, and take batches."""

from vae.data.custom import CustomData
from vae.data.dsprites import DspritesData
from vae.data.files import DataError
from vae.data.images import ImageSet, Splits, epoch_order
from vae.data.mnist import MnistData
from vae.data.own import ImagesData
from vae.data.own_table import TableData
from vae.data.splits import Data
from vae.data.sprites import SpritesData

__all__ = [
    "CustomData",
    "Data",
    "DataError",
    "DspritesData",
    "ImageSet",
    "ImagesData",
    "MnistData",
    "Splits",
    "SpritesData",
    "TableData",
    "epoch_order",
]
