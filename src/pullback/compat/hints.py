"""What to say about a torch name that pullback does not have.

Read `missing` first: the AttributeError that a module raises. `absent_text` is its sister for a
placeholder that was imported and then used. Both look for the nearest name that does exist: the same name in
a neighbouring room, a name spelled nearly alike, or an entry of the hand-made table `INSTEAD`. May import:
`pullback.errors` and the standard library (`pullback/__init__` imports this module).
"""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Iterator
from contextlib import suppress
from types import ModuleType
from typing import Any

from pullback.errors import message

# Rooms in which a name that is looked for in the wrong place usually lives, most likely first.
_NEIGHBOURS = (
    "",
    "nn.functional",
    "nn",
    "linalg",
    "autograd",
    "autograd.functional",
    "func",
    "optim",
    "nn.init",
    "special",
    "random",
    "utils.data",
    "Tensor",
)

# Longest prefix wins. Right of a name: what to do instead.
INSTEAD = {
    "torch.amp": "leave autocast out: pullback computes in the dtype of the tensors, on the CPU",
    "torch.autograd.profiler": "measure with time.perf_counter() or cProfile",
    "torch.cuda": "pullback computes on the CPU; guard the call with torch.cuda.is_available()",
    "torch.distributions": "draw with torch.randn, torch.rand and the like; pullback.distributions describes "
    "the random inputs of pullback.sensitivity",
    "torch.distributed": "run in one process, or guard the call with torch.distributed.is_available()",
    "torch.export": "call the model directly",
    "torch.fx": "call the model directly",
    "torch.hub": "build the model in the program: pullback downloads nothing",
    "torch.jit": "call the function directly, or use torch.compile",
    "torch.mps": "pullback computes on the CPU; guard the call with torch.backends.mps.is_available()",
    "torch.multiprocessing": "use Python's multiprocessing",
    "torch.onnx": "export the model with PyTorch itself",
    "torch.profiler": "measure with time.perf_counter() or cProfile",
    "torch.quantization": "keep the model in floating point",
    "torch.utils.tensorboard": "print the numbers, or draw them with matplotlib",
    "torch.xpu": "pullback computes on the CPU; guard the call with torch.xpu.is_available()",
}


def missing(room_name: str, attribute: str) -> AttributeError:
    """The error to raise for `attribute`, which the module `room_name` does not have.

    `room_name` is a pullback room ("pullback.nn") or the torch room that it stands in for ("torch.nn").

    >>> print(str(missing("pullback", "zeors")).splitlines()[0])
    module 'pullback' has no attribute 'zeors'
    """
    first = f"module '{room_name}' has no attribute '{attribute}'"
    if attribute.startswith("__"):  # Python asks for these; no reader does
        return AttributeError(first, name=attribute)
    here = f"pullback has no {room_name}.{attribute}"
    text = message(first, here, advice(f"{room_name}.{attribute}"))
    return AttributeError(text, name=attribute)  # `name` without `obj`: Python then adds no guess of its own


def absent_text(name: str, used: str, imported_at: str) -> str:
    """Text of the error for a placeholder: its full torch name, how it was used, and where it came in.

    >>> print(absent_text("torch.jit.script", "called", "prog.py:1").splitlines()[0])
    torch.jit.script is not in pullback, and was called
    """
    first = f"{name} is not in pullback, and was {used}"
    return message(first, f"it was imported at {imported_at}", advice(name))


def advice(name: str) -> str:
    """The nearest things that exist for a full name, as one line; empty if nothing is near."""
    top, _, path = name.partition(".")
    found = [f"{top}.{near}" for near in nearest(_root(top), path)]
    parts = [" or ".join(found)] if found else []
    parts += [text for text in [_instead(f"torch.{path}")] if text]
    return "; ".join(parts)


def nearest(root: ModuleType | None, path: str, limit: int = 3) -> list[str]:
    """Paths below `root` that look most like `path`: the same name elsewhere, or close spellings.

    >>> import types
    >>> root = types.SimpleNamespace(einsum=1, nn=types.SimpleNamespace(Linear=2))
    >>> nearest(root, "einsom"), nearest(root, "Linear")
    (['einsum'], ['nn.Linear'])
    """
    if root is None:
        return []
    room, _, wanted = path.rpartition(".")
    here = dict(_names(root, room))
    prefix = f"{room}." if room else ""
    there: dict[str, str] = {}  # each object once, in the room where it is likeliest
    seen: set[int] = set()
    for neighbour in dict.fromkeys([room, *_NEIGHBOURS]):
        for name, value in _names(root, neighbour):
            if id(value) not in seen:
                seen.add(id(value))
                there[f"{neighbour}.{name}" if neighbour else name] = name
    same = [full for full, name in there.items() if name.lower() == wanted.lower()]
    if same:
        return same[:limit]
    close = difflib.get_close_matches(wanted, list(here), limit, 0.7)
    if close:
        return [prefix + name for name in close]
    names = {name: full for full, name in reversed(there.items())}
    return [names[name] for name in difflib.get_close_matches(wanted, list(names), limit, 0.8)]


def _instead(name: str) -> str:
    """The entry of `INSTEAD` for the longest prefix of `name`."""
    while name and name not in INSTEAD:
        name = name.rpartition(".")[0]
    return INSTEAD.get(name, "")


def _root(top: str) -> ModuleType | None:
    """The module whose names are offered: the one that a replaced torch stands for, or pullback itself."""
    module = sys.modules.get(top)
    return getattr(module, "__pullback__", None) or sys.modules.get("pullback")


def _names(root: Any, room: str) -> Iterator[tuple[str, Any]]:
    """Public names of a room, and what they name; none if there is no such room."""
    for part in room.split(".") if room else ():
        root = _inside(root, part)
    hidden = {"annotations"}
    for name, value in getattr(root, "__dict__", {}).items():
        foreign = isinstance(value, ModuleType)
        if not name.startswith("_") and not foreign and name not in hidden:
            yield name, value


def _inside(package: Any, name: str) -> Any:
    """What `package` holds under `name`, imported if it is a room that waits for its first use; or None."""
    found = getattr(package, "__dict__", {}).get(name)
    spec = getattr(package, "__spec__", None)
    # while a package is being imported its rooms cannot be
    if found is None and hasattr(package, "__path__") and not getattr(spec, "_initializing", False):
        with suppress(Exception):  # a hint must not hide the error that it belongs to
            return importlib.import_module(f"{package.__name__}.{name}")
    return found
