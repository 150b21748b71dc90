"""The commands of the program `beta-vae`, one a module: `add_arguments(parser)` and `run(arguments)`."""
