"""Divergences and entropies in closed form, in nats.

Kullback & Leibler (1951), "On Information and Sufficiency"; the Gaussian forms as in Kingma & Welling (2014),
"Auto-Encoding Variational Bayes", Appendix B.

The tests check four properties: KL(P||Q) >= 0. It is zero only if P = Q. It is not symmetric. It does not satisfy the
triangle inequality, so it is not a metric.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vae.probability.finite import refuse_nan


def entropy(p: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch"]:
    r"""Entropy of a discrete distribution, H(P) = -\sum_i p_i \ln p_i = \ln n - KL(P || uniform), in nats.

    Raises:
        ValueError: `p` is not a distribution over its last axis.

    Example:
        >>> entropy(torch.full((4,), 0.25)).exp()  # of a uniform choice among four: 4
        tensor(4.)
    """
    _refuse_non_distribution("p", p)
    return -torch.xlogy(p, p).sum(-1)


def cross_entropy(p: Float[Tensor, "*batch n"], q: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch"]:
    r"""Cross-entropy H(P, Q) = -\sum_i p_i \ln q_i = H(P) + KL(P || Q), in nats.

    Raises:
        ValueError: `p` or `q` is not a distribution over its last axis.
    """
    _refuse_non_distribution("p", p)
    _refuse_non_distribution("q", q)
    return -torch.xlogy(p, q).sum(-1)


def kl_categorical(p: Float[Tensor, "*batch n"], q: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch"]:
    r"""KL(P || Q) = \sum_i p_i \ln (p_i / q_i) of two discrete distributions, in nats.

    Infinite if an outcome has probability zero under Q but not under P. Outcomes with p_i = 0 add nothing.

    Raises:
        ValueError: `p` or `q` is not a distribution over its last axis.

    Example:
        >>> kl_categorical(torch.tensor([1.0, 0.0]), torch.tensor([0.5, 0.5]))  # one bit, in nats
        tensor(0.6931)
    """
    _refuse_non_distribution("p", p)
    _refuse_non_distribution("q", q)
    return (torch.xlogy(p, p) - torch.xlogy(p, q)).sum(-1)


def mutual_information(joint: Float[Tensor, "*batch x z"]) -> Float[Tensor, "*batch"]:
    r"""I(X; Z) = KL(p(x, z) || p(x) p(z)) of a discrete joint distribution, in nats.

    Raises:
        ValueError: `joint` is not a distribution over its last two axes.
    """
    product = joint.sum(-1, keepdim=True) * joint.sum(-2, keepdim=True)
    return kl_categorical(joint.flatten(-2), product.flatten(-2))


def kl_normal(
    mean_q: Float[Tensor, "*batch k"],
    covariance_q: Float[Tensor, "*batch k k"],
    mean_p: Float[Tensor, "*batch k"],
    covariance_p: Float[Tensor, "*batch k k"],
) -> Float[Tensor, "*batch"]:
    r"""KL of two Gaussians with full covariances, in nats.

    .. math:: \frac{1}{2} \left[ \mathrm{tr}(\Sigma_p^{-1} \Sigma_q)
        + (\mu_p - \mu_q)^T \Sigma_p^{-1} (\mu_p - \mu_q) - k + \ln \frac{\det \Sigma_p}{\det \Sigma_q} \right]

    Raises:
        NonFiniteError: an argument holds NaN.
        torch.linalg.LinAlgError: a covariance is not positive definite.
    """
    named = {"mean_q": mean_q, "covariance_q": covariance_q, "mean_p": mean_p, "covariance_p": covariance_p}
    for name, value in named.items():
        refuse_nan(name, value)
    root_q = torch.linalg.cholesky(covariance_q)
    root_p = torch.linalg.cholesky(covariance_p)
    # With Sigma = L L^T the trace and the distance are squared norms, and Sigma_p need not be inverted.
    scaled_root = torch.linalg.solve_triangular(root_p, root_q, upper=False)
    scaled_step = torch.linalg.solve_triangular(root_p, (mean_p - mean_q).unsqueeze(-1), upper=False)
    trace = scaled_root.square().sum((-2, -1))
    distance = scaled_step.square().sum((-2, -1))
    ratios = root_p.diagonal(dim1=-2, dim2=-1) / root_q.diagonal(dim1=-2, dim2=-1)
    half_logdet_ratio = ratios.log().sum(-1)
    kl: Tensor = 0.5 * (trace + distance - mean_q.shape[-1]) + half_logdet_ratio
    return kl


def kl_to_standard_normal(
    mean: Float[Tensor, "*batch latent"], logvar: Float[Tensor, "*batch latent"]
) -> Float[Tensor, "*batch latent"]:
    r"""KL(N(mu, diag(sigma^2)) || N(0, I)) of each latent, in nats; its sum over the last axis is the KL.

    .. math:: \frac{1}{2} \left[ \sigma^2 + \mu^2 - 1 - \ln \sigma^2 \right]

    Kingma & Welling (2014), Appendix B. Near the prior, `exp(logvar) - 1` would lose all its digits in float32;
    `expm1` does not.

    Raises:
        NonFiniteError: `mean` or `logvar` holds NaN.
    """
    refuse_nan("mean", mean)
    refuse_nan("logvar", logvar)
    return 0.5 * (mean.square() + (torch.expm1(logvar) - logvar))


class KLTerms(NamedTuple):
    """The three terms of the rate of each latent, in nats. They sum to the KL; each is zero at the prior."""

    variance: Float[Tensor, "*batch latent"]  # (sigma^2 - 1) / 2: penalises wide posteriors
    mean: Float[Tensor, "*batch latent"]  # mu^2 / 2: penalises means far from the origin
    logvar: Float[Tensor, "*batch latent"]  # -ln(sigma^2) / 2: penalises narrow posteriors


def kl_to_standard_normal_terms(
    mean: Float[Tensor, "*batch latent"], logvar: Float[Tensor, "*batch latent"]
) -> KLTerms:
    """The variance, mean and log-variance term of `kl_to_standard_normal`, in nats.

    Raises:
        NonFiniteError: `mean` or `logvar` holds NaN.
    """
    refuse_nan("mean", mean)
    refuse_nan("logvar", logvar)
    return KLTerms(0.5 * torch.expm1(logvar), 0.5 * mean.square(), -0.5 * logvar)


def _refuse_non_distribution(name: str, p: Float[Tensor, "*batch n"]) -> None:
    refuse_nan(name, p)
    total = p.sum(-1)
    if bool((p < 0).any()) or not torch.allclose(total, torch.ones_like(total), atol=1e-4):
        raise ValueError(
            f"{name} must hold probabilities that sum to 1 over the last axis, got a smallest entry of "
            f"{p.min():.3g} and sums from {total.min():.6g} to {total.max():.6g}. Divide by the sum"
        )
