"""configs/README.md lists every option of every group; a preset names the command that runs it."""

import re

import pytest
from command import ROOT, run_train

from vae.config.options import OPTIONS

CONFIGS = ROOT / "configs"
PRESETS = sorted(path.stem for path in (CONFIGS / "experiment").glob("*.yaml"))


@pytest.mark.parametrize("group", ["experiment", *OPTIONS])
def test_the_table_of_a_group_lists_its_files(group):
    table = (CONFIGS / "README.md").read_text().split(f"| `{group}=` |")[1].split("\n\n")[0]
    listed = re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)
    assert sorted(listed) == sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))
    assert group == "experiment" or sorted(listed) == sorted(OPTIONS[group])


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_says_how_it_is_run(preset):
    assert f"\n# python train.py experiment={preset}\n" in (CONFIGS / "experiment" / f"{preset}.yaml").read_text()


def test_a_preset_runs(tmp_path):
    done = run_train("experiment=smoke", directory=tmp_path / "run")
    assert done.returncode == 0, done.stderr
