"""InfoVAE (Zhao et al., 2019): the maximum mean discrepancy of q(z) and the prior, beside the rate."""

import torch


def kernel(a, b):
    return torch.exp(-(a[:, None] - b).square().mean(2)).mean()


class MMD:
    def __init__(self, beta, weight=100.0):
        self.beta, self.weight = beta, weight

    def __call__(self, terms, step):
        z = terms.z
        prior = torch.randn(z.shape, generator=terms.generator, device=z.device)
        mmd = kernel(z, z) + kernel(prior, prior) - 2 * kernel(z, prior)
        terms.log(mmd=mmd)
        return (terms.distortion + self.beta(step) * terms.rate.sum(1)).mean() + self.weight * mmd
