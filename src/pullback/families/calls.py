"""The public calls of elementwise ops: a fast path for plain float tensors, `general` for everything else.

Read `binary_call` first (the hot path of every operator), then `general`. Holds promotion, PyTorch's
argument errors, broadcasting errors and `out=`. May import `graph`, `dtypes`, `errors`, `families.op`,
`families.parallel`.
"""

# rules are lambdas on NumPy values, and a lambda's parameters cannot be annotated
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnnecessaryIsInstance=false

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pullback import dtypes
from pullback.errors import message
from pullback.families.op import Op, finish
from pullback.families.parallel import BIG, split
from pullback.graph.modes import CAREFUL, LINES, QUIET, loud, quiet, state
from pullback.graph.node import LEAF, Node, next_number
from pullback.graph.record import lined
from pullback.graph.tensor import Parameter, Tensor, wrap

F32, F64 = np.dtype("f4"), np.dtype("f8")
NUMBER = (int, float, complex, np.number, np.bool_)
OPERAND = (Tensor, *NUMBER)
SIMPLE = frozenset((Tensor, Parameter, float, int))
_new = object.__new__
ndarray, float32, float64 = np.ndarray, np.float32, np.float64
Call = Callable[..., Any]


# ---------------------------------------------------------------------- hot paths

# Python numbers that programs use over and over, as NumPy numbers: looking one up is four times faster than
# making it (zero is left out, since 0.0 and -0.0 are one key)
_known: dict[Any, dict[Any, Any]] = {float32: {}, float64: {}}
_MANY = 512


def number_of(kind: Any, number: Any) -> Any:
    """A Python number as a NumPy number of this type."""
    made = kind(number)
    if made and len(_known[kind]) < _MANY:
        _known[kind][number] = made
    return made


def unary_call(op: Any) -> Call:
    """The call of a one-argument op."""
    function = op.eval
    keep = op.keeps_arg(0)
    keeps_out = op.keeps_out
    records = op.differentiable and op.result != "bool"
    fast = "f" not in op.refuse and op.result != "complex"  # nodes of the fast path have one dtype
    none = (None,)
    no_params: dict[str, Any] = {}

    def call(input: Any, *, out: Any = None) -> Any:
        if (type(input) is Tensor or type(input) is Parameter) and out is None:
            v = input.value
            kind = type(v)
            mode = state.mode
            if (
                (
                    kind is float32
                    or kind is float64
                    or (kind is ndarray and ((d := v.dtype) is F32 or d is F64))
                )
                and mode < CAREFUL
                and fast
            ):
                token = quiet(QUIET)
                try:
                    r = split(function, (v,)) if kind is ndarray and v.size > BIG else function(v)
                finally:
                    loud(token)
                t = _new(Tensor)
                t.value = r
                e = input.node
                if e is not None and mode and records:
                    # Node(...) written out: a call of the class costs as much as the arithmetic on a scalar
                    t.node = node = _new(Node)
                    node.op = op
                    node.args = (input,) if keep else none
                    node.edges = (input if e is LEAF else e,)
                    node.out = r if keeps_out else None
                    node.params = no_params
                    node.meta = None
                    node.number = next_number()
                return t
            if mode == LINES and fast and v.dtype.kind == "f":
                return lined(op, call, (input,), (input,), {})
        return general(op, (input,), {}, out)

    return call


def call_with(op: Any, input: Any, params: dict[str, Any], out: Any = None) -> Any:
    """Run a one-argument op that has parameters."""
    mode = state.mode
    plain = type(input) is Tensor or type(input) is Parameter
    if not plain or out is not None or mode >= CAREFUL or op.refuse.get("f"):
        if mode == LINES and plain and out is None:
            return lined(op, call_with, (op, input, params), (input,), params)
        return general(op, (input,), params, out)
    v = input.value
    d = v.dtype
    if d is not F32 and d is not F64:
        return general(op, (input,), params, out)
    token = quiet(QUIET)
    try:
        r = run(op, [v], params) if type(v) is ndarray and v.size > BIG else op.eval(v, **params)
    finally:
        loud(token)
    e = input.node
    if e is None or not mode:
        return wrap(r)
    kept = (input,) if op.keeps_arg(0) else (None,)
    edge = input if e is LEAF else e
    return wrap(r, Node(op, kept, (edge,), r if op.keeps_out else None, params, None))


def binary_call(op: Any, rest: Call | None = None) -> Call:  # noqa: C901, PLR0915 - see `call`
    """The call of a two-argument op; `rest` takes what is not a pair of plain float tensors of one dtype."""
    function = op.eval
    keeps_out = op.keeps_out
    keep = op.keeps_arg(0) or op.keeps_arg(1)
    reads0 = op.partial_reads[0]
    keep_with_number = reads0 is not None and len(reads0) > 1 and reads0[1]
    out_with_number = reads0 is not None and reads0[0]
    number_label = op.labels.get("ts")
    records = op.differentiable and op.result != "bool"
    fast = "f" not in op.refuse and op.result != "complex"  # nodes of the fast path have one dtype
    numbers = op.scalars
    none = (None, None)
    no_params: dict[str, Any] = {}
    slow = rest or _general_two(op)

    # written flat: this runs for every operator of a program
    def call(input: Any, other: Any, *, out: Any = None) -> Any:  # noqa: C901, PLR0912, PLR0915
        if (type(input) is Tensor or type(input) is Parameter) and out is None:
            v = input.value
            a = type(v)
            mode = state.mode
            if a is ndarray:
                d = v.dtype
                plain = (d is F32 or d is F64) and fast
            else:
                d = None  # a NumPy number: its type says everything
                plain = (a is float32 or a is float64) and fast
            if plain and mode < CAREFUL:
                kind = type(other)
                if kind is Tensor or kind is Parameter:
                    w = other.value
                    same = type(w) is a if d is None else w.dtype is d
                    if not same and d is None and w.dtype is v.dtype:
                        same, d = True, w.dtype  # a number and an array
                    if same:
                        token = quiet(QUIET)
                        try:
                            r = split(function, (v, w)) if d is not None and v.size > BIG else function(v, w)
                        except ValueError:
                            raise refused(op.torch_name, (v.shape, w.shape)) from None
                        finally:
                            loud(token)
                        t = _new(Tensor)
                        t.value = r
                        e, f = input.node, other.node
                        if mode and (e is not None or f is not None) and records:
                            t.node = node = _new(Node)
                            node.op = op
                            node.args = (input, other) if keep else none
                            node.edges = (input if e is LEAF else e, other if f is LEAF else f)
                            node.out = r if keeps_out else None
                            node.params = no_params
                            if d is None or type(r) is not ndarray or v.shape == w.shape:
                                node.meta = None
                            else:
                                node.meta = ((v.shape, d), (w.shape, d))
                            node.number = next_number()
                        return t
                elif (kind is float or kind is int) and numbers:
                    w = d.type(other) if d is not None else _known[a].get(other) or number_of(a, other)
                    token = quiet(QUIET)
                    try:
                        r = split(function, (v, w)) if d is not None and v.size > BIG else function(v, w)
                    finally:
                        loud(token)
                    t = _new(Tensor)
                    t.value = r
                    e = input.node
                    if mode and e is not None and records:
                        t.node = node = _new(Node)
                        node.op = op
                        node.args = (input if keep_with_number else None, w)
                        node.edges = (input if e is LEAF else e, None)
                        node.out = r if out_with_number else None
                        node.params = no_params
                        node.meta = None
                        node.number = next_number()
                        if number_label is not None:
                            node.label = number_label
                    return t
            elif plain and mode == LINES and (kind := type(other)) in SIMPLE:
                return lined(op, call, (input, other), (input, other), {})
        return slow(input, other, out=out)

    return call


def _general_two(op: Any) -> Call:
    def call(input: Any, other: Any, *, out: Any = None) -> Any:
        return general(op, (input, other), {}, out)

    return call


def operator_call(op: Any, symbol: str) -> Call:
    """The call behind a Python operator: NotImplemented for operands that PyTorch does not take.

    A NumPy array may stand on the right of an arithmetic operator, where PyTorch hands the case to NumPy, or
    in == and !=.
    """
    equality = symbol in ("__eq__", "__ne__")
    arrays = equality or (op.result != "bool" and not symbol.startswith("__r"))

    def rest(input: Any, other: Any, *, out: Any = None) -> Any:  # noqa: ARG001 - the shape of a call
        if isinstance(other, OPERAND):
            return op.call(input, other)
        if isinstance(other, ndarray) and arrays:
            return op.call(input, wrap(np.ascontiguousarray(other)) if equality else from_array(input, other))
        return NotImplemented

    call = binary_call(op, rest)
    call.__name__ = call.__qualname__ = symbol
    return call


def from_array(input: Tensor, other: Any) -> Tensor:
    """The tensor that stands for a NumPy array next to a tensor in an operator.

    PyTorch hands this case to NumPy, which converts the tensor: hence its refusal and its warning.
    """
    if input.node is not None:
        raise RuntimeError(
            message(
                "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.",
                f"the other operand is a NumPy array of shape {list(other.shape)}",
                "wrap the array first: torch.from_numpy(array)",
            )
        )
    warnings.warn(
        "__array_wrap__ must accept context and return_scalar arguments (positionally) in the future. "
        "(Deprecated NumPy 2.0) "
        "Wrap the array first: torch.from_numpy(array)",
        DeprecationWarning,
        stacklevel=3,
    )
    return wrap(np.ascontiguousarray(other))


# ---------------------------------------------------------------------- every case


def general(op: Any, args: tuple[Any, ...], params: dict[str, Any], out: Any = None) -> Any:
    """Check, promote, run and record: mixed dtypes, numbers first, subclasses, modes and `out=`."""
    args = _with_tensors(op, args)
    for a in args:
        if isinstance(a, Tensor) and a.foreign is not None:
            return a.foreign(op, args, params)
    if state.tracer is not None:
        return state.tracer.take(op, args, params)
    values, dtype = promoted(op, args)
    token = quiet(QUIET)
    try:
        r = run(op, values, params)
    finally:
        loud(token)
    if op.result == "bool" and r.dtype.kind != "b":
        r = r.astype(bool)
    followed = any(isinstance(a, Tensor) and a.node is not None for a in args)
    t = finish(op, args, params, r, followed)
    node = t.node
    if type(node) is Node:
        node.meta = tuple((a.value.shape, a.value.dtype) if isinstance(a, Tensor) else None for a in args)
        node.args = tuple(_kept(k, dtype) for k in node.args)
        _label(op, node, args)
    elif t.origin is not None and t.node is None:
        t.origin.args = tuple(_kept(k, dtype) for k in t.origin.args)
    return t if out is None else write_out(op, out, t, args)


def _kept(kept: Any, dtype: dtypes.dtype) -> Any:
    # rules compute in the promoted dtype, so numbers enter them in it
    return number_value(kept, dtype.numpy) if isinstance(kept, NUMBER) else kept


def _label(op: Any, node: Node, args: tuple[Any, ...]) -> None:
    if op.labels:
        node.label = op.labels.get("".join("t" if isinstance(a, Tensor) else "s" for a in args))


def number_value(a: Any, d: np.dtype[Any]) -> Any:
    """A Python number as a NumPy scalar; integers wrap around, as PyTorch's do."""
    return np.asarray(a).astype(d)[()]


def run(op: Any, values: list[Any], params: dict[str, Any]) -> Any:
    """The NumPy function on promoted values; PyTorch's error where shapes do not broadcast."""
    try:
        if any(isinstance(v, ndarray) and v.size > BIG for v in values):
            return split(lambda *pieces: op.eval(*pieces, **params), tuple(values))
        return op.eval(*values, **params)
    except ValueError:
        raise refused(op.torch_name, [v.shape for v in values if hasattr(v, "shape")]) from None


def _with_tensors(op: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Check that numbers stand only where PyTorch takes them; the first of numbers only becomes a tensor."""
    tensors = False
    for i, a in enumerate(args):
        if isinstance(a, Tensor):
            tensors = True
        elif not (isinstance(a, NUMBER) and (op.scalars if i else op.first)):
            raise (
                wrong_kinds(op.torch_name, args)
                if op.overloads
                else not_tensor(op.torch_name, op.names[i], i, a)
            )
    if tensors:
        return args
    first = args[0]
    return (wrap(np.asarray(first).astype(dtypes.of_scalar(first).numpy)), *args[1:])


def not_tensor(name: str, argument: str, i: int, a: Any) -> TypeError:
    """PyTorch's TypeError where an argument is neither a tensor nor an allowed number."""
    return TypeError(
        message(
            f"{name}(): argument '{argument}' (position {i + 1}) must be Tensor, not {type(a).__name__}",
            "",
            "wrap the value: torch.tensor(value)",
        )
    )


def wrong_kinds(name: str, args: Sequence[Any]) -> TypeError:
    """The same for functions that PyTorch has one overload of for numbers and one for tensors."""
    kinds = ", ".join(type(a).__name__ for a in args)
    return TypeError(
        message(
            f"{name}() received an invalid combination of arguments - got ({kinds}), but expected one of:\n"
            " * (Tensor input, Tensor other, *, Tensor out = None)\n * (Tensor input, Number other, *, "
            "Tensor out = None)",
            "",
            "wrap the value: torch.tensor(value)",
        )
    )


def promoted(op: Any, args: tuple[Any, ...]) -> tuple[list[Any], dtypes.dtype]:
    """The arguments' values in the dtype PyTorch computes in, and that dtype; `op.skip` of them stay."""
    skip = op.skip
    joined = args[skip:]
    dtype = dtypes.result_dtype(
        [(a.dtype, a.value.ndim) for a in joined if isinstance(a, Tensor)],
        [a for a in joined if not isinstance(a, Tensor)],
    )
    check_accepted(op, args, dtype)
    if op.result == "float" and dtype.category < 2:
        dtype = dtypes.get_default_dtype()
    d = dtype.numpy
    values = [a.value if isinstance(a, Tensor) else a for a in args[:skip]]
    for a in joined:
        if isinstance(a, Tensor):
            v = a.value
            values.append(v if v.dtype == d else v.astype(d))
        else:
            values.append(number_value(a, d))
    return values, dtype


def check_accepted(op: Any, args: tuple[Any, ...], dtype: dtypes.dtype) -> None:
    """Raise what PyTorch raises for this dtype or these values.

    Where it has no kernel or divides integers by zero, it has looked at the shapes before.
    """
    refusal = op.refuse.get(dtype.numpy.kind)
    try:
        if refusal is not None:
            here = f"{op.torch_name} on dtype {dtype!r}"
            raise refusal[0](message(refusal[1].format(word=dtype.word), here, refusal[2]))
        if op.check is not None:
            op.check(dtype, args)
    except RuntimeError as e:
        if not isinstance(e, NotImplementedError) and not str(e).startswith("ZeroDivision"):
            raise
        shapes = broadcast_error(op.torch_name, [a.value.shape for a in args if isinstance(a, Tensor)])
        if shapes is not None:
            raise shapes from None
        raise


def refused(name: str, shapes: Sequence[tuple[int, ...]]) -> Exception:
    """The error to raise where NumPy refused operands."""
    known = broadcast_error(name, shapes)
    return known or ValueError(f"{name}: NumPy refused operands of shapes {[list(s) for s in shapes]}")


def broadcast_error(name: str, shapes: Sequence[tuple[int, ...]]) -> RuntimeError | None:
    """PyTorch's error for shapes that do not broadcast, None where they do."""
    rank = max(map(len, shapes), default=0)
    for dim in range(rank - 1, -1, -1):
        sizes = [s[dim - rank + len(s)] for s in shapes if dim - rank + len(s) >= 0]
        wide = [n for n in sizes if n != 1]
        if len(set(wide)) > 1:
            a, b = wide[0], next(n for n in wide if n != wide[0])
            return RuntimeError(
                message(
                    f"The size of tensor a ({a}) must match the size of tensor b ({b}) at non-singleton "
                    f"dimension {dim}",
                    f"{name} of shapes {' and '.join(str(list(s)) for s in shapes)}",
                    "sizes are compared from the last dimension; each pair must be equal or contain a 1: "
                    "insert a dimension with unsqueeze or indexing by None",
                )
            )
    return None


def write_out(op: Op, out: Tensor, result: Tensor, args: Sequence[Any]) -> Tensor:
    """Copy a result into `out=`.

    RuntimeError where autograd would have to follow it or the dtype does not fit; a target of another shape
    is resized with PyTorch's warning.
    """
    if state.grad and (
        out.node is not None or any(isinstance(a, Tensor) and a.node is not None for a in args)
    ):
        raise RuntimeError(
            message(
                f"{getattr(op, 'torch_name', op.name)}(): functions with out=... arguments don't support "
                "automatic "
                "differentiation, but one of the arguments requires grad.",
                "",
                "drop out=, or compute under torch.no_grad()",
            )
        )
    target, value = out.storage(), result.value
    if result.dtype.category > out.dtype.category:
        raise RuntimeError(
            message(
                f"result type {result.dtype.word} can't be cast to the desired output type {out.dtype.word}",
                "out= keeps its dtype",
                f"give out= the dtype {result.dtype!r}",
            )
        )
    if target.shape != value.shape:
        if target.size:
            warnings.warn(
                f"An output with one or more elements was resized since it had shape {list(target.shape)}, "
                "which does not "
                f"match the required output shape {list(value.shape)}. Pass an empty out=, or one of the "
                "right shape.",
                UserWarning,
                stacklevel=4,
            )
        out.value = np.array(value, dtype=target.dtype)
    else:
        target[...] = value
    out.shared_counter().bump()
    return out


def run_plain(function: Call, *values: Any) -> Any:
    """Call a NumPy function with floating-point warnings off."""
    token = quiet(QUIET)
    try:
        return function(*values)
    finally:
        loud(token)
