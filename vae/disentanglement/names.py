"""The names of all scores. Importing this does not load the libraries that compute them."""

OF_CODES = (
    "beta_vae_score",
    "factor_vae_score",
    "mig",
    "dci_disentanglement",
    "dci_completeness",
    "dci_informativeness",
    "sap",
    "sap_continuous",
    "infom",
    "infoc",
    "infoe",
    "modularity",
    "explicitness",
    "irs",
)
OF_POSTERIORS = ("mig_chen",)  # computed from means and variances, so there is none of samples
DEPENDENCE = (
    "codes_total_correlation",
    "active_codes_total_correlation",
    "gaussian_wasserstein",
    "gaussian_wasserstein_normalised",
    "mutual_information_score",
)
# Endings of the names: of one sample of each posterior; of posterior means with each latent permuted over the images.
SAMPLED, SHUFFLED = "_sampled", "_shuffled"
ALL = frozenset(
    [
        *OF_CODES,
        *OF_POSTERIORS,
        *DEPENDENCE,
        *(name + SAMPLED for name in (*OF_CODES, *DEPENDENCE)),
        *(name + SHUFFLED for name in (*OF_CODES, *OF_POSTERIORS, *DEPENDENCE)),
    ]
)
FORMER = {  # names in older summaries, and what they are called now
    "modularity_baseline": "modularity_shuffled",
    "irs_baseline": "irs_shuffled",
    "modularity_baseline_sampled": "modularity_shuffled_sampled",
    "irs_baseline_sampled": "irs_shuffled_sampled",
}
