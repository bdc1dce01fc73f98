"""The elementwise family: one NumPy function, one partial derivative per argument; all facets follow.

Read `elementwise` first, then `Elementwise.pull`. An entry gives

    exp = elementwise("exp", np.exp, d=[lambda out, _x: out])

A partial is a function (out, *args) -> array, or the constant 1 or -1, or None where the derivative is zero
everywhere (the output is discrete in that argument). The vjp is g * conj(partial) with a strong zero, summed
over broadcast dimensions; the jvp is the sum of partial * tangent. A partial that meets real outputs of
complex arguments (abs, angle) is the p of dout = Re(p dz), which makes both formulas right: gradients are
conjugate Wirtinger derivatives, as PyTorch's are. `elementwise_facets` derives the other facets, `calls`
holds the public calls. May import `graph`, `dtypes` and `families.op`.
"""

# rules are lambdas on NumPy values, and a lambda's parameters cannot be annotated
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnnecessaryIsInstance=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pullback.families import elementwise_facets as derived
from pullback.families.calls import (
    F32,
    F64,
    binary_call,
    broadcast_error,
    general,
    operator_call,
    unary_call,
    write_out,
)
from pullback.families.op import Op, Rule, absent, apply, cast, reads, saved_values, strong, unbroadcast
from pullback.families.parallel import BIG, split
from pullback.graph.node import Aval, Node
from pullback.graph.tensor import Parameter, Tensor, wrap

Partial = Rule | int | None
Refusal = tuple[type[Exception], str, str]
ndarray = np.ndarray
NUMBERS = (np.float32, np.float64)


class Elementwise(Op):
    """An op whose entry i depends on the entries i of its (broadcast) arguments only."""

    def __init__(
        self,
        name: str,
        function: Rule,
        d: Sequence[Partial],
        *,
        pull: Sequence[Rule | None] | None = None,
        result: str = "same",
        backward: str | dict[str, str] | None = None,
        torch_name: str | None = None,
        names: Sequence[str] = ("input", "other", "value"),
        scalars: bool = True,
        first: bool = False,
        skip: int = 0,
        overloads: bool = False,
        refuse: dict[str, Refusal] | None = None,
        check: Callable[..., None] | None = None,
        domain: Any = "real",
        kinks: Sequence[Any] = (),
        kink: Rule | None = None,
        variants: Sequence[dict[str, Any]] = ({},),
        zero: str = "",
        nonfinite: str = "",
        second: frozenset[tuple[int, int]] | None = None,
        discrete: bool = False,
        facets: dict[str, Any] | None = None,
    ) -> None:
        """See `elementwise`."""
        self.partials = tuple(d)
        self.direct = tuple(pull) if pull is not None else (None,) * len(self.partials)
        self.arity = len(self.partials)
        self.result = result
        self.torch_name = torch_name or name
        self.names = names
        self.scalars, self.first, self.skip, self.overloads = scalars, first, skip, overloads
        self.refuse, self.check = refuse or {}, check
        self.domain, self.kinks, self.kink, self.variants = domain, kinks, kink, variants
        self.why_zero, self.why_nonfinite, self.second = zero, nonfinite, second
        self.labels: dict[str, str] = backward if isinstance(backward, dict) else {}
        # what each partial reads: what a node saves and which second derivatives can be non-zero follow from
        # it
        self.partial_reads = [None if p is None or isinstance(p, int) else reads_of(p) for p in self.partials]
        keeps, keeps_out = self._saved()
        named = self.labels.get("t" * self.arity) if self.labels else backward
        super().__init__(
            name,
            "elementwise",
            function,
            vjp=absent("discrete outputs: nothing to differentiate") if discrete else self._vjp_rules(),
            backward=named,  # pyright: ignore[reportArgumentType]
            keeps=keeps,
            keeps_out=keeps_out,
            facets={**derived.facets(self), "lower": function, **(facets or {})},
        )
        self.number_rule = self.pull_number = self.make_number_rule()
        self.call = self._make_call()
        self.call.__name__ = self.call.__qualname__ = self.torch_name

    def _saved(self) -> tuple[list[bool], bool]:
        have = [r for r in self.partial_reads if r is not None]
        keeps = [any(len(r) > i + 1 and r[i + 1] for r in have) for i in range(self.arity)]
        return keeps, any(r[0] for r in have)

    def _make_call(self) -> Callable[..., Any]:
        if self.arity == 1:
            return unary_call(self)
        if self.arity == 2 and not self.skip:
            return binary_call(self)

        def call(*args: Any, out: Any = None) -> Any:
            return general(self, args, {}, out)

        return call

    def _vjp_rules(self) -> list[Rule | None]:
        return [self._vjp_rule(i, p) for i, p in enumerate(self.partials)]

    def _vjp_rule(self, i: int, p: Partial) -> Rule:
        """The facet as a plain rule (the hot path uses `pull`)."""
        if p is None:
            return lambda g, _out, *_args, **_params: g * 0
        if isinstance(p, int):
            return lambda g, _out, *_args, **_params: g if p == 1 else -g
        return lambda g, out, *args, **params: self.term(i, g, out, args, params)

    def __call__(self, *args: Any, **params: Any) -> Any:
        """Run on tensors (checked, promoted, recorded) or on plain arrays: what rules use."""
        for a in args:
            if isinstance(a, Tensor):
                return general(self, args, params) if params else self.call(*args)
        return self.eval(*args, **params) if params else self.eval(*args)

    def pull(self, node: Node, g: Any, tensors: bool) -> Any:
        """g times each partial, with the strong zero, summed over what broadcasting stretched."""
        if tensors:
            return self._pull_tensors(node, g)
        out, params, meta = node.out, node.params, node.meta
        if meta is None and not params and type(g) in NUMBERS:
            return self.number_rule(node, g)
        values = [a.value if isinstance(a, Tensor) else a for a in node.args]
        if meta is not None:
            values = in_dtype(values, g.dtype)
        partials = self.partials
        result: list[Any] = []
        for i, e in enumerate(node.edges):
            if e is None:
                result.append(None)
                continue
            p = partials[i]
            if p == 1:
                c = g
            elif p == -1:
                c = -g
            elif p is None:
                c = np.zeros_like(g) if type(g) is ndarray else g.dtype.type(0)
            else:
                c = self.term(i, g, out, values, params)
            result.append(c if meta is None else fit(c, *meta[i]))
        return result

    def push(self, node: Node, tangents: Sequence[Any]) -> Any:
        """The sum of partial * tangent; the output's shape and dtype may have to come from the arguments."""
        args, out = saved_values(node, True)
        if out is None:
            if node.meta is None:
                v = next(t.value for t in tangents if t is not None)
                out = Aval(v.shape, v.dtype)
            else:
                known = [a if m is None else Aval(*m) for a, m in zip(args, node.meta, strict=True)]
                out = derived.type_of(self, known, node.params)
        return self.jvp(tangents, out, *args, **node.params)

    def make_number_rule(self) -> Rule:
        """`pull` for nodes of NumPy numbers without parameters, which make the long chains of small programs.

        Such nodes are real and of one dtype, so NaN is the only sign that more is to be done.
        """
        if self.arity == 1:
            return _one_number(self, self.partials[0], self.direct[0])
        if self.partials == (1, 1):
            return lambda _node, g: (g, g)
        if self.partials == (1, -1):
            return lambda _node, g: (g, -g)
        if self.arity == 2 and not any(p is None or isinstance(p, int) for p in self.partials):
            p, q = self.partials
            return _two_numbers(self, p, q, self.direct[0], self.direct[1])
        return lambda node, g: _numbers(self, node, g)

    def term(self, i: int, g: Any, out: Any, values: Sequence[Any], params: dict[str, Any]) -> Any:
        """The cotangent of argument i before broadcasting is undone, on plain values."""
        if type(g) is ndarray and g.size > BIG:
            return split(lambda g, out, *values: self._term(i, g, out, values, params), (g, out, *values))
        return self._term(i, g, out, values, params)

    def _term(self, i: int, g: Any, out: Any, values: Sequence[Any], params: dict[str, Any]) -> Any:
        rule = self.direct[i]
        if rule is not None:
            r = rule(g, out, *values, **params)
        else:
            p: Any = self.partials[i]
            r = g * p(out, *values, **params)
        if r.dtype.kind == "c":
            p = self.partials[i]
            r = g * np.conj(p(out, *values, **params))
        return strong_zero(g, r)

    def _pull_tensors(self, node: Node, g: Any) -> list[Any]:
        args, out = saved_values(node, True)
        result: list[Any] = []
        for i, e in enumerate(node.edges):
            if e is None:
                result.append(None)
                continue
            c = self.term_tensors(i, g, out, args, node.params)
            if node.meta is not None:
                shape, dtype = node.meta[i]
                c = cast(unbroadcast(c, shape), dtype)
            result.append(c)
        return result

    def push_term(self, i: int, t: Any, out: Any, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """What the tangent t of argument i adds to the output's."""
        p: Any = self.partials[i]
        if isinstance(p, int):
            return t if p == 1 else -t
        return strong(t, p(out, *args, **params))

    def run_again(self, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """The op on other arguments, recorded."""
        return general(self, args, params)

    def domain_of(self, k: int) -> Any:
        """Where samples of argument k are drawn: the entry's domain for all, or its list's k-th."""
        return self.domain[k] if isinstance(self.domain, list) else self.domain

    def term_tensors(self, i: int, g: Any, out: Any, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """The same on tensors: the rules record themselves."""
        p = self.partials[i]
        if p is None:
            return wrap(np.zeros_like(g.value)) if g.foreign is None else g * 0
        if isinstance(p, int):
            return g if p == 1 else -g
        d = p(out, *args, **params)
        return strong(g, conjugate(d))


def _one_number(op: Elementwise, p: Any, rule: Rule | None) -> Rule:
    """The number rule of a one-argument op."""
    if p is None or isinstance(p, int):
        return lambda _node, g: (g.dtype.type(0) if p is None else g if p == 1 else -g,)

    def pull(node: Node, g: Any) -> Any:
        x = node.args[0]
        if x is not None:
            x = x.value
        r = g * p(node.out, x) if rule is None else rule(g, node.out, x)
        return (r,) if r == r else (op.term(0, g, node.out, (x,), {}),)

    return pull


def _two_numbers(op: Elementwise, p: Any, q: Any, p_rule: Rule | None, q_rule: Rule | None) -> Rule:
    """The number rule of a two-argument op with two partials."""

    def pull(node: Node, g: Any) -> Any:
        x, y = node.args
        e, f = node.edges
        out = node.out
        if type(x) is Tensor or type(x) is Parameter:
            x = x.value
        if type(y) is Tensor or type(y) is Parameter:
            y = y.value
        c = d = None
        if e is not None:
            c = g * p(out, x, y) if p_rule is None else p_rule(g, out, x, y)
            if c != c:
                c = op.term(0, g, out, (x, y), {})
        if f is not None:
            d = g * q(out, x, y) if q_rule is None else q_rule(g, out, x, y)
            if d != d:
                d = op.term(1, g, out, (x, y), {})
        return c, d

    return pull


def _numbers(op: Elementwise, node: Node, g: Any) -> list[Any]:
    """The number rule of any other op."""
    values = [a.value if isinstance(a, Tensor) else a for a in node.args]
    result: list[Any] = []
    for i, (e, p) in enumerate(zip(node.edges, op.partials, strict=True)):
        if e is None:
            result.append(None)
        elif p is None or isinstance(p, int):
            result.append(g.dtype.type(0) if p is None else g if p == 1 else -g)
        else:
            result.append(op.term(i, g, node.out, values, {}))
    return result


def elementwise(name: str, function: Rule, d: Sequence[Partial], **options: Any) -> Elementwise:
    """Declare an elementwise op.

    function   NumPy ufunc, operator or function of promoted arrays (and NumPy scalars)
    d          one partial per argument
    pull       per argument, a rule (g, out, *args) -> g * partial where that is more exact or faster than
               the product
    result     "same": the promoted dtype; "float": ints become the default float; "real": the real dtype of
               a complex one; "bool": comparisons
    backward   grad_fn's name if it is not the op's name in capitals + Backward0; a dict names it by the
               kinds of the arguments ("tt" two tensors, "ts" a tensor and a number, ...)
    scalars    may a Python number stand for a later argument? first: for the first one?
    overloads  PyTorch words a wrong argument as a wrong combination
    names      the arguments' names in error texts
    skip       how many leading arguments do not take part in promotion (the condition of where)
    refuse     per dtype kind: exception, PyTorch's sentence, what to do
    check      check(dtype, args): further checks of the slow path
    domain     where samples are drawn, per argument or for all: see `elementwise_facets.DOMAINS`
    kinks      points (one number, or one per argument) where the op has no derivative or jumps
    kink       (out, *args) -> how far each entry is from the nearest such place with a finite value
    variants   parameter sets that samples cover
    zero       why the partial can be exactly zero and what would bring it to life
    nonfinite  why it can be infinite or undefined
    second     pairs of arguments with a second derivative, if not what the partials' reads say
    discrete   outputs are never followed (comparisons)
    facets     facets given instead of derived
    """
    return Elementwise(name, function, d, **options)


def kinks_at(*points: float) -> Rule:
    """The `kink` rule of an op of one argument with kinks at fixed points.

    >>> kinks_at(-1.0, 1.0)(None, np.array([-1.5, 0.0, 1.0]))
    array([0.5, 1. , 0. ])
    """

    def distance(_out: Any, x: Any, **_params: Any) -> Any:
        return np.minimum.reduce([np.abs(x - p) for p in points])

    return distance


def reads_of(rule: Any) -> tuple[bool, ...]:
    """What a partial reads: (out, *args)."""
    given = getattr(rule, "reads", None)
    return reads(rule) if given is None else given


def conjugate(d: Any) -> Any:
    """The conjugate of a tensor or number; real ones stay as they are."""
    if isinstance(d, Tensor):
        return d.conj() if d.value.dtype.kind == "c" else d
    return d.conjugate()


def fit(c: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """A cotangent in its argument's shape and dtype."""
    if c.shape != shape:
        c = unbroadcast(c, shape)
    return c if c.dtype is dtype else cast(c, dtype)


def in_dtype(values: list[Any], d: Any) -> list[Any]:
    """Saved values in the dtype the rules compute in, the cotangent's (booleans and complex values stay)."""
    if d.kind not in "fc":
        return values
    return [
        v.astype(d) if isinstance(v,
        ndarray | np.generic) and v.dtype != d and v.dtype.kind in "iuf" else v for v in values
    ]


def strong_zero(g: Any, r: Any) -> Any:
    """The product r of g and a partial: zero where an exactly zero g met an infinite or undefined one.

    NaN is the only sign of that, and a sum of squares is NaN exactly if an entry is: one dot product in the
    common case.
    """
    d = r.dtype
    if type(r) is not ndarray:
        return d.type(0) if r != r and g == 0 else r
    if d is F32 or d is F64:
        flat = r if r.ndim == 1 else r.reshape(-1)
        s = flat.dot(flat)
        clash = s != s
    else:
        clash = np.isnan(r).any()
    return np.where(g == 0, d.type(0), r) if clash else r


__all__ = ["Elementwise", "apply", "broadcast_error", "elementwise", "general", "operator_call", "wrap",
"write_out"]
