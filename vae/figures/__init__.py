"""Images and plots as tensors of bytes. Nothing here writes files."""
