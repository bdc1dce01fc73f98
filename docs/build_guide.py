"""Write into a guide what its blocks print now: `python docs/build_guide.py docs/explain.md`.

Outputs that contain "..." and still fit are left as they are. Look at the difference before it is committed:
`tests/test_guides.py` only says that a guide shows what happens, not that it should. Read `rewritten`.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from test_guides import FENCE, Block, commands_of, performed, printed, same  # noqa: E402 - found by the path


def rewritten(guide: str, folder: Path) -> str:
    """Return the guide with the outputs of its blocks, run one after the other in `folder`."""
    names: dict[str, Any] = {"__name__": "guide"}
    parts: list[str] = []
    end, output = 0, ""
    for match in FENCE.finditer(guide):
        kind, text = match[1], match[2]
        parts.append(guide[end : match.start()])
        end = match.end()
        if kind == "python":
            shown = guide[end:].partition("```text\n")[2].partition("```")[0]
            output = printed(Block(0, kind, text, shown), names)
        elif kind == "text":
            text = text if "..." in text and same(text, output) else trimmed(output)
        else:
            text = "".join(session(command, shown, folder) for command, shown in commands_of(text))
        parts.append(f"```{kind}\n{text}```")
    return "".join([*parts, guide[end:]])


def session(command: str, shown: str, folder: Path) -> str:
    """Return a command with what it prints."""
    got = performed(command, shown, folder)
    return f"$ {command}\n{shown if '...' in shown and same(shown, got) else trimmed(got)}"


def trimmed(text: str) -> str:
    """Return the text without spaces at line ends, with one line end at its end."""
    return "\n".join(line.rstrip() for line in text.rstrip().split("\n")) + "\n"


def main() -> None:
    """Rewrite the guides named on the command line."""
    os.environ["MPLBACKEND"] = "agg"
    source = str(HERE.parent / "src")
    os.environ["PYTHONPATH"] = os.pathsep.join([source, *filter(None, [os.environ.get("PYTHONPATH")])])
    for path in [Path(name).resolve() for name in sys.argv[1:]]:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            os.environ["PULLBACK_CACHE"] = str(Path(folder) / "kernels")
            path.write_text(rewritten(path.read_text(encoding="utf-8"), Path(folder)), encoding="utf-8")
            os.chdir(HERE)


if __name__ == "__main__":
    main()
