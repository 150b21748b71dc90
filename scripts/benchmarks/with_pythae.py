"""pythae 0.1: its VAE, data set and trainer, as its own pipeline puts them together, on our network.

Its progress bar, messages and copies of the best model are left out.
"""

import logging
from pathlib import Path

from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import CallbackHandler, TrainingCallback
from torch import Tensor, nn, ones

LATENTS = 20


def hidden(layers: int) -> list[nn.Module]:
    """More layers of 400."""
    return [module for _ in range(layers) for module in (nn.Linear(400, 400), nn.ReLU())]


class Encoder(BaseEncoder):
    """784-400-20 for means and log-variances, or with more latents or more layers."""

    def __init__(self, latents: int = LATENTS, layers: int = 1) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(784, 400), nn.ReLU(), *hidden(layers - 1))
        self.mean = nn.Linear(400, latents)
        self.logvar = nn.Linear(400, latents)

    def forward(self, x: Tensor) -> ModelOutput:
        """Parameters of the posterior, (batch, latents) each."""
        h = self.hidden(x)
        return ModelOutput(embedding=self.mean(h), log_covariance=self.logvar(h))


class Decoder(BaseDecoder):
    """20-400-784, or with more latents or more layers."""

    def __init__(self, latents: int = LATENTS, layers: int = 1) -> None:
        super().__init__()
        first, last = [nn.Linear(latents, 400), nn.ReLU()], [nn.Linear(400, 784), nn.Sigmoid()]
        self.layers = nn.Sequential(*first, *hidden(layers - 1), *last, nn.Unflatten(1, (1, 28, 28)))

    def forward(self, z: Tensor) -> ModelOutput:
        """The probability of each pixel, (batch, 1, 28, 28)."""
        return ModelOutput(reconstruction=self.layers(z))


class PythaeLoop:
    """Its trainer, epoch by epoch as its own `train` does."""

    def __init__(self, images: Tensor, folder: Path) -> None:
        config = BaseTrainerConfig(
            output_dir=str(folder),
            per_device_train_batch_size=128,
            learning_rate=1e-3,
            optimizer_cls="Adam",
            no_cuda=True,
            keep_best_on_train=True,
        )
        self.model: nn.Module = VAE(
            VAEConfig(input_dim=(1, 28, 28), latent_dim=LATENTS, reconstruction_loss="bce"), Encoder(), Decoder()
        )
        before = logging.root.manager.disable
        logging.disable(logging.INFO)
        try:
            self.trainer = BaseTrainer(
                self.model, BaseDataset(images, labels=ones(len(images))), training_config=config
            )
            self.trainer.prepare_training()
        finally:
            logging.disable(before)
        self.trainer.callback_handler = CallbackHandler([TrainingCallback()], self.model)
        self.epochs_done = 0

    def epoch(self) -> float:
        """Every image once. Returns the mean loss over the batches, in nats per image."""
        self.epochs_done += 1
        return float(self.trainer.train_step(self.epochs_done))


def start(images: Tensor, _root: Path, folder: Path) -> PythaeLoop:
    """The loop on images (images, 1, 28, 28) in [0, 1]."""
    return PythaeLoop(images, folder)
