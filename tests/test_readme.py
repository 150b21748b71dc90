"""What the documents tell people to type, typed; where their links lead; what they show of code."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from command import ROOT, run, run_train

import vae
from vae.app.command_line import checked
from vae.app.invocation import Parser
from vae.app.program import VERBS

README = (ROOT / "README.md").read_text()
LISTED = subprocess.run(["git", "ls-files", "*README.md"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
DOCUMENTS = sorted(ROOT / name for name in LISTED.split())
CONFIGS = ROOT / "configs"
PROGRAM = ("beta-vae ", "python -m vae ")
TRAINING = ("python train.py ", "beta-vae train ", "python -m vae train ")
KINDS = ("make ", "source .venv/bin/activate", "eval ", "python train.py", "python scripts/", "pip install ", *PROGRAM)


def commands(document: Path) -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", document.read_text(), flags=re.DOTALL)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


COMMANDS = sorted({command for document in DOCUMENTS for command in commands(document)})


def test_the_documents_are_found_and_the_readme_is_short():
    assert len(DOCUMENTS) >= 6
    assert len(README.splitlines()) <= 160


def test_every_command_is_of_a_kind_that_is_tested():
    assert [command for command in COMMANDS if not command.startswith(KINDS)] == []


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith(TRAINING) and "--help" not in c])
def test_every_training_command_composes(command, monkeypatch, finished_run):
    monkeypatch.syspath_prepend(ROOT / "tests" / "examples")  # where my_losses and its like lie
    monkeypatch.setattr("vae.app.command_line.check_devices", lambda _: None)  # cuda is for those who have it
    monkeypatch.setattr("vae.app.command_line.check_launcher", lambda _: None)  # likewise Slurm
    (start,) = (start for start in TRAINING if command.startswith(start))
    words = shlex.split(command.removeprefix(start).replace("outputs/RUN", str(finished_run)))
    try:
        is_good = bool(checked(words, CONFIGS).tasks)
    except SystemExit as shown:  # what was asked for was only shown
        is_good = shown.code == 0
    assert is_good


@pytest.mark.parametrize("target", sorted({word for c in COMMANDS for word in re.findall(r"^make ([\w-]+)", c)}))
def test_every_make_target_exists_and_is_described(target):
    described = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.search(rf"^  make {target} +\S", described, flags=re.MULTILINE)
    subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, check=True)


def test_make_help_describes_all_that_is_promised():
    described = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    named = re.findall(r"^  make ([\w-]+) ", described, flags=re.MULTILINE)
    assert named == ["help", "train", "test", "slurm-test", "check", "bench", "bench-quick", "board", "sweep", "clean"]


def test_the_small_torch_is_installed_where_it_is_asked_for():
    def dry_run(*words):
        return subprocess.run(["make", "-nB", "train", *words], cwd=ROOT, capture_output=True, text=True).stdout

    assert "whl/cpu torch torchvision" in dry_run("TORCH=cpu")
    assert "whl/cpu" not in dry_run()


SCRIPTS = ("python scripts/evaluate.py", "python scripts/traverse.py", "python scripts/report.py")
SCRIPTS += ("python scripts/explore.py",)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith(SCRIPTS) and "--samples" not in c])
def test_every_script_command_runs(command, finished_run, tmp_path):
    shutil.copytree(finished_run, tmp_path / "run")  # traverse.py adds a figure
    words = command.replace("outputs/RUN", str(tmp_path / "run")).replace("outputs/SWEEP", str(tmp_path))
    words = words.replace("outputs/COMPARED", str(tmp_path / "compared"))
    done = run(*words.split()[1:])
    assert done.returncode == 0, done.stderr


def test_every_script_that_is_named_exists_and_takes_the_options_that_are_shown():
    named = {c for c in COMMANDS if c.startswith("python ")}
    named |= {c for path in DOCUMENTS for c in re.findall(r"`(python [\w/]+\.py[^`]*)`", path.read_text())}
    for script in {command.split()[1] for command in named}:
        assert (ROOT / script).exists(), script
        options = {o for c in named if script in c for o in re.findall(r" (--[a-z]+)", c)} - {"--help"}
        if Path(script).stem in VERBS:
            assert options <= options_of(Path(script).stem)
        else:
            assert [option for option in options if f'"{option}"' not in (ROOT / script).read_text()] == []


def options_of(verb: str) -> set[str]:
    """The options of a command of the program."""
    if verb not in VERBS or verb == "train":
        return set()
    parser = Parser(verb, "")
    import_module(VERBS[verb][0]).add_arguments(parser)
    return {option for option in parser.format_help().replace(",", " ").split() if option.startswith("--")}


def test_every_command_of_the_program_that_is_named_exists_and_takes_the_options_that_are_shown():
    named = {c for c in COMMANDS if c.startswith(PROGRAM)}
    named |= {c for path in DOCUMENTS for c in re.findall(r"`((?:beta-vae|python -m vae) [^`]+)`", path.read_text())}
    for command in named:
        verb, *words = re.sub("^(beta-vae|python -m vae) ", "", command).split()
        assert verb in {*VERBS, "VERB", "--help", "--version"}, command
        options = {word for word in words if re.fullmatch("--[a-z]+", word)} - {"--help"}
        assert verb == "train" or not options or options <= options_of(verb), command


def test_the_example_of_a_trained_model_runs(finished_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("images.npy", np.zeros((3, 28, 28), dtype=np.uint8))
    example, _ = re.findall(r"```python\n(.*?)```", (ROOT / "vae/trained/README.md").read_text(), flags=re.DOTALL)
    names: dict = {}
    exec(example.replace("outputs/RUN", str(finished_run)), names)
    assert names["q"].mean.shape == (3, 2)
    assert names["elbo"].shape == (3,)


def test_the_example_of_a_notebook_runs(finished_run, tmp_path, monkeypatch):
    np.save(tmp_path / "images.npy", np.zeros((3, 28, 28), dtype=np.uint8))
    (example,) = (block for block in re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL) if "import" in block)
    assert 'vae.train(beta=4, epochs=2)  # or vae.load("outputs/RUN")' in example
    monkeypatch.setattr("vae.train", lambda **_: vae.load(finished_run), raising=False)
    names: dict = {}
    exec(example.replace("PLACE", str(tmp_path / "images.npy")), names)
    assert names["pictures"].shape == (16, 1, 28, 28)
    assert names["q"].mean.shape == (3, 2)
    assert names["elbo"].shape == (3,)


def test_the_library_example_runs():
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "vae/README.md").read_text(), flags=re.DOTALL)
    code = example + "\nassert posterior.mean.shape == (16, 20) and loss.ndim == 0; loss.backward()"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_the_list_of_packages_is_that_of_the_tree():
    listed = re.findall(r"^\| (\[.*?) \|", (ROOT / "vae/README.md").read_text(), flags=re.MULTILINE)
    named = {name for cell in listed for name in re.findall(r"\[`(\w+)`\]", cell)}
    assert named == {path.parent.name for path in (ROOT / "vae").glob("*/__init__.py")}


EXAMPLES = re.findall(r"\]\((tests/examples/\w+\.py)\): `([^`]+)`\n\n```python\n(.*?)```", README, flags=re.DOTALL)


def test_there_is_an_example_of_each_part_that_can_be_added():
    assert [Path(path).stem for path, _, _ in EXAMPLES] == ["my_losses", "my_nets", "my_data", "my_metrics"]


@pytest.mark.parametrize(("path", "words", "shown"), EXAMPLES, ids=lambda text: text[-20:])
def test_an_example_is_of_a_short_file_and_its_words_compose(path, words, shown, monkeypatch):
    lines = (ROOT / path).read_text().splitlines()
    assert len(lines) <= 25
    left = iter(lines)
    missing = [
        line for line in shown.splitlines() if line.split("  #")[0] not in (one.split("  #")[0] for one in left)
    ]
    assert missing == []  # the lines that are shown are in the file, in this order
    monkeypatch.syspath_prepend(ROOT / "tests" / "examples")
    assert checked(words.split(), CONFIGS)


def test_the_example_of_a_wrong_word_is_what_one_reads():
    done = run_train("beat=4")
    assert (done.returncode, done.stderr.strip()) == (1, "error: unknown key beat. Did you mean beta?")
    assert done.stderr.strip() in README


def test_every_extra_that_is_named_exists():
    with (ROOT / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    named = {name for path in DOCUMENTS for name in re.findall(r"'\.\[(\w+)\]'", path.read_text())}
    assert named == {"cluster", "bench", "export", "compress"}
    assert named <= set(extras)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_to_a_file_leads_to_one(document):
    links = [link for link in re.findall(r"\]\(([^)]+)\)", document.read_text()) if not link.startswith("http")]
    assert [link for link in links if not (document.parent / link.split("#")[0]).exists()] == []


def test_every_proof_of_a_promise_exists():
    proofs = (ROOT / "tests" / "README.md").read_text()
    named = set(re.findall(r"tests/[\w/]+\.py", proofs))
    assert len(named) > 15
    assert [name for name in named if not (ROOT / name).exists()] == []
    trials = (ROOT / "tests" / "programs" / "trials.py").read_text()
    assert [name for name in re.findall(r"trials\.py (\w+)", proofs) if f'    "{name}": (' not in trials] == []
