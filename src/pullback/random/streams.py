"""PyTorch's CPU generator on NumPy arrays: `Generator`, the default generator, and every draw, bit for bit.

Holds `Generator` (torch.Generator's methods and one method per distribution, all returning fresh ndarrays)
and the functions `manual_seed`, `seed`, `initial_seed`, `get_rng_state`, `set_rng_state` on
`default_generator`. Read `numbers` (rand, randn) first. May import this room, `dtypes` and `errors`;
tensors are made elsewhere.

The streams are those of torch 2.13 on x86 processors with AVX2 or newer; without AVX2 PyTorch itself rounds
the last bits of float32 randn differently. A generator is not locked: two threads that draw from one at the
same time may get the same numbers, so give each its own.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from pullback.dtypes import from_numpy_dtype
from pullback.errors import message
from pullback.random import cephes, ranges
from pullback.random.numbers import F16, F32, F64, Numbers, floating, size_of
from pullback.random.words import checked_seed, entropy

_LONG = np.dtype(np.int64)


def _reject(first: str, todo: str) -> RuntimeError:
    return RuntimeError(message(first, "nothing was drawn", todo))


class Generator(Numbers):
    """A stream of random numbers that PyTorch users can predict: same seed, same draws, same numbers.

    `device` may be 'cpu' only. A new generator has the seed 67280421310721, as in PyTorch.

    >>> g = Generator().manual_seed(0)
    >>> g.rand((3,)).round(4).tolist() == np.float32([0.4963, 0.7682, 0.0885]).tolist()
    True
    >>> g.manual_seed(0).randint(0, 10, (8,)).tolist()
    [4, 9, 3, 0, 3, 9, 7, 3]
    """

    __slots__ = ("device",)

    def __init__(self, device: Any = "cpu") -> None:
        kind = str(device).split(":")[0]
        if kind != "cpu":
            raise RuntimeError(
                message(
                    f"Cannot get {kind.upper()} generator without ATen_{kind} library.",
                    f"device={device!r}, and only CPU streams exist here",
                    "Generator(), or Generator('cpu')",
                )
            )
        super().__init__()
        self.device = "cpu"

    # ---- seeds and states ------------------------------------------------------------------------

    def manual_seed(self, seed: int) -> Self:
        """Start the stream of `seed` (-2**63 .. 2**64 - 1, negative ones count from 2**64) and return self.

        RuntimeError for anything but a Python int, ValueError outside the range.
        """
        return self.reseed(checked_seed(seed))

    def seed(self) -> int:
        """Start the stream of a seed from the operating system; return the seed."""
        self.reseed(entropy())
        return self._seed

    def initial_seed(self) -> int:
        """The seed of the stream, 0 .. 2**64 - 1.

        >>> Generator().manual_seed(-1).initial_seed()
        18446744073709551615
        """
        return self._seed

    def get_state(self) -> Any:
        """The position in the stream and the cached normal: uint8 of shape (5056,) in PyTorch's layout."""
        self._leave()
        return self._state_bytes(self._cache)

    def set_state(self, new_state: Any) -> None:
        """Go to a position that `get_state`, here or in PyTorch, returned.

        TypeError unless it is a uint8 array, RuntimeError unless it is a state.
        """
        self._cache = self._load_bytes(new_state)

    def clone_state(self) -> Generator:
        """A new generator at the same position."""
        twin = Generator()
        twin.set_state(self.get_state())
        return twin

    # ---- continuous ------------------------------------------------------------------------------

    def uniform(self, shape: Sequence[int], low: float = 0.0, high: float = 1.0, dtype: Any = F32) -> Any:
        """Uniform numbers in [low, high): u*(high - low) + low in one rounding, like Tensor.uniform_."""
        d = floating(dtype, "check_uniform_bounds")
        ranges.check_uniform(low, high, d)
        u = self._unit64(size_of(shape)) if d == F64 else self._unit32(size_of(shape))
        if d == F64:
            out = cephes.fma64(u, high - low, low)
        else:
            first, last = F32.type(low), F32.type(high)
            out = (u.astype(F64) * F64.type(last - first) + F64.type(first)).astype(F32).astype(d)
        out[out >= d.type(high)] = d.type(low)  # what rounds to the open end starts over at the closed one
        return out.reshape(shape)

    def normal(
        self,
        shape: Sequence[int],
        mean: float = 0.0,
        std: float = 1.0,
        dtype: Any = F32,
        *,
        contiguous: bool = True,
    ) -> Any:
        """Normal numbers z*std + mean in one rounding, like torch.normal and Tensor.normal_.

        `contiguous=False` is the rule for filling a tensor that is not contiguous (pairs, whatever the size).
        RuntimeError for std < 0.
        """
        if not std >= 0.0:
            raise _reject(
                f"normal expects std >= 0.0, but found std {std:g}", "pass a standard deviation, std >= 0"
            )
        n = size_of(shape)
        if n == 0:
            return np.empty(shape, dtype)
        d = floating(dtype, "normal_kernel_cpu")
        return self._normal(n, float(mean), float(std), d, contiguous=contiguous).reshape(shape)

    def log_normal(self, shape: Sequence[int], mean: float = 1.0, std: float = 2.0, dtype: Any = F32) -> Any:
        """exp of normals (drawn by pairs), like Tensor.log_normal_. RuntimeError for std <= 0."""
        if not std > 0.0:
            raise _reject(f"log_normal_ expects std > 0.0, but found std={std:g}", "pass std > 0")
        n = size_of(shape)
        if n == 0:
            return np.empty(shape, dtype)
        d = floating(dtype, "log_normal_cpu")
        z = cephes.fma64(self._paired(n), float(std), float(mean))
        with np.errstate(over="ignore"):
            return cephes.round_to(cephes.exp(z), d).reshape(shape)

    def exponential(self, shape: Sequence[int], lam: float = 1.0, dtype: Any = F32) -> Any:
        """-log(1 - u)/lam, like Tensor.exponential_. RuntimeError for lam <= 0 or integer dtypes."""
        if not lam > 0.0:
            raise _reject(
                f"exponential_ expects lambda > 0.0, but found lambda={lam:g}", "pass a rate, lam > 0"
            )
        d, n = self._continuous(dtype, "Exponential", from_numpy_dtype(np.dtype(dtype)).word), size_of(shape)
        with np.errstate(over="ignore"):
            return cephes.round_to(-cephes.log1p(-self._unit64(n)) * (1.0 / lam), d).reshape(shape)

    def cauchy(self, shape: Sequence[int], median: float = 0.0, sigma: float = 1.0, dtype: Any = F32) -> Any:
        """median + sigma*tan(pi*(u - 1/2)), like Tensor.cauchy_. RuntimeError for sigma <= 0."""
        if not sigma > 0.0:
            raise _reject(
                f"cauchy_ expects sigma > 0.0, but found sigma={sigma:g}", "pass a scale, sigma > 0"
            )
        d, n = self._continuous(dtype, "Cauchy", ranges.cpp_name(np.dtype(dtype))), size_of(shape)
        t = cephes.tan(math.pi * (self._unit64(n) - 0.5))
        with np.errstate(over="ignore"):
            return cephes.round_to(cephes.fma64(t, float(sigma), float(median)), d).reshape(shape)

    @staticmethod
    def _continuous(dtype: Any, name: str, word: str) -> np.dtype[Any]:
        d = np.dtype(dtype)
        if d not in (F16, F32, F64):
            first = f"{name} distribution is a continuous probability distribution."
            raise _reject(
                f"{first} dtype must be a floating point but you specified {word}", "draw floats and convert"
            )
        return d

    # ---- discrete --------------------------------------------------------------------------------

    def randint(self, low: int, high: int, shape: Sequence[int], dtype: Any = _LONG) -> Any:
        """Integers in [low, high), any dtype, like torch.randint. RuntimeError unless low < high fit."""
        return self.random(shape, dtype, low, high)

    def random(
        self, shape: Sequence[int], dtype: Any = F32, low: int | None = None, high: int | None = None
    ) -> Any:
        """Integers as Tensor.random_ draws them.

        Without bounds: 0 .. the largest value (integers) or 0 .. 2**digits (floats). With `low` alone: from
        there to that same end. With `high` alone: from 0 to high - 1.
        """
        d, n = np.dtype(dtype), size_of(shape)
        if low is None and high is None:
            return self._below(n, ranges.last(d) + 1, wide=d.itemsize == 8).astype(d).reshape(shape)
        first = 0 if low is None else ranges.as_long(low)
        if high is None:
            end = ranges.last(d) + 1
        else:
            first, end, notes = ranges.checked(first, ranges.as_long(high), d)
            for note in notes:
                warnings.warn(note, UserWarning, stacklevel=2)
        count = end - first
        raw = self._below(n, count, wide=count >= 1 << 28).astype(np.uint64)
        if count < 1 << 64:  # the whole of int64 needs no shift
            raw += np.uint64(first % (1 << 64))  # modulo 2**64, right for every `first` that int64 holds
        return raw.view(np.int64).astype(d).reshape(shape)

    def _below(self, n: int, count: int, *, wide: bool) -> Any:
        """n integers in 0 .. count - 1 by the remainder of one word, or of two (`wide`)."""
        raw = cephes.integers64(self.take(2 * n)) if wide else self.take(n)
        return raw if count == 1 << 64 else raw % raw.dtype.type(count)

    def randperm(self, n: int, dtype: Any = _LONG) -> Any:
        """A permutation of 0 .. n - 1, like torch.randperm. RuntimeError if n < 0 or too large for the dtype.

        >>> Generator().manual_seed(0).randperm(10).tolist()
        [4, 1, 7, 5, 3, 9, 0, 8, 6, 2]
        """
        d = np.dtype(dtype)
        size_of((n,))
        ranges.check_permutation(n, d)
        r = list(range(n))
        if n > 1:
            jumps = self.take(n - 1) % np.arange(n, 1, -1, dtype=np.uint32)
            targets = jumps.astype(np.int64) + np.arange(n - 1)
            for i, j in enumerate(targets.tolist()):
                r[i], r[j] = r[j], r[i]
        return np.array(r, d)

    def bernoulli(self, p: Any) -> Any:
        """1 with probability p[i], else 0: the array's shape and dtype, like torch.bernoulli(p).

        RuntimeError for a probability outside [0, 1], NotImplementedError for probabilities that are not
        floats.
        """
        p = np.asarray(p)
        d = floating(p.dtype, "bernoulli_tensor_cpu_p_")
        outside = ~((p >= 0) & (p <= 1))
        if outside.any():
            raise RuntimeError(
                message(
                    "Expected p_in >= 0 && p_in <= 1 to be true, but got false.  (Could this error message "
                    "be improved?  If so, please report an enhancement request to PyTorch.)",
                    f"the first such probability is {p[outside][0]}",
                    "clamp the probabilities to [0, 1]",
                )
            )
        u = self._unit64(p.size) if d == F64 else self._unit32(p.size)
        return (u.reshape(p.shape) < p.astype(u.dtype)).astype(d)

    def bernoulli_scalar(self, p: float, shape: Sequence[int], dtype: Any = F32) -> Any:
        """1 with probability p, else 0, any dtype, as Tensor.bernoulli_(p), bernoulli(x, p), dropout."""
        if not 0.0 <= p <= 1.0:
            raise _reject(f"bernoulli_ expects p to be in [0, 1], but got p={p:g}", "pass a probability")
        return (self._unit64(size_of(shape)) < p).astype(dtype).reshape(shape)

    def geometric(self, shape: Sequence[int], p: float, dtype: Any = F32) -> Any:
        """Trials up to the first success, ceil(log(u)/log(1 - p)), like Tensor.geometric_."""
        if not 0.0 < p < 1.0:
            raise _reject(f"geometric_ expects p to be in (0, 1), but got p={p:g}", "pass 0 < p < 1")
        d = np.dtype(dtype)
        if d.kind in "bc":
            floating(d, "geometric_cpu")
        trials = np.ceil(cephes.log(self._unit64(size_of(shape))) / math.log1p(-p))
        if d.kind in "iu":
            return trials.astype(np.int64).astype(d).reshape(shape)
        return cephes.round_to(trials, d).reshape(shape)

    def multinomial(self, p: Any, num_samples: int, replacement: bool = False) -> Any:
        """Indices drawn with weights p, shape (k,) or (rows, k): int64 of shape (n,) or (rows, n).

        With replacement by the inverse of the cumulative weights, without it by sorting p/exponential, like
        torch.multinomial. RuntimeError for weights that are negative, not finite, or sum to 0.
        """
        p = np.asarray(p)
        ranges.check_weights(p, num_samples, replacement=replacement)
        rows = p.reshape(-1, p.shape[-1])
        if replacement and num_samples > 1:
            out = self._inverse_cdf(rows, num_samples)
        else:
            ranges.check_sums(rows, scanned=False)
            with np.errstate(divide="ignore", invalid="ignore"):
                race = rows / self.exponential(rows.shape, 1.0, p.dtype)
            out = np.argsort(-race, axis=1, kind="stable")[:, :num_samples]
        return out.reshape((*p.shape[:-1], num_samples))

    def _inverse_cdf(self, rows: Any, samples: int) -> Any:
        ranges.check_sums(rows, scanned=True)
        cdf = np.cumsum(rows, axis=1, dtype=F64 if rows.dtype == F64 else F32)
        cdf /= cdf[:, -1:].copy()
        cdf[:, -1] = 1.0
        u = self._unit64(len(rows) * samples).reshape(-1, samples)
        out = np.empty(u.shape, np.int64)
        for i, row in enumerate(cdf):
            out[i] = np.searchsorted(row.astype(F64), u[i])
        return out


default_generator = Generator()
# PyTorch seeds its default generator from the operating system; only generators that a program makes start at
# the documented seed. The engine itself is seeded at the first draw.
default_generator.reseed(entropy())


def manual_seed(seed: Any) -> Generator:
    """Start the default generator's stream of int(seed); return it. Errors: as `int`; ValueError.

    >>> manual_seed(3).initial_seed()
    3
    """
    return default_generator.manual_seed(int(seed))


def seed() -> int:
    """Start the default generator at a seed from the operating system; return the seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """The default generator's seed."""
    return default_generator.initial_seed()


def get_rng_state() -> Any:
    """The default generator's state, uint8 of shape (5056,)."""
    return default_generator.get_state()


def set_rng_state(new_state: Any) -> None:
    """Put the default generator into a state that `get_rng_state` returned."""
    default_generator.set_state(new_state)
