"""How much the latents depend on each other. The factors are not needed. Independent latents have 0 everywhere.

Locatello et al. (2019), "Challenging Common Assumptions in the Unsupervised Learning of Disentangled Representations".
"""

import numpy as np
import torch
from jaxtyping import Float

from vae.disentanglement.representation import information_matrix
from vae.measures.information import equal_width_bins
from vae.measures.moments import gaussian_total_correlation

DEAD = 1e-12  # variance; a latent below has no correlation
ACTIVE = 0.01  # variance of a posterior mean; Burda et al. (2016) call a latent above it active


def dependence(codes: Float[np.ndarray, "images latents"]) -> dict[str, float]:
    """The measures of dependence by name.

    - `codes_total_correlation`, nats: KL(N(0, C) || N(0, diag C)) with the covariance C of all latents that vary, as
      in Locatello et al. (2019). It depends only on correlations, so collapsed latents count as much as others. It may
      rise with beta because more latents collapse.
    - `active_codes_total_correlation`, nats: the same for latents with a variance above 0.01. If the codes are
      posterior means, these are the active units of Burda et al. (2016). If they are samples, these are all latents.
    - `gaussian_wasserstein`: the squared 2-Wasserstein distance of the two Gaussians.
    - `gaussian_wasserstein_normalised`: this distance divided by the total variance.
    - `mutual_information_score`, nats: the mean over pairs of latents, in 20 bins. Collapsed latents count.
    """
    covariance = np.atleast_2d(np.cov(codes, rowvar=False))
    wasserstein = gaussian_wasserstein(covariance)
    bins = equal_width_bins(torch.from_numpy(codes.astype(np.float64))).numpy()
    pairs = np.tril_indices(codes.shape[1], -1)
    total = np.trace(covariance)
    return {
        "codes_total_correlation": gaussian_total_correlation(torch.from_numpy(covariance), DEAD),
        "active_codes_total_correlation": gaussian_total_correlation(torch.from_numpy(covariance), ACTIVE),
        "gaussian_wasserstein": wasserstein,
        "gaussian_wasserstein_normalised": float(wasserstein / total) if total > DEAD else 0.0,
        "mutual_information_score": float(information_matrix(codes, bins)[pairs].sum() / max(1, len(pairs[0]))),
    }


def gaussian_wasserstein(covariance: Float[np.ndarray, "latents latents"]) -> float:
    """The squared 2-Wasserstein distance of N(0, covariance) and N(0, its diagonal)."""
    root = np.sqrt(np.maximum(covariance.diagonal(), 0))
    # tr sqrt(C D) = tr sqrt(D^1/2 C D^1/2). The latter is symmetric: its square root has the roots of its eigenvalues.
    eigenvalues = np.linalg.eigvalsh(covariance * np.outer(root, root))
    between = np.sqrt(np.maximum(eigenvalues, 0)).sum()
    return max(0.0, float(2 * np.trace(covariance) - 2 * between))
