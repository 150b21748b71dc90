"""The program `beta-vae`, also `python -m vae`: one command for each thing that is done with a model."""

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import vae
from vae.app import console
from vae.app.invocation import PROGRAM, Parser, UsageError
from vae.config import ConfigError, near

# The module of each command, and its line of `beta-vae --help`. A module is imported when its command is given.
VERBS = {
    "train": ("vae.app.verbs.train", "train a model, or a sweep: beta-vae train beta=4"),
    "fetch": ("vae.app.verbs.fetch", "download or draw data once, for trainings without a network"),
    "predict": ("vae.app.verbs.predict", "compute what the best linear model reaches, without a training"),
    "evaluate": ("vae.app.verbs.evaluate", "compute the test numbers of a run again"),
    "traverse": ("vae.app.verbs.traverse", "draw the latent traversals of runs"),
    "explore": ("vae.app.verbs.explore", "make a page to move the latents of runs by hand"),
    "status": ("vae.app.verbs.status", "list the members of a sweep: done, running with what is left, failed"),
    "report": ("vae.app.verbs.report", "compare sweeps and runs on one page"),
    "choose": ("vae.app.verbs.choose", "recommend a beta for an aim, with the evidence"),
    "encode": ("vae.app.verbs.encode", "write the codes and the ELBO of your own files into a table"),
    "sample": ("vae.app.verbs.sample", "draw new images from the prior"),
    "reconstruct": ("vae.app.verbs.reconstruct", "show your own images beside their reconstructions"),
    "interpolate": ("vae.app.verbs.interpolate", "draw the images between two images"),
    "outliers": ("vae.app.verbs.outliers", "list your own files by their ELBO, the lowest first"),
    "compress": ("vae.app.verbs.compress", "compress binary images to the ELBO in bits"),
    "decompress": ("vae.app.verbs.decompress", "write the images of a compressed file"),
    "export": ("vae.app.verbs.export", "write the model for other programs: safetensors, ONNX"),
}


def start() -> int:
    """Run the program with the words it was started with. Returns the exit code."""
    console.prepare()
    code = main()
    console.flush()
    return code


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command of the program. Returns the exit code.

    Args:
        arguments: the command and its words, as in `["train", "beta=4"]`. None for `sys.argv[1:]`.

    Raises:
        SystemExit: after `--help`, and 1 or 2 for words that cannot be used.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    match words:
        case []:
            sys.stderr.write(help_text())
            return 2
        case ["-h" | "--help", *_]:
            console.say(help_text().rstrip())
            return 0
        case ["--version", *_]:
            console.say(f"{PROGRAM} {vae.__version__}")
            return 0
        case ["-sc", *rest]:
            return complete(rest)
        case ["train", *rest]:
            from vae.app.verbs import train

            return train.main(rest)
        case [verb, *rest] if verb in VERBS:
            return call(verb, rest, f"{PROGRAM} {verb}")
    sys.stderr.write(f"error: {console.one_line(unknown(words[0]))}\n")
    return 2


def help_text() -> str:
    """The commands with a line each."""
    width = max(map(len, VERBS))
    lines = (f"  {verb:{width}}  {line}" for verb, (_, line) in VERBS.items())
    return "\n".join(
        [
            f"Train a β-VAE, and use it: {PROGRAM} COMMAND ...",
            "",
            *lines,
            "",
            f"{PROGRAM} COMMAND --help says more. {PROGRAM} --version prints the version.",
            "",
        ]
    )


def complete(words: Sequence[str]) -> int:
    """Print what the shell may complete the line to, which is in COMP_LINE: a command, or the words of `train`.

    Args:
        words: as in `["query=bash"]`.
    """
    name, _, rest = os.environ.get("COMP_LINE", "").partition(" ")
    verb, is_whole, rest = rest.lstrip().partition(" ")
    if not is_whole:
        console.say(" ".join(known for known in VERBS if known.startswith(verb)))
    elif verb == "train":
        from vae.app.verbs import train

        os.environ["COMP_LINE"] = f"{name} {rest}"
        return train.main(["-sc", *words])
    return 0


def unknown(word: str) -> str:
    """The error of a word that is no command."""
    if "=" in word and not word.startswith("-"):
        return f"the first word must be a command, got {word}. Write {PROGRAM} train {word}"
    return f"unknown command {word or repr(word)}.{near(word, VERBS) or f' {PROGRAM} --help lists them'}"


def call(verb: str, words: Sequence[str], name: str) -> int:
    """Run a command that is not `train`. An error that can be expected is printed in one line. Returns the exit code.

    Args:
        verb: the command, a key of `VERBS`.
        words: its arguments.
        name: what was typed to start it, for its help.

    Raises:
        SystemExit: after `--help`, and 2 if the words do not have the form of the command.
    """
    try:
        module = importlib.import_module(VERBS[verb][0])
    except ImportError as error:  # a damaged installation, or too little memory to load torch
        sys.stderr.write(f"error: {error}. Is everything installed, and is there enough memory?\n")
        return 1
    parser = Parser(name, module.__doc__ or "")
    module.add_arguments(parser)
    given = parser.parse_intermixed_args(words)
    try:
        return int(module.run(given))
    except ConfigError as error:
        text, code = str(error), 2 if isinstance(error, UsageError) else 1
    except Exception as error:
        from vae.app.main import EXPECTED, exit_code, is_out_of_memory, said  # loads torch, which not all commands do

        if not (isinstance(error, EXPECTED) or is_out_of_memory(error)):
            raise
        text, code = said(error), exit_code(error)
    sys.stderr.write(f"error: {console.one_line(text)}\n")
    return code


def start_script(verb: str) -> int:
    """Run a command as `python scripts/VERB.py`. Returns the exit code."""
    console.prepare()
    code = call_script(verb)
    console.flush()
    return code


def call_script(verb: str) -> int:
    """As `start_script`, in a process whose streams and signals stay as they are."""
    return call(verb, sys.argv[1:], f"python scripts/{Path(sys.argv[0]).name}")
