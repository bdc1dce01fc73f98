"""What a notebook may expect of IPython, for a machine without it: display, get_ipython, a few rich objects.

Read `stand_in` first. Only text is shown. May import: the standard library.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec
from types import ModuleType


def display(*objects: object, **_options: object) -> None:
    """Print the text form of each object, as a notebook without pictures shows it."""
    for item in objects:
        print(repr(item))  # noqa: T201 - the program's own output


def clear_output(*_args: object, **_options: object) -> None:
    """Output that was printed stays printed."""


class Rich:
    """A displayed object whose text form is its name only (a picture, markup)."""

    def __init__(self, data: object = None, *_args: object, **_options: object) -> None:
        self.data = data

    def __repr__(self) -> str:
        return f"<IPython.core.display.{type(self).__name__} object>"


class Shell:
    """What `get_ipython()` returns: it takes magics and shell commands, and only notes them."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note

    def run_line_magic(self, name: str, line: str = "", *_args: object) -> None:
        """Note `%name line`."""
        self._note(f"%{name} {line}: not run; only Python is")

    def run_cell_magic(self, name: str, line: str = "", cell: str = "") -> None:
        """Note `%%name line`."""
        self._note(f"%%{name} {line}: not run ({len(cell.splitlines())} lines); only Python is")

    def magic(self, line: str) -> None:
        """Note `%line`."""
        self._note(f"%{line}: not run; only Python is")

    def system(self, command: str) -> None:
        """Note `!command`."""
        self._note(f"!{command}: shell commands are not run")

    getoutput = system


_RICH = "HTML Markdown Math Latex Image SVG Javascript JSON Pretty"


def stand_in(note: Callable[[str], None]) -> dict[str, object]:
    """The names a notebook finds in its cells.

    Makes `import IPython.display` work where IPython is not installed.
    """
    shell = Shell(note)
    names: dict[str, object] = {"display": display, "get_ipython": lambda: shell}
    if find_spec("IPython") is None:
        inner = ModuleType("IPython.display")
        vars(inner).update(display=display, clear_output=clear_output)
        vars(inner).update({name: type(name, (Rich,), {}) for name in _RICH.split()})
        outer = ModuleType("IPython")
        # outside a cell there is no shell: libraries ask, to hook into its event loop
        vars(outer).update(display=inner, get_ipython=lambda: None, __path__=[], version_info=(0, 0))
        sys.modules.update({"IPython": outer, "IPython.display": inner})
    return names
