"""Train a β-VAE: `python train.py beta=4`. What can be set: configs/config.yaml and `python train.py --help`."""

import os
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from vae import command_line

SCRIPT = Path(__file__).resolve()
CONFIGS = SCRIPT.parent / "configs"
exit_codes = [0]  # of the run; Hydra keeps no return values


@hydra.main(version_base="1.3", config_path="configs", config_name="config")
def main(config: DictConfig) -> None:
    """One run, or one member of a sweep, which is a run in a process of its own."""
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        from vae import sweep

        sweep.run_member(config, SCRIPT)
    else:
        from vae import app  # torch is loaded here, when the configuration is known to be good

        exit_codes.append(app.run(config))


if __name__ == "__main__":
    command = command_line.checked(sys.argv[1:], CONFIGS)
    sys.argv[1:] = command.arguments
    os.environ["HYDRA_FULL_ERROR"] = "1"  # else a full disk would have Hydra end the process, with a traceback
    try:
        main()
    except OSError as error:
        from vae import app

        sys.stderr.write(f"error: {error}\n")
        exit_codes.append(app.exit_code(error))
    if command.sweep is not None:
        from vae import sweep

        exit_codes.append(sweep.conclude(command.sweep, command.members))
    sys.exit(max(exit_codes))
