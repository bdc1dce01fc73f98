"""What the linear-algebra ops share.

Input checks with PyTorch's texts, transposes and triangles that work on arrays and tensors.

Read `matrices` (the check) first, then `guarded`, which turns LAPACK's failures into LinAlgError. May import
`families`, `graph`, `errors`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from pullback.errors import LinAlgError, message
from pullback.families.contraction import conj
from pullback.families.facets import Sample
from pullback.families.structural import structural
from pullback.graph.tensor import Tensor

# ---------------------------------------------------------------------- on arrays and tensors alike


def mT(x: Any) -> Any:  # noqa: N802 - the field's name
    """The transposes of a stack of matrices."""
    return x.swapaxes(-1, -2)


def mH(x: Any) -> Any:  # noqa: N802 - the field's name
    """The conjugate transposes of a stack of matrices."""
    return conj(x.swapaxes(-1, -2))


def row(v: Any) -> Any:
    """Vectors as rows: what scales the columns of a matrix."""
    return v.reshape((*tuple(v.shape)[:-1], 1, v.shape[-1]))


def column(v: Any) -> Any:
    """Vectors as columns: what scales the rows of a matrix."""
    return v.reshape((*tuple(v.shape), 1))


def cells(v: Any) -> Any:
    """Numbers as 1 x 1 matrices: what scales whole matrices."""
    return v.reshape((*tuple(v.shape), 1, 1))


def diagonal(x: Any) -> Any:
    """The main diagonals."""
    return x.diagonal(0, -2, -1)


def real(x: Any) -> Any:
    """The real part of a complex array or tensor; real ones as they are."""
    d = x.value.dtype if isinstance(x, Tensor) else x.dtype
    return x.real if d.kind == "c" else x


def is_complex(x: Any) -> bool:
    """Whether the entries are complex."""
    return (x.value.dtype if isinstance(x, Tensor) else x.dtype).kind == "c"


def add(a: Any, b: Any) -> Any:
    """The sum of two contributions, either of which may be None."""
    return b if a is None else a if b is None else a + b


def same_params(params: dict[str, Any], _ndim: int) -> dict[str, Any]:
    """The parameters for one more leading dimension, where they only speak of the last ones."""
    return params


def _from_diagonal(v: Any) -> Any:
    n = v.shape[-1]
    r = np.zeros((*v.shape, n), v.dtype)
    r[..., np.arange(n), np.arange(n)] = v
    return r


def _triangle(x: Any, *, upper: bool, k: int = 0) -> Any:
    return np.triu(x, k) if upper else np.tril(x, k)


def _pull_triangle(g: Any, _out: Any, _x: Any, *, upper: bool, k: int = 0) -> Any:
    return triangle(g, upper=upper, k=k)


def _pull_diagonal(g: Any, _out: Any, _v: Any) -> Any:
    return diagonal(g)


# zero outside one triangle (k as in numpy.tril): entries there are routed, not multiplied by zero
triangle = structural(
    "triangle",
    _triangle,
    vjp=_pull_triangle,
    lift=same_params,
    samples=[((3, 3), {"upper": True}), ((2, 2, 3), {"upper": False, "k": -1}), ((0, 0), {"upper": True})],
)
# vectors as diagonal matrices
from_diagonal = structural(
    "from_diagonal",
    _from_diagonal,
    vjp=_pull_diagonal,
    lift=same_params,
    samples=[((3,), {}), ((2, 3), {}), ((0,), {})],
)


# ---------------------------------------------------------------------- checks


def tensor_argument(name: str, x: Any, argument: str = "A", position: int = 1) -> None:
    """TypeError for an argument that is no tensor."""
    if not isinstance(x, Tensor):
        first = (
            f"linalg_{name}(): argument '{argument}' (position {position}) must be Tensor, not "
            f"{type(x).__name__}"
        )
        raise TypeError(message(first, "", "wrap the value: torch.tensor(value)"))


def matrices(
    name: str, x: Any, *, argument: str = "A", square: bool = False, loop: str = "", called: str = ""
) -> None:
    """Check a stack of matrices: a tensor, at least two dimensions, floating, square where needed.

    `called` is the function's name where it differs from the one in the texts; `loop` is the name of
    PyTorch's loop where half precision fails in it instead of in a check.
    """
    tensor_argument(called or name, x, argument)
    if x.ndim < 2:
        raise RuntimeError(
            message(
                f"linalg.{name}: The input tensor A must have at least 2 dimensions.",
                f"its shape is {list(x.shape)}",
                "the last two dimensions are the matrix; a vector becomes one with x[:, None]",
            )
        )
    if square:
        need_square(f"linalg.{name}", x)
    need_float(name, x, loop)


def need_square(name: str, x: Any) -> None:
    """RuntimeError unless the last two sizes agree."""
    m, n = tuple(x.shape)[-2:]
    if m != n:
        raise RuntimeError(
            message(
                f"{name}: A must be batches of square matrices, but they are {m} by {n} matrices",
                f"its shape is {list(x.shape)}",
                "the last two dimensions must be equal; see torch.linalg.pinv and lstsq for others",
            )
        )


def need_float(name: str, x: Any, loop: str = "") -> None:
    """RuntimeError for integers, and PyTorch's refusal of half precision."""
    d = x.dtype
    todo = "convert it first: x.float() or x.double()"
    if d.category < 2:
        if loop.startswith("!"):
            raise NotImplementedError(message(f"\"{loop[1:]}\" not implemented for '{d.word}'", "", todo))
        first = f"linalg.{name}: Expected a floating point or complex tensor as input. Got {d.word}"
        raise RuntimeError(message(first, f"its dtype is {d!r}", todo))
    if d.name == "float16":
        if loop:
            raise NotImplementedError(message(f"\"{loop.lstrip('!')}\" not implemented for 'Half'", "", todo))
        raise RuntimeError(message(f"linalg.{name}: Low precision dtypes not supported. Got Half", "", todo))


def failed(first: str, x: Any, todo: str) -> LinAlgError:
    """A LinAlgError with what is known of the matrix."""
    return LinAlgError(message(first, f"the matrix has shape {list(x.shape)} and dtype {x.dtype}", todo))


def which(bad: Any) -> str:
    """`(Batch element 1): ` for the first bad matrix of a stack, nothing for a single matrix."""
    return "" if bad.ndim == 0 else f"(Batch element {int(np.argmax(bad.reshape(-1)))}): "


def guarded(function: Callable[..., Any], error: Callable[..., Exception]) -> Callable[..., Any]:
    """An eval that raises error(*args, **params) where LAPACK gives up."""

    def run(*args: Any, **params: Any) -> Any:
        try:
            return function(*args, **params)
        except np.linalg.LinAlgError:
            raise error(*args, **params) from None

    return run


def each_matrix(function: Callable[[Any], Any], x: Any) -> Any:
    """function of every matrix of a stack, in the stack's shape."""
    lead = x.shape[:-2]
    found = [function(m) for m in x.reshape((math.prod(lead), *x.shape[-2:]))]
    return np.array(found, np.int64).reshape(lead)


def substitute(a: Any, b: Any, *, upper: bool) -> Any:
    """Solve triangular systems row by row, all stacks at once.

    A zero pivot gives the infinities that PyTorch gives.
    """
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    x = np.broadcast_to(b, lead + b.shape[-2:]).copy()
    n = a.shape[-1]
    for i in range(n - 1, -1, -1) if upper else range(n):
        known = slice(i + 1, n) if upper else slice(0, i)
        x[..., i, :] -= np.matmul(a[..., i : i + 1, known], x[..., known, :])[..., 0, :]
        x[..., i, :] /= a[..., i, i, None]
    return x


def unchecked_solve(a: Any, b: Any) -> Any:
    """The solution of a x = b by elimination that divides by zero pivots, for singular matrices."""
    n = a.shape[-1]
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    flat_a = np.broadcast_to(a, lead + a.shape[-2:]).reshape((-1, n, n))
    flat_b = np.broadcast_to(b, lead + b.shape[-2:]).reshape((-1, *b.shape[-2:]))
    factor = scipy_linalg().get_lapack_funcs("getrf", (a,))
    found: list[Any] = []
    for m, rhs in zip(flat_a, flat_b, strict=True):
        packed, pivots, _ = factor(m)
        x = rhs.copy()
        for i, j in enumerate(pivots):
            x[[i, j]] = x[[j, i]]
        x = substitute(np.tril(packed, -1) + np.eye(n, dtype=a.dtype), x, upper=False)
        found.append(substitute(np.triu(packed), x, upper=True))
    return np.array(found).reshape(lead + b.shape[-2:])


def scipy_linalg() -> Any:
    """SciPy's linear algebra, imported where it is first needed."""
    import scipy.linalg

    return scipy.linalg


def zero_pivot(a: Any) -> int:
    """Which diagonal entry of the LU factor is exactly zero, counted from 1.

    0 where none is (LAPACK's info).
    """
    if not a.size:
        return 0
    routine = scipy_linalg().get_lapack_funcs("getrf", (a,))
    return int(routine(a)[2])


def phase_free(turned: Any, what: str) -> None:
    """RuntimeError where a loss depends on the phase of complex vectors, which is arbitrary.

    Im diag(V^H gV) must vanish.
    """
    v = turned.value if isinstance(turned, Tensor) else turned
    if v.dtype.kind != "c" or (isinstance(turned, Tensor) and turned.foreign is not None):
        return
    found = diagonal(v).imag
    if not np.allclose(found, 0, atol=1e-2):
        first, vectors, last = PHASE[what]
        raise RuntimeError(
            message(
                f"{first}: The {vectors} in the complex case are specified up to multiplication by "
                f"e^{{i phi}}. The specified loss "
                f"function depends on this {last}, {'making it' if what == 'svd' else 'so it is'} "
                "ill-defined.",
                "multiplying a vector by a phase would change the loss",
                "use what does not depend on it: absolute values, or products v @ v.mH",
            )
        )


PHASE = {
    "svd": ("svd_backward", "singular vectors", "phase term"),
    "eigh": ("linalg_eigh_backward", "eigenvectors", "quantity"),
    "eig": ("linalg_eig_backward", "eigenvectors", "quantity"),
}

# ---------------------------------------------------------------------- samples


def well(*shape: int, seed: int = 0) -> Any:
    """A well-conditioned square matrix (or stack): the identity plus a bit of noise."""
    rng = np.random.default_rng(seed)
    return np.eye(shape[-1]) * 1.5 + 0.3 * rng.normal(size=shape)


def spd(*shape: int, seed: int = 0) -> Any:
    """A symmetric positive definite matrix (or stack) with distinct eigenvalues."""
    a = well(*shape, seed=seed)
    return a @ a.swapaxes(-1, -2) + np.diag(np.arange(shape[-1]) * 0.7)


def noise(*shape: int, seed: int = 1) -> Any:
    """Standard normal entries."""
    return np.random.default_rng(seed).normal(size=shape)


def sample(*args: Any, note: str = "", **params: Any) -> Sample:
    """A sample of a linear-algebra op."""
    return Sample(tuple(args), params, note=note)
