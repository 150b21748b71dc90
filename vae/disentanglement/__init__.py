"""How well single latents tell single generative factors: one metric a file, all from one encoding."""
