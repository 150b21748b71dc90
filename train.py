"""Train a β-VAE: `python train.py beta=4`. What can be set: configs/config.yaml and `python train.py --help`."""

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

from vae import command_line

CONFIGS = Path(__file__).resolve().parent / "configs"
exit_codes = [0]  # of the runs; Hydra keeps no return values


@hydra.main(version_base="1.3", config_path="configs", config_name="config")
def main(config: DictConfig) -> None:
    """One run, or one member of a sweep."""
    from vae import app  # torch is loaded here, when the configuration is known to be good

    exit_codes.append(app.run(config))


if __name__ == "__main__":
    sys.argv[1:] = command_line.checked(sys.argv[1:], CONFIGS)
    main()
    sys.exit(max(exit_codes))
