"""Sums with products: addmm, addmv, addr, baddbmm, addbmm.

Read `_add` first. May import `families`, `contract`.
"""

from __future__ import annotations

from typing import Any

from pullback.families.calls import write_out
from pullback.families.contraction import named, product
from pullback.ops.contract import bmm_call, mm, mm_call, mv_call, outer
from pullback.ops.contract_checks import (
    check_add,
    check_expand,
    check_pair,
    need_tensor,
)


def addmm(input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Any:
    """beta * input + alpha * (mat1 @ mat2), `input` broadcast; beta=0 ignores NaN and infinity in `input`."""
    return _add("addmm", input, mat1, mat2, beta, alpha, out)


def addmv(input: Any, mat: Any, vec: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Any:
    """beta * input + alpha * (mat @ vec), `input` broadcast."""
    return _add("addmv", input, mat, vec, beta, alpha, out)


def addr(input: Any, vec1: Any, vec2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Any:
    """beta * input + alpha * outer(vec1, vec2), `input` broadcast; dtypes promote."""
    return _add("addr", input, vec1, vec2, beta, alpha, out)


def baddbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Any:
    """beta * input + alpha * bmm(batch1, batch2), `input` broadcast."""
    return _add("baddbmm", input, batch1, batch2, beta, alpha, out)


def addbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Any:
    """beta * input + alpha * (the products of the two stacks, added up over the stack), `input` broadcast."""
    return _add("addbmm", input, batch1, batch2, beta, alpha, out)


def _stack_sum(x: Any, y: Any) -> Any:
    check_pair("bmm", x, y)
    return product(x, y, spec="bij,bjk->ik")


_PRODUCTS: dict[str, Any] = {
    "addmm": mm_call,
    "addmv": mv_call,
    "addr": outer,
    "baddbmm": bmm_call,
    "addbmm": _stack_sum,
}


def _add(name: str, input: Any, x: Any, y: Any, beta: Any, alpha: Any, out: Any) -> Any:
    for k, a in enumerate((input, x, y)):
        need_tensor(name, k + 1, _ADD_NAMES[name][k], a)
    check_add(name, input, x, y)
    p = _PRODUCTS[name](x, y)
    check_expand(input, p)
    if alpha != 1:
        p = p * alpha
    if beta == 0:
        t = p + input.new_zeros(tuple(input.shape)) if input.dtype is not p.dtype else p
    else:
        t = (input if beta == 1 else input * beta) + p
    return named(t, _ADD_LABELS[name]) if out is None else write_out(mm, out, t, (input, x, y))


_ADD_NAMES = {
    "addmm": ("input", "mat1", "mat2"),
    "addmv": ("input", "mat", "vec"),
    "addr": ("input", "vec1", "vec2"),
    "baddbmm": ("input", "batch1", "batch2"),
    "addbmm": ("input", "batch1", "batch2"),
}
_ADD_LABELS = {n: n.capitalize() + "Backward0" for n in _ADD_NAMES}


PUBLIC: dict[str, Any] = {f.__name__: f for f in (addmm, addmv, addr, addbmm, baddbmm)}
METHODS: dict[str, Any] = {**PUBLIC}
IN_PLACE: dict[str, Any] = {f"{name}_": f for name, f in PUBLIC.items()}
