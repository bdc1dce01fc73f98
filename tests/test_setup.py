"""The set-up holds what it promises: pinned versions, no addresses, strict tools, one entry for every job."""

import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SETUP = ("pyproject.toml", "constraints.txt", "Makefile", ".ci/run", ".gitignore")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PINS = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[a-z,]+\])?((?:[=<>!~]=?[0-9.]+)?)$")
ADDRESS = re.compile(r"\w+://|\bwww\.|index-url|find-links|trusted-host", re.IGNORECASE)
MACHINE_PATH = re.compile(r"(?<![\w.$}])/(?:work|home|root|Users)/")
LEFTOVER = re.compile(r"(?:#|//|\*).*\b(?:TODO|FIXME|XXX|HACK)\b")  # in a comment


def normal(name):
    """Return a distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned():
    return {normal(line.split("==")[0]): line.split("==")[1] for line in PINS}


def requirements():
    project = PROJECT["project"]
    return [
        *project["dependencies"],
        *(r for extra in project["optional-dependencies"].values() for r in extra),
    ]


def tracked(*suffixes):
    """Return the project's own text files: tracked by git where there is git, else those that are there."""
    if shutil.which("git") and (ROOT / ".git").exists():
        listed = subprocess.run(
            ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        paths = [ROOT / line for line in listed.splitlines()]
    else:
        paths = [
            p for folder in ("src", "tests", "examples", "benchmarks") for p in (ROOT / folder).rglob("*")
        ]
    return [p for p in paths if p.is_file() and p.suffix in suffixes]


@pytest.mark.parametrize("name", SETUP)
def test_no_addresses(name):
    assert not ADDRESS.search((ROOT / name).read_text(encoding="utf-8"))


def test_constraints_are_names_and_versions():
    assert len(PINS) > 20
    for line in PINS:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", line), line
    assert sorted(PINS, key=str.lower) == PINS
    assert len(pinned()) == len(PINS), "a name appears once"


@pytest.mark.parametrize("requirement", requirements())
def test_every_requirement_is_pinned(requirement):
    name, version = REQUIREMENT.match(requirement).groups()
    assert normal(name) in pinned()
    if version.startswith("=="):
        assert pinned()[normal(name)] == version[2:]
    elif version.startswith(">="):
        least, is_now = version[2:].split("."), pinned()[normal(name)].split(".")
        assert [int(n) for n in is_now[: len(least)]] >= [int(n) for n in least]


def test_running_needs_no_peer():
    names = {normal(REQUIREMENT.match(r)[1]) for r in PROJECT["project"]["dependencies"]}
    assert names == {"numpy", "scipy", "llvmlite", "tqdm"}


def test_tools_are_strict():
    tools = PROJECT["tool"]
    assert tools["pytest"]["ini_options"]["filterwarnings"] == ["error"]
    assert tools["pyright"]["typeCheckingMode"] == "strict"
    lint = tools["ruff"]["lint"]
    assert lint["select"] == ["ALL"]
    assert lint["mccabe"]["max-complexity"] == 10
    everywhere = [*lint["ignore"], *lint["per-file-ignores"].get("src/**", [])]
    assert not any(rule.startswith("C90") for rule in everywhere), "the bound on complexity is in force"
    assert tools["ruff"]["line-length"] == 110


def test_the_package_says_that_it_is_typed():
    assert (ROOT / "src" / "pullback" / "py.typed").exists()


def test_the_linter_refuses_a_branchy_function(tmp_path):
    ruff = shutil.which("ruff", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if ruff is None:
        pytest.skip("ruff is not installed")
    branches = "".join(f"    if x == {n}:\n        x += {n}\n" for n in range(12))
    (tmp_path / "branchy.py").write_text(f"def f(x):\n{branches}    return x\n", encoding="utf-8")
    command = [ruff, "check", "--config", str(ROOT / "pyproject.toml"), "--no-cache", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "C901" in done.stdout


def test_ci_script_stops_at_the_first_failure():
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & stat.S_IXUSR
    text = script.read_text(encoding="utf-8")
    assert text.startswith("#!/usr/bin/env bash")
    assert "set -euo pipefail" in text


@pytest.mark.parametrize("target", ["demo", "test", "slow", "bench", "lint", "clean"])
def test_make_knows_the_job(target):
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not installed")
    command = [make, "-n", target, "VENV=nowhere", "OUT=nowhere-out"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "nowhere" in done.stdout
    shown = subprocess.run([make, "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert f"make {target} " in shown


def test_no_path_of_one_machine():
    files = tracked(".py", ".toml", ".txt", ".md", ".rst", ".js", "")
    assert files
    assert not [str(p.relative_to(ROOT)) for p in files if MACHINE_PATH.search(p.read_text(encoding="utf-8"))]
    assert MACHINE_PATH.search("see {}home{}someone".format("/", "/"))


def test_nothing_is_left_for_later():
    sources = [p for p in tracked(".py", ".js") if p.name != "test_setup.py"]
    assert not [str(p.relative_to(ROOT)) for p in sources if LEFTOVER.search(p.read_text(encoding="utf-8"))]
