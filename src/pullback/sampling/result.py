"""`Sensitivity`: averaged gradients with their errors, and the questions that can be asked of them.

Read `Sensitivity`. Its second moments answer at once; `ratio`, `dgsm` and `active_subspace` go through the
samples again (they are made anew from the seed). May import `statistics`, `dgsm`, `subspace`, `files`,
`html`, `jumps`, `distributions`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.sampling import files
from pullback.sampling.dgsm import Dgsm, dgsm_of
from pullback.sampling.distributions import Distribution
from pullback.sampling.html import table_of
from pullback.sampling.jumps import Jump
from pullback.sampling.statistics import Interval, Joint, clean_rows, quantile, ratio_interval
from pullback.sampling.subspace import ActiveSubspace, subspace_of


@dataclass(frozen=True)
class Invalid:
    """Samples with a value or gradient that is not finite.

    count        how many, over all cells
    first_index  the number of the first one
    inputs       its arguments (NumPy arrays)
    op           the op that first gave a non-finite number, with the user's line; "" if not known
    """

    count: int
    first_index: int
    inputs: tuple[Any, ...] = ()
    op: str = ""

    def __str__(self) -> str:
        at = f" in {self.op}" if self.op else ""
        return f"{self.count:,} samples are not finite; the first is number {self.first_index}{at}"


@dataclass(frozen=True)
class Ratio:
    """mean[i] / mean[j] for every cell, with standard error and interval (low, high) at `confidence`."""

    value: Any
    stderr: Any
    low: Any
    high: Any
    labels: tuple[str, str]
    confidence: float
    method: str

    def __repr__(self) -> str:
        name = f"Ratio({self.labels[0]} / {self.labels[1]}"
        if np.ndim(self.value):
            return f"{name}, {np.size(self.value)} cells)"
        ends = f"{self.low:.6g} to {self.high:.6g}"
        return f"{name} = {self.value:.6g}, {100 * self.confidence:g} % interval {ends})"


@dataclass(frozen=True, eq=False, repr=False)
class Sensitivity:
    """The averaged gradient E[v^T J] of a function of random inputs.

    Every field about gradients is a float64 array, or a tuple of them where several arguments were
    differentiated (in the order of `wrt`). Their axes: one for each `each` argument, one for a stack of
    upstream vectors (`stacked`), then the argument's own.

    mean, stderr       the mean gradient, and the standard error of that mean
    abs_mean           E|g|, entry by entry;   second_moment   E[g^2]
    active             share of samples in which the entry of the gradient is not zero
    value_mean, value_stderr   of v . f; leading axes only
    samples            per cell;   seed, seconds, dtype, method, kernel   how they were made
    confidence         of intervals unless another is asked for
    partial            the study was stopped before all samples were done
    invalid            what was not finite, or None
    jumps              places where f jumps, so that the pathwise mean misses part of the derivative
    names, wrt         the function's argument names, and which of them were differentiated
    upstream, stacked  v (or several, stacked), and whether there are several
    each               the values of each `each` argument
    labels             a name for every gradient entry, all arguments one after the other
    common_draws       did all upstream vectors see the same samples?
    """

    mean: Any
    stderr: Any
    abs_mean: Any
    second_moment: Any
    active: Any
    value_mean: Any
    value_stderr: Any
    samples: int
    seed: int
    seconds: float
    names: tuple[str, ...]
    wrt: tuple[int, ...]
    confidence: float = 0.95
    partial: bool = False
    invalid: Invalid | None = None
    jumps: tuple[Jump, ...] = ()
    method: str = "pathwise"
    kernel: str = ""
    upstream: Any = None
    stacked: bool = False
    each: tuple[Any, ...] = ()
    dtype: str = "float64"
    labels: tuple[str, ...] = ()
    common_draws: bool = True
    # cell number -> chunks of (values (n,), gradients (n, m), inputs (n, m)); None after loading from a file
    _rows: Callable[[int], Iterator[Any]] | None = field(default=None, compare=False)
    # the law of each differentiated argument, None where it has none
    _distributions: tuple[Distribution | None, ...] = ()

    def __post_init__(self) -> None:
        if not self.labels:
            object.__setattr__(self, "labels", self._plain_labels())
        if not self._distributions:
            object.__setattr__(self, "_distributions", (None,) * len(self.wrt))

    # ------------------------------------------------------------------ shapes

    @property
    def leading(self) -> tuple[int, ...]:
        """Lengths of the leading axes: one for each `each` argument, one for a stack of upstream vectors."""
        each = tuple(len(values) for values in self.each)
        return (*each, len(self.upstream)) if self.stacked else each

    def _parts(self, value: Any) -> tuple[Any, ...]:
        return value if isinstance(value, tuple) else (value,)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shape of each differentiated argument."""
        skip = len(self.leading)
        return tuple(np.shape(part)[skip:] for part in self._parts(self.mean))

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of entries of each differentiated argument."""
        return tuple(math.prod(shape) for shape in self.shapes)

    def _plain_labels(self) -> tuple[str, ...]:
        out: list[str] = []
        for argument, shape in zip(self.wrt, self.shapes, strict=True):
            name = self.names[argument]
            out += [name + (f"[{','.join(map(str, i))}]" if i else "") for i in np.ndindex(*shape)]
        return tuple(out)

    def flat(self, value: Any) -> Any:
        """A field of the mean's shape as one array (*leading, entries), all arguments side by side."""
        skip = self.leading
        return np.concatenate([np.reshape(p, (*skip, -1)) for p in self._parts(value)], -1)

    def entry(self, i: Any) -> int:
        """The number of an entry among all (see `labels`), from its number, its label, or its index.

        An index is a tuple: into the argument, or (argument, ...) where several were differentiated.
        """
        total = len(self.labels)
        if isinstance(i, str) and i in self.labels:
            return self.labels.index(i)
        if isinstance(i, int | np.integer) and -total <= i < total:
            return int(i) % total
        if isinstance(i, tuple):
            which, index = (i[0], i[1:]) if len(self.shapes) > 1 else (0, i)
            try:
                return sum(self.sizes[:which]) + int(np.ravel_multi_index(index, self.shapes[which]))
            except (ValueError, IndexError, TypeError):
                pass
        shown = ", ".join(self.labels[:8]) + (", ..." if total > 8 else "")
        raise IndexError(
            message(
                f"there is no gradient entry {i!r}",
                f"{total} entries in arguments of shapes {[tuple(s) for s in self.shapes]}: {shown}",
                "use a label, or a number from 0",
            )
        )

    # ------------------------------------------------------------------ samples

    def iterate(self, cell: int = 0) -> Iterator[Any]:
        """Chunks (values (n,), gradients (n, m), inputs (n, m)) of a cell's samples, made anew from the seed.

        `cell` numbers the leading axes row by row. RuntimeError for a result that was loaded from a file.
        """
        if self._rows is None:
            raise RuntimeError(
                message(
                    "this result keeps sums and no samples, so the question cannot be answered from it",
                    "it was loaded from a file, or unpickled",
                    "run pullback.sensitivity again with the same seed and ask that result",
                )
            )
        return iter(self._rows(cell))

    def rows(self, cell: int = 0, limit: int = 1000) -> tuple[Any, Any, Any]:
        """(values (n,), gradients (n, m), inputs (n, m)) of the first `limit` samples of a cell."""
        parts: list[Any] = []
        left = limit
        for f, g, x in self.iterate(cell):
            parts.append((np.ravel(f)[:left], g[:left], x[:left]))
            left -= len(parts[-1][0])
            if left <= 0:
                break
        f, g, x = (np.concatenate(p) for p in zip(*parts, strict=True))
        return f, g, x

    # ------------------------------------------------------------------ statistics

    def interval(self, confidence: float | None = None) -> Interval:
        """(low, high) of the mean, each like `mean`: mean -+ t stderr, t being Student's with samples - 1."""
        reach = quantile(self.confidence if confidence is None else confidence, self.samples - 1)
        pairs = [
            (m - reach * s, m + reach * s)
            for m, s in zip(self._parts(self.mean), self._parts(self.stderr), strict=True)
        ]
        low, high = zip(*pairs, strict=True)
        return Interval(low, high) if isinstance(self.mean, tuple) else Interval(low[0], high[0])

    def ratio(self, i: Any, j: Any, *, confidence: float | None = None, method: str = "fieller") -> Ratio:
        """mean[i] / mean[j] with its interval, for every cell; i and j are entries (`entry`).

        The two means share their samples, and the interval takes their correlation into account. method
        "fieller" (Fieller 1954) also holds where the denominator is uncertain; it is (-inf, inf) where that
        may be 0. "delta" is the symmetric interval of the linearised ratio. Either is (-inf, inf) where a
        jump of f leaves a mean without a standard error.
        """
        level = self.confidence if confidence is None else confidence
        a, b = self.entry(i), self.entry(j)
        means = self.flat(self.mean).reshape(-1, len(self.labels))
        missed = np.isinf(self.flat(self.stderr)).reshape(means.shape)[:, [a, b]].any(1)
        found: list[tuple[float, float, float, float]] = []
        for cell, mean in enumerate(means):
            joint = Joint()
            for _, g, _ in clean_rows(self.iterate(cell)):
                joint.add(g[:, :0], g[:, [a, b]])
            # the means come from the stored sums, so that the ratio is exactly that of the result
            value, error, (low, high) = ratio_interval(
                mean[[a, b]], joint.yy / joint.n, float(quantile(level, joint.n - 1)), method
            )
            # a jump of f leaves the means with an error that no sample shows
            found.append((value, np.inf, -np.inf, np.inf) if missed[cell] else (value, error, low, high))
        value, error, low, high = (np.reshape(c, self.leading)[()] for c in zip(*found, strict=True))
        return Ratio(value, error, low, high, (self.labels[a], self.labels[b]), level, method)

    def dgsm(
        self,
        *,
        confidence: float | None = None,
        method: str = "delta",
        num_resamples: int = 1000,
        seed: int = 0,
    ) -> Dgsm:
        """Brackets of the total Sobol' indices of the inputs, from squared derivatives.

        method "delta" gives intervals by linearisation, "bootstrap" BCa intervals from `num_resamples`
        resamples (better for heavy tails and few samples). Holds for independent inputs; entries whose law is
        not known, discrete, or dependent on others, or along which f jumps, get nan.
        """
        level = self.confidence if confidence is None else confidence
        return dgsm_of(self, confidence=level, method=method, num_resamples=num_resamples, seed=seed)

    def active_subspace(
        self,
        *,
        n_boot: int = 100,
        confidence: float | None = None,
        dimension: int | None = None,
        scale: Any = None,
        seed: int = 0,
    ) -> ActiveSubspace:
        """Eigenvalues and eigenvectors of E[g g^T], activity scores, and their bootstrap ranges.

        scale multiplies the gradient entries: None, "std" (the inputs' standard deviations, so that inputs in
        different units compare), or an array (entries,). dimension is how many directions to keep; by default
        those before the widest gap.
        """
        level = self.confidence if confidence is None else confidence
        return subspace_of(self, n_boot=n_boot, confidence=level, dimension=dimension, scale=scale, seed=seed)

    # ------------------------------------------------------------------ as data

    def records(self) -> list[dict[str, Any]]:
        """One dict per cell and entry: the coordinates, the entry's label and its statistics."""
        return files.records(self)

    def to_dataframe(self) -> Any:
        """`records` as a pandas DataFrame; ImportError where pandas is not installed."""
        return files.to_dataframe(self)

    def to_dict(self) -> dict[str, Any]:
        """All public fields as plain Python numbers, lists and dicts."""
        return files.plain(self.state())

    def state(self) -> dict[str, Any]:
        """The public fields by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if not f.name.startswith("_")}

    def save(self, path: str | Path) -> None:
        """Write to `path` (.json or .npz), whole or not at all. The samples are not part of the file."""
        files.write(path, self.state())

    @classmethod
    def load(cls, path: str | Path) -> Sensitivity:
        """The result that `save` wrote; questions that need the samples raise RuntimeError."""
        state = files.read(path)
        state["jumps"] = tuple(Jump(**j) for j in state["jumps"])
        if state["invalid"] is not None:
            state["invalid"] = Invalid(**state["invalid"])
        return cls(**state)

    def __getstate__(self) -> dict[str, Any]:
        # the samples are made by kernels that belong to this process
        return {**self.__dict__, "_rows": None}

    # ------------------------------------------------------------------ for people

    @property
    def message(self) -> str:
        """What to know before using the numbers: jumps, samples that are not finite, an early stop; or ""."""
        lines = [j.message for j in self.jumps]
        if self.invalid is not None:
            lines.append(str(self.invalid))
        if self.partial:
            lines.append(f"stopped early: {self.samples:,} samples were done")
        return "\n".join(lines)

    def __repr__(self) -> str:
        mean, error = self.flat(self.mean), self.flat(self.stderr)
        if self.leading:
            what = f"{'x'.join(map(str, self.leading))} cells of {mean.shape[-1]} entries"
        else:
            shown = [f"{x}={m:.6g}±{s:.2g}" for x, m, s in zip(self.labels, mean, error, strict=True)]
            what = ", ".join(shown[:4]) + (f", ... {len(shown) - 4} more" if len(shown) > 4 else "")
        notes = [f"{len(self.jumps)} jumps missed"] if self.jumps else []
        notes += [f"{self.invalid.count:,} invalid"] if self.invalid else []
        notes += ["partial"] if self.partial else []
        tail = f"; {', '.join(notes)}" if notes else ""
        return f"Sensitivity({what}; samples={self.samples:,}, seed={self.seed}, {self.seconds:.3g} s{tail})"

    def _repr_html_(self) -> str:
        return table_of(repr(self), self.message, self.records(), self.confidence)
