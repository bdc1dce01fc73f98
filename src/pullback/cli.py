"""The command `pullback`: a table of sub-commands.

Read `COMMANDS` first: a sub-command is one entry (name, one line of help, its arguments, what it does). May
import: anything of the package; nothing imports it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import cleandoc
from pathlib import Path

import pullback
from pullback import cli_explain, cli_sensitivity
from pullback.compat import figures
from pullback.compat.compare import compare
from pullback.compat.notebook import run_notebook
from pullback.compat.program import BadInput, run_program


@dataclass(frozen=True)
class Command:
    """A sub-command: `add` declares its arguments, `run` does it and returns the exit status."""

    name: str
    help: str
    add: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status. 2 stands for input that cannot be used, as in argparse.

    >>> main(["run", "nowhere.py"])
    2
    """
    parser = _parser()
    arguments = parser.parse_args(sys.argv[1:] if argv is None else argv)
    try:
        return arguments.command.run(arguments)
    except BadInput as error:
        sys.stderr.write(f"pullback {arguments.command.name}: {error}\n")
        return 2


def _parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(prog="pullback", description="Gradients with PyTorch's semantics.")
    parser.add_argument("--version", action="version", version=f"pullback {pullback.__version__}")
    rooms = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        inner = rooms.add_parser(
            command.name,
            help=command.help,
            description=cleandoc(command.run.__doc__ or ""),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add(inner)
        inner.set_defaults(command=command)
    return parser


def _add_run(parser: argparse.ArgumentParser) -> None:
    """Arguments of `pullback run`."""
    parser.add_argument("--figures", metavar="DIR", type=Path, help="write matplotlib figures into DIR")
    parser.add_argument("--compare", action="store_true", help="run with PyTorch too; show what differs")
    parser.add_argument("file", metavar="FILE", help="a .py or .ipynb file")
    parser.add_argument("args", metavar="ARGS", nargs=argparse.REMAINDER, help="the program's own arguments")


def _run(arguments: argparse.Namespace) -> int:
    """Run a program or a notebook written for torch, with pullback in torch's place.

    What it prints, its exceptions and its exit status are the program's own. In that process `import torch`
    gives pullback, also where PyTorch is installed. Everything after FILE belongs to the program.

    A notebook runs in its own folder, cell by cell, and stops at the first cell that fails. Figures that are
    shown, or left open, become DIR/figure-001.png and so on; without --figures they are dropped.

    exit status: the program's; 2 if FILE cannot be run. With --compare: 0 the same, 1 different.
    """
    path: str = arguments.file
    runners = {".py": run_program, ".ipynb": run_notebook}
    runner = runners.get(Path(path).suffix)
    if runner is None and not Path(path).is_dir():
        raise BadInput(f"{path} is neither a .py nor an .ipynb file")
    if arguments.compare:
        options = ["--figures", str(arguments.figures)] if arguments.figures else []
        return compare(path, arguments.args, options)
    _hint(path, arguments.args)
    figures.attend(arguments.figures and arguments.figures.absolute())
    try:
        (runner or run_program)(path, arguments.args)
    finally:
        figures.finish()
    return 0


def _hint(path: str, args: list[str]) -> None:
    """Say where our options go, if the program's first argument is called like one of them."""
    if args and args[0].partition("=")[0] in {"--figures", "--compare"}:
        sys.stderr.write(
            f"pullback run: {args[0]} goes to {path}; pullback's own options stand before FILE\n"
        )


COMMANDS = (
    Command("run", "run a program written for torch", _add_run, _run),
    Command("explain", "run a program; say why its gradients are so", cli_explain.add, cli_explain.run),
    Command("sensitivity", "average gradients over random inputs", cli_sensitivity.add, cli_sensitivity.run),
)
