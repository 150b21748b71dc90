"""disent 0.8: its β-VAE in Lightning's trainer, as in its README, on our network and at beta 1.

Its README turns arrays into tensors image by image; here they are tensors already. Progress bar, logger and
checkpoints are off.
"""

import logging
import warnings
from pathlib import Path
from typing import Any

import lightning
from disent.dataset import DisentDataset
from disent.dataset.sampling import SingleSampler
from disent.frameworks.vae import BetaVae
from disent.model import AutoEncoder, DisentDecoder, DisentEncoder
from torch import Tensor, nn, zeros
from torch.utils.data import DataLoader

LATENTS = 20
SHAPE = (1, 28, 28)


class Encoder(DisentEncoder):
    """784-400-40, to means and then log-variances."""

    def __init__(self) -> None:
        super().__init__(x_shape=SHAPE, z_size=LATENTS, z_multiplier=2)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(784, 400), nn.ReLU(), nn.Linear(400, 2 * LATENTS))

    def encode(self, x: Tensor) -> Tensor:
        """(batch, 40)."""
        out: Tensor = self.layers(x)
        return out


class Decoder(DisentDecoder):
    """20-400-784, to logits."""

    def __init__(self) -> None:
        super().__init__(x_shape=SHAPE, z_size=LATENTS)
        self.layers = nn.Sequential(nn.Linear(LATENTS, 400), nn.ReLU(), nn.Linear(400, 784), nn.Unflatten(1, SHAPE))

    def decode(self, z: Tensor) -> Tensor:
        """(batch, 1, 28, 28)."""
        out: Tensor = self.layers(z)
        return out


class MeanLoss(lightning.Callback):
    """The mean loss over the batches of an epoch, in nats per image."""

    def __init__(self) -> None:
        self.total, self.batches = zeros(()), 0

    def on_train_batch_end(self, _trainer: Any, _module: Any, outputs: Any, _batch: Any, _index: int) -> None:
        """Add the loss of a batch."""
        self.total += outputs["loss"].detach()
        self.batches += 1


class DisentLoop:
    """Fits one epoch at a time, and keeps the weights and Adam's moments."""

    def __init__(self, images: Tensor) -> None:
        self.model: nn.Module = AutoEncoder(encoder=Encoder(), decoder=Decoder())
        config = BetaVae.cfg(
            optimizer="adam", optimizer_kwargs={"lr": 1e-3}, recon_loss="bce", loss_reduction="mean_sum", beta=1.0
        )
        self.module = BetaVae(model=self.model, cfg=config)
        optimizer = self.module.configure_optimizers()
        self.module.configure_optimizers = lambda: optimizer  # Lightning would make a new one for every fit
        self.loader = DataLoader(DisentDataset(images, SingleSampler()), batch_size=128, shuffle=True)
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    def epoch(self) -> float:
        """Every image once. Returns the mean loss over the batches, in nats per image."""
        loss = MeanLoss()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the loader has no workers: neither has the tutorial's
            trainer = lightning.Trainer(
                max_epochs=1,
                accelerator="cpu",
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                callbacks=[loss],
            )
            trainer.fit(self.module, self.loader)
        return float(loss.total) / loss.batches


def start(images: Tensor, _root: Path, _folder: Path) -> DisentLoop:
    """The loop on images (images, 1, 28, 28) in [0, 1]."""
    return DisentLoop(images)
