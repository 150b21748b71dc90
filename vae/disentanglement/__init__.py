"""Disentanglement: how well single latents describe single generative factors. One metric a file; see README.md."""
