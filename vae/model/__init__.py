"""The VAE, and the networks it can have: one network a file."""
