"""Elementwise arithmetic and functions."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from pullback.families.elementwise import elementwise

add = elementwise("add", operator.add, d=[1, 1])
mul = elementwise("mul", operator.mul, d=[lambda _out, _x, y: y, lambda _out, x, _y: x])
exp = elementwise("exp", np.exp, d=[lambda out, _x: out])
sin = elementwise("sin", np.sin, d=[lambda _out, x: cos(x)])
cos = elementwise("cos", np.cos, d=[lambda _out, x: -sin(x)])

PUBLIC: dict[str, Any] = {op.torch_name: op.call for op in (add, mul, exp, sin, cos)}
METHODS: dict[str, Any] = {
    **PUBLIC,
    "__add__": add.call,
    "__radd__": add.call,
    "__mul__": mul.call,
    "__rmul__": mul.call,
}
IN_PLACE: dict[str, Any] = {"add_": (add.call, add), "mul_": (mul.call, mul), "__iadd__": add.call, "__imul__": mul.call}
