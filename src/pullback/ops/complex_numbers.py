"""Complex numbers: abs, sgn, angle, conj, real, imag, complex, polar.

Gradients are conjugate Wirtinger derivatives, PyTorch's convention: the gradient of a real L is dL/dRe + i
dL/dIm. Read `absolute` first, then `Conjugating`. May import `families`, `ops.special`, `ops.select`.
"""

# rules are lambdas on NumPy values, and a lambda's parameters cannot be annotated
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnnecessaryIsInstance=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback import dtypes
from pullback.errors import message
from pullback.families.elementwise import Elementwise, conjugate, elementwise, kinks_at
from pullback.families.op import absent
from pullback.graph.tensor import Tensor
from pullback.ops.select import choose
from pullback.ops.special import sign

NO_LANES = absent("lanes have no complex numbers, and the result is complex")


def is_complex_value(x: Any) -> bool:
    """True for complex arrays, scalars and tensors."""
    return (x.value if isinstance(x, Tensor) else x).dtype.kind == "c"


class Conjugating(Elementwise):
    """An op that is not holomorphic: dout = p dz + q conj(dz); `conjugate` gives q."""

    def __init__(self, name: str, function: Any, d: Any, conjugate: Any, **options: Any) -> None:
        """As `elementwise`; conjugate(out, x) is the derivative with respect to the conjugate."""
        self.conjugate = conjugate
        super().__init__(name, function, d, **options)

    def _term(self, i: int, g: Any, out: Any, values: Sequence[Any], params: dict[str, Any]) -> Any:
        if g.dtype.kind != "c":
            return super()._term(i, g, out, values, params)
        p: Any = self.partials[i]
        return g * np.conj(p(out, *values)) + np.conj(g) * self.conjugate(out, *values)

    def term_tensors(self, i: int, g: Any, out: Any, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """The same on tensors."""
        if not is_complex_value(g):
            return super().term_tensors(i, g, out, args, params)
        p: Any = self.partials[i]
        return g * conjugate(p(out, *args)) + g.conj() * self.conjugate(out, *args)

    def push_term(self, i: int, t: Any, out: Any, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """P t + q conj(t)."""
        p: Any = self.partials[i]
        if not is_complex_value(t):
            return super().push_term(i, t, out, args, params)
        return p(out, *args) * t + t.conj() * self.conjugate(out, *args)


def _sgn(x: Any) -> Any:
    if x.dtype.kind != "c":
        return sign.eval(x)
    r = np.abs(x)
    return np.where(r == 0, 0, x / np.where(r == 0, 1, r)).astype(x.dtype)[()]


def _half_inverse(x: Any) -> Any:
    r = absolute(x)
    return choose(r == 0, 0.0, 0.5 / r)


sgn = Conjugating(
    "sgn", _sgn, d=[lambda out, x: _half_inverse(x) if is_complex_value(x) else out * 0], kinks=[0.0],
    kink=kinks_at(0.0),
    conjugate=lambda out, x: -(out * out) * _half_inverse(x), zero="a step function of a real argument",
)  # fmt: skip
conj_op = Conjugating(
    "conj", np.conj, d=[lambda _out, x: 0.0 if is_complex_value(x) else 1.0], conjugate=lambda _out, _x: 1.0,
    facets={}
)
absolute = elementwise(
    "abs", np.absolute, d=[lambda _out, x: sgn(x).conj() if is_complex_value(x) else sign(x)], result="real",
    kinks=[0.0], kink=kinks_at(0.0),
    refuse={"b": (NotImplementedError, "\"abs_cpu\" not implemented for 'Bool'",
    "a bool is its own absolute value")},
    zero="x is exactly zero, the kink, where PyTorch takes 0", second=frozenset({(0, 0)}),
)  # fmt: skip


def _angle(x: Any) -> Any:
    if x.dtype.kind == "c":
        return np.angle(x)
    return np.where(x != x, x, np.where(x < 0, np.pi, 0.0)).astype(x.dtype)[()]


def _angle_slope(_out: Any, x: Any) -> Any:
    if not is_complex_value(x):
        return 0.0
    return choose(x == 0, 0.0, -1j / choose(x == 0, 1.0, x))


angle_op = elementwise(
    "angle", _angle, d=[_angle_slope], result="real", kinks=[0.0], kink=kinks_at(0.0),
    zero="x is real or zero: the angle only jumps", second=frozenset({(0, 0)})
)
real_op = elementwise("real", np.real, d=[lambda _out, _x: 1.0], result="real", backward="SelectBackward0",
second=frozenset())
imag_op = elementwise(
    "imag", lambda x: np.imag(x).copy(), d=[lambda _out, x: -1j if is_complex_value(x) else 0.0],
    result="real", backward="SelectBackward0",
    second=frozenset(), zero="the argument is real",
)  # fmt: skip


def _same_real(name: str) -> Any:
    def check(_dtype: Any, args: tuple[Any, ...]) -> None:
        a, b = (x.dtype for x in args)
        if not (a.is_floating_point and b.is_floating_point):
            raise RuntimeError(
                message(
                    f"Expected both inputs to be Half, Float or Double tensors but got {a.word} and {b.word}",
                    f"{name} makes complex numbers from two real ones",
                    "convert them first: x.float()",
                )
            )
        if a is not b:
            raise RuntimeError(
                message(
                    f"Expected object of scalar type {a.word} but got scalar type {b.word} for second "
                    "argument",
                    "",
                    "convert one of them: y.to(x.dtype)",
                )
            )

    return check


def _complex(x: Any, y: Any) -> Any:
    out = np.empty(np.broadcast_shapes(np.shape(x), np.shape(y)), np.result_type(x.dtype, np.complex64))
    out.real, out.imag = x, y
    return out[()]


make_complex = elementwise(
    "complex", _complex, d=[1, lambda _out, _x, _y: 1j], result="complex", scalars=False,
    names=("real", "imag"), check=_same_real("complex"), facets={"lower": NO_LANES},
)
polar = elementwise(
    "polar", lambda r, a: _complex(r * np.cos(a), r * np.sin(a)),
    d=[lambda out, r, _a: out / r, lambda out, _r, _a: out * 1j],
    result="complex", scalars=False, names=("abs", "angle"), check=_same_real("polar"),
    domain=["positive", "real"], zero="the radius is zero", facets={"lower": NO_LANES},
)  # fmt: skip


def conj(input: Tensor) -> Tensor:
    """The complex conjugate; a real tensor is returned as it is."""
    return conj_op.call(input) if is_complex_value(input) or input.foreign is not None else input


def real(input: Tensor) -> Tensor:
    """The real part; a real tensor is returned as it is."""
    return real_op.call(input) if is_complex_value(input) else input


def imag(input: Tensor) -> Tensor:
    """The imaginary part. RuntimeError for real dtypes."""
    if not is_complex_value(input):
        raise RuntimeError(
            message(
                "imag is not implemented for tensors with non-complex dtypes.",
                f"the dtype is {input.dtype!r}", "it would be zero everywhere"
            )
        )
    return imag_op.call(input)


def angle(input: Tensor, *, out: Any = None) -> Tensor:
    """The angle of a complex number in radians; of a real one, 0 or pi."""
    if input.dtype.category < 2:
        input = input.to(dtypes.get_default_dtype())
    return angle_op.call(input, out=out)


def _absolute_in_place(input: Any) -> Any:
    if input.dtype.is_complex:
        raise RuntimeError(
            message("In-place abs is not supported for complex tensors.", "its result is real", "x = x.abs()")
        )
    return absolute.call(input)


PUBLIC: dict[str, Any] = {
    "abs": absolute.call,
    "absolute": absolute.call,
    "sgn": sgn.call,
    "conj": conj,
    "real": real,
    "imag": imag,
    "angle": angle,
    "complex": make_complex.call,
    "polar": polar.call,
}
METHODS: dict[str, Any] = {
    **{name: PUBLIC[name] for name in ("abs", "absolute", "sgn", "conj", "angle")},
    "__abs__": absolute.call,
    "real": property(real),
    "imag": property(imag),
}
IN_PLACE: dict[str, Any] = {
    "abs_": (_absolute_in_place, absolute),
    "absolute_": (_absolute_in_place, absolute),
    "sgn_": sgn.call,
}
