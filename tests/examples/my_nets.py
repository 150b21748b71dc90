"""A residual encoder and decoder: model=custom model.encoder=my_nets:encoder model.decoder=my_nets:decoder."""

import math

from torch import nn


class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.change = nn.Sequential(nn.BatchNorm1d(width), nn.SiLU(), nn.Dropout(0.1), nn.Linear(width, width))

    def forward(self, x):
        return x + self.change(x)


def encoder(image, latent_dim, width=128):  # (batch, *image) -> (batch, 2 * latent_dim): means, then log-variances
    first, last = nn.Linear(math.prod(image), width), nn.Linear(width, 2 * latent_dim)
    return nn.Sequential(nn.Flatten(), first, Residual(width), Residual(width), last)


def decoder(image, latent_dim, width=128):  # (batch, latent_dim) -> (batch, *image): logits, or means
    first, last = nn.Linear(latent_dim, width), nn.Linear(width, math.prod(image))
    return nn.Sequential(first, Residual(width), Residual(width), last, nn.Unflatten(1, image))
