"""Other names of one function: error texts that say the name that was called.

Read `named` first. Aliases (arctan2 for atan2) and in-place methods (atan2_) run the function that they stand
for; a TypeError on the way out is reworded. May import nothing of the package.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

_CALLED = re.compile(r"^\w+\(\)")
_PLACE = re.compile(r"\(position (\d+)\)")


def named(call: Callable[..., Any], name: str, *, method: bool = False) -> Callable[..., Any]:
    """`call` under another name in its TypeErrors; a method counts its arguments without the tensor itself.

    >>> def f(x):
    ...     raise TypeError("f(): argument 'other' (position 2) must be Tensor, not int")
    >>> named(f, "f_", method=True)(1)
    Traceback (most recent call last):
    TypeError: f_(): argument 'other' (position 1) must be Tensor, not int
    """

    def renamed(*args: Any, **kwargs: Any) -> Any:
        try:
            return call(*args, **kwargs)
        except TypeError as e:
            e.args = (reworded(str(e), name, method), *e.args[1:])
            raise

    renamed.__name__ = renamed.__qualname__ = name
    renamed.__doc__ = call.__doc__
    return renamed


def reworded(text: str, name: str, method: bool) -> str:
    """The text with the function called `name`; a method counts its arguments after the tensor."""
    first, *rest = text.split("\n", 1)
    first = _CALLED.sub(f"{name}()", first)
    if method:
        first = _PLACE.sub(lambda m: f"(position {max(int(m[1]) - 1, 1)})", first)
    return "\n".join([first, *rest])
