"""The VAE of tutorials: images one by one through ToTensor, a DataLoader, losses from torch.nn.functional.

Also a program, `python scripts/benchmarks/tutorial.py DATA`: ten epochs as pytorch/examples trains them. Each has a
test loss, a figure of reconstructions and one of samples. It imports nothing of this project.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Subset
from torchvision.datasets import MNIST
from torchvision.transforms import ToTensor
from torchvision.utils import save_image

LATENTS = 20
LOG_EVERY_STEPS = 10


class TutorialVAE(nn.Module):
    """784-400-20-400-784."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(784, 400), nn.ReLU(), nn.Linear(400, 2 * LATENTS))
        self.decoder = nn.Sequential(nn.Linear(LATENTS, 400), nn.ReLU(), nn.Linear(400, 784), nn.Sigmoid())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The probability of each pixel, the posterior's mean and its log-variance."""
        mean, logvar = self.encoder(x.view(-1, 784)).chunk(2, 1)
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * logvar)
        return self.decoder(z), mean, logvar


def loss_of(model: nn.Module, x: Tensor) -> Tensor:
    """The negative ELBO, summed over the batch, in nats."""
    p, mean, logvar = model(x)
    distortion = functional.binary_cross_entropy(p, x.view(-1, 784), reduction="sum")
    rate = -0.5 * torch.sum(1 + logvar - mean.pow(2) - logvar.exp())
    return distortion + rate


class TutorialLoop:
    """The training loop.

    Args:
        root: of the data, in torchvision's layout; nothing is downloaded.
        images: the number of training images, the first of MNIST.
    """

    def __init__(self, root: Path, images: int = 60_000) -> None:
        torch.manual_seed(0)
        train = Subset(MNIST(root, train=True, transform=ToTensor()), range(images))
        test = MNIST(root, train=False, transform=ToTensor())
        self.train_loader = DataLoader(train, batch_size=128, shuffle=True)
        self.test_loader = DataLoader(test, batch_size=128)
        self.images, self.test_images = images, len(test)
        self.model = TutorialVAE()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)

    def epoch(self, *, printed: bool = False) -> float:
        """Every training image once. Returns the mean loss of the images, in nats."""
        self.model.train()
        total = 0.0
        for step, (x, _) in enumerate(self.train_loader):
            loss = loss_of(self.model, x)
            self.optimizer.zero_grad()
            loss.backward()
            total += loss.item()
            self.optimizer.step()
            if printed and step % LOG_EVERY_STEPS == 0:
                print(f"step {step}: {loss.item() / len(x):.2f}", flush=True)
        return total / self.images

    @torch.no_grad()
    def test(self, figure: Path) -> float:
        """The mean loss of the test images, in nats. Writes some of them beside their reconstructions."""
        self.model.eval()
        total = 0.0
        for batch, (x, _) in enumerate(self.test_loader):
            total += loss_of(self.model, x).item()
            if batch == 0:
                p, _, _ = self.model(x[:8])
                save_image(torch.cat([x[:8], p.view(-1, 1, 28, 28)]), figure, nrow=8)
        return total / self.test_images

    @torch.no_grad()
    def sample(self, figure: Path) -> None:
        """Write 64 images from the prior."""
        save_image(self.model.decoder(torch.randn(64, LATENTS)).view(-1, 1, 28, 28), figure)


def start(images: Tensor, root: Path, _folder: Path) -> TutorialLoop:
    """The loop on the same images, which it reads from the files itself."""
    return TutorialLoop(root, len(images))


def main() -> None:
    """Train and test."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="of the data, in torchvision's layout")
    parser.add_argument("--epochs", type=int, default=10)
    arguments = parser.parse_args()
    loop = TutorialLoop(arguments.root)
    with tempfile.TemporaryDirectory() as folder:
        for epoch in range(arguments.epochs):
            loss = loop.epoch(printed=True)
            test = loop.test(Path(folder) / f"reconstructions_{epoch}.png")
            loop.sample(Path(folder) / f"samples_{epoch}.png")
            print(f"epoch {epoch}: train {loss:.2f}, test {test:.2f}", flush=True)


if __name__ == "__main__":
    main()
