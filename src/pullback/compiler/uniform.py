"""Values that are the same in all lanes, computed in NumPy exactly as a kernel would.

Only correctly rounded ops are taken, so both agree to the bit. Read `value_of`. May import
`compiler.program`, `compiler.build`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback.compiler.build import BINARY, UNARY, numpy_type
from pullback.compiler.program import Value

EXACT = {"add", "sub", "mul", "neg", "abs", "sqrt", "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "not"}


def computable(v: Value) -> bool:
    """Can `value_of` compute it?"""
    if not v.uniform:
        return False
    if v.op == "load":
        return v.args[0].op == "const"
    return v.op in EXACT | {"const", "div", "select", "cast"} and all(map(computable, v.args))


def value_of(v: Value, arrays: Sequence[Any]) -> Any:
    """The value, as a NumPy number or, for arrays with leading axes (one row per call), one per row."""
    kind: Any = numpy_type(v.type)
    if v.op == "const":
        return kind(v.data)
    if v.op == "load":
        return arrays[v.data][..., v.args[0].data].astype(kind)
    args = [value_of(a, arrays) for a in v.args]
    with np.errstate(all="ignore"):
        if v.op == "select":
            return np.where(args[0], args[1], args[2])
        if v.op == "cast":
            return np.asarray(args[0]).astype(kind)
        function: Any = np.divide if v.op == "div" else BINARY.get(v.op) or UNARY[v.op]
        return function(*args)
