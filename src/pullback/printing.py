"""How a tensor is printed: PyTorch's text, character by character, as pure functions over NumPy arrays.

Holds the print settings (``set_printoptions``, ``printoptions``), the text of an array (``array_text``), of
a whole tensor with its suffixes (``tensor_text``), of a tensor inside a transform (``wrapped_text``), and
the formatting of 0-d tensors (``format_scalar``).

Read first: ``tensor_text``, then ``_shown``, ``_number_texts`` and ``_layout``, the three steps in order:
which elements are shown, how each one is written, where the lines break.

May import: the standard library, NumPy and ``errors``. It knows nothing about tensors or graphs, so that
everything can use it.

Convention: PyTorch 2.13. The few places where its rule surprises are marked in the comments.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pullback.errors import message

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "PrintOptions",
    "array_text",
    "format_scalar",
    "get_printoptions",
    "printoptions",
    "set_printoptions",
    "tensor_text",
    "wrapped_text",
]


class PrintOptions(NamedTuple):
    """The print settings.

    ``precision`` digits; a summary above ``threshold`` elements, keeping ``edgeitems`` at each end;
    ``linewidth`` columns. ``sci_mode`` None chooses scientific notation by the values shown; True or False
    decides it for all.

    >>> PrintOptions()
    PrintOptions(precision=4, threshold=1000, edgeitems=3, linewidth=80, sci_mode=None)
    """

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


_PROFILES = {
    "default": PrintOptions(),
    "short": PrintOptions(precision=2, edgeitems=2),
    "full": PrintOptions(threshold=inf),
}

_options = _PROFILES["default"]

# The complex dtype that is printed without its name, by default float. PyTorch keeps complex64 for float16.
_DEFAULT_COMPLEX = {
    np.dtype(np.float16): np.dtype(np.complex64),
    np.dtype(np.float32): np.dtype(np.complex64),
    np.dtype(np.float64): np.dtype(np.complex128),
}
_FLOAT32 = np.dtype(np.float32)
_PLAIN = (np.dtype(np.int64), np.dtype(np.bool_))


# -------------------------------------------------------------------------------------------------- settings


def get_printoptions() -> PrintOptions:
    """The settings in force.

    >>> get_printoptions().precision
    4
    """
    return _options


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Change how tensors are printed, for the whole process (the arguments of ``torch.set_printoptions``).

    The profile ('default', 'short', 'full') is applied first, the other arguments on top of it. As in
    PyTorch, a profile of another name changes nothing, and ``sci_mode`` is set by every call: leaving it
    out means None. A negative precision or edgeitems is a ValueError, and nothing is changed.

    >>> set_printoptions(precision=2)
    >>> tensor_text(np.array([0.5, 1 / 3], np.float32))
    'tensor([0.50, 0.33])'
    >>> set_printoptions(profile="default")
    """
    global _options  # noqa: PLW0603 - process-wide settings, as PyTorch's are
    for name, value in (("precision", precision), ("edgeitems", edgeitems)):
        if value is not None and value < 0:
            raise ValueError(
                message(
                    f"{name} must not be negative", f"got {name}={value}", "pass 0 or more, or leave it out"
                )
            )
    chosen = _options if profile is None else _PROFILES.get(profile, _options)
    _options = PrintOptions(
        precision=chosen.precision if precision is None else precision,
        threshold=chosen.threshold if threshold is None else threshold,
        edgeitems=chosen.edgeitems if edgeitems is None else edgeitems,
        linewidth=chosen.linewidth if linewidth is None else linewidth,
        sci_mode=sci_mode,
    )


@contextmanager
def printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> Generator[PrintOptions]:
    """``set_printoptions`` for the length of a ``with`` block; the settings before come back at its end.

    >>> with printoptions(precision=1):
    ...     print(tensor_text(np.float32(0.25)))
    tensor(0.2)
    """
    global _options  # noqa: PLW0603 - process-wide settings, as PyTorch's are
    before = _options
    try:
        set_printoptions(precision, threshold, edgeitems, linewidth, profile, sci_mode)
        yield _options
    finally:
        _options = before


# ---------------------------------------------------------------------------------------- tensors and arrays


def tensor_text(
    array: NDArray[Any] | np.generic,
    *,
    default_float: np.dtype[Any] = _FLOAT32,
    grad_fn: str | None = None,
    requires_grad: bool = False,
    tangent: str | None = None,
    prefix: str = "tensor(",
) -> str:
    """The printed form of a tensor: the numbers, and the suffixes that say what they do not.

    ``array`` has any shape and a bool, integer, float or complex dtype; its dtype is named unless it is
    what a reader assumes (``default_float``, the complex dtype that goes with it, int64, bool). ``grad_fn``
    is the name of the backward node; without one, ``requires_grad`` is shown. ``tangent`` is the printed
    tangent of a dual tensor. ``prefix`` opens the text and sets the indentation: a subclass ``Sub`` passes
    ``'Sub('``.

    >>> print(tensor_text(np.array([[0.5, 2.0], [1.0, 3.0]]), grad_fn="MulBackward0"))
    tensor([[0.5000, 2.0000],
            [1.0000, 3.0000]], dtype=torch.float64, grad_fn=<MulBackward0>)
    >>> tensor_text(np.zeros((0, 3), np.float32), requires_grad=True)
    'tensor([], size=(0, 3), requires_grad=True)'
    """
    values = np.asarray(array)
    suffixes: list[str] = []
    if _states_shape(values):
        suffixes.append(f"size={values.shape}")
    if not _assumed(values, default_float):
        suffixes.append(f"dtype=torch.{values.dtype.name}")
    if grad_fn is not None:
        suffixes.append(f"grad_fn=<{grad_fn}>")
    elif requires_grad:
        suffixes.append("requires_grad=True")
    if tangent is not None:
        suffixes.append(f"tangent={tangent}")
    indent = len(prefix)
    return _with_suffixes(prefix + array_text(values, indent), suffixes, indent) + ")"


def array_text(array: NDArray[Any] | np.generic, indent: int = 0) -> str:
    """The numbers alone: nested brackets, every line after the first moved right by ``indent`` columns.

    Above ``threshold`` elements only the first and last ``edgeitems`` of every long axis are read and
    shown, and the number format is chosen from those alone.

    >>> array_text(np.array([1.0, -2.0, np.inf]))
    '[ 1., -2., inf]'
    >>> array_text(np.arange(2000))
    '[   0,    1,    2,  ..., 1997, 1998, 1999]'
    """
    values = np.asarray(array)
    if values.size == 0:
        return "[]"
    options = _options
    cut: tuple[bool, ...] = (False,) * values.ndim
    if values.size > options.threshold:
        if options.edgeitems == 0 and values.ndim:
            return "[...]"
        values, cut = _shown(values, options.edgeitems)
    texts, width = _element_texts(values, options)
    if values.ndim == 0:
        return texts[0]
    per_line = max(1, (options.linewidth - indent - values.ndim + 1) // (width + 2))
    return _layout(texts, values.shape, cut, options.edgeitems, indent, per_line)


def wrapped_text(kind: str, level: int, bdim: int | None, inner_text: str) -> str:
    """The printed form of a tensor inside a transform: what wraps it, and the wrapped value, indented.

    ``kind`` is 'BatchedTensor' (with the batch axis ``bdim``) or 'GradTrackingTensor' (``bdim`` None);
    ``level`` counts the transforms from outside, from 1.

    >>> print(wrapped_text("BatchedTensor", 1, 0, "tensor([1., 2.])"))
    BatchedTensor(lvl=1, bdim=0, value=
        tensor([1., 2.])
    )
    """
    where = f"lvl={level}" if bdim is None else f"lvl={level}, bdim={bdim}"
    # Blank lines separate the matrices of a 3-d tensor; they stay empty.
    lines = ["    " + line if line else line for line in inner_text.split("\n")]
    return f"{kind}({where}, value=\n" + "\n".join(lines) + "\n)"


def format_scalar(value: NDArray[Any] | np.generic, spec: str, type_name: str = "Tensor") -> str:
    """``format(tensor, spec)`` where that is not ``str(tensor)``: a 0-d tensor is formatted as its number.

    Anything else takes no format spec: TypeError for an array with axes, and, as in PyTorch, for a subclass
    (``type_name`` other than 'Tensor') of any shape. Such a tensor with an empty spec is ``str(tensor)``,
    which the caller has at hand.

    >>> format_scalar(np.array(1.23456), ".2f"), format_scalar(np.float32(1.5), "")
    ('1.23', '1.5')
    """
    if value.ndim == 0 and type_name == "Tensor":
        return format(value.item(), spec)
    todo = "format one element, or set the digits of all with set_printoptions(precision=...)"
    if value.ndim == 0:
        todo = "format its number: tensor.item()"
    raise TypeError(
        message(
            f"unsupported format string passed to {type_name}.__format__",
            f"the spec {spec!r} formats one number; this {type_name} has shape {value.shape}, "
            f"dtype {value.dtype.name}",
            todo,
        )
    )


# -------------------------------------------------------------------------------------------------- suffixes


def _states_shape(values: NDArray[Any]) -> bool:
    """Whether the shape is stated, because the brackets may not show it."""
    if values.size == 0:
        return values.ndim != 1
    # PyTorch does so for every tensor when a summary would keep nothing, summarised or not.
    return _options.edgeitems == 0


def _assumed(values: NDArray[Any], default_float: np.dtype[Any]) -> bool:
    """Whether a reader knows the dtype unnamed; of an empty tensor only the default float is assumed."""
    dtype = values.dtype
    if dtype == default_float:
        return True
    return values.size > 0 and (dtype in _PLAIN or dtype == _DEFAULT_COMPLEX.get(default_float))


def _with_suffixes(text: str, suffixes: list[str], indent: int) -> str:
    """Append the suffixes, each on the current line where it fits, else on a new line at ``indent``."""
    # PyTorch's count of columns: two more than the text when it is one line, one more than its last line
    # otherwise, and a suffix counts with all its lines.
    used = len(text) - text.rfind("\n") + 1
    parts = [text]
    for suffix in suffixes:
        if used + len(suffix) + 2 > _options.linewidth:
            parts.append(",\n" + " " * indent + suffix)
            used = indent + len(suffix)
        else:
            parts.append(", " + suffix)
            used += len(suffix) + 2
    return "".join(parts)


# --------------------------------------------------------------------------- which elements, and how written


def _shown(values: NDArray[Any], edge: int) -> tuple[NDArray[Any], tuple[bool, ...]]:
    """The elements that a summary shows, and which axes are cut; no other element is read."""
    cut = tuple(size > 2 * edge for size in values.shape)
    if not any(cut):
        return values, cut
    kept = [
        [*range(edge), *range(size - edge, size)] if is_cut else range(size)
        for size, is_cut in zip(values.shape, cut, strict=True)
    ]
    return values[np.ix_(*kept)], cut


def _element_texts(values: NDArray[Any], options: PrintOptions) -> tuple[list[str], int]:
    """Every element as text, in C order and padded to a common width, and that width."""
    # tolist() widens every float to a double without rounding: the stored value is what is written.
    flat: list[Any] = values.ravel().tolist()
    kind = values.dtype.kind
    if kind == "c":
        return _complex_texts(flat, options)
    if kind == "f":
        return _number_texts(flat, options)
    texts = [str(value) for value in flat]
    width = max(map(len, texts))
    return [text.rjust(width) for text in texts], width


def _number_texts(values: list[float], options: PrintOptions) -> tuple[list[str], int]:
    """Floats (already as doubles) in one common format: '1.', '1.0000' or '1.0000e+00', right-aligned."""
    # Only non-zero finite values choose the format and the width; zeros, inf and nan are padded to it, never
    # widen it. v - v is 0 exactly for finite v.
    deciding = [value for value in values if value and value - value == 0.0]
    scientific = bool(deciding) and _is_scientific(deciding, options.sci_mode)
    whole = not scientific and all(value.is_integer() for value in deciding)
    template = "%.0f." if whole else f"%.{options.precision}{'e' if scientific else 'f'}"
    texts = [template % value if value - value == 0.0 else str(value) for value in values]
    decides = (len(text) for text, value in zip(texts, values, strict=True) if value and value - value == 0.0)
    width = max(decides, default=1)
    return [text.rjust(width) for text in texts], width


def _is_scientific(deciding: list[float], sci_mode: bool | None) -> bool:
    """Whether the values are written with exponents: when asked, or where fixed point would lose them."""
    if sci_mode is not None:
        return sci_mode
    sizes = [abs(value) for value in deciding]
    low, high = min(sizes), max(sizes)
    return high / low > 1000.0 or high > 1e8 or low < 1e-4


def _complex_texts(values: list[complex], options: PrintOptions) -> tuple[list[str], int]:
    """Complex numbers: real and imaginary parts each have a format and a width of their own."""
    reals, real_width = _number_texts([value.real for value in values], options)
    imags, imag_width = _number_texts([value.imag for value in values], options)
    texts: list[str] = []
    for real, padded in zip(reals, imags, strict=True):
        # The padding of the imaginary part is dropped: it would stand between the sign and the number.
        imag = padded.lstrip()
        texts.append(f"{real}{imag}j" if imag[0] == "-" else f"{real}+{imag}j")
    return texts, real_width + imag_width + 1


# ----------------------------------------------------------------------------------------------- line breaks


def _layout(
    texts: list[str], shape: tuple[int, ...], cut: tuple[bool, ...], edge: int, indent: int, per_line: int
) -> str:
    """Bracket the element texts, from the rows outwards; each level has fewer pieces than the last."""
    pieces = texts
    for axis in reversed(range(len(shape))):
        size, is_cut = shape[axis], cut[axis]
        margin = "\n" + " " * (indent + axis + 1)
        is_row = axis == len(shape) - 1
        between = "," + "\n" * (len(shape) - 2 - axis) + margin
        groups: list[str] = []
        for start in range(0, len(pieces), size):
            group = pieces[start : start + size]
            if is_cut:
                # Inside a row the dots have a space of their own before them: '2,  ..., 7'.
                group.insert(edge, " ..." if is_row else "...")
            groups.append(_row(group, per_line, "," + margin) if is_row else f"[{between.join(group)}]")
        pieces = groups
    return pieces[0]


def _row(elements: list[str], per_line: int, line_break: str) -> str:
    """One row in brackets, broken after every ``per_line`` elements (the dots of a summary count as one)."""
    if len(elements) <= per_line:
        return f"[{', '.join(elements)}]"
    lines = [", ".join(elements[k : k + per_line]) for k in range(0, len(elements), per_line)]
    return f"[{line_break.join(lines)}]"
