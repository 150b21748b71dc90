"""The VAE and its networks, one per file."""
