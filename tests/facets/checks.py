"""One check per facet: check(case) raises AssertionError where the facet of that op is wrong on that sample.

The tests run them over the whole table; `tests/mutants` runs them on broken rules and demands that they
raise.
"""

from __future__ import annotations

import numpy as np

import pullback as torch
from facets import judge, run
from pullback.graph.node import LEAF
from pullback.graph.tensor import Tensor, wrap


def tolerance(case, judged):
    return max(case.sample.rtol, judged)


def difference(found, expected):
    with np.errstate(invalid="ignore"):
        return f"largest difference {np.max(np.abs(found - expected), initial=0):.3g}"


# ---------------------------------------------------------------------- type and eval


def outputs(out):
    return out if isinstance(out, tuple) else (out,)


def check_type(case):
    """The announced shapes and dtypes are those of the evaluation, in double and in single precision."""
    for args in (case.sample.args, single(case)):
        with np.errstate(all="ignore"):
            out = case.op.eval(*args, **case.params)
        said = outputs(case.op.type(*run.avals(args), **case.params))
        found = [(tuple(np.shape(o)), np.asarray(o).dtype) for o in outputs(out)]
        assert [(tuple(s.shape), np.dtype(s.dtype)) for s in said] == found, (
            f"{case}: {said} announced, {found} found"
        )


def single(case):
    """The arguments in single precision."""
    return tuple(
        a.astype({"f": np.float32, "c": np.complex64}[a.dtype.kind])
        if isinstance(a, np.ndarray) and a.dtype in (np.float64, np.complex128)
        else a
        for a in case.sample.args
    )


# ---------------------------------------------------------------------- first derivatives


def check_vjp(case):
    """Reverse mode against the judge."""
    rows, U = run.vjp_rows(case)
    for i, found in rows.items():
        columns, judged = judge.derivative(case, i)
        T = judge.probes(found.shape[1], i)
        a, b = found @ T, U.T @ columns
        assert judge.close(a, b, tolerance(case, judged)), (
            f"{case}, argument {i}: {difference(a, b)}\n{a}\n{b}"
        )


def check_jvp(case):
    """Forward mode against the judge."""
    for i, found in run.jvp_columns(case).items():
        expected, judged = judge.derivative(case, i)
        assert judge.close(found, expected, tolerance(case, judged)), (
            f"{case}, argument {i}: {difference(found, expected)}"
        )


def check_adjoint(case):
    """<v, J t> = <J^T v, t>, also at kinks and ties: both modes take the same branch."""
    rows, U = run.vjp_rows(case)
    for i, columns in run.jvp_columns(case).items():
        a = U.T @ _finite(columns)
        b = _finite(rows[i]) @ judge.probes(rows[i].shape[1], i)
        assert judge.close(a, b, 1e-12), f"{case}, argument {i}: {difference(a, b)}\n{a}\n{b}"


def _finite(a):
    # at a pole one mode may meet inf where the other meets the strong zero; poles are judged by the zero
    # facet
    return np.where(np.isfinite(a), a, 0)


def check_scalars(case):
    """0-d values may be NumPy scalars: the same gradients as for 0-d arrays."""
    args = run.tensors(case)
    zero_d = [a for a in args if isinstance(a, Tensor) and a.value.ndim == 0]
    if not zero_d:
        return
    expected, U = run.vjp_rows(case)
    for a in zero_d:
        a.value = a.value[()]
    outs = run.floating(run.call(case.op, args, case.params))
    xs = [args[i] for i in case.places]
    for k in range(U.shape[1]):
        for i, g in zip(case.places, run.pull(outs, xs, U[:, k]), strict=True):
            if g is not None:
                assert judge.close(judge.as_real(g.value), expected[i][k], 1e-13), (
                    f"{case}, argument {i} as a NumPy scalar"
                )


def check_numbers(case):
    """The public call on NumPy scalars, swept by backward() (a path of its own), against the same on 0-d
    arrays; also where the
    upstream is exactly zero."""
    op = case.op
    if (
        getattr(op, "pull_number", None) is None
        or case.params
        or any(np.size(a) == 0 for a in case.sample.args)
    ):
        return
    firsts = [a.reshape(-1)[0] if isinstance(a, np.ndarray) else a for a in case.sample.args]
    for upstream in (1.3, 0.0):
        numbers, arrays = (
            [
                wrap(form(v), LEAF if i in case.places else None) if isinstance(v, np.generic) else v
                for i, v in enumerate(firsts)
            ]
            for form in (lambda v: v, np.array)
        )
        out, expected = run.call(op.call, numbers, {}), run.call(op, arrays, {})
        assert np.array_equal(out.value, expected.value, equal_nan=True), f"{case}: value of numbers"
        if out.node is None or out.value.dtype.kind != "f":
            return
        out.backward(wrap(np.float64(upstream)))
        xs = [arrays[i] for i in case.places]
        grads = torch.autograd.grad(expected, xs, wrap(np.array(upstream)), allow_unused=True)
        for i, g in zip(case.places, grads, strict=True):
            found = numbers[i].stored_grad
            assert (found is None) == (g is None), f"{case}, argument {i}"
            if g is not None:
                assert judge.close(found.value, g.value, 1e-14), (
                    f"{case}, argument {i}, upstream {upstream}: {found.value}, not {g.value}"
                )


def check_layout(case):
    """Values in column order and an upstream without memory of its own (an expanded 1) change nothing."""
    args = run.tensors(case)
    expected_outs = run.floating(run.call(case.op, args, case.params))
    turned = [
        wrap(np.array(a.value, order="F"), LEAF if a.node is LEAF else None) if isinstance(a, Tensor) else a
        for a in args
    ]
    outs = run.floating(run.call(case.op, turned, case.params))
    for a, b in zip(outs, expected_outs, strict=True):
        assert np.allclose(a.value, b.value, rtol=1e-12, atol=1e-13, equal_nan=True), (
            f"{case}: value in column order"
        )
    if not any(o.node is not None for o in outs):
        return
    followed = [o for o in outs if o.node is not None]
    wide = [wrap(np.broadcast_to(np.ones((), o.value.dtype), o.value.shape)) for o in followed]
    found = torch.autograd.grad(followed, [turned[i] for i in case.places], wide, allow_unused=True)
    followed = [o for o in expected_outs if o.node is not None]
    dense = [wrap(np.ones(o.value.shape, o.value.dtype)) for o in followed]
    expected = torch.autograd.grad(followed, [args[i] for i in case.places], dense, allow_unused=True)
    for i, a, b in zip(case.places, found, expected, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert judge.close(judge.as_real(a.value), judge.as_real(b.value), 1e-12), (
                f"{case}, argument {i}: gradient in column order"
            )


def check_single(case):
    """In single precision: gradients are single, and close to the double ones."""
    expected, _ = run.vjp_rows(case, basis=_one)
    found, _ = run.vjp_rows(case, args=single(case), basis=_one)
    for i, rows in found.items():
        a, b = _finite(rows), _finite(expected[i])
        assert judge.close(a, b, 1e-4), f"{case}, argument {i}: {difference(a, b)}"


def _one(n):
    return np.random.default_rng(3).uniform(0.5, 1.5, (n, 1))


# ---------------------------------------------------------------------- second derivatives


def weights(n, seed):
    return np.random.default_rng(seed).uniform(-1, 1, n)


def _split(vector, sizes):
    return np.split(vector, np.cumsum(sizes)[:-1]) if sizes else []


def check_second(case):
    """d/dt of the gradients at x + t d, all arguments at once: the recorded sweep against Richardson on the
    plain one."""
    args = run.tensors(case)
    xs = [args[i] for i in case.places]
    sizes = [judge.real_size(x.value) for x in xs]
    total = sum(sizes)
    if not total:
        return
    outs = run.floating(run.call(case.op, args, case.params))
    w = weights(run.total_size(outs), 1)
    direction = weights(total, 99)
    found = np.zeros(total)
    grads = run.pull(outs, xs, w, create_graph=True)
    recorded, plain = run.joined(grads, xs), run.joined(run.pull(outs, xs, w), xs)
    assert judge.close(recorded, plain, 1e-12), (
        f"{case}: recorded and plain sweep differ, {difference(recorded, plain)}"
    )
    for g, d in zip(grads, _split(direction, sizes), strict=True):
        if g is not None and g.requires_grad:
            found += run.joined(run.pull([g], xs, d), xs)

    def gradient(v):
        moved = list(case.sample.args)
        for i, part in zip(case.places, _split(v, sizes), strict=True):
            moved[i] = judge.from_real(part, case.sample.args[i])
        ts = run.tensors(case, args=moved)
        ys = [ts[i] for i in case.places]
        return run.joined(run.pull(run.floating(run.call(case.op, ts, case.params)), ys, w), ys)

    base = np.concatenate([judge.as_real(x.value) for x in xs])
    expected = judge.richardson(gradient, base, direction[:, None], 4e-3, 4)[:, 0]
    # the judge differentiates float64 gradients: Richardson leaves about 1e-10
    assert judge.close(found, expected, max(case.sample.rtol, 1e-8)), (
        f"{case}: {difference(found, expected)}\n{found}\n{expected}"
    )


# ---------------------------------------------------------------------- patterns


def said_pattern(case, args=None):
    args = case.sample.args if args is None else args
    return case.op.depend(run.avals(args), case.params, args)


def brute(case, args=None):
    """Per argument which entries move which output entries here: a boolean matrix, complex entries as one."""
    rows, _ = run.vjp_rows(case, args=args, basis=np.eye)
    outs = run.floating(run.call(case.op, run.tensors(case, followed=False, args=args), case.params))
    wide = [o.value.dtype.kind == "c" for o in outs for _ in range(o.value.size)]
    starts = np.cumsum([0, *(2 if c else 1 for c in wide)])[:-1]
    found = {}
    for i, r in rows.items():
        moved = (
            np.add.reduceat(r != 0, starts, axis=0).astype(bool)
            if len(starts)
            else np.zeros((0, r.shape[1]), bool)
        )
        if case.sample.args[i].dtype.kind == "c":
            moved = moved[:, ::2] | moved[:, 1::2]
        found[i] = moved
    return found


def dense(pairs, shape, case, i):
    """Pairs as a boolean matrix; they must lie inside it and differ."""
    matrix = np.zeros(shape, int)
    if pairs is not None:
        rows, cols = np.asarray(pairs[0], int), np.asarray(pairs[1], int)
        assert rows.shape == cols.shape
        assert not rows.size or (
            rows.min() >= 0 and rows.max() < shape[0] and cols.min() >= 0 and cols.max() < shape[1]
        ), f"{case}, argument {i}: a pair outside the {shape} Jacobian"
        np.add.at(matrix, (rows, cols), 1)
    assert matrix.max(initial=0) <= 1, f"{case}, argument {i}: a pair is named twice"
    return matrix.astype(bool)


def check_pattern(case):
    """Every non-zero derivative is in the pattern, and so is every non-zero second derivative's pair of
    arguments."""
    if _large(case):
        return
    said = said_pattern(case)
    for i, moved in brute(case).items():
        outside = moved & ~dense(said.first[i], moved.shape, case, i)
        assert not outside.any(), (
            f"{case}, argument {i}: non-zero derivatives outside the pattern at {np.argwhere(outside)[:5]}"
        )
    found = second_pairs(case)
    assert found <= said.second, f"{case}: second derivatives {sorted(found - said.second)} are not announced"


def _large(case):
    return any(isinstance(a, np.ndarray) and a.size > 4 * judge.MOST for a in case.sample.args)


def second_pairs(case):
    """The pairs of arguments (i, j) where the derivative with respect to i was seen to change with j."""
    args = run.tensors(case)
    xs = [args[i] for i in case.places]
    outs = run.floating(run.call(case.op, args, case.params))
    found = set()
    grads = run.pull(outs, xs, weights(run.total_size(outs), 4), create_graph=True)
    for i, g in zip(case.places, grads, strict=True):
        if g is None or not g.requires_grad:
            continue
        again = run.pull([g], xs, weights(judge.real_size(g.value), 5))
        found |= {
            (i, j)
            for j, h in zip(case.places, again, strict=True)
            if h is not None and np.any(abs(h.value) > 1e-10)
        }
    return found


VARIATIONS = 32
# announced although always zero, each for a reason
ALWAYS_ZERO = {
    "angle": "of a real number: 0 or pi, constant; the pattern is the complex one",
    "imag": "of a real number: 0; the pattern is the complex one",
    "sgn": "of a real number: its sign, constant; the pattern is the complex one",
}


def moved_args(case):
    """The sample and variations of it that most ops accept: entries exchanged, signs turned, scaled, masks
    turned."""
    yield case.sample.args
    for k in range(VARIATIONS):
        rng = np.random.default_rng(k)
        factors = [(1.0, -1.0, 3.0, 0.3)[(k // 4**i) % 4] for i in range(len(case.sample.args))]
        # the masks of structural ops say where entries go: they are part of the pattern
        masks = case.op.family != "structural"
        pairs = enumerate(zip(case.sample.args, factors, strict=True))
        yield tuple(_moved(a, rng, f if i in case.places else None, masks) for i, (a, f) in pairs)


def _moved(a, rng, factor, masks):
    if factor is not None:
        return np.array(factor * rng.permutation(a.reshape(-1)).reshape(a.shape))
    if masks and isinstance(a, np.ndarray) and a.dtype.kind == "b":
        return np.array(rng.permutation(a.reshape(-1)).reshape(a.shape) ^ (rng.random() < 0.5))
    return a


def check_exact(case):
    """Every announced pair has a non-zero derivative at some input."""
    if _large(case) or case.op.name in ALWAYS_ZERO:
        return
    extra, counts = {}, {}
    for args in moved_args(case):
        try:
            with np.errstate(all="ignore"):
                moved = brute(case, args)
        except (ValueError, RuntimeError, np.linalg.LinAlgError):
            continue
        said = said_pattern(case, args)
        for i, m in moved.items():
            d = dense(said.first[i], m.shape, case, i)
            counts[i] = int(d.sum())
            extra[i] = extra.get(i, d) & ~m
        if not any(e.any() for e in extra.values()):
            return
    for i, e in extra.items():
        assert not e.any(), (
            f"{case}, argument {i}: {int(e.sum())} of {counts[i]} announced pairs are always zero, "
            f"{np.argwhere(e)[:5].tolist()}"
        )


def check_zero(case):
    """The local derivative is the Jacobian, entry by entry, and zeros and infinities have reasons."""
    if _large(case) or any(isinstance(a, np.ndarray) and a.dtype.kind == "c" for a in case.sample.args):
        return
    values = [a.value if hasattr(a, "value") else a for a in run.tensors(case)]
    with np.errstate(all="ignore"):
        out = case.op.eval(*values, **case.params)
    if any(np.asarray(o).dtype.kind == "c" for o in outputs(out)):
        return
    for i, rows in run.vjp_rows(case, basis=np.eye)[0].items():
        local = case.op.zero(i, out, values, case.params)
        given = np.asarray(local.values, float)
        found = np.zeros(rows.shape)
        np.add.at(found, (np.asarray(local.rows, int), np.asarray(local.cols, int)), given)
        assert judge.close(_finite(found), _finite(rows), 1e-12), (
            f"{case}, argument {i}: {difference(_finite(found), _finite(rows))}"
        )
        if np.any(given == 0):
            assert local.why_zero, f"{case}, argument {i}: a zero derivative without a reason"
        if not np.all(np.isfinite(given)):
            assert local.why_nonfinite, f"{case}, argument {i}: an infinite derivative without a reason"
        if local.margin is not None:
            assert np.shape(local.margin) == given.shape, (
                f"{case}, argument {i}: margins {np.shape(local.margin)} for {given.shape} values"
            )


# ---------------------------------------------------------------------- vmap


def lanes(a, k, mix=False):
    """Three different arrays of the same shape and domain: the sample, scaled a little, its entries moved
    round where that is allowed."""
    if a.dtype.kind not in "fc":
        return np.stack([a] * 3)
    moved = [np.roll(a.reshape(-1), j).reshape(a.shape) if mix else a for j in range(3)]
    return np.stack([m * (1 - 0.01 * j * (k + 1)) for j, m in enumerate(moved)])


def batched(case):
    """(the mapped arguments with their dimension, arguments with lanes, the arguments of each lane) for
    several choices."""
    args = case.sample.args
    arrays = [i for i, a in enumerate(args) if isinstance(a, np.ndarray)]
    if not arrays:
        return
    choices = [dict.fromkeys(arrays, 0)]
    choices += [{i: min(1, args[i].ndim)} for i in arrays if len(arrays) > 1] or [
        {i: min(1, args[i].ndim)} for i in arrays
    ]
    for mapped in choices:
        full = {i: lanes(args[i], i, case.op.family != "by hand") for i in mapped}
        stacked = [
            wrap(np.moveaxis(full[i], 0, d)) if (d := mapped.get(i)) is not None else a
            for i, a in enumerate(args)
        ]
        stacked = [wrap(a) if isinstance(a, np.ndarray) else a for a in stacked]
        each = [[wrap(full[i][j]) if i in mapped else s for i, s in enumerate(stacked)] for j in range(3)]
        yield mapped, stacked, each


def _compare(case, got, loops, what):
    for k, g in enumerate(got):
        if not isinstance(g, Tensor) and g is None:
            continue
        expected = np.stack([np.asarray(r[k].value) for r in loops])
        assert g.value.dtype == expected.dtype, (
            f"{case}: {what} gives {g.value.dtype}, the loop {expected.dtype}"
        )
        assert g.value.shape == expected.shape, (
            f"{case}: {what} gives {g.value.shape}, the loop {expected.shape}"
        )
        scale = np.max(np.abs(expected[np.isfinite(expected)]), initial=1.0)
        assert np.allclose(g.value, expected, rtol=1e-12, atol=1e-12 * scale, equal_nan=True), (
            f"{case}: {what} differs from the loop"
        )


def check_batch(case):
    """vmap against a loop over the lanes, for all mapped arguments and for each alone, in different
    dimensions."""
    for mapped, stacked, each in batched(case):

        def one(*xs):
            return outputs(run.call(case.op, xs, case.params))

        got = torch.func.vmap(one, in_dims=tuple(mapped.get(i) for i in range(len(stacked))))(*stacked)
        _compare(case, got, [one(*xs) for xs in each], f"vmap over {mapped}")


def check_batch_gradient(case):
    """vmap of the gradient: the rules run on lanes."""
    if not case.places:
        return
    places = tuple(case.places)

    def loss(*xs):
        outs = run.floating(run.call(case.op, xs, case.params))
        return sum((abs(o) if o.value.dtype.kind == "c" else o * 1.5).sum() for o in outs)

    gradient = torch.func.grad(loss, argnums=places)
    for mapped, stacked, each in batched(case):
        got = torch.func.vmap(gradient, in_dims=tuple(mapped.get(i) for i in range(len(stacked))))(*stacked)
        _compare(case, got, [gradient(*xs) for xs in each], f"vmap over {mapped} of grad")


# ---------------------------------------------------------------------- the table of checks

# what a check needs: the facet, and whether the sample must be smooth
CHECKS = {
    "type": (check_type, "type", False),
    "vjp": (check_vjp, "vjp", True),
    "jvp": (check_jvp, "jvp", True),
    "adjoint": (check_adjoint, "jvp", False),
    "scalars": (check_scalars, "vjp", False),
    "numbers": (check_numbers, "vjp", False),
    "layout": (check_layout, "vjp", False),
    "single": (check_single, "vjp", True),
    "second": (check_second, "vjp", True),
    "pattern": (check_pattern, "depend", False),
    "exact": (check_exact, "depend", True),
    "zero": (check_zero, "zero", False),
    "batch": (check_batch, "batch", False),
    "batch_gradient": (check_batch_gradient, "batch", True),
}


# their vmap raises PyTorch's error for results whose shape depends on values (masked_scatter's gradient only)
DYNAMIC = {
    "masked_select": ("batch", "batch_gradient"),
    "spread_mask": ("batch_gradient",),
    "masked_scatter": ("batch_gradient",),
}


def applies(name, case):
    """Does this check apply to this case?"""
    _, facet, smooth = CHECKS[name]
    if name in DYNAMIC.get(case.op.name, ()):
        return False
    if smooth and not case.sample.smooth:
        return False
    if facet in ("vjp", "jvp", "depend", "zero") or name == "batch_gradient":
        return case.has(facet) and case.op.differentiable and not judge.refuses(case.op.name)
    return case.has(facet)


def check_op(name, op_name):
    """Run a check on all samples of an op and raise with all that failed."""
    failed = []
    ran = 0
    for case in judge.cases(op_name):
        if not applies(name, case):
            continue
        ran += 1
        try:
            CHECKS[name][0](case)
        except Exception as e:  # noqa: BLE001 - any failure of a rule is this sample's failure
            failed.append(f"{case}: {type(e).__name__}: {e}")
    assert not failed, f"{len(failed)} of {ran} samples\n" + "\n".join(failed)
