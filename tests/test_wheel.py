"""The wheel has the whole application, and works from any directory without the checkout."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from command import MEMBER, ROOT

import vae

with (ROOT / "pyproject.toml").open("rb") as file:
    PROJECT = tomllib.load(file)
SETUPTOOLS = PROJECT["tool"]["setuptools"]


def test_every_package_is_listed():
    packages = {path.parent for path in ROOT.glob("vae/**/__init__.py")}
    listed = {str(path.relative_to(ROOT)).replace("/", ".") for path in packages}
    configs = {path.parent.relative_to(ROOT) for path in ROOT.glob("configs/**/*.yaml")}
    listed |= {".".join(("vae", *path.parts)) for path in configs}
    assert SETUPTOOLS["packages"] == sorted(listed)


def test_the_version_has_one_source():
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert SETUPTOOLS["dynamic"] == {"version": {"attr": "vae.__version__"}}
    assert re.fullmatch(r"\d+\.\d+\.\d+", vae.__version__)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from a copy of the files it is made of."""
    major = int(pytest.importorskip("setuptools").__version__.split(".")[0])
    if major < 77:
        pytest.skip("setuptools 77 or newer makes the wheel")
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("vae", "configs"):
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    command += ["--wheel-dir", str(folder), str(folder / "source")]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    assert path.name.startswith(f"beta_vae-{vae.__version__}-")
    return path


@pytest.fixture(scope="module")
def installed(wheel) -> Path:
    """A folder with the content of the wheel, for PYTHONPATH."""
    folder = wheel.parent / "installed"
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


def files(top: Path, pattern: str = "*") -> set[str]:
    """The files below a folder, but for documents and what Python caches."""
    found = {path.relative_to(top) for path in top.rglob(pattern) if path.is_file()}
    return {str(path) for path in found if "__pycache__" not in path.parts and path.suffix != ".md"}


def test_the_wheel_has_every_file_of_the_package_and_of_the_configuration(installed):
    assert files(installed / "vae") == files(ROOT / "vae") | {f"configs/{name}" for name in files(ROOT / "configs")}


def test_the_wheel_has_the_program(installed):
    (text,) = (path.read_text() for path in installed.glob("*.dist-info/entry_points.txt"))
    assert text.split() == ["[console_scripts]", "beta-vae", "=", "vae.app.program:start"]


def outside(installed: Path, where: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The console script of the wheel in a directory of its own, by the words it is given."""
    code = f"import sys; sys.argv[0] = '/bin/beta-vae'; sys.path.insert(0, {str(installed)!r}); sys.path.remove('')"
    code += "; import vae; from vae.app.program import start; print(vae.__file__); sys.exit(start())"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", code, *words]
    return subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=300, env=environment)


def test_the_program_of_the_wheel_trains_a_sweep_and_evaluates_a_member_in_any_directory(
    installed, tmp_path, few_images
):
    words = (*few_images, *MEMBER, "epochs=1", "-m", "beta=1,4", "hydra.sweep.dir=outputs/sweep")
    done = outside(installed, tmp_path, "train", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(str(installed))
    assert "2 of 2 members done" in done.stdout
    member = "outputs/sweep/beta=4.0_seed=0"
    run = (tmp_path / member / "run.json").read_text()
    assert '"revision": null' in run  # not that of a checkout around the environment
    assert f'"beta-vae": "{vae.__version__}"' in run
    done = outside(installed, tmp_path, "evaluate", member)
    assert done.returncode == 0, done.stderr
    assert "agrees with" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outputs"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("train", "beat=4"), 1, "error: unknown key beat. Did you mean beta?"),
        (("train", "experiment=higgins2017", "--cfg", "job"), 0, ""),
    ],
)
def test_the_wheel_answers_from_its_own_configuration_files(installed, tmp_path, words, code, said):
    done = outside(installed, tmp_path, *words)
    assert (done.returncode, done.stderr.strip()) == (code, said)
