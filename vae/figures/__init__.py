"""Tensors in, images and plots out: nothing here writes files."""
