"""What the README tells people to type, typed."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib

import pytest
from command import ROOT, run, run_train

from vae.app.command_line import checked

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```bash\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = [line.split("#")[0].strip() for block in BLOCKS for line in block.splitlines()]
CONFIGS = ROOT / "configs"


def test_every_command_is_of_a_kind_that_is_tested():
    kinds = ("make ", "source .venv/bin/activate", "python train.py", "python scripts/", "pip install '.[")
    assert [command for command in COMMANDS if not command.startswith(kinds)] == []


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("python train.py")])
def test_every_training_command_composes(command, monkeypatch, finished_run):
    words = command.replace("outputs/RUN", str(finished_run))
    words = shlex.split(words)[2:]
    monkeypatch.setattr("vae.app.command_line.check_devices", lambda _: None)  # cuda is for those who have it
    try:
        is_good = bool(checked(words, CONFIGS).tasks)
    except SystemExit as shown:  # what was asked for was only shown
        is_good = shown.code == 0
    assert is_good


@pytest.mark.parametrize("target", sorted({word for c in COMMANDS for word in re.findall(r"^make (\w+)", c)}))
def test_every_make_target_exists_and_is_described(target):
    described = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.search(rf"^  make {target} +\S", described, flags=re.MULTILINE)
    subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, check=True)


def test_make_help_describes_all_that_is_promised():
    described = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    named = re.findall(r"^  make ([\w-]+) ", described, flags=re.MULTILINE)
    assert named == ["help", "train", "test", "check", "bench", "bench-quick", "board", "sweep", "clean"]


def test_the_small_torch_is_asked_for_where_the_readme_says():
    line = subprocess.run(["make", "-nB", "train", "TORCH=cpu"], cwd=ROOT, capture_output=True, text=True).stdout
    assert "whl/cpu torch torchvision" in line
    assert "whl/cpu" not in subprocess.run(["make", "-nB", "train"], cwd=ROOT, capture_output=True, text=True).stdout


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("python scripts/")])
def test_every_script_command_runs(command, finished_run, tmp_path):
    shutil.copytree(finished_run, tmp_path / "run")  # traverse.py adds a figure
    words = command.replace("outputs/RUN", str(tmp_path / "run")).replace("outputs/SWEEP", str(tmp_path))
    done = run(*words.split()[1:])
    assert done.returncode == 0, done.stderr


def test_the_library_example_runs():
    (example,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    code = example + "\nassert posterior.mean.shape == (16, 20) and loss.ndim == 0; loss.backward()"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_the_example_of_a_wrong_word_is_what_one_reads():
    done = run_train("beat=4")
    assert (done.returncode, done.stderr.strip()) == (1, "error: unknown key beat. Did you mean beta?")
    assert done.stderr.strip() in README


def test_every_preset_is_in_the_table_and_runs(tmp_path):
    presets = sorted(path.stem for path in (CONFIGS / "experiment").glob("*.yaml"))
    assert sorted(re.findall(r"^\| `(\w+)` \|", README, flags=re.MULTILINE)) == presets
    for preset in presets:
        first = (CONFIGS / "experiment" / f"{preset}.yaml").read_text().splitlines()[1]
        assert first == f"# python train.py experiment={preset}"
    done = run_train("experiment=smoke", directory=tmp_path / "run")
    assert done.returncode == 0, done.stderr


def test_every_extra_that_is_named_exists():
    with (ROOT / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    named = {name for command in COMMANDS for name in re.findall(r"^pip install '\.\[(\w+)\]'$", command)}
    assert named == {"parallel", "cluster"}
    assert named <= set(extras)


def test_every_link_to_a_file_leads_to_one():
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if not link.startswith("http")]
    assert len(links) > 5
    assert [link for link in links if not (ROOT / link).exists()] == []
