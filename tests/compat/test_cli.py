"""The command line itself."""

import pytest

import pullback
from pullback.cli import COMMANDS, main


def test_version(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"pullback {pullback.__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], *([command.name, "--help"] for command in COMMANDS)])
def test_help_names_every_command_and_option(capsys, arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert all(command.name in text and command.help in text for command in COMMANDS) or len(arguments) == 2
    assert arguments[0] != "run" or ("--figures DIR" in text and "--compare" in text)


@pytest.mark.parametrize("arguments", [[], ["no-such-command"], ["run"], ["run", "--no-such-option", "x.py"]])
def test_wrong_use_is_status_2(capsys, arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: pullback" in capsys.readouterr().err


def test_bad_input_is_status_2(capsys):
    assert main(["run", "nowhere.py"]) == 2
    assert capsys.readouterr().err == "pullback run: no such file: nowhere.py\n"


def test_options_behind_the_file_belong_to_the_program_which_is_said(place):
    place.write("prog.py", "import sys; print(sys.argv[1:])")
    done = place.run("prog.py", "--figures", "x")
    assert done.stdout == "['--figures', 'x']\n"
    assert "stand before FILE" in done.stderr
    assert place.run("prog.py", "x", "--figures").stderr == ""


def test_the_command_line_imports_nothing_heavy(place):
    heavy = {"matplotlib", "torch", "IPython", "multiprocessing"}
    code = f"import sys, pullback.cli; print(sorted({heavy} & set(sys.modules)))"
    assert place.python("-c", code).stdout == "[]\n"


def test_the_module_runs_as_a_command(place):
    assert place.python("-m", "pullback", "--version").stdout.startswith("pullback ")
