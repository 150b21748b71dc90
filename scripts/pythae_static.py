"""Train pythae's own VAE on the pixels of `experiment=rezende2015_static` and print its NLL: half an hour of a core.

Its model, trainer and estimator of the NLL, by the settings of its published script: commit 73ff590 of
github.com/clementchadebec/benchmark_VAE, examples/scripts/reproducibility/vae.py. It reports 89.78 ± 0.01 nats for the
published fixed pixels. Its network has one hidden layer on each side, and a second one in a comment.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from torch import Tensor, arange, zeros

from benchmarks.ours import configured
from benchmarks.with_pythae import Decoder, Encoder
from vae.app.data import build_data
from vae.data import ImageSet
from vae.training.hardware import prepare_torch

LATENTS = 40
SAMPLES = 200


def main() -> None:
    """Train and print the test numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=1, help="hidden layers of 400 on each side")
    parser.add_argument("--epochs", type=int, default=500)
    parser.add_argument("--images", type=int, default=10_000, help="number of test images of the NLL")
    arguments = parser.parse_args()
    config = configured(["experiment=rezende2015_static", "device=cpu", "threads=1"])
    prepare_torch(config)
    splits = build_data(config).read()
    train, validation = (BaseDataset(pixels_of(part), zeros(len(part))) for part in (splits.train, splits.validation))
    model = VAE(
        VAEConfig(input_dim=(1, 28, 28), latent_dim=LATENTS, reconstruction_loss="bce"),
        Encoder(LATENTS, arguments.layers),
        Decoder(LATENTS, arguments.layers),
    )
    with tempfile.TemporaryDirectory() as folder:
        training = BaseTrainerConfig(
            output_dir=folder,
            per_device_train_batch_size=100,
            per_device_eval_batch_size=100,
            num_epochs=arguments.epochs,
            learning_rate=1e-4,
            optimizer_cls="Adam",
            scheduler_cls="MultiStepLR",
            scheduler_params={"milestones": [200, 350, 500, 750, 1000], "gamma": 10 ** (-1 / 5)},
            no_cuda=True,
            seed=123,
        )
        trainer = BaseTrainer(model, train, validation, training_config=training)
        trainer.train()
        best = VAE.load_from_folder(str(Path(trainer.training_dir) / "final_model")).eval()  # the best on validation
    test = pixels_of(splits.test)
    with torch.no_grad():
        print(f"ELBO {-float(best({'data': test}).loss):.3f}", flush=True)
        print(f"NLL {-best.get_nll(test[: arguments.images], SAMPLES):.3f}")


def pixels_of(images: ImageSet) -> Tensor:
    """All images, (images, 1, 28, 28), each pixel 0 or 1."""
    return images.batch(arange(len(images)), torch.Generator())


if __name__ == "__main__":
    main()
