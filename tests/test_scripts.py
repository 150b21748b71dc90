import json
import shutil

import numpy as np
import pytest
from command import one_error_line, run
from PIL import Image

import evaluate
import traverse

pytestmark = pytest.mark.usefixtures("mnist_root")


def test_evaluate_recomputes_the_numbers_of_the_summary(finished_run):
    done = run("scripts/evaluate.py", str(finished_run))
    assert done.returncode == 0, done.stderr
    assert "agrees with" in done.stderr
    assert json.loads(done.stdout) == json.loads((finished_run / "summary.json").read_text())["test"]


def test_evaluate_notices_a_number_that_is_not_the_models(tmp_path, finished_run, called):
    shutil.copytree(finished_run, tmp_path / "run")
    path = tmp_path / "run" / "summary.json"
    content = json.loads(path.read_text())
    content["test"]["rate_per_latent"][1] += 0.01
    path.write_text(json.dumps(content))
    done = called(evaluate, str(tmp_path / "run"))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("in rate_per_latent")


def test_evaluate_says_of_a_run_that_failed_that_it_did(tmp_path, finished_run, called):
    copy = shutil.copytree(finished_run, tmp_path / "run")
    (copy / "summary.json").write_text(json.dumps({"status": "failed", "code": 6, "error": "the disk is full"}))
    done = called(evaluate, str(copy))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("has no numbers to compare: the run failed, the disk is full")


def test_evaluate_estimates_the_nll_beside_the_numbers_of_the_summary(finished_run, called):
    done = called(evaluate, str(finished_run), "--samples", "100", "--images", "1000")
    assert done.returncode == 0, done.stderr
    numbers = json.loads(done.stdout)
    nll = -numbers["importance_weighted_bound"]["bound"]  # of the same samples and images
    assert numbers.pop("nll") == {"images": 1000, "samples": 100, "nll": nll}
    assert numbers == json.loads((finished_run / "summary.json").read_text())["test"]


def test_evaluate_estimates_the_nll_by_refitted_posteriors_if_asked(finished_run, called):
    done = called(evaluate, str(finished_run), "--samples", "100", "--images", "500", "--refit")
    assert done.returncode == 0, done.stderr
    numbers = json.loads(done.stdout)
    nll = -numbers["refitted_bound"]["bound"]  # of the same samples and images
    assert numbers["nll"] == {"images": 500, "samples": 100, "refitted": True, "nll": nll}


def test_evaluate_agrees_with_a_summary_that_has_no_refitted_bound(tmp_path, finished_run, called):
    copy = shutil.copytree(finished_run, tmp_path / "run")
    summary = json.loads((copy / "summary.json").read_text())
    del summary["test"]["refitted_bound"]
    (copy / "summary.json").write_text(json.dumps(summary))
    done = called(evaluate, str(copy))
    assert done.returncode == 0, done.stderr
    summary["test"]["rate"] = 0.5
    (copy / "summary.json").write_text(json.dumps(summary))
    assert called(evaluate, str(copy)).returncode == 1


def test_evaluate_takes_the_best_checkpoint_and_one_sample_gives_a_looser_bound(finished_run, called):
    done = called(evaluate, str(finished_run), "--checkpoint", "best", "--samples", "1", "--images", "1000")
    assert done.returncode == 0, done.stderr
    numbers = json.loads(done.stdout)
    assert numbers["images"] == 10_000
    assert numbers["nll"]["nll"] > -numbers["importance_weighted_bound"]["bound"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--samples", "0"], "--samples and --images must be 1 or more"),
        (["--samples", "5", "--images", "-1"], "--samples and --images must be 1 or more"),
        (["--refit"], "--refit is of the NLL. Add --samples, as in --samples 100 --refit"),
        (["--images", "5"], "--images is of the NLL. Add --samples, as in --samples 5000"),
    ],
)
def test_evaluate_refuses_an_nll_of_nothing(words, said, called):
    done = called(evaluate, "nowhere", *words)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith(said)


def test_traverse_draws_the_latents_by_rate(tmp_path, finished_run):
    output = tmp_path / "new" / "one.png"
    done = run("scripts/traverse.py", str(finished_run), "--output", str(output))
    assert (done.returncode, done.stdout.strip()) == (0, str(output))
    picture = np.array(Image.open(output))
    assert picture.shape[1] > 11 * 2 * 28
    assert picture.std() > 10


def test_traverse_puts_runs_side_by_side(tmp_path, finished_sweep, called):
    runs = [str(path) for path in sorted(finished_sweep.glob("beta=*"))]
    shapes = []
    for words in (runs[:1], runs):
        done = called(traverse, *words, "--rows", "2", "--output", str(tmp_path / "out.png"))
        assert done.returncode == 0, done.stderr
        shapes.append(np.array(Image.open(tmp_path / "out.png")).shape)
    assert shapes[1][1] > 2 * shapes[0][1]


@pytest.mark.parametrize("script", [evaluate, traverse])
@pytest.mark.parametrize(
    ("damage", "code", "line"),
    [
        (lambda run: shutil.rmtree(run), 1, "must be the directory of a run"),
        (
            lambda run: [(run / name / "config.yaml").write_text("a") for name in (".hydra", "checkpoints")],
            1,
            "edited",
        ),
        (lambda run: (run / "checkpoints" / "last").unlink(), 5, "cannot read"),
        (lambda run: (run / "checkpoints" / "last").write_bytes(b"no"), 5, "is not a checkpoint"),
    ],
    ids=["no run", "bad configuration", "no checkpoint", "bad checkpoint"],
)
def test_a_damaged_run_is_one_line(tmp_path, few_run, called, script, damage, code, line):
    shutil.copytree(few_run, tmp_path / "run")
    damage(tmp_path / "run")
    done = called(script, str(tmp_path / "run"))
    assert done.returncode == code
    assert line in one_error_line(done)
    assert len(done.stderr.splitlines()) == 1


def test_traverse_refuses_an_image_that_there_is_not(finished_run, called):
    done = called(traverse, str(finished_run), "--image", "10000")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("--image must be below 10000, got 10000")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--image", "-1"], "--image must be 0 or more and --rows 1 or more"),
        (["--rows", "0"], "--image must be 0 or more and --rows 1 or more"),
        (["--reach", "x"], "argument --reach: invalid float value: 'x'"),
    ],
)
def test_traverse_refuses_what_nobody_can_draw(called, words, said):
    done = called(traverse, "run", *words)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith(said)
