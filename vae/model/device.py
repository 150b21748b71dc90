"""The device of a model's tensors."""

import torch

from vae.config import Device


def choose_device(device: Device) -> torch.device:
    """The named device. `auto` is a CUDA GPU if there is one, else an Apple GPU, else the CPU."""
    if device is not Device.auto:
        return torch.device(device.value)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
