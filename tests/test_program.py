"""The program `beta-vae`: its commands, its errors, and how its messages name the command that was typed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from command import ROOT, one_error_line, run

import train
from vae.app import program
from vae.app.invocation import Starter, configs_directory, resuming_command, training_command, typed_words
from vae.app.verbs import evaluate


@pytest.fixture
def answered(capsys):
    """`beta-vae WORDS` in this process: its code, and what it wrote to stdout and stderr."""

    def answer(*words):
        try:
            code = program.main(words)
        except SystemExit as stopped:
            code = stopped.code
        return code, *capsys.readouterr()

    return answer


def test_help_has_a_line_for_each_command(answered):
    code, out, err = answered("--help")
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines() if line.startswith("  ")]
    assert [words[0] for words in lines] == list(program.VERBS)
    assert all(len(words) > 2 for words in lines)


def test_without_a_command_the_help_is_an_error(answered):
    code, out, err = answered()
    assert (code, out) == (2, "")
    assert err == answered("-h")[1]


def test_the_version_is_that_of_the_package(answered):
    import vae

    assert answered("--version") == (0, f"beta-vae {vae.__version__}\n", "")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("trian", "unknown command trian. Did you mean train?"),
        ("xyzzy", "unknown command xyzzy. beta-vae --help lists them"),
        ("", "unknown command ''. beta-vae --help lists them"),
        ("--evaluate", "unknown command --evaluate. Did you mean evaluate?"),
        ("beta=4", "the first word must be a command, got beta=4. Write beta-vae train beta=4"),
        ("a\nb", "unknown command a b. beta-vae --help lists them"),
    ],
)
def test_an_unknown_command_is_one_line_with_the_nearest(answered, word, said):
    assert answered(word) == (2, "", f"error: {said}\n")


@pytest.mark.parametrize("verb", [verb for verb in program.VERBS if verb != "train"])
def test_every_command_explains_itself_and_refuses_an_unknown_option_in_one_line(answered, verb):
    code, out, err = answered(verb, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: beta-vae {verb}")
    code, out, err = answered(verb, "run", "--xyzzy")
    assert (code, out, len(err.splitlines())) == (2, "", 1)


def test_training_has_the_same_words_as_train_py(answered, capsys, monkeypatch):
    code, out, _ = answered("train", "beta=4", "model=conv", "--cfg", "job")
    assert (code, "beta: 4.0" in out) == (0, True)
    monkeypatch.setattr("sys.argv", ["train.py", "beta=4", "model=conv", "--cfg", "job"])
    with pytest.raises(SystemExit, match=r"^0$"):
        train.main()
    assert capsys.readouterr().out == out
    assert answered("train", "beat=4") == (1, "", "error: unknown key beat. Did you mean beta?\n")
    assert answered("train", "--hlep")[0] == 2


@pytest.mark.parametrize("words", [["train", "beat=4"], ["train", "--help"], ["--help"], ["trian"]])
def test_what_needs_no_model_does_not_load_torch(words):
    code = "import sys, atexit; atexit.register(lambda: print('torch' in sys.modules))"
    code += "; from vae.app.program import start; sys.exit(start())"
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "False"


def test_an_error_of_a_command_is_one_line_and_its_code(answered, tmp_path):
    assert answered("evaluate", str(tmp_path))[0] == 1
    code, out, err = answered("evaluate", str(tmp_path / "a\nb"), "--samples", "0")
    assert (code, out, err) == (2, "", "error: --samples and --images must be 1 or more\n")
    code, out, err = answered("evaluate", str(tmp_path / "a\nb"))
    assert (code, out, len(err.splitlines())) == (1, "", 1)


@pytest.mark.parametrize(("error", "code"), [(OSError(28, "No space left on device"), 6), (MemoryError(), 1)])
def test_an_error_of_the_machine_is_one_line_and_its_code(answered, monkeypatch, error, code):
    def fails(*_):
        raise error

    monkeypatch.setattr(evaluate, "load_run", fails)
    ended, _, err = answered("evaluate", "run")
    assert (ended, err.count("\n"), err.startswith("error: ")) == (code, 1, True)


def test_an_error_that_nobody_expects_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(evaluate, "load_run", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError, match="division by zero"):
        program.main(["evaluate", "run"])


@pytest.mark.parametrize(
    ("argv", "command", "typed", "resume"),
    [
        (["train.py", "a=1"], "python train.py", "python train.py a=1", "python train.py resume=runs/x"),
        (["/a b/train.py", "a=1"], "python '/a b/train.py'", None, "python '/a b/train.py' resume=runs/x"),
        (["/bin/beta-vae", "train", "a=1"], "beta-vae train", "beta-vae train a=1", "beta-vae train resume=runs/x"),
        (["/bin/beta-vae", "--member", "x"], "beta-vae train", "beta-vae train --member x", None),
        (["/x/vae/__main__.py", "train"], "python -m vae train", "python -m vae train", None),
        (["vae.train", "a=1"], "vae.train", "python -m vae train a=1", "vae.train(resume='runs/x')"),
        (["anything"], "python -m vae train", "python -m vae train", "python -m vae train resume=runs/x"),
    ],
)
def test_messages_name_the_command_as_it_was_typed(monkeypatch, argv, command, typed, resume):
    monkeypatch.setattr("sys.argv", argv)
    assert training_command() == command
    assert typed is None or typed_words() == typed.split(" ")
    assert resume is None or resuming_command(Path("runs/x").absolute()) == resume


def test_the_help_of_training_names_the_command_as_it_was_typed(answered, monkeypatch):
    monkeypatch.setattr("sys.argv", ["/usr/bin/beta-vae", "train", "--help"])
    _, out, _ = answered("train", "--help")
    assert "beta-vae train -m beta=1,2,4" in out
    assert "train.py" not in out


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("beta-vae tra", ["train", "traverse"]),
        ("beta-vae train model=m", ["model=mlp"]),
        ("beta-vae train beta=4 model=lo", ["model=locatello"]),
        ("beta-vae report out", []),
    ],
)
def test_the_shell_completes_the_commands_and_the_words_of_training(answered, monkeypatch, line, offered):
    monkeypatch.setenv("COMP_LINE", line)
    monkeypatch.setattr("sys.argv", ["/bin/beta-vae"])
    code, out, err = answered("-sc", "query=bash")
    assert (code, out.split(), err) == (0, offered, "")


def test_the_configuration_files_are_found_in_a_checkout():
    assert configs_directory() == ROOT / "configs"


def test_a_process_that_is_started_has_the_modules_and_the_name_of_its_starter(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path / "it's ü"))
    monkeypatch.setattr("sys.path", [*sys.path, ""])
    monkeypatch.chdir(tmp_path)
    command = Starter.of_this_process("beta-vae").command(["--member"])
    assert command[0] == sys.executable
    code = command[2].partition("from vae")[0] + "import json; print(json.dumps([sys.argv, sys.path]))"
    done = subprocess.run([sys.executable, "-c", code, *command[3:]], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [["beta-vae", "--member"], [place or str(tmp_path) for place in sys.path]]


def test_python_m_vae_is_the_program():
    done = run("-m", "vae", "train", "beat=4")
    assert done.returncode == 1
    assert one_error_line(done) == "error: unknown key beat. Did you mean beta?"
