"""The configuration that a command line means, the names of runs and sweeps, and how a run is continued."""

import re
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae.app.command_line import MEMBER_OPTION, checked, compose
from vae.app.command_line.naming import file_name
from vae.app.load import load_run
from vae.config import (
    BernoulliConfig,
    Config,
    ConfigError,
    ConvConfig,
    Dataset,
    GaussianConfig,
    MLPConfig,
    Variances,
    flat,
)
from vae.config.options import OPTIONS
from vae.run import record as stored
from vae.run.record import Task

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "configs"
EXPERIMENTS = sorted(file.stem for file in (CONFIGS / "experiment").glob("*.yaml"))
OWN_SWEEP = "# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: {seed: '0,1'}}}\n"


def composed(*overrides: str) -> Config:
    return compose(overrides, CONFIGS)


def task_of(*words: str) -> Task:
    (task,) = checked(words, CONFIGS).tasks
    return task


def refusal(arguments: list[str], capsys, configs: Path = CONFIGS) -> str:
    """The one line with which `arguments` are refused, without `error: `."""
    with pytest.raises(SystemExit, match="1"):
        checked(arguments, configs)
    first, *rest = capsys.readouterr().err.splitlines()
    assert rest == []
    return first.removeprefix("error: ")


def shown(arguments: list[str], capsys, configs: Path = CONFIGS) -> str:
    """What is printed for `arguments`, after which the process ends well."""
    with pytest.raises(SystemExit, match="0"):
        checked(arguments, configs)
    return capsys.readouterr().out


# ------------------------------------------------------------------------------------------------- composing


def test_without_overrides_the_configuration_is_that_of_the_file():
    config = composed()
    assert (config.beta, config.seed, config.model.latent_dim) == (1.0, 0, 20)
    assert isinstance(config.model, MLPConfig)
    assert isinstance(config.likelihood, BernoulliConfig)
    assert config.data.name is Dataset.MNIST


@pytest.mark.parametrize("group", ["data", "model", "objective"])
def test_every_option_of_a_group_is_complete(group):
    for file in (CONFIGS / group).glob("*.yaml"):
        needed = re.findall(r"^(\w+): \?\?\?", file.read_text(), flags=re.MULTILINE)  # values that nobody can guess
        given = [f"{group}.{key}=x:y" for key in needed]
        assert isinstance(composed(f"{group}={file.stem}", *given), Config)


@pytest.mark.parametrize(
    ("overrides", "values"),
    [
        (["model=mlp", "model=conv", "beta=1", "beta=2"], {"beta": 2.0, "model.latent_dim": 10}),
        (["tracking={progress:false}", "tracking.log_every_steps=7"], {"tracking.progress": False}),
        (["beta=${seed}", "seed=5"], {"beta": 5.0}),
        (["model.hidden=[512,256]", "threads=2", "threads=null"], {"model.hidden": [512, 256], "threads": None}),
        (["data.root='/a path, with = (unusual) signs'"], {"data.root": "/a path, with = (unusual) signs"}),
        (["compile=true", "device=cpu", "epochs='3'"], {"compile": True, "device": "cpu", "epochs": 3}),
        (["experiment=latent2d", "model=conv"], {"model.latent_dim": 2, "epochs": 25}),
        (
            ["objective=custom", "objective.target=m:f", "objective.options.weight=10"],
            {"objective.options.weight": 10},
        ),
    ],
)
def test_overrides_are_read_by_hydras_grammar(overrides, values):
    found = flat(composed(*overrides))
    assert {key: found.get(key) for key in values} == values


def test_the_command_line_wins_over_the_experiment_and_the_experiment_over_the_file():
    assert composed().batch_size == 128
    assert composed("experiment=smoke").batch_size == 500
    for overrides in (["experiment=smoke", "batch_size=32"], ["batch_size=32", "experiment=smoke"]):
        assert composed(*overrides).batch_size == 32


def test_options_bring_their_own_keys():
    assert isinstance(composed("model=conv").model, ConvConfig)
    assert composed("likelihood=gaussian", "data.binarisation=none").likelihood == GaussianConfig(
        0.05, False, Variances.one
    )


def test_a_file_that_changes_is_read_again(files):
    assert compose([], files).beta == 1
    (files / "config.yaml").write_text((files / "config.yaml").read_text().replace("beta: 1.0", "beta: 3.25"))
    assert compose([], files).beta == 3.25


# ------------------------------------------------------------------------------------------------ own files


@pytest.fixture
def files(tmp_path):
    """Write configuration files of one's own beside ours."""
    directory = tmp_path / "configs"
    for file in CONFIGS.rglob("*.yaml"):
        (directory / file.relative_to(CONFIGS)).parent.mkdir(parents=True, exist_ok=True)
        (directory / file.relative_to(CONFIGS)).write_text(file.read_text())
    return directory


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("beat: 4", r"^unknown key beat\. Did you mean beta\?$"),
        ("model: {channels: 4}", r"^model\.channels is a key of model=conv only\."),
        ("beta: abc", r"^beta must be a number from 0 to 1000000, got abc"),
        ("model: conv", r"^model must have the keys .*, got conv"),
        ("beta: [1", r"^while parsing .*own\.yaml"),
        ("defaults: [override /model: transformer]", r"^In 'config': Could not find 'model/transformer' .* mlp"),
        ("- beta", r"^\w+.*"),
    ],
)
def test_a_wrong_file_is_one_line(files, text, line):
    (files / "experiment/own.yaml").write_text(f"# @package _global_\n{text}\n")
    with pytest.raises(ConfigError, match=line) as caught:
        compose(["experiment=own"], files)
    assert "\n" not in str(caught.value)


def test_a_primary_file_that_leaves_something_out_is_refused(files):
    text = (files / "config.yaml").read_text()
    (files / "config.yaml").write_text(re.sub(r"(?m)^beta: .*\n", "", text))
    with pytest.raises(ConfigError, match=r"^beta must be given, as in beta=\.\.\., it must be a number from 0 to"):
        compose([], files)
    (files / "config.yaml").write_text(re.sub(r"  - data: mnist.*\n", "", text))
    with pytest.raises(ConfigError, match=r"^data must be one of custom, dsprites, "):
        compose([], files)


def test_files_from_elsewhere_are_found(tmp_path):
    (tmp_path / "more/experiment").mkdir(parents=True)
    (tmp_path / "more/experiment/own.yaml").write_text("# @package _global_\nbeta: 8\n")
    assert task_of("--config-dir", str(tmp_path / "more"), "experiment=own").record.config.beta == 8
    assert task_of(f"hydra.searchpath=[{tmp_path / 'more'}]", "experiment=own").record.config.beta == 8


# ----------------------------------------------------------------------------------------- what is only shown


def test_help_lists_every_group_with_its_options_and_every_key_with_a_word_on_it(capsys):
    text = shown(["--help"], capsys)
    assert "schema" not in text
    for group, options in OPTIONS.items():
        assert f"{group}: {', '.join(sorted(options))}\n" in text
    keys = [line for line in text[text.index("Keys:") :].splitlines() if re.match(r" +\w+: ", line)]
    assert len(keys) > 100
    alone = [line for line in keys if "#" not in line]
    assert alone == []
    assert all(f"experiment={name}\n    # " in text for name in EXPERIMENTS)


@pytest.mark.parametrize("word", ["model=", "objective=", "data=m"])
def test_the_shells_completion_offers_what_can_be_chosen(word, capsys, monkeypatch):
    monkeypatch.setenv("COMP_LINE", f"python train.py {word}")
    monkeypatch.setenv("COMP_POINT", str(len(f"python train.py {word}")))
    monkeypatch.setattr("sys.argv", ["train.py"])
    offered = shown(["--shell-completion", "query=bash"], capsys).split()
    group, _, begun = word.partition("=")
    assert offered == [f"{group}={option}" for option in sorted(OPTIONS[group]) if option.startswith(begun)]


def test_the_configuration_is_shown_and_nothing_is_made(files, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (files / "experiment/own.yaml").write_text(OWN_SWEEP)
    text = shown(["experiment=own", "beta=4", "device=cuda", "--cfg", "job"], capsys, files)
    assert "beta: 4.0\n" in text
    assert "device: cuda\n" in text
    assert not Path("outputs").exists()


# ------------------------------------------------------------------------------------------------- places


@pytest.mark.parametrize(
    "path", ["my,file=(1).npz", "~/pictures", "it's here", r"tick\'q", "a b", "{a:1}", "[x]", 'say "x"', "-x", "a:b"]
)
def test_a_path_is_taken_as_the_shell_gives_it(path, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    expected = tmp_path / path.replace("~", "home")
    task = task_of("data=images", f"data.path={path}", f"hydra.run.dir={path}")
    assert task.record.config.data.path == str(expected)
    assert task.directory == expected


def test_the_place_of_data_is_the_same_from_any_directory(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert task_of("data=images", "data.path=x/t.npz").record.config.data.path == f"{tmp_path}/x/t.npz"
    assert task_of("data.root=cache").record.config.data.root == f"{tmp_path}/cache"


def test_checking_leaves_torch_alone():
    lines = "import sys; from pathlib import Path; from vae.app.command_line import checked"
    lines += "; checked(['-m', 'beta=1,4'], Path(sys.argv[1])); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", lines, CONFIGS], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "False\n"


# ------------------------------------------------------------------------------------------------- sweeps


def test_a_sweep_has_every_combination_in_the_order_of_the_words():
    tasks = checked(["-m", "beta=1,4", "seed=range(0,3)", "model=conv"], CONFIGS).tasks
    configs = [task.record.config for task in tasks]
    assert [(c.beta, c.seed) for c in configs] == [(b, s) for b in (1.0, 4.0) for s in (0, 1, 2)]
    assert all(isinstance(c.model, ConvConfig) for c in configs)


def test_every_combination_of_a_sweep_is_checked(capsys):
    line = refusal(["-m", "logvar_min=-10,5", "logvar_max=10,0"], capsys)
    assert line == "logvar_min must be below logvar_max, got 5 and 0. The defaults are -10 and 10"


def test_the_values_an_experiment_sweeps_over_are_checked(files, capsys):
    (files / "experiment/own.yaml").write_text(OWN_SWEEP.replace("0,1", "1,x"))
    assert refusal(["experiment=own"], capsys, files) == "seed must be a whole number from 0 to 2147483647, got x"


@pytest.mark.parametrize(
    ("arguments", "sweep", "member", "members"),
    [
        (["-m", "beta=1,2,4", "seed=0,1"], "beta=1,2,4_seed=0,1", "beta=4.0_seed=1", 6),
        (["beta=1,2", "--multirun"], "beta=1,2", "beta=2.0_seed=0", 2),
        (
            ["-m", "beta=range(1,5)", "model=mlp,conv"],
            "beta=range-1,5-_model=mlp,conv_d1eacc15",
            "beta=4.0_seed=0_model=conv",
            8,
        ),
        (
            ["-m", "model.hidden=[400],[512,256]"],
            "model.hidden=[400],[512,256]",
            "beta=1.0_seed=0_model.hidden=[512,256]",
            2,
        ),
        (["-m", "data.root='a/b',c"], "data.root=-a-b-,c_9f8cdde3", "beta=1.0_seed=0_data.root=c", 2),
        (["-m"], "", "beta=1.0_seed=0", 1),
        (["-m", "data=images", "data.path=a,b"], "data=images_data.path=a,b", "beta=1.0_seed=0_data.path=b", 2),
        (["hydra.mode=MULTIRUN", "beta=1,2"], "beta=1,2", "beta=2.0_seed=0", 2),
    ],
)
def test_a_sweep_is_named_by_its_command_and_a_member_by_what_is_swept(arguments, sweep, member, members):
    command = checked(arguments, CONFIGS)
    assert command.sweep == Path.cwd() / f"outputs/sweep_{sweep}".rstrip("_")
    assert len(command.tasks) == members
    assert [task.directory.name for task in command.tasks][-1] == member
    assert command.launcher is None


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ([], "mnist_mlp_beta=1.0_latent_dim=20_seed=0"),
        (["beta=4", "seed=3", "model.latent_dim=5"], "mnist_mlp_beta=4.0_latent_dim=5_seed=3"),
        (
            ["data=kmnist", "model=conv", "objective=total_correlation", "beta=6", "epochs=3", "model.channels=8"],
            "kmnist_conv_total_correlation_latent_dim=10_seed=0_beta=6_epochs=3_model.channels=8",
        ),
        (["experiment=latent2d"], "mnist_mlp_beta=1.0_latent_dim=2_seed=0_experiment=latent2d"),
        (["data.root=/x/y"], "mnist_mlp_beta=1.0_latent_dim=20_seed=0_data.root=--x-y-_[0-9a-f]{8}"),
    ],
)
def test_a_run_is_named_by_what_is_trained_and_every_override(words, name):
    directory = task_of(*words).directory
    assert directory.parent == Path.cwd() / "outputs"
    found = re.fullmatch(rf"{name}_(\d{{4}}-\d\d-\d\d_\d\d-\d\d-\d\d-\d{{6}})", directory.name)
    assert found, directory.name
    assert abs((datetime.strptime(found[1], "%Y-%m-%d_%H-%M-%S-%f") - datetime.now()).total_seconds()) < 60


@given(st.lists(st.text(), max_size=3), st.sampled_from(["", "2026-11-28"]))
def test_a_name_is_one_that_a_file_system_takes(words, end):
    name = file_name("beta=4.0_seed=0", [word * 40 for word in words], end)
    assert len(name.encode()) <= 255
    assert not set(name) & set("/\0\n ")
    assert name.startswith("beta=4.0_seed=0")
    assert name.endswith(end)


def test_a_long_command_names_a_directory_that_fits():
    seeds = "seed=" + ",".join(map(str, range(100)))
    one, other = (checked(["-m", seeds, f"beta={beta}"], CONFIGS).sweep for beta in (1, 2))
    assert one != other
    assert 250 <= len(one.name) <= 255


def test_a_sweep_goes_where_it_is_told(tmp_path):
    command = checked(["-m", "beta=1,2", f"hydra.sweep.dir={tmp_path}/x", "hydra.sweep.subdir='${beta}'"], CONFIGS)
    assert command.sweep == tmp_path / "x"
    assert [task.directory for task in command.tasks] == [tmp_path / "x" / name for name in ("1.0", "2.0")]


def test_two_members_of_one_directory_are_refused(tmp_path, capsys):
    words = ["-m", "beta=1,2", f"hydra.sweep.dir={tmp_path}/x"]
    line = refusal([*words, "hydra.sweep.subdir=same"], capsys)
    assert line.startswith("two members of a sweep need two directories, got same for both. Leave hydra.sweep.subdir")
    for outside in (".", "..", "../x_${beta}", "/tmp/x_${beta}", "a/${beta}"):
        line = refusal([*words, f"hydra.sweep.subdir='{outside}'"], capsys)
        assert line.startswith("the members of a sweep lie side by side in its directory, got hydra.sweep.subdir=")
    again = checked(["-m", "beta=2,2", f"hydra.sweep.dir={tmp_path}/x"], CONFIGS)  # the same one twice is no harm
    assert len(again.tasks) == 2


def test_names_that_no_file_system_takes_are_refused_at_the_start(tmp_path, capsys):
    for words in (["hydra.run.dir="], ["-m", "beta=1,2", "hydra.sweep.dir="]):
        line = refusal([*words[:-1], f"{words[-1]}{tmp_path}/{'x' * 256}"], capsys)
        assert line.startswith("a file's name has at most 255 bytes, got xxx")


def test_members_side_by_side_are_as_many_as_is_asked_for(tmp_path, capsys):
    words = ["-m", "beta=1,2", f"hydra.sweep.dir={tmp_path}/x", "hydra/launcher=joblib"]
    assert checked(words, CONFIGS).launcher == {"n_jobs": -1}
    assert checked([*words, "hydra.launcher.n_jobs=2"], CONFIGS).launcher == {"n_jobs": 2}
    for wrong in ("0", "null", "two", "1.5", "true"):
        line = refusal([*words, f"hydra.launcher.n_jobs={wrong}"], capsys)
        assert line.startswith("hydra.launcher.n_jobs must be a number of members, or -1 for one a core, got")
    assert "'verbose'" in refusal([*words, "hydra.launcher.verbose=1"], capsys)


def test_a_launcher_of_which_nothing_is_known_is_refused(tmp_path, capsys):
    own = tmp_path / "hydra" / "launcher" / "far.yaml"
    own.parent.mkdir(parents=True)
    words = ["-cd", str(tmp_path), "-m", "beta=1,2", "hydra/launcher=far"]
    for settings in ("_target_: far.Launcher\n", "_target_: far.Launcher\nn_jobs: 2\n", "place: far\n"):
        own.write_text(settings)
        line = refusal(words, capsys)
        assert line.startswith("hydra/launcher must be basic, for one member after another, joblib, for several at a")
        assert "got far" in line
    own.write_text("defaults:\n  - joblib\n  - _self_\n\nn_jobs: 2\nbackend: threading\n")
    assert "n_jobs alone, got hydra.launcher.backend" in refusal(words, capsys)
    own.write_text("defaults:\n  - joblib\n  - _self_\n\nn_jobs: 2\n")
    assert checked(words, CONFIGS).launcher == {"n_jobs": 2}


# ------------------------------------------------------------------------------------------------- resuming


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run as the trainer leaves it, in a directory whose name needs quotes."""
    monkeypatch.chdir(tmp_path)
    return leave_run(Path("outputs/mnist_beta=4.0, it's (one)"), ["beta=4", "epochs=3"])


def leave_run(directory: Path, overrides: list[str]) -> Path:
    stored.write(directory, task_of(*overrides).record)
    (directory / "checkpoints/last").touch()
    return directory


def continued(run: Path, *words: str) -> Task:
    return task_of(f"resume={run}", *words)


def test_a_resumed_run_keeps_its_configuration_and_its_directory(run):
    task = continued(run, "epochs=9")
    expected = composed("beta=4", "epochs=9")
    assert task.record.config == replace(expected, data=task.record.config.data, resume=str(run))
    assert task.directory == run.absolute()


def test_a_resumed_run_may_be_shown(run, capsys):
    assert "beta: 4.0\n" in shown([f"resume={run}", "--cfg", "job"], capsys)


def test_a_choice_of_its_model_is_kept(tmp_path):
    run = leave_run(tmp_path / "run", ["model=conv", "model.channels=8"])
    assert continued(run).record.config.model.channels == 8
    assert continued(run, "model=conv", "model.channels=8").record == continued(run).record  # the command again


def test_other_files_of_configuration_change_nothing_of_a_run(run, files):
    (files / "config.yaml").write_text((files / "config.yaml").read_text().replace("learning_rate: 1.0e-3", ""))
    (files / "model/mlp.yaml").write_text("[broken")
    (files / "experiment/smoke.yaml").unlink()
    (task,) = checked([f"resume={run}", "epochs=9"], files).tasks
    assert task == continued(run, "epochs=9")


def test_a_preset_is_part_of_the_run(tmp_path, capsys):
    run = leave_run(tmp_path / "run", ["experiment=smoke"])
    assert continued(run, "experiment=smoke").record == continued(run).record
    assert "experiment smoke -> latent2d" in refusal([f"resume={run}", "experiment=latent2d"], capsys)


@pytest.mark.parametrize(
    ("free", "key", "value"),
    [
        ("epochs=9", "epochs", 9),
        ("device=cpu", "device", "cpu"),
        ("early_stopping_epochs=3", "early_stopping_epochs", 3),
        ("tracking={log_every_steps: 5}", "tracking.log_every_steps", 5),
        ("data.root=/else/where", "data.root", "/else/where"),
    ],
)
def test_what_does_not_change_the_numbers_may_change(run, free, key, value):
    assert flat(continued(run, free).record.config)[key] == value


def test_the_data_may_lie_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = leave_run(tmp_path / "run", ["data=images", "data.path=t.npz"])
    assert continued(run).record.config.data.path == f"{tmp_path}/t.npz"
    assert continued(run, "data.path=x/t.npz").record.config.data.path == f"{tmp_path}/x/t.npz"


@pytest.mark.parametrize(
    ("override", "change"),
    [
        ("beta=8", "beta 4.0 -> 8.0"),
        ("precision=bf16", "precision fp32 -> bf16"),
        ("data=kmnist", "data mnist -> kmnist"),
        ("model.latent_dim=3", "model.latent_dim 20 -> 3"),
        ("objective.cycles=3 beta_warmup_steps=5", "beta_warmup_steps 0 -> 5, objective.cycles 1 -> 3"),
    ],
)
def test_what_changes_the_numbers_is_refused(run, override, change, capsys):
    line = refusal([f"resume={run}", *override.split()], capsys)
    assert line == f"resume would change the run's mathematics: {change}. Start a new run, or drop these"


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("beat=4", "unknown key beat. Did you mean beta?"),
        ("+epochs=4", "epochs needs no '+', got +epochs=4. Write epochs=4"),
        ("epochs=x", "epochs must be a whole number from 1 to 1000000, got x"),
        ("model.channels=3", "model.channels is a key of model=conv only."),
        ("epochs=4,5", "resume continues one run, got a sweep."),
        ("hydra.run.dir=x", "resume goes on in the run's own directory, got hydra.run.dir='x'. Leave that out"),
    ],
)
def test_a_wrong_word_beside_resume_is_one_line(run, word, line, capsys):
    assert refusal([f"resume={run}", word], capsys).startswith(line)


def test_a_directory_that_is_none_is_refused_with_its_neighbour(run, capsys):
    line = refusal([f"resume={str(run)[:-1]}"], capsys)
    assert line.endswith(f", which is none. Did you mean {run.name}?")
    assert refusal(["resume=no/where"], capsys).endswith("got no/where, which is none")


def test_a_run_without_what_it_needs_is_refused(run, capsys):
    (run / "checkpoints/last").unlink()
    line = refusal([f"resume={run}"], capsys)
    assert line == f"resume needs a run with a checkpoint, got {run} without checkpoints/last"
    (run / "checkpoints/last").touch()
    for name in (".hydra/config.yaml", "checkpoints/config.yaml"):
        (run / name).unlink()
    line = refusal([f"resume={run}"], capsys)
    assert line == f"{run} must be the directory of a run, it has no .hydra/config.yaml"


def test_a_sweep_is_not_resumed_as_one(run, capsys):
    assert refusal([f"resume={run.parent}"], capsys).endswith("It is a sweep: its command goes on with it")
    line = refusal(["-m", f"resume={run}", "beta=1,2"], capsys)
    assert line == "resume continues one run, got a sweep. Its own command, given again, goes on with it"


def test_the_process_of_a_member_trains_what_its_sweep_has_checked(run):
    command = checked([MEMBER_OPTION, str(run), "threads=2"], CONFIGS)
    assert (command.tasks[0].record, command.is_member) == (continued(run, "threads=2").record, True)
    (run / "checkpoints/last").unlink()
    assert checked([MEMBER_OPTION, str(run)], CONFIGS).tasks[0].record.config.resume is None


def test_a_member_of_a_presets_sweep_is_resumed_as_the_run_it_is(files, run):
    (files / "experiment/own.yaml").write_text(OWN_SWEEP)
    sweep = checked(["experiment=own"], files)
    assert len(sweep.tasks) == 2
    stored.write(run, sweep.tasks[1].record)
    command = checked([f"resume={run}", "experiment=own"], files)
    assert (command.sweep, command.tasks[0].record.config.seed) == (None, 1)


# ------------------------------------------------------------------------------------------ parts of one's own

OWN_PARTS = ["objective=custom", "objective.target=own_parts:loss", "metrics=[own_parts:score]"]


@pytest.fixture
def own_parts(tmp_path, monkeypatch):
    """A module of one's own, which writes down that it was imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("own_parts.py").write_text(
        "from pathlib import Path\nPath('imported').touch()\ndef loss(): ...\ndef score(): ...\n"
    )
    yield Path("imported")
    sys.modules.pop("own_parts", None)


def test_a_run_with_parts_of_ones_own_is_resumed_only_if_the_command_names_them(own_parts, tmp_path, capsys):
    run = leave_run(tmp_path / "run", OWN_PARTS)
    assert own_parts.exists()
    own_parts.unlink()
    del sys.modules["own_parts"]
    words = "objective.target=own_parts:loss 'metrics=[own_parts:score]'"
    assert refusal([f"resume={run}", "epochs=30"], capsys).endswith(f"Add {words}")
    with pytest.raises(ConfigError, match=r"Add objective\.target=own_parts:loss$"):
        load_run(run)
    with pytest.raises(ConfigError, match=r"Add objective\.target=own_parts:loss$"):
        load_run(run, words=["objective.target=own_parts:score"])
    line = refusal([f"resume={run}", "objective.target=own_parts:score", "metrics=[]"], capsys)
    assert "objective.target own_parts:loss -> own_parts:score" in line
    assert not own_parts.exists()  # a directory does not decide what is imported
    assert continued(run, *OWN_PARTS[1:]).record.config.metrics == ["own_parts:score"]
    assert continued(run, OWN_PARTS[1], "metrics=[]").record.config.metrics == []
    assert own_parts.exists()


@pytest.mark.usefixtures("own_parts")
def test_a_member_names_the_parts_of_its_sweep_again(tmp_path, capsys):
    run = leave_run(tmp_path / "run", OWN_PARTS)
    with pytest.raises(SystemExit, match="1"):
        checked([MEMBER_OPTION, str(run)], CONFIGS)
    assert "Add objective.target=own_parts:loss" in capsys.readouterr().err
    (task,) = checked([MEMBER_OPTION, str(run), *OWN_PARTS[1:]], CONFIGS).tasks
    assert task.record.config.objective.target == "own_parts:loss"


def test_beside_a_run_only_parts_of_ones_own_are_named(run):
    with pytest.raises(ConfigError, match=r"^only objective\.target, .* can be given beside a run, got beta=3"):
        load_run(run, words=["beta=3"])
