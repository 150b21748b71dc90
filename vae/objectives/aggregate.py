"""The density of the aggregate posterior q(z) = mean over the data of q(z|x), estimated from one minibatch."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from vae.probability.distributions import log_sum_exp
from vae.probability.prior import LN_2PI


def minibatch_log_densities(
    z: Float[Tensor, "batch latent"],
    mean: Float[Tensor, "batch latent"],
    logvar: Float[Tensor, "batch latent"],
    dataset_size: int,
    stratified: bool,
) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
    r"""(ln q(z), ln \prod_j q(z_j)) of each z, in nats.

    .. math:: \ln q(z) \approx \ln \sum_i W_i \, q(z|x_i), \quad \ln q(z_j) \approx \ln \sum_i W_i \, q(z_j|x_i)

    The weights are those of Chen et al. (2018), "Isolating Sources of Disentanglement in Variational Autoencoders",
    Appendix C. In minibatch weighted sampling all are 1 / (N B), for a batch of B images. The estimate is then a lower
    bound in expectation. In minibatch stratified sampling they sum to 1.

    Args:
        z: one sample of each image's posterior.
        mean: the means of the posteriors.
        logvar: the log-variances of the posteriors.
        dataset_size: N, the number of training images.
        stratified: whether to use stratified sampling.
    """
    squares = (z[:, None] - mean).square() * torch.exp(-logvar)
    of_latent = -0.5 * (squares + logvar + LN_2PI)  # ln q(z_j|x_i): (z, x, latent)
    log_weight = _log_weights(len(z), dataset_size, stratified, z)
    joint = log_sum_exp(of_latent.sum(2) + log_weight, 1)
    marginals = log_sum_exp(of_latent + log_weight[:, :, None], 1)
    return joint, marginals.sum(1)


def _log_weights(batch: int, dataset_size: int, stratified: bool, like: Tensor) -> Float[Tensor, "batch batch"]:
    if not stratified:
        return like.new_full((batch, batch), -math.log(dataset_size * batch))
    others = batch - 1
    if others == 0:
        return like.new_zeros(1, 1)
    # The image of z has the weight 1 / N. All others have 1 / (B - 1), except one, which makes the sum 1.
    weights = like.new_full((batch, batch), 1 / others)
    weights.diagonal().fill_(1 / dataset_size)
    own = torch.arange(batch, device=like.device)
    weights[own, (own + 1) % batch] = (dataset_size - others) / (dataset_size * others)
    return weights.log()
