"""`Problem`: everything that decides the numbers of a study, and the values of its arguments for any samples.

Read `Problem`, then `values`. A *cell* is one combination of the `each` values and one upstream vector;
cells are numbered with the upstream vector fastest. Threads, workers and chunks are no part of a problem: it
can be pickled and rebuilt elsewhere, and gives the same numbers there. May import `inputs`, `distributions`,
`compiler`, `graph`.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from pullback.compiler.native_draws import fill
from pullback.errors import message
from pullback.graph.modes import state
from pullback.graph.tensor import Tensor, wrap
from pullback.random.philox import fill as reference
from pullback.sampling.fingerprint import fingerprint
from pullback.sampling.inputs import Each, Fixed, Given, Random
from pullback.sampling.sums import BLOCK

FEW = 1  # samples of which the last digit may differ from that of the same sample among others
PILOT = 0xFFFFFFFF  # the stream of samples that choose constants and are no part of any average


@dataclass(frozen=True)
class Problem:
    """What is averaged over what.

    f             one sample's function of the arguments
    arguments     Random, Given, Each or Fixed
    wrt           which arguments are differentiated
    upstream      (k, *output shape) in float64, or None for scalar f (then k is 1)
    samples       how many samples each cell gets
    dtype         NumPy's dtype of draws, given and each values
    common_draws  all upstream vectors see the same samples
    method        "pathwise", "likelihood_ratio" or "smooth" (then `widths` has one array per wrt argument)
    omit          leave invalid samples out of the sums
    """

    f: Callable[..., Any]
    arguments: tuple[Any, ...]
    wrt: tuple[int, ...]
    upstream: Any
    samples: int
    seed: int
    dtype: Any
    common_draws: bool = True
    method: str = "pathwise"
    widths: tuple[Any, ...] | None = None
    omit: bool = True

    @cached_property
    def signature(self) -> str:
        """A digest of f and of what it is called with, as far as that decides which ops it runs."""
        kinds = [type(a).__name__ for a in self.arguments]
        shapes = [self.shape(i) for i in range(len(self.arguments))]
        fixed = [a.tensor for a in self.arguments if isinstance(a, Fixed)]
        return fingerprint(self.f, kinds, shapes, fixed, self.wrt, str(self.dtype))

    @property
    def sweep(self) -> int:
        """k: the number of upstream vectors."""
        return 1 if self.upstream is None else len(self.upstream)

    @property
    def each_shape(self) -> tuple[int, ...]:
        """One axis per `each` argument."""
        return tuple(len(a.values) for a in self.arguments if isinstance(a, Each))

    @property
    def cells(self) -> int:
        """How many averages are asked for."""
        return math.prod(self.each_shape) * self.sweep

    @property
    def blocks(self) -> int:
        """How many blocks the samples of a cell fill."""
        return -(-self.samples // BLOCK)

    @property
    def slots(self) -> int:
        """How many random numbers one sample of f consumes."""
        return sum(a.distribution.slots for a in self.arguments if isinstance(a, Random))

    def shape(self, i: int) -> tuple[int, ...]:
        """The shape of argument i for one sample."""
        a = self.arguments[i]
        if isinstance(a, Random):
            return tuple(a.shape)
        if isinstance(a, Fixed):
            return tuple(a.tensor.shape)
        return tuple((a.array if isinstance(a, Given) else a.values).shape[1:])

    @property
    def wrt_sizes(self) -> list[int]:
        """The number of entries of each differentiated argument."""
        return [math.prod(self.shape(i)) for i in self.wrt]

    @property
    def entries(self) -> int:
        """m: the number of gradient entries, those of all differentiated arguments one after the other."""
        return sum(self.wrt_sizes)

    def batched(self, i: int) -> bool:
        """Does argument i differ from sample to sample?"""
        return isinstance(self.arguments[i], Random | Given)

    def stream(self, sweep: int) -> int:
        """The stream of random numbers that an upstream vector's samples come from."""
        return 0 if self.common_draws else sweep

    def block_size(self, block: int) -> int:
        """How many samples a block has."""
        return min(BLOCK, self.samples - block * BLOCK)

    def values(self, each: int, stream: int, first: int, count: int) -> list[Tensor]:
        """The arguments of consecutive samples: a leading axis of samples where they differ (`batched`).

        each   number of the combination of `each` values (row-major)
        """
        combination = np.unravel_index(each, self.each_shape) if self.each_shape else ()
        chosen = iter(combination)
        out: list[Tensor] = []
        for a in self.arguments:
            if isinstance(a, Random):
                out.append(self._draw(a, stream, first, count))
            elif isinstance(a, Given):
                out.append(self._rows(a.array, stream, first, count))
            elif isinstance(a, Each):
                out.append(wrap(_converted(a.values[int(next(chosen))], self.dtype)))
            else:
                out.append(a.tensor)
        return out

    def _rows(self, array: Any, stream: int, first: int, count: int) -> Tensor:
        if stream == PILOT:
            return wrap(_converted(array[:count], self.dtype))
        return wrap(_converted(array[first : first + count], self.dtype))

    def _draw(self, a: Random, stream: int, first: int, count: int) -> Tensor:
        d = a.distribution
        if d.transform is None:
            u = self.standard("uniform", np.float64, stream, a.first_slot, d.slots, first, count)
            return wrap(np.asarray(d.ppf(u.reshape(count, *d.slot_shape)), self.dtype))
        z = self.standard(d.base, self.dtype, stream, a.first_slot, d.slots, first, count)
        before = state.grad
        state.update(grad=False)
        try:
            return d.transform(wrap(z.reshape(count, *d.slot_shape)))
        finally:
            state.update(grad=before)

    def standard(
        self, kind: str, dtype: Any, stream: int, slot: int, slots: int, first: int, count: int
    ) -> Any:
        """Standard numbers (count, slots) of consecutive samples, from consecutive slots."""
        if count <= FEW:
            return _few(kind, np.dtype(dtype), self.seed, stream, slot, slots, first, count).copy()
        out = np.empty((count, slots), dtype)
        for j in range(slots):
            out[:, j] = fill(kind, dtype, self.seed, stream, slot + j, first, count)
        return out

    def call(self, args: list[Tensor]) -> Tensor:
        """f of one sample's arguments; TypeError unless it returns a tensor."""
        out = self.f(*args)
        if not isinstance(out, Tensor):
            raise TypeError(
                message(
                    f"sensitivity: f must return a tensor, got {type(out).__name__}",
                    f"f was called with arguments of shapes {[tuple(x.shape) for x in args]}",
                    "return one tensor; join several with torch.stack or torch.cat",
                )
            )
        return out


def remembered(table: OrderedDict[str, Any], key: str, make: Callable[[], Any], most: int = 64) -> Any:
    """What is known under a key, made where it is not; the table keeps its latest entries."""
    if key not in table:
        table[key] = make()
        while len(table) > most:
            table.popitem(last=False)
    return table[key]


@lru_cache(64)
def _few(kind: str, dtype: Any, seed: int, stream: int, slot: int, slots: int, first: int, count: int) -> Any:
    """A few standard numbers, which are asked for again and again and not worth compiling anything."""
    made = [reference(kind, dtype, seed, stream, slot + j, first, count) for j in range(slots)]
    return np.stack(made, axis=1) if made else np.empty((count, 0), dtype)


def _converted(array: Any, dtype: Any) -> Any:
    """Floating-point values in the study's dtype; integers and booleans as they are."""
    a = np.asarray(array)
    return np.asarray(a, dtype, order="C") if a.dtype.kind == "f" else a
