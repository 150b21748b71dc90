"""What a member of a sweep leaves: few files, and more where one asks for them."""

import json
from pathlib import Path

import pytest
from board import serving
from command import run_train

MOST_FILES = 12
SMALL = ("epochs=2", "model.hidden=[16]", "model.latent_dim=2", "threads=1", "tracking.log_every_steps=5")
PLAIN, DETAILED = "beta=4.0_seed=0_tracking.details=null", "beta=4.0_seed=0_tracking.details=True"


@pytest.fixture(scope="module")
def folder(few_images, tmp_path_factory) -> Path:
    """A sweep of many members, of which one is trained, and one whose details were asked for."""
    sweep = tmp_path_factory.mktemp("files") / "sweep"
    sweep.mkdir()
    (sweep / "members.json").write_text(json.dumps({"members": [f"beta=4.0_seed={seed}" for seed in range(1, 20)]}))
    words = ("beta=4", "tracking.details=null,true", "tracking.explorer=false", f"hydra.sweep.dir={sweep}")
    done = run_train("-m", *few_images, *SMALL, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return sweep


def files(member: Path) -> set[str]:
    return {str(path.relative_to(member)) for path in member.rglob("*") if path.is_file()}


def test_a_member_of_a_sweep_of_more_than_twenty_leaves_at_most_twelve_files(folder):
    found = files(folder / PLAIN)
    assert len(found) <= MOST_FILES, sorted(found)
    assert sum("events.out.tfevents" in name for name in found) == 1
    assert {"summary.json", "metrics.jsonl", "codes.npz", "checkpoints/last", "checkpoints/best"} <= found


def test_a_sweep_that_asks_for_details_has_the_figures_of_its_members(folder):
    found = files(folder / DETAILED)
    assert {"figures/traversals.png", "figures/reconstructions.png", "projector_config.pbtxt"} <= found
    assert sum("events.out.tfevents" in name for name in found) == 1


def test_details_change_no_number(folder):
    plain, detailed = ((folder / name / "metrics.jsonl").read_text().splitlines() for name in (PLAIN, DETAILED))
    assert len(plain) == len(detailed)
    assert any("z/kl/00" in line for line in plain)
    assert [line for line in plain if "images_per_second" not in line] == [
        line for line in detailed if "images_per_second" not in line
    ]


def test_tensorboard_shows_the_numbers_of_a_member_and_its_row_without_those_of_each_latent(folder, tmp_path):
    with serving(folder / PLAIN, tmp_path / "output") as server:
        tags = server.tags("scalars")
        assert {"train/loss", "validation/elbo", "test/elbo"} <= tags
        assert not [tag for tag in tags if tag.startswith("z/")]
        assert server.ask("plugin/images/tags").get(PLAIN, {}) == {}
        assert len(server.session_groups()) == 2


def test_the_members_of_a_small_sweep_have_their_figures(few_images, tmp_path):
    words = ("beta=4", "tracking.explorer=false", f"hydra.sweep.dir={tmp_path / 'sweep'}")
    done = run_train("-m", *few_images, *SMALL, "epochs=1", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {"figures/traversals.png", "projector_config.pbtxt"} <= files(tmp_path / "sweep/beta=4.0_seed=0")
