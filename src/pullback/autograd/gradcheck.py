"""`gradcheck` and `gradgradcheck`: compare backward (and forward) rules with central differences.

Read `gradcheck` first, then `Check`. Slow mode compares whole matrices (input entries x output entries), fast
mode one number
v^T J u per pair of output and input. The module is also the function: `torch.autograd.gradcheck(...)` works
as well as
`from torch.autograd.gradcheck import GradcheckError`. May import `autograd`, `graph`.
"""

from __future__ import annotations

import sys
import types
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pullback.autograd import gradcheck_texts as texts
from pullback.autograd.differences import as_tuple, matrices, projected
from pullback.autograd.gradcheck_more import (
    batched_forward,
    batched_reverse,
    forward_matrices,
    upstreams,
    zero_upstreams,
)
from pullback.autograd.public import captured_cotangents, grad
from pullback.graph.tensor import Tensor, edge_of, wrap
from pullback.ops.randomness import rand

Function = Callable[..., Any]


class GradcheckError(RuntimeError):
    """Analytical and numerical derivatives differ, or a backward breaks one of its rules."""


def gradcheck(
    func: Function,
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,  # noqa: ARG001 - it concerns sparse layouts
) -> bool:
    """True if the derivatives of func at inputs agree with central differences: |analytical - numerical| <=
    atol + rtol |numerical|.

    inputs                      a tensor, or a sequence that may hold other values; those with requires_grad
                                are checked (float64!)
    eps                         the step; entries are changed in place and restored
    raise_exception             False: return False for a mismatch instead of raising GradcheckError
    nondet_tol                  how far two runs of backward may differ
    check_undefined_grad        backward must give zeros when it gets no upstream
    check_grad_dtypes           gradients must have their inputs' dtype
    check_batched_grad          vmap over backward must agree with backward one by one
                                (check_batched_forward_grad: over jvp)
    check_forward_ad            check forward mode too; check_backward_ad: check reverse mode
    fast_mode                   compare v^T J u for one random u and v instead of all entries
    masked                      accepted for compatibility; it concerns sparse layouts
    ValueError where no input requires grad.

    >>> import pullback as torch
    >>> x = torch.tensor([0.3, 0.7], dtype=torch.float64, requires_grad=True)
    >>> torch.autograd.gradcheck(lambda x: x.sin() * x, x)
    True
    """
    _assert(
        check_forward_ad or check_backward_ad,
        "Expected at least one of check_forward_ad or check_backward_ad to be True",
    )
    _assert(
        not check_batched_grad or check_backward_ad,
        "Setting check_batched_grad=True requires check_backward_ad to be True",
    )
    _assert(
        not check_batched_forward_grad or check_forward_ad,
        "Setting check_batched_forward_grad=True requires check_forward_ad to be True",
    )
    check = Check(func, as_tuple(inputs), eps, atol, rtol, nondet_tol, check_grad_dtypes, fast_mode)
    try:
        check.modes(check_backward_ad, check_forward_ad)
        if check_batched_forward_grad:
            batched_forward(func, check.inputs, GradcheckError)
        if check_backward_ad:
            for i, out in enumerate(check.outputs):
                if check_batched_grad:
                    batched_reverse(check.wanted, out, i, GradcheckError)
                check.multiplies_upstream()
            if check_undefined_grad and check.outputs:
                zero_upstreams(func, check.inputs, check.wanted, GradcheckError)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _assert(condition: bool, text: str) -> None:
    if not condition:
        raise AssertionError(text)


def _followed(outs: Sequence[Any]) -> list[Tensor]:
    return [t for t in outs if t.requires_grad]


class Check:
    """One gradcheck: the function at its inputs, and the comparison in one mode."""

    def __init__(
        self,
        func: Function,
        inputs: tuple[Any, ...],
        eps: float,
        atol: float,
        rtol: float,
        nondet_tol: float,
        check_grad_dtypes: bool,
        fast: bool,
    ) -> None:
        """Check the inputs and run the function once."""
        self.func, self.inputs = func, inputs
        self.eps, self.atol, self.rtol, self.nondet_tol = eps, atol, rtol, nondet_tol
        self.check_dtypes, self.fast = check_grad_dtypes, fast
        self.wanted = self._checked_inputs()
        self.all_outputs = as_tuple(func(*inputs))
        self.outputs = _followed(self.all_outputs)

    def _checked_inputs(self) -> list[Tensor]:
        wanted: list[Tensor] = []
        for i, x in enumerate(self.inputs):
            if not (isinstance(x, Tensor) and x.requires_grad):
                continue
            if x.value.dtype.name not in ("float64", "complex128"):
                warnings.warn(texts.NOT_DOUBLE.format(i=i), UserWarning, stacklevel=4)
            v = x.storage()
            if any(s == 0 and n > 1 for s, n in zip(v.strides, v.shape, strict=True)):
                raise RuntimeError(texts.STRIDE_ZERO.format(i=i))
            x.retain_grad()
            wanted.append(x)
        if not wanted:
            raise ValueError(texts.NO_GRAD_INPUT)
        return wanted

    # ------------------------------------------------------------------ which comparisons

    def modes(self, backward: bool, forward: bool) -> None:
        """Compare in the modes asked for, complex outputs (reverse) and inputs (forward) by their parts."""
        if backward:
            if any(t.value.dtype.kind == "c" for t in self.all_outputs if isinstance(t, Tensor)):
                for part in ("imaginary", "real"):
                    self._reverse(_part_of_outputs(self.func, part), None, part)
            else:
                self._reverse(self.func, self.all_outputs, "")
        if forward:
            self._forward()

    def _reverse(self, func: Function, out: Any, part: str) -> None:
        all_outputs = as_tuple(func(*self.inputs)) if out is None else out
        outputs = _followed(all_outputs)
        complex_outputs = {i for i, t in enumerate(self.outputs) if t.value.dtype.kind == "c"}
        if not outputs:
            self._no_slope(func, all_outputs)
            return
        if self.fast:
            self._fast(func, outputs, part, complex_outputs)
            return
        floating = _floating(all_outputs)
        numerical = [matrices(func, self.inputs, x, floating, self.eps) for x in self.wanted]
        places = [next(k for k, f in enumerate(floating) if f is t) for t in outputs]
        for i, t in enumerate(outputs):
            analytical = self._pulled(t)
            for k, a in enumerate(analytical):
                n = numerical[k][places[i]]
                if not np.allclose(a, n, self.rtol, self.atol):
                    raise GradcheckError(
                        texts.mismatch(
                            wrap(a), wrap(n), i, k, part if i in complex_outputs else "", "outputs", False
                        )
                    )

    def _no_slope(self, func: Function, outs: Sequence[Any]) -> None:
        for x in self.wanted:
            for n in matrices(func, self.inputs, x, _floating(outs), self.eps):
                if (np.abs(n) > self.atol).any() if self.fast else n.any():
                    raise GradcheckError(texts.ZERO_EXPECTED)

    def _pulled(self, out: Tensor) -> list[Any]:
        """The analytical matrices of one output: one sweep per entry, run twice to see that backward is a
        function.
        """
        n, shape = out.value.size, tuple(out.value.shape)
        runs: list[list[Any]] = []
        for _ in range(2):
            tables = [np.zeros((x.value.size, n), x.value.dtype) for x in self.wanted]
            for j in range(n):
                seed = np.zeros(n, out.value.dtype)
                seed[j] = 1
                self._fill(tables, j, self._sweep(out, seed.reshape(shape) if shape else seed[0]))
            runs.append(tables)
        self._check_reentrant(*runs)
        return runs[0]

    def _sweep(self, out: Tensor, seed: Any) -> list[Any]:
        return captured_cotangents([(edge_of(out), seed)], self.wanted, keep=True)

    def _fill(self, tables: list[Any], j: int, found: list[Any]) -> None:
        for table, c, x in zip(tables, found, self.wanted, strict=True):
            if c is None:
                continue
            if self.check_dtypes and c.dtype != x.value.dtype:
                raise GradcheckError("Gradient has dtype mismatch")
            if c.shape != x.value.shape:
                raise GradcheckError("Analytical gradient has incorrect size")
            table[:, j] = c.reshape(-1)

    def _check_reentrant(self, first: list[Any], second: list[Any]) -> None:
        for a, b in zip(first, second, strict=True):
            if a.size and np.abs(a - b).max() > self.nondet_tol:
                raise GradcheckError(texts.NOT_REENTRANT.format(tol=self.nondet_tol))

    # ------------------------------------------------------------------ fast mode

    def _fast(self, func: Function, outputs: list[Tensor], part: str, complex_outputs: set[int]) -> None:
        us, vs = upstreams(self.wanted, outputs)
        slopes = [projected(func, self.inputs, x, u, self.eps) for x, u in zip(self.wanted, us, strict=True)]
        for k, u in enumerate(us):
            for i, (t, v) in enumerate(zip(outputs, vs, strict=True)):
                shape = tuple(t.value.shape)
                pulled = [np.zeros((x.value.size, 1), x.value.dtype) for x in self.wanted]
                again = [p.copy() for p in pulled]
                seed = v.reshape(shape) if shape else v[0]
                self._fill(pulled, 0, self._sweep(t, seed))
                self._fill(again, 0, self._sweep(t, seed))
                self._check_reentrant(pulled, again)
                n = np.dot(v, slopes[k][i])
                a = _along(pulled[k][:, 0], u)
                spread = sum(float(p.sum()) for p in u) if isinstance(u, tuple) else float(u.sum())  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
                if not np.allclose(a, n, self.rtol, self.atol * spread * float(v.sum())):
                    label = part if i in complex_outputs else ""
                    raise GradcheckError(
                        texts.mismatch(_number(a), _number(n), i, k, label, "outputs", False)
                        + self._slow_text(func, outputs, i, k)
                    )

    def _slow_text(self, func: Function, outputs: list[Tensor], i: int, k: int) -> str:
        n = matrices(func, self.inputs, self.wanted[k], outputs, self.eps)[i]
        a = self._pulled(outputs[i])[k]
        return texts.slow_mode(
            wrap(a), wrap(n), _number(np.abs(n - a).max()), bool(np.allclose(a, n, self.rtol, self.atol))
        )

    # ------------------------------------------------------------------ forward mode

    def _forward(self) -> None:
        parts = (
            ("imaginary", "real")
            if any(isinstance(x, Tensor) and x.value.dtype.kind == "c" for x in self.inputs)
            else ("",)
        )
        for part in parts:
            func, inputs = (
                (self.func, self.inputs) if not part else _part_of_inputs(self.func, self.inputs, part)
            )
            wanted = [x for x in inputs if isinstance(x, Tensor) and x.requires_grad]
            outs = _floating(as_tuple(func(*inputs)))
            analytical = forward_matrices(func, inputs, wanted, outs)
            for k, x in enumerate(wanted):
                numerical = matrices(func, inputs, x, outs, self.eps, forward=True)
                for i, n in enumerate(numerical):
                    a = analytical[k][i]
                    if not np.allclose(a, n, self.rtol, self.atol):
                        raise GradcheckError(texts.mismatch(wrap(a), wrap(n), i, k, part, "inputs", True))

    # ------------------------------------------------------------------ rules of backward

    def multiplies_upstream(self) -> None:
        """A zero upstream must give zero gradients."""
        zeros = [wrap(np.zeros(t.value.shape, t.value.dtype)) for t in self.outputs]
        found = grad(self.outputs, self.wanted, zeros, retain_graph=True, allow_unused=True)
        for g, x in zip(found, self.wanted, strict=True):
            if g is None:
                continue
            if np.any(g.value != 0):
                raise GradcheckError("backward not multiplied by grad_output")
            if g.value.dtype != x.value.dtype:
                raise GradcheckError("grad is incorrect type")


def _floating(outs: Sequence[Any]) -> list[Tensor]:
    return [t for t in outs if isinstance(t, Tensor) and t.value.dtype.kind in "fc"]


def _number(x: Any) -> Any:
    return np.asarray(x).item()


def _along(c: Any, u: Any) -> Any:
    """v^T J u from v^T J; a complex u has a direction for each part."""
    if isinstance(u, tuple):
        return np.dot(c.real, u[0]) + 1j * np.dot(c.imag, u[1])
    return np.dot(c, u)


def _part_of_outputs(func: Function, part: str) -> Function:
    def parts(*inputs: Any) -> tuple[Any, ...]:
        outs = as_tuple(func(*inputs))
        return tuple(
            (t.imag if part == "imaginary" else t.real) if t.value.dtype.kind == "c" else t for t in outs
        )

    return parts


def _part_of_inputs(func: Function, inputs: tuple[Any, ...], part: str) -> tuple[Function, tuple[Any, ...]]:
    """func as a function of one part of its complex inputs, and those parts."""
    places = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.value.dtype.kind == "c"]

    def of_parts(*given: Any) -> Any:
        whole = list(given)
        for i in places:
            x = inputs[i].detach()
            whole[i] = given[i] + x.imag * 1j if part == "real" else x.real + given[i] * 1j
        return func(*whole)

    new = list(inputs)
    for i in places:
        x = inputs[i]
        v = np.array(x.value.real if part == "real" else x.value.imag)
        new[i] = wrap(v).requires_grad_(x.requires_grad)
    return of_parts, tuple(new)


def gradgradcheck(
    func: Function,
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """`gradcheck` of the function (inputs, upstreams) -> gradients: checks second derivatives.

    grad_outputs                  the upstreams to check at; drawn uniformly from [-1, 1) where None
    gen_non_contig_grad_outputs   draw upstreams that are not contiguous
    check_fwd_over_rev            check forward over reverse; check_rev_over_rev: reverse over reverse
    """
    _assert(
        check_fwd_over_rev or check_rev_over_rev,
        "Expected at least one of check_fwd_over_rev or check_rev_over_rev to be True",
    )
    for name, flag in (
        ("check_undefined_grad", check_undefined_grad),
        ("check_batched_grad", check_batched_grad),
    ):
        _assert(not flag or check_rev_over_rev, f"Setting {name}=True requires check_rev_over_rev to be True")
    given = as_tuple(inputs)
    if grad_outputs is None:
        outs = _followed(as_tuple(func(*given)))
        ups = tuple(_random_upstream(t, gen_non_contig_grad_outputs) for t in outs)
    else:
        ups = as_tuple(grad_outputs)
    n = len(ups)

    def gradients(*args: Any) -> tuple[Any, ...]:
        xs = args[: len(args) - n]
        wanted = [x for x in xs if isinstance(x, Tensor) and x.requires_grad]
        outs = _followed(as_tuple(func(*xs)))
        found = grad(outs, wanted, args[len(args) - n :], create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None)

    return gradcheck(
        gradients,
        given + ups,
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
        check_undefined_grad=check_undefined_grad,
        check_grad_dtypes=check_grad_dtypes,
        check_batched_grad=check_batched_grad,
        check_forward_ad=check_fwd_over_rev,
        check_backward_ad=check_rev_over_rev,
        fast_mode=fast_mode,
        masked=masked,
    )


def _random_upstream(t: Tensor, scattered: bool) -> Tensor:
    v = t.value
    draw: Any = rand(*v.shape, dtype=t.dtype) if v.dtype.kind in "fc" else rand(*v.shape)
    values = draw.value * 2 - 1 if v.dtype.kind != "c" else draw.value * 2 - (1 + 1j)
    values = np.asarray(values)
    if scattered and values.ndim:
        values = np.repeat(values, 2, -1)[..., ::2]
    return wrap(values).requires_grad_()


__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]


class _Callable(types.ModuleType):
    """In PyTorch `torch.autograd.gradcheck` names the function and the module: here the module can be
    called.
    """

    __call__ = staticmethod(gradcheck)


sys.modules[__name__].__class__ = _Callable
