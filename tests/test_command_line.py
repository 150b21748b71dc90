"""The configuration that a command line means, and how a run is continued."""

import subprocess
import sys
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import hydra
import pytest
from omegaconf import OmegaConf

from vae.command_line import checked, compose, register_schema
from vae.command_line.composition import Composer
from vae.config import (
    BernoulliConfig,
    Config,
    ConfigError,
    ConvConfig,
    Dataset,
    Device,
    GaussianConfig,
    MLPConfig,
    Precision,
)

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "configs"
EXPERIMENTS = sorted(file.stem for file in (CONFIGS / "experiment").glob("*.yaml"))


@dataclass
class Words:
    precision: Precision = Precision.bf16
    device: Device = Device.auto
    name: str = ""


def composed(*overrides: str) -> Config:
    return compose(overrides, CONFIGS)


@cache
def shared_composer() -> Composer:
    """One for all tests, since it keeps what it has merged."""
    register_schema()
    return Composer(str(CONFIGS))


def refusal(arguments: list[str], capsys) -> str:
    """The one line with which `arguments` are refused, without `error: `."""
    with pytest.raises(SystemExit, match="1"):
        checked(arguments, CONFIGS)
    first, *rest = capsys.readouterr().err.splitlines()
    assert rest == []
    return first.removeprefix("error: ")


def by_hydra(*overrides: str) -> Config:
    register_schema()
    with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return OmegaConf.to_object(hydra.compose("config", list(overrides)))


# ------------------------------------------------------------------------------------------------- composing


def test_without_overrides_the_configuration_is_that_of_the_file():
    config = composed()
    assert (config.beta, config.seed, config.model.latent_dim) == (1.0, 0, 20)
    assert isinstance(config.model, MLPConfig)
    assert isinstance(config.likelihood, BernoulliConfig)
    assert config.data.name is Dataset.MNIST


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_is_complete(experiment):
    assert isinstance(composed(f"experiment={experiment}"), Config)


@pytest.mark.parametrize("group", ["data", "model", "objective"])
def test_every_option_of_a_group_is_complete(group):
    for file in (CONFIGS / group).glob("*.yaml"):
        path = ["data.path=x.npz"] if file.stem == "images" else []  # the one value that nobody can guess
        assert isinstance(composed(f"{group}={file.stem}", *path), Config)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["beta=4", "seed=3"],
        ["model=conv", "model.channels=8"],
        ["experiment=smoke", "model.latent_dim=7"],
        ["experiment=latent2d", "model=conv"],
        ["model=mlp", "model=conv"],
        ["beta=1", "beta=2"],
        ["tracking={progress:false}", "tracking.log_every_steps=7"],
        ["beta=${seed}", "seed=5"],
        ["model.hidden=[512,256]", "threads=2", "threads=null"],
        ["likelihood=gaussian", "data.binarisation=none"],
        ["data.root='a path, with = (unusual) signs'"],
        ["compile=yes", "device=cpu", "epochs='3'"],
        ["hydra.run.dir=elsewhere", "data=kmnist"],
    ],
)
def test_composition_agrees_with_hydras(overrides):
    assert composed(*overrides) == by_hydra(*overrides)


def test_the_command_line_wins_over_the_experiment_and_the_experiment_over_the_file():
    assert composed().batch_size == 128
    assert composed("experiment=smoke").batch_size == 500
    for overrides in (["experiment=smoke", "batch_size=32"], ["batch_size=32", "experiment=smoke"]):
        assert composed(*overrides).batch_size == 32


def test_beta_of_the_command_line_is_the_beta_of_the_run():
    assert composed("beta=4") == replace(composed(), beta=4.0)


def test_options_bring_their_own_keys():
    assert isinstance(composed("model=conv").model, ConvConfig)
    assert composed("likelihood=gaussian", "data.binarisation=none").likelihood == GaussianConfig(0.05, False)


def test_compose_raises_the_line_that_the_command_line_prints(capsys):
    with pytest.raises(ConfigError, match=r"^unknown key beat\. Did you mean beta\?$"):
        composed("beat=4")
    assert refusal(["beat=4"], capsys) == "unknown key beat. Did you mean beta?"


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
        ("beat: 4", r"^experiment/own\.yaml: unknown key beat\. Did you mean beta\?$"),
        ("model: {channels: 4}", r"^experiment/own\.yaml: model\.channels is a key of model=conv only\."),
        ("beta: abc", r"^In 'experiment/own': ValidationError .* 'abc' .* \(key beta\)$"),
        ("beta: -1", r"^beta must be a number from 0 to 1000000, got -1"),
        ("model: conv", r"^In 'experiment/own': .* value: conv"),
        ("beta: [1", r"^ParserError: .*own\.yaml"),
        ("defaults: [override /model: transformer]", r"^In 'config': Could not find 'model/transformer' .* mlp"),
        ("- beta", r"^\w+.*"),
    ],
)
def test_a_wrong_file_is_one_line(files, text, line):
    (files / "experiment/own.yaml").write_text(f"# @package _global_\n{text}\n")
    with pytest.raises(ConfigError, match=line) as caught:
        compose(["experiment=own"], files)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("beta: 4", "own.yaml must name the types. Begin its defaults list with schema"),
        ("defaults: [schema]", "data must be chosen in a defaults list, as in `override /data: ...`"),
        (
            "defaults: [schema, data: mnist, model: mlp, likelihood: bernoulli, objective: beta]",
            "beta must be given, as in beta=..., it must be a number from 0 to 1000000",
        ),
    ],
)
def test_a_primary_file_that_leaves_something_out_is_refused(files, text, line, capsys):
    (files / "own.yaml").write_text(text)
    with pytest.raises(SystemExit, match="1"):
        checked(["--config-name", "own"], files)
    assert capsys.readouterr().err == f"error: {line}\n"


def test_files_from_elsewhere_are_found(files, tmp_path):
    (tmp_path / "more/experiment").mkdir(parents=True)
    (tmp_path / "more/experiment/own.yaml").write_text("# @package _global_\nbeta: 8\n")
    arguments = ["--config-dir", str(tmp_path / "more"), "experiment=own"]
    assert checked(arguments, CONFIGS).arguments == arguments
    arguments = [f"hydra.searchpath=[{tmp_path / 'more'}]", "experiment=own"]
    assert checked(arguments, CONFIGS).arguments == arguments
    arguments = ["--config-path", str(files), "beta=4"]
    assert checked(arguments, CONFIGS).arguments == arguments


# ---------------------------------------------------------------------------------------- what is let through


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["beta=4"],
        ["--cfg", "job", "beta=4"],
        ["beta=4", "--cfg", "job", "--resolve", "--package", "model"],
        ["--info", "defaults"],
        ["--help"],
        ["--hydra-help"],
        ["--shell-completion", "install=bash"],
        ["hydra.verbose=true", "beta=2"],
        ["hydra/launcher=basic"],
        ["resume=null"],
        ["device=cuda", "--cfg", "job"],  # shown, not run
    ],
)
def test_good_arguments_go_to_hydra_as_they_are(arguments, capsys):
    assert checked(arguments, CONFIGS).arguments == arguments
    assert capsys.readouterr() == ("", "")


def test_version_answers_and_ends(capsys):
    with pytest.raises(SystemExit, match="0"):
        checked(["--version"], CONFIGS)
    assert capsys.readouterr().out.startswith("Hydra 1.3")


def test_checking_leaves_torch_alone():
    lines = "import sys; from pathlib import Path; from vae.command_line import checked"
    lines += "; checked(['-m', 'beta=1,4'], Path(sys.argv[1])); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", lines, CONFIGS], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "False\n"


# ------------------------------------------------------------------------------------------------- sweeps


def test_a_sweep_has_the_members_of_hydras_sweeper():
    composer = shared_composer()
    members = composer.members(composer.parse(["beta=1,4", "seed=range(0,3)", "model=conv"]))
    configs = [composer.compose(member) for member in members]
    assert [(c.beta, c.seed) for c in configs] == [(b, s) for b in (1.0, 4.0) for s in (0, 1, 2)]
    assert all(isinstance(c.model, ConvConfig) for c in configs)


def test_every_combination_of_a_sweep_is_checked(capsys):
    line = refusal(["-m", "logvar_min=-10,5", "logvar_max=10,0"], capsys)
    assert line == "logvar_min must be below logvar_max, got 5 and 0. The defaults are -10 and 10"


def test_the_values_an_experiment_sweeps_over_are_checked(files, capsys):
    (files / "experiment/own.yaml").write_text(
        "# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: {beta: '1,x'}}}\n"
    )
    with pytest.raises(SystemExit, match="1"):
        checked(["experiment=own"], files)
    assert capsys.readouterr().err == "error: beta must be a number from 0 to 1000000, got x\n"


@pytest.mark.parametrize(
    ("arguments", "sweep", "member", "members"),
    [
        (["-m", "beta=1,2,4", "seed=0,1"], "beta=1,2,4_seed=0,1", "beta=${beta}_seed=${seed}", 6),
        (["beta=1,2", "--multirun"], "beta=1,2", "beta=${beta}_seed=${seed}", 2),
        (
            ["-m", "beta=range(1,5)", "model=mlp,conv"],
            "beta=range-1,5-_model=mlp,conv_d1eacc15",
            "beta=${beta}_seed=${seed}_model=${hydra:runtime.choices.model}",
            8,
        ),
        (
            ["-m", "model.hidden=[400],[512,256]"],
            "model.hidden=[400],[512,256]",
            "beta=${beta}_seed=${seed}_model.hidden=${model.hidden}",
            2,
        ),
        (["-m", "data.root='a,b',c"], "data.root=-a,b-,c_01ecbcbf", "${hydra:job.num}_beta=${beta}_seed=${seed}", 2),
        (["-m"], "", "beta=${beta}_seed=${seed}", 1),
        (["hydra.mode=MULTIRUN", "beta=1,2"], "beta=1,2", "beta=${beta}_seed=${seed}", 2),
    ],
)
def test_a_sweep_is_named_by_its_command(arguments, sweep, member, members, capsys):
    command = checked(arguments, CONFIGS)
    assert command.sweep == Path.cwd() / f"outputs/sweep_{sweep}"
    assert len(command.members) == members
    assert f"hydra.sweep.subdir='{member}'" in command.arguments
    assert capsys.readouterr() == ("", "")


def test_in_the_name_of_a_member_a_choice_is_its_word():
    config = OmegaConf.merge(OmegaConf.structured(Words), {"name": "precision=${precision}_device=${device}"})
    assert config.name == "precision=bf16_device=auto"


def test_a_long_command_names_a_directory_that_fits():
    seeds = "seed=" + ",".join(map(str, range(200)))
    one, other = (checked(["-m", seeds, f"beta={beta}"], CONFIGS).sweep for beta in (1, 2))
    assert one != other
    assert len(one.name) < 140


def test_a_sweep_goes_where_it_is_told(tmp_path):
    command = checked(["-m", "beta=1,2", f"hydra.sweep.dir={tmp_path}/x", "hydra.sweep.subdir='${seed}'"], CONFIGS)
    assert command.sweep == tmp_path / "x"
    assert "hydra.sweep.subdir='${seed}'" in command.arguments


# ------------------------------------------------------------------------------------------------- resuming


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run as Hydra and the trainer leave it, in a directory whose name needs quotes."""
    monkeypatch.chdir(tmp_path)
    return leave_run(Path("outputs/mnist_beta=4.0, it's (one)"), ["beta=4", "epochs=3"])


def leave_run(directory: Path, overrides: list[str]) -> Path:
    (directory / ".hydra").mkdir(parents=True, exist_ok=True)
    (directory / "checkpoints").mkdir(exist_ok=True)
    (directory / "checkpoints/last").touch()
    composer = shared_composer()
    OmegaConf.save(composer.configured(composer.parse(overrides)), directory / ".hydra/config.yaml")
    OmegaConf.save(OmegaConf.create(overrides), directory / ".hydra/overrides.yaml")
    return directory


def test_a_resumed_run_keeps_its_configuration_and_its_directory(run):
    arguments = checked([f"resume={run}", "epochs=9"], CONFIGS).arguments
    config = composed(*arguments)
    assert config == replace(composed(), beta=4.0, epochs=9, resume=str(run))
    composer = shared_composer()
    assert Path(composer.directory(composer.parse(arguments), "hydra.run.dir")).absolute() == run.absolute()


def test_a_resumed_run_may_be_shown(run):
    assert checked([f"resume={run}", "--cfg", "job"], CONFIGS).arguments[-2:] == ["--cfg", "job"]


def test_resuming_again_and_again_does_not_pile_up_overrides(run):
    once = checked([f"resume={run}", "epochs=9"], CONFIGS).arguments
    leave_run(run, [text for text in once if not text.startswith("hydra.")])
    again = checked([f"resume={run}", "epochs=9"], CONFIGS).arguments
    assert sorted(again) == sorted(once)


def test_a_run_from_before_there_was_a_choice_of_objectives_is_continued_with_beta(run, capsys):
    stored = OmegaConf.load(run / ".hydra/config.yaml")
    for key in ("objective", "adam_epsilon", "model.decoder_hidden", "model.decoder_activation", "model.start"):
        section, _, name = key.rpartition(".")
        del (stored[section] if section else stored)[name]
    OmegaConf.save(stored, run / ".hydra/config.yaml")
    assert composed(*checked([f"resume={run}", "epochs=9"], CONFIGS).arguments).objective == composed().objective
    assert "objective.gamma None -> 1000.0" in refusal([f"resume={run}", "beta=1", "objective=capacity"], capsys)


def test_a_choice_of_its_model_is_kept(tmp_path):
    run = leave_run(tmp_path / "run", ["model=conv", "model.channels=8"])
    assert composed(*checked([f"resume={run}"], CONFIGS).arguments).model.channels == 8


@pytest.mark.parametrize(
    "free",
    [
        "epochs=9",
        "threads=2",
        "device=cpu",
        "compile=true",
        "early_stopping_epochs=3",
        "tracking.progress=false",
        "tracking={log_every_steps: 5}",
        "data.root=elsewhere",
        "data.download=false",
        "data.timeout_seconds=3",
    ],
)
def test_what_does_not_change_the_numbers_may_change(run, free):
    assert free in checked([f"resume={run}", free], CONFIGS).arguments


@pytest.mark.parametrize(
    ("override", "change"),
    [
        ("beta=8", "beta 4.0 -> 8.0"),
        ("precision=bf16", "precision fp32 -> bf16"),
        ("data=kmnist", "data.name MNIST -> KMNIST"),
        ("model.latent_dim=3", "model.latent_dim 20 -> 3"),
        ("objective.cycles=3 beta_warmup_steps=5", "beta_warmup_steps 0 -> 5, objective.cycles 1 -> 3"),
    ],
)
def test_what_changes_the_numbers_is_refused(run, override, change, capsys):
    line = refusal([f"resume={run}", *override.split()], capsys)
    assert line == f"resume would change the run's mathematics: {change}. Start a new run, or drop these"


def test_a_model_of_another_kind_is_refused_with_every_difference(run, capsys):
    line = refusal([f"resume={run}", "model=conv"], capsys)
    assert "model.channels None -> 32, model.hidden [400] -> None, model.latent_dim 20 -> 10" in line


def test_a_directory_that_is_none_is_refused_with_its_neighbour(run, capsys):
    line = refusal([f"resume={str(run)[:-1]}"], capsys)
    assert line.endswith(f", which is none. Did you mean {run.name}?")
    assert refusal(["resume=no/where"], capsys).endswith("got no/where, which is none")


@pytest.mark.parametrize("name", [".hydra/config.yaml", ".hydra/overrides.yaml", "checkpoints/last"])
def test_a_run_without_what_it_needs_is_refused(run, name, capsys):
    (run / name).unlink()
    assert refusal([f"resume={run}"], capsys) == f"resume needs a run with a checkpoint, got {run} without {name}"


def test_a_sweep_is_not_resumed_as_one(run, capsys):
    (run.parent / "multirun.yaml").touch()
    assert refusal([f"resume={run.parent}"], capsys).endswith("It is a sweep: its command goes on with it")
    line = refusal(["-m", f"resume={run}", "beta=1,2"], capsys)
    assert line == "resume continues one run, got a sweep. Its own command, given again, goes on with it"


@pytest.mark.parametrize("name", ["config", "overrides"])
@pytest.mark.parametrize("damage", [b"beta: [1", b"\xff\xfe\x00", b"", b"a: ${nope}"])
def test_a_damaged_record_is_one_line(run, name, damage, capsys):
    (run / f".hydra/{name}.yaml").write_bytes(damage)
    line = refusal([f"resume={run}"], capsys)
    assert "damaged" in line or "mathematics" in line


def test_a_member_of_a_presets_sweep_is_resumed_as_the_run_it_is(files, run):
    """The preset describes the sweep, and the member's own overrides name the preset."""
    (files / "experiment/own.yaml").write_text(
        "# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: {seed: '0,1'}}}\n"
    )
    assert len(checked(["experiment=own"], files).members) == 2
    stored = run / ".hydra/overrides.yaml"
    stored.write_text(stored.read_text() + "- experiment=own\n")
    command = checked([f"resume={run}"], files)
    assert (command.sweep, command.members) == (None, [])
    assert "hydra.mode=RUN" in command.arguments


@pytest.mark.parametrize("words", [["--cfg", "job"], ["--help"]])
def test_a_sweep_that_is_only_shown_has_no_end_to_tell_of(files, words):
    (files / "experiment/own.yaml").write_text(
        "# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: {seed: '0,1'}}}\n"
    )
    assert checked(["experiment=own", *words], files).sweep is None
