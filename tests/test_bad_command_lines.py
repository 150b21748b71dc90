"""Every wrong command line is answered by one line, an exit code and nothing else."""

import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vae.app.command_line import checked

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "configs"
COMMAND = [sys.executable, str(ROOT / "train.py")]

BETA = "beta must be a number from 0 to 1000000"
HIDDEN = "model.hidden must be a list, each entry a whole number from 1 to 100000"
MODEL = "model must be one of conv, custom, linear, locatello, mlp"
OBJECTIVE = (
    "objective must be one of beta, capacity, custom, dip, factor, free_bits, importance_weighted, multi_rate, "
    "target_distortion, target_rate, total_correlation"
)
PRESETS = sorted(path.stem for path in (ROOT / "configs/experiment").glob("*.yaml"))
EXPERIMENT = f"experiment must be one of {', '.join(PRESETS)}"
SEED = "seed must be a whole number from 0 to 2147483647"
EPOCHS = "epochs must be a whole number from 1 to 1000000"
DEVICE = "device must be one of auto, cpu, cuda, mps"
TRACKING = "tracking must have the keys tensorboard, details, progress, log_every_steps"
HYDRA = "is not read here. Of Hydra's keys it reads hydra.run.dir, "
ONLY_MLP = "model.hidden is a key of model=mlp only. Choose that, or leave model.hidden out"

# The words, and how the line of the answer begins.
CONFIGURATION = [
    # keys
    ("beat=4", "unknown key beat. Did you mean beta?"),
    ("+beat=4", "unknown key beat. Did you mean beta?"),
    ("~beat", "unknown key beat. Did you mean beta?"),
    ("batchsize=3", "unknown key batchsize. Did you mean batch_size?"),
    ("xyzzy=4", "unknown key xyzzy. --cfg job lists the known ones"),
    ("+xyzzy=4", "unknown key xyzzy. --cfg job lists the known ones"),
    ("=4", "unknown key ''."),
    ("hydra=4", "unknown key hydra."),
    ("latent_dim=5", "unknown key latent_dim. Did you mean model.latent_dim?"),
    ("model.latent_dm=3", "unknown key model.latent_dm. Did you mean model.latent_dim?"),
    ("model/latent_dim=3", "unknown key model/latent_dim. Did you mean model.latent_dim?"),
    ("model.hidden.0=3", "unknown key model.hidden.0. "),
    ("model@x=conv", "unknown key model@x. Did you mean model?"),
    ("beta.foo=1", "unknown key beta.foo. Did you mean beta?"),
    ("tracking={progres:false}", "unknown key tracking.progres. Did you mean tracking.progress?"),
    ("model=conv model.hidden=[3]", ONLY_MLP),
    ("experiment=pytorch_example model=conv", ONLY_MLP),
    ("model.channels=3", "model.channels is a key of model=conv only."),
    (
        "likelihood.variance=1",
        "likelihood.variance is a key of likelihood=gaussian, gaussian_learned, gauss",
    ),
    ("+beta=4", "beta needs no '+', got +beta=4. Write beta=4"),
    ("+model=conv", "model needs no '+', got +model=conv. Write model=conv"),
    ("~beta", "beta cannot be removed, every run has one, got ~beta. Set it instead"),
    ("tracking=5", TRACKING),
    # choices
    ("model=transformer", f"{MODEL}, got transformer"),
    ("model=con", f"{MODEL}, got con. Did you mean conv?"),
    ("model=", f"{MODEL}, got nothing"),
    ("model=[mlp,conv]", f"{MODEL}, got [mlp,conv]"),
    ("model={latent_dim:3}", f"{MODEL}, got {{latent_dim:3}}"),
    (
        "data=x",
        "data must be one of custom, dsprites, fashion_mnist, images, kmnist, mnist, sprites, sprites32, table, got x",
    ),
    ("experiment=lattent2d", f"{EXPERIMENT}, got lattent2d. Did you mean latent2d?"),
    ("experiment=null", f"{EXPERIMENT}, got null. Leave it out for none"),
    # values
    ("beta=abc", f"{BETA}, got abc"),
    ("beta=", f"{BETA}, got nothing"),
    ("beta=null", f"{BETA}, got null"),
    ("beta={a:1}", f"{BETA}, got {{a:1}}"),
    ("beta=???", "beta must be given, as in beta=..., it must be a number from 0"),
    ("beta=nan", f"{BETA}, got nan"),
    ("beta=inf", f"{BETA}, got inf"),
    ("beta=-1", f"{BETA}, got -1"),
    ("beta=${foo}", "beta: Interpolation key 'foo' not found"),
    ("beta=${oc.env:NO_SUCH_NAME}", "beta: "),
    ("beta=${device}", f"{BETA}, got auto"),
    ("beta=${beta}", "beta: Recursive interpolation detected"),
    ("device=gpu", f"{DEVICE}, got gpu"),
    ("seed=1" + 400 * "0", f"{SEED}, got 1"),
    ("seed=-1", f"{SEED}, got -1"),
    ("epochs=1.5", f"{EPOCHS}, got 1.5"),
    ("epochs=0", f"{EPOCHS}, got 0"),
    ("threads=0", "threads must be a whole number from 1 to 1024, or null, got 0"),
    ("learning_rate=0", "learning_rate must be a number above 0 and up to 10, got 0"),
    ("compile=maybe", "compile must be true or false, got maybe"),
    ("tracking={progress:maybe}", "tracking.progress must be true or false, got maybe"),
    ("data.root=null", "data.root must be text, got null"),
    ("model.hidden=5", f"{HIDDEN}, got 5"),
    ("model.hidden=[]", f"{HIDDEN}, got []"),
    ("model.hidden=[0]", f"{HIDDEN}, got [0]"),
    ("model.hidden=[${foo}]", "model.hidden[0]: Interpolation key 'foo' not found"),
    ("logvar_min=5 logvar_max=-5", "logvar_min must be below logvar_max, got 5 and -5"),
    (
        "likelihood=gaussian",
        "a Gaussian likelihood needs grey pixels, got data.binarisation=dynamic. Add like",
    ),
    # objectives
    ("objective=tcvae", f"{OBJECTIVE}, got tcvae"),
    ("objective=capacity beta=4", "objective=capacity weighs the rate by objective.gamma, got beta=4. Leave beta out"),
    ("objective=target_rate beta=4", "objective=target_rate chooses beta itself, got beta=4. Leave beta out"),
    (
        "objective=importance_weighted beta_warmup_steps=9",
        "objective=importance_weighted bounds ln p(x) at beta 1 only, got beta_warmup_steps=9.",
    ),
    ("objective=multi_rate beta=20", "beta must be from objective.beta_min=0.1 to objective.beta_max=10, got 20."),
    (
        "objective=multi_rate objective.beta_min=10",
        "objective.beta_min must be below objective.beta_max, got 10 and 10.",
    ),
    ("objective=multi_rate beta_warmup_steps=9", "objective=multi_rate trains all betas at once, got beta_warmup_st"),
    (
        "objective=multi_rate model=custom model.encoder=a:b model.decoder=a:b",
        "objective=multi_rate puts gates into the networks of this package, got model=custom. Use model=mlp, conv,",
    ),
    (
        "objective=multi_rate data.binarisation=none likelihood=gaussian_learned",
        "objective=multi_rate needs one likelihood for all betas, got likelihood.learned=true. Use like",
    ),
    ("objective=dip objective.covariance=II", "objective.covariance must be one of means, aggregate, got II"),
    ("objective=importance_weighted objective.samples=0", "objective.samples must be a whole number from 1 to 10000"),
    ("objective.cycles=3", "objective.cycles repeats the warm-up, got objective.cycles=3 without one."),
    (
        "learning_rate_epochs=[0,9]",
        "learning_rate_epochs and learning_rate_factors must be as long as each other, got",
    ),
    (
        "learning_rate_epochs=[9,0] learning_rate_factors=[1,2]",
        "learning_rate_epochs must rise, got [9, 0]. Sort them",
    ),
    (
        "early_stopping_epochs=2 evaluate_every_epochs=5",
        "early_stopping_epochs must be 5 or more with evaluate_every_epochs=5, got 2. Raise it",
    ),
    ("objective.at_steps=[0,9]", "objective.at_steps and objective.factors must be as long as each other, got [0, 9]"),
    ("objective.at_steps=[9,0] objective.factors=[1,2]", "objective.at_steps must rise, got [9, 0]. Sort them"),
    (
        "objective.at_steps=[0,9] objective.factors=[1,2] beta_warmup_steps=5",
        "objective.at_steps is a schedule of its own, got beta_warmup_steps=5 and objective.cycles=1 too.",
    ),
    # sweeps
    ("beta=1,2", "one run takes one value of beta, got beta=1,2. Add -m for a sweep, [] for a list"),
    ("model=mlp,conv", "one run takes one value of model, got model=mlp,conv. Add -m"),
    ("beta=1,2 --cfg job", "one run takes one value of beta, got beta=1,2. Add -m"),
    ("-m beta=1,x", f"{BETA}, got x"),
    ("-m beta=1,4 beat=1,4", "unknown key beat. Did you mean beta?"),
    ("-m model=mlp,conv model.hidden=[1],[2]", ONLY_MLP),
    ("-m beta=range(5,1)", "a sweep needs at least one value, got beta=range(5,1)"),
    ("-m beta=range(1,5,0)", "a sweep is a list or a range, got beta=range(1,5,0)."),
    ("-m beta=interval(0,1)", "a sweep is a list or a range, got beta=interval(0,1). Write a,b,c or range"),
    ("-m beta=glob(*)", "a sweep is a list or a range, got beta=glob(*)."),
    ("-m seed=range(0,1000000000)", "a sweep may have 10000 members, got more. Run it in parts"),
    # grammar
    ("beta=[1", "cannot read beta=[1. A key has letters"),
    ("beta==4", "cannot read beta==4"),
    ("beta='", "cannot read beta='"),
    ("βeta=4", "cannot read βeta=4. A key has letters, digits, _ and dots"),
    ("beta=４", "cannot read beta=４"),
    ("beta=\x1b[31m", "cannot read beta=\\x1b[31m"),
    ("a..b=3", "cannot read a..b=3"),
    # Hydra's own keys, and files
    ("hydra.x=1", f"hydra.x {HYDRA}"),
    ("+hydra.callbacks.x={_target_:os.system}", f"hydra.callbacks.x {HYDRA}"),
    ("-m hydra.mode=RUN,MULTIRUN", "a sweep cannot vary Hydra's own keys"),
    ("hydra/launcher=nope", "In 'hydra/config': Could not find 'hydra/launcher/nope' Available options"),
    ("hydra.run.dir=${nope}", "hydra.run.dir: Interpolation key 'nope' not found"),
    ("hydra.searchpath=3", "hydra.searchpath must be a list of strings. Got: 3"),
    (f"hydra.run.dir={Path(__file__).name}/x --config-dir nope", "--config-dir must be a directory, got nope"),
    ("--cfg job beat=4", "unknown key beat. Did you mean beta?"),
    # resuming
    ("resume=nowhere", "resume must be the directory of a run, got nowhere, which is none"),
    ("resume=a=b,(c", "resume must be the directory of a run, got a=b,(c, which is none"),
    ("resume=", "resume must be the directory of a run, got nothing"),
    ("resume=.", "resume needs a run with a checkpoint, got . without .hydra/config.yaml"),
    ("data=images", "data.path must be given, as in data.path=..., it must be text"),
    ("data=images data.path=", "data.path must be given, got an empty text"),
    ("data=sprites data.root=''", "data.root must be given, got an empty text"),
    ("data=sprites data.side=8", "data.side must be a whole number from 16 to 256, got 8"),
    ("data=sprites data.binarisation=none", "data.binarisation is a key of"),
    (
        "data=sprites data.side=256",
        "data=sprites must fit in 1 GB of packed bits, got 3x6x40x32x32 images of 256x256, 6.0",
    ),
    (
        "data=sprites data.shapes=1 data.scales=1 data.orientations=1 data.positions_x=1 data.positions_y=1",
        "data=sprites needs a factor with two levels or more, got 1x1x1x1x1. Raise one",
    ),
    ("data=images data.path=x data.side=0", "data.side must be a whole number from 1 to 4096, or null, got 0"),
    ("data=images data.path=x data.side=8 data.size=[8,9]", "data.side and data.size exclude each other, got 8 and "),
    (
        "data=images data.path=x data.size=[8]",
        "data.size must be a height and a width, got [8]. Write data.size=[48,64]",
    ),
    ("data=images data.path=x data.resize=pad", "data.resize must be one of fit, crop, stretch, got pad"),
    ("data=images data.path=x data.range=[9,9]", "data.range must be two numbers that rise, got [9.0, 9.0]. Write"),
    ("data=images data.path=x data.range=[0,inf]", "data.range must be two numbers that rise, got [0.0, inf]. Write"),
    ("data=images data.path=x data.range=[9]", "data.range must be two numbers that rise, got [9.0]. Write"),
    # parts of one's own
    ("objective=custom", "objective.target must be given, as in objective.target=..., it must be text"),
    ("objective=custom objective.target=mine", "objective.target must be module:name, as in "),
    ("metrics=[no_such_module:score]", "metrics must name a module that can be imported, got no_such_module:score"),
    ("-m beta=1,2 metrics=[math:sqrtt]", "metrics must name a function or class of math, got sqrtt"),
    ("-m resume=.", "resume continues one run, got a sweep. Its own command, given again, goes on with it"),
]
USAGE = [
    ("beta", "every override is key=value without spaces, got beta"),
    ("beta = 4", "every override is key=value without spaces, got beta"),
    ("--multrun beta=1", "unknown option --multrun. Did you mean --multirun?"),
    ("-x", "unknown option -x."),
    ("-beta=4", "unknown option -beta=4."),
    ("--cfg jobs", "argument -c/--cfg: invalid choice: 'jobs'"),
    ("--cfg", "argument -c/--cfg: expected one argument"),
    ("--config-name nope", "unknown option --config-name."),
    ("-m --cfg job", "--cfg shows one configuration, got --multirun too."),
]
TABLE = [(words, 1, line) for words, line in CONFIGURATION] + [(words, 2, line) for words, line in USAGE]


@pytest.mark.parametrize(("words", "code", "line"), TABLE)
def test_a_bad_command_line_is_answered_by_one_line(words, code, line, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=rf"^{code}$"):
        checked(words.split(" "), CONFIGS)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {line}")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert list(tmp_path.iterdir()) == []


def test_an_accelerator_that_is_not_there_is_refused(capsys):
    with pytest.raises(SystemExit, match=r"^1$"):
        checked(["-m", "device=cpu,mps"], CONFIGS)
    line = "device=mps needs an Apple GPU that torch can see, found none. Use device=auto or device=cpu"
    assert capsys.readouterr().err == f"error: {line}\n"


def test_an_output_that_cannot_be_written_is_refused(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs").touch()
    for arguments in (["beta=4"], ["-m", "beta=1,4"]):
        with pytest.raises(SystemExit, match=r"^1$"):
            checked(arguments, CONFIGS)
        assert "/outputs cannot be written. Set hydra." in capsys.readouterr().err


@pytest.mark.parametrize("row", [row for row in TABLE if row[0] in {"+beat=4", "beta=[1", "--multrun beta=1"}])
def test_train_answers_a_bad_command_line_itself(row, tmp_path):
    words, code, line = row
    done = subprocess.run([*COMMAND, *words.split(" ")], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(f"error: {line}")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


# --------------------------------------------------------------------------------------------- mutations

VALID = [
    ["beta=4", "seed=1"],
    ["-m", "beta=1,2,4", "seed=range(0,3)"],
    ["model=conv", "model.channels=8", "experiment=smoke"],
    ["model.hidden=[400,300]", "tracking={progress:false}"],
    ["data.root='a b'", "learning_rate=1e-3", "threads=null"],
    ["--cfg", "job", "beta=${seed}", "hydra.run.dir=x"],
    ["resume=outputs/x_beta=4.0", "epochs=3"],
]
CHARACTERS = st.sampled_from(list("=,.[]{}()'\"\\$:~+-@/ *?%#\n\t\x00\x1b0e_aβ\ud800😀"))


@st.composite
def mutated(draw):
    """A valid command line after some slips of the fingers."""
    words = list(draw(st.sampled_from(VALID)))
    for _ in range(draw(st.integers(1, 4))):
        if not words:
            break
        i = draw(st.integers(0, len(words) - 1))
        word = words[i]
        at = draw(st.integers(0, len(word)))
        slip = draw(st.sampled_from(["insert", "delete", "repeat", "cut", "drop", "swap", "prefix"]))
        match slip:
            case "insert":
                words[i] = word[:at] + draw(CHARACTERS) + word[at:]
            case "delete":
                words[i] = word[:at] + word[at + 1 :]
            case "repeat":
                words[i] = word[:at] + word[at - 1 : at] + word[at:]
            case "cut":
                words[i] = word[:at]
            case "drop":
                del words[i]
            case "swap":
                words.insert(0, words.pop(i))
            case "prefix":
                words[i] = draw(st.sampled_from(["+", "++", "~", "-", "--", "hydra.", "model."])) + word
    return words


@settings(max_examples=150, deadline=None, derandomize=True)
@given(mutated())
@example(["beta=4\n"])
@example(["beta=\x00"])
@example(["resume=\x00"])
@example(["resume=" + 5000 * "x"])
@example(["hydra.run.dir=" + 5000 * "x"])
@example(["beta=" + 3000 * "["])
@example(["seed=1" + 5000 * "0"])
@example(["\ud800=4"])
def test_slips_of_the_fingers_are_answered_by_at_most_one_line(words):
    with redirect_stderr(io.StringIO()) as err, redirect_stdout(io.StringIO()):
        try:
            code = 0 if checked(words, CONFIGS) is not None else None
        except SystemExit as stop:
            code = stop.code
    assert code in {0, 1, 2}
    assert len(err.getvalue().splitlines()) == (code != 0)
