"""Broken versions of the facets of one op: what was broken, the check that must notice, a way to break it.

A mutant replaces the op's method or facet on the entry itself, so that every path through the engine meets
it. Mutants that cannot matter are not made: an argument whose derivative the judge finds to be zero
everywhere has no negated rule (but it has one that returns ones), a pattern that is full has no pair to add,
a result that is the same in all lanes has no lanes to exchange.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from facets import checks, judge, run
from pullback.families.facets import Dependence
from pullback.families.op import TABLE, Absent
from pullback.graph.node import Aval
from pullback.graph.tensor import Tensor, wrap


@dataclass(frozen=True)
class Mutant:
    """`attribute` of the op replaced by `broken(original)`; `check` must fail on some sample."""

    op: str
    what: str
    check: str
    attribute: str
    broken: object

    def __str__(self):
        return f"{self.op}: {self.what}"


@contextmanager
def applied(mutant):
    """The table with the mutant in it."""
    op = TABLE[mutant.op]
    had = mutant.attribute in op.__dict__
    original = getattr(op, mutant.attribute)
    setattr(op, mutant.attribute, mutant.broken(original))
    try:
        yield
    finally:
        if had:
            setattr(op, mutant.attribute, original)
        else:
            delattr(op, mutant.attribute)


def passes(check, case):
    """Does a check pass on a sample?"""
    try:
        checks.CHECKS[check][0](case)
    except Exception:  # noqa: BLE001 - any failure counts
        return False
    return True


@cache
def sound(check, case):
    """Does it pass while nothing is broken? (Only then does a failure prove that a mutant was noticed.)"""
    return checks.applies(check, case) and passes(check, case)


def survives(mutant):
    """Does the check pass on every sample although the op is broken?"""
    cases = [c for c in judge.cases(mutant.op) if sound(mutant.check, c)]
    with applied(mutant):
        return all(passes(mutant.check, c) for c in cases)


def mutants(name) -> Iterator[Mutant]:
    """All mutants of one op."""
    op = TABLE[name]
    if any(checks.applies("type", c) for c in judge.cases(name)):
        yield from type_mutants(name)
    if any(checks.applies("batch", c) for c in judge.cases(name)):
        yield from batch_mutants(name)
    if not op.differentiable or judge.refuses(name):
        return
    for i in sorted({i for c in judge.cases(name) for i in c.places}):
        yield from derivative_mutants(name, i)
        if not isinstance(op.depend, Absent):
            yield from pattern_mutants(name, i)
        if not isinstance(op.zero, Absent):
            yield from local_mutants(name, i)
    if not isinstance(op.depend, Absent):
        yield from second_mutants(name)


# ---------------------------------------------------------------------- derivatives


def smooth_cases(name, i):
    return [
        c
        for c in judge.cases(name)
        if c.sample.smooth and i in c.places and c.sample.args[i].size and c.has("vjp")
    ]


def moves(name, i):
    """Is there a sample whose output moves with argument i, according to the judge?"""
    return any(np.any(np.abs(judge.derivative(c, i)[0]) > 1e-9) for c in smooth_cases(name, i))


def factors(name, i):
    """The wrong factors that must be noticed; the smallest is a thousand times the tolerance of the
    sharpest judge."""
    cases = [c for c in smooth_cases(name, i) if np.any(np.abs(judge.derivative(c, i)[0]) > 0.05)]
    sharpest = min((checks.tolerance(c, judge.derivative(c, i)[1]) for c in cases), default=1e-6)
    return {"negated": -1.0, "doubled": 2.0, "zero": 0.0, f"1 + {1000 * sharpest:.0e}": 1 + 1000 * sharpest}


def square(name, i):
    """Is there a square matrix among the samples, whose Jacobian is not symmetric under transposing it?"""
    for c in smooth_cases(name, i):
        a = c.sample.args[i]
        if a.dtype.kind == "f" and a.ndim == 2 and a.shape[0] == a.shape[1] > 1 and a.size <= judge.MOST:
            j = judge.derivative(c, i)[0]
            turned = j.reshape(-1, *a.shape).swapaxes(1, 2).reshape(j.shape)
            if not np.allclose(j, turned, rtol=1e-6, atol=1e-9):
                return True
    return False


def _scaled(c, factor):
    if c is None:
        return None
    r = c * factor
    if isinstance(c, Tensor):
        return r.to(c.dtype) if r.value.dtype != c.value.dtype else r
    return r.astype(c.dtype)


def _ones(c):
    if c is None:
        return None
    return c * 0 + 1


def _turned(c):
    return c.swapaxes(-1, -2) if c is not None and c.ndim >= 2 and c.shape[-1] == c.shape[-2] else c


def _one_of(result, i, change):
    changed = list(result)
    if i < len(changed):
        changed[i] = change(changed[i])
    return changed


def pull_with(change, i, recorded):
    """A pull whose cotangent of argument i is changed in recorded (or in plain) sweeps."""

    def broken(pull):
        def mutant(node, g, tensors):
            result = pull(node, g, tensors)
            return _one_of(result, i, change) if tensors == recorded else result

        return mutant

    return broken


def push_with(change, i):
    """A push whose tangent is changed where argument i moves."""

    def broken(push):
        def mutant(node, tangents):
            out = push(node, tangents)
            if i >= len(tangents) or tangents[i] is None:
                return out
            return tuple(map(change, out)) if isinstance(out, tuple) else change(out)

        return mutant

    return broken


def shorter(op):
    """Has the op a rule of its own for numbers?"""
    return getattr(op, "pull_number", None) is not None


def met_by_numbers(name, i):
    """Does backward() through the op's public call on numbers use that rule, with a result other than
    zero?"""
    met = []

    def broken(pull):
        def noting(node, g):
            result = pull(node, g)
            met.append(i < len(result) and result[i] is not None and bool(result[i] != 0))
            return result

        return noting

    with applied(Mutant(name, "watched", "numbers", "pull_number", broken)):
        for c in judge.cases(name):
            if checks.applies("numbers", c):
                passes("numbers", c)
    return any(met)


def pull_number_with(change, i):
    """The shorter way of sweeps over NumPy scalars, where an op has one."""
    return lambda pull: lambda node, g: _one_of(pull(node, g), i, change)


def derivative_mutants(name, i):
    changes = {}
    if moves(name, i):
        changes = {what: (lambda c, f=f: _scaled(c, f)) for what, f in factors(name, i).items()}
    elif smooth_cases(name, i):
        changes = {"ones": _ones}
    if square(name, i):
        changes["transposed"] = _turned
    has_jvp = not isinstance(TABLE[name].jvp, Absent)
    for what, change in changes.items():
        yield Mutant(name, f"vjp of argument {i} {what}", "vjp", "pull", pull_with(change, i, False))
        yield Mutant(
            name, f"recorded vjp of argument {i} {what}", "second", "pull", pull_with(change, i, True)
        )
        if what == "negated" and shorter(TABLE[name]) and met_by_numbers(name, i):
            yield Mutant(
                name,
                f"vjp of argument {i} on numbers {what}",
                "numbers",
                "pull_number",
                pull_number_with(change, i),
            )
        if has_jvp and what != "transposed":
            yield Mutant(name, f"jvp of argument {i} {what}", "jvp", "push", push_with(change, i))


# ---------------------------------------------------------------------- patterns


def pattern_mutants(name, i):
    """A pair with a non-zero derivative left out, and a pair without one put in."""
    op = TABLE[name]
    dropped = added = None
    for c in judge.cases(name):
        if i not in c.places or not checks.applies("pattern", c) or checks._large(c):
            continue
        pairs = checks.said_pattern(c).first[i]
        if pairs is None:
            continue
        moved = checks.brute(c)[i]
        d = checks.dense(pairs, moved.shape, c, i)
        if dropped is None and moved.any():
            dropped = tuple(np.argwhere(moved)[-1])
        if added is None and checks.applies("exact", c) and not d.all():
            # off the diagonal where there is room: with another mask an entry may well be copied to its own
            # place
            room = np.argwhere(~d)
            off = room[room[:, 0] != room[:, 1]]
            added = (d.shape, tuple(off[0] if len(off) else room[0]))
    if dropped is not None:
        yield Mutant(
            name,
            f"pattern of argument {i} without the pair {dropped}",
            "pattern",
            "depend",
            _without(i, dropped),
        )
    if added is not None and name not in checks.ALWAYS_ZERO:
        yield Mutant(
            name, f"pattern of argument {i} with a pair too many", "exact", "depend", _with(op, i, *added)
        )


def _changed(i, change):
    def broken(depend):
        def mutant(avals, params, values=None):
            said = depend(avals, params, values)
            first = list(said.first)
            if first[i] is not None:
                first[i] = change(avals, *map(np.asarray, first[i]))
            return Dependence(first, said.second)

        return mutant

    return broken


def _without(i, pair):
    def change(_avals, rows, cols):
        keep = (rows != pair[0]) | (cols != pair[1])
        return rows[keep], cols[keep]

    return _changed(i, change)


def _with(op, i, shape, pair):
    def change(avals, rows, cols):
        # only where the Jacobian has the shape of the sample that has room for it
        if avals[i].size != shape[1] or np.any((rows == pair[0]) & (cols == pair[1])):
            return rows, cols
        return np.append(rows, pair[0]), np.append(cols, pair[1])

    return _changed(i, change)


def second_mutants(name):
    """One announced and existing pair of arguments with second derivatives left out."""
    for c in judge.cases(name):
        if not checks.applies("pattern", c) or checks._large(c):
            continue
        found = checks.second_pairs(c)
        if found:
            pair = min(found)

            def broken(depend, pair=pair):
                def mutant(avals, params, values=None):
                    said = depend(avals, params, values)
                    return Dependence(said.first, said.second - {pair})

                return mutant

            yield Mutant(name, f"no second derivative for arguments {pair}", "pattern", "depend", broken)
            return


def local_mutants(name, i):
    """Wrong values, and a zero without its reason."""
    zeros = values = False
    for c in judge.cases(name):
        if i not in c.places or not checks.applies("zero", c) or checks._large(c):
            continue
        args = c.sample.args
        if any(isinstance(a, np.ndarray) and a.dtype.kind == "c" for a in args):
            continue
        with np.errstate(all="ignore"):
            out = c.op.eval(*args, **c.params)
        if any(np.asarray(o).dtype.kind == "c" for o in checks.outputs(out)):
            continue
        given = np.asarray(c.op.zero(i, out, list(args), c.params).values)
        zeros |= bool(np.any(given == 0))
        values |= bool(np.any(given[np.isfinite(given)] != 0))
    if values:
        yield Mutant(
            name,
            f"local derivative of argument {i} with one entry wrong",
            "zero",
            "zero",
            _local(i, _one_wrong),
        )
    if zeros:
        yield Mutant(
            name,
            f"a zero of argument {i} without a reason",
            "zero",
            "zero",
            _local(i, lambda r: replace(r, why_zero="")),
        )


def _one_wrong(local):
    values = np.array(local.values, float)
    there = np.flatnonzero(np.isfinite(values) & (values != 0))
    values[there[-1:]] *= 1 + 1e-9 if np.any(np.abs(values[there[-1:]]) > 1e-2) else 2
    return replace(local, values=values)


def _local(i, change):
    def broken(zero):
        return lambda k, out, args, params: (
            change(zero(k, out, args, params)) if k == i else zero(k, out, args, params)
        )

    return broken


# ---------------------------------------------------------------------- type and batch


def _each(change):
    def broken(function):
        def mutant(*args, **params):
            r = function(*args, **params)
            return tuple(map(change, r)) if isinstance(r, tuple) else change(r)

        return mutant

    return broken


def type_mutants(name):
    other = {"f": np.float16, "c": np.float64, "b": np.int64, "i": np.bool_, "u": np.bool_}
    yield Mutant(
        name,
        "type says another dtype",
        "type",
        "type",
        _each(lambda a: Aval(a.shape, np.dtype(other[np.dtype(a.dtype).kind]))),
    )
    yield Mutant(
        name, "type says one more dimension", "type", "type", _each(lambda a: Aval((*a.shape, 1), a.dtype))
    )


def differing_lanes(name):
    """Do the lanes of some sample give different results?"""
    for c in judge.cases(name):
        for _, _, each in checks.batched(c):
            loops = [checks.outputs(run.call(c.op, xs, c.params)) for xs in each]
            for same in zip(*loops, strict=True):
                if not np.array_equal(
                    same[0].value, same[2].value, equal_nan=same[0].value.dtype.kind in "fc"
                ):
                    return True
    return False


def batch_mutants(name):
    def broken(batch):
        def mutant(size, dims, args, params):
            out, places = batch(size, dims, args, params)
            if isinstance(out, tuple):
                ds = places if isinstance(places, tuple) else (places,) * len(out)
                return tuple(
                    o if d is None else _exchanged(o, d) for o, d in zip(out, ds, strict=True)
                ), places
            return (out if places is None else _exchanged(out, places)), places

        return mutant

    if differing_lanes(name):
        yield Mutant(name, "vmap with the lanes exchanged", "batch", "batch", broken)


def _exchanged(t, d):
    return wrap(np.flip(t.value, d)) if t.foreign is None else t.flip(d)
