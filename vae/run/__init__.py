"""What a run leaves in its directory: configuration, checkpoints, logged numbers, figures and summary."""
