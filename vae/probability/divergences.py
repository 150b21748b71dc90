"""Divergences and entropies in closed form, in nats.

Kullback & Leibler (1951), "On Information and Sufficiency"; the Gaussian forms as in Kingma & Welling (2014),
"Auto-Encoding Variational Bayes", Appendix B.

A divergence has four properties, each of them a test: KL(P||Q) >= 0; it is zero only where P = Q; KL(P||Q) is not
KL(Q||P); and it keeps no triangle inequality, so it is no distance.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vae.probability.finite import holds_nan, refuse_nan


def entropy(p: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch"]:
    r"""Entropy of a discrete distribution, H(P) = -\sum_i p_i \ln p_i = \ln n - KL(P || uniform), in nats.

    Raises:
        ValueError: `p` is no distribution over its last axis.

    Example:
        >>> entropy(torch.full((4,), 0.25)).exp()  # a fair choice among four
        tensor(4.)
    """
    _refuse_non_distribution("p", p)
    return -torch.xlogy(p, p).sum(-1)


def cross_entropy(p: Float[Tensor, "*batch n"], q: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch"]:
    r"""Cross-entropy H(P, Q) = -\sum_i p_i \ln q_i = H(P) + KL(P || Q), in nats: the price of P coded as if it were Q.

    Raises:
        ValueError: `p` or `q` is no distribution over its last axis.
    """
    _refuse_non_distribution("p", p)
    _refuse_non_distribution("q", q)
    return -torch.xlogy(p, q).sum(-1)


def kl_categorical(p: Float[Tensor, "*batch n"], q: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch"]:
    r"""KL(P || Q) = \sum_i p_i \ln (p_i / q_i) of two discrete distributions, in nats.

    Infinite where Q excludes what P allows. An outcome that P excludes adds nothing (0 ln 0 = 0).

    Raises:
        ValueError: `p` or `q` is no distribution over its last axis.

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
        ValueError: `joint` is no distribution over its last two axes.
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
    for name, value in (
        ("mean_q", mean_q),
        ("covariance_q", covariance_q),
        ("mean_p", mean_p),
        ("covariance_p", covariance_p),
    ):
        refuse_nan(name, value)
    root_q = torch.linalg.cholesky(covariance_q)
    root_p = torch.linalg.cholesky(covariance_p)
    # Sigma_p^-1 is never formed: with Sigma = L L^T, the trace and the distance are squared norms of solutions.
    scaled_root = torch.linalg.solve_triangular(root_p, root_q, upper=False)
    scaled_step = torch.linalg.solve_triangular(root_p, (mean_p - mean_q).unsqueeze(-1), upper=False)
    trace = scaled_root.square().sum((-2, -1))
    distance = scaled_step.square().sum((-2, -1))
    half_logdet_ratio = (_log_diagonal(root_p) - _log_diagonal(root_q)).sum(-1)
    kl: Tensor = 0.5 * (trace + distance - mean_q.shape[-1]) + half_logdet_ratio
    return kl


def kl_to_standard_normal(
    mean: Float[Tensor, "*batch latent"], logvar: Float[Tensor, "*batch latent"]
) -> Float[Tensor, "*batch latent"]:
    r"""KL(N(mu, diag(sigma^2)) || N(0, I)) of each latent, in nats; its sum over the last axis is the KL.

    .. math:: \frac{1}{2} \left[ \sigma^2 + \mu^2 - 1 - \ln \sigma^2 \right]

    Kingma & Welling (2014), Appendix B. `exp(logvar) - 1` is taken by `expm1`: written as it stands it loses every
    digit near the prior (3 times too large at logvar = 1e-4 in float32).

    Raises:
        NonFiniteError: `mean` or `logvar` holds NaN.
    """
    kl = 0.5 * (mean.square() + (torch.expm1(logvar) - logvar))
    if holds_nan(kl):  # only then is it worth while to ask which
        refuse_nan("mean", mean)
        refuse_nan("logvar", logvar)
    return kl


class KLTerms(NamedTuple):
    """The rate of each latent, taken apart, in nats. The three sum to the KL, and all are zero at the prior."""

    variance: Float[Tensor, "*batch latent"]  # (sigma^2 - 1) / 2: wide posteriors cost
    mean: Float[Tensor, "*batch latent"]  # mu^2 / 2: means far from the origin cost
    logvar: Float[Tensor, "*batch latent"]  # -ln(sigma^2) / 2: narrow posteriors cost


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


def _log_diagonal(root: Float[Tensor, "*batch k k"]) -> Float[Tensor, "*batch k"]:
    return torch.diagonal(root, dim1=-2, dim2=-1).log()


def _refuse_non_distribution(name: str, p: Float[Tensor, "*batch n"]) -> None:
    refuse_nan(name, p)
    total = p.sum(-1)
    if bool((p < 0).any()) or not torch.allclose(total, torch.ones_like(total), atol=1e-4):
        raise ValueError(
            f"{name} must hold probabilities that sum to 1 over the last axis, got a smallest entry of "
            f"{p.min():.3g} and sums from {total.min():.6g} to {total.max():.6g}. Divide by the sum"
        )
