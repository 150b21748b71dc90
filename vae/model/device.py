"""The device of a model's tensors."""

import torch

from vae.config import ConfigError, Device


def choose_device(device: Device) -> torch.device:
    """The named device. `auto` is a CUDA GPU if there is one, else an Apple GPU, else the CPU.

    Raises:
        ConfigError: this machine, or this torch, does not have it.
    """
    if (device is Device.cuda and not torch.cuda.is_available()) or (
        device is Device.mps and not torch.backends.mps.is_available()
    ):
        raise ConfigError(
            f"torch finds no {device.value} here, and device={device.value} was asked for. Use auto or cpu"
        )
    if device is not Device.auto:
        return torch.device(device.value)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
