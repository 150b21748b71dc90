"""Images of your own, with the factors behind them:

python train.py data=custom data.target=my_data:read data.path=shapes data.options.size=16
"""

from pathlib import Path

import numpy as np


def read(path: Path, size: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The images in the folder `path`, named like `round_3.npy`, cut to `size` x `size`; floats in [0, 1]."""
    files = sorted(path.glob("*.npy"))
    images = np.stack([np.load(file)[:size, :size] for file in files])
    shapes, numbers = zip(*(file.stem.split("_") for file in files), strict=True)
    return images, {"shape": np.array(shapes), "number": np.array(numbers, dtype=int)}
