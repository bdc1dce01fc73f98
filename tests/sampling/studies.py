"""A `Sensitivity` made with NumPy from a function, its gradient and its input's law: no engine needed."""

import numpy as np

from pullback.sampling.distributions import Uniform
from pullback.sampling.result import Sensitivity

ISHIGAMI = Uniform(-np.pi, np.pi).expand(3)
ISHIGAMI_NU = np.array([0.5 + 0.1 * np.pi**4 / 5 + 0.01 * np.pi**8 / 18, 24.5, 0.16 * np.pi**6 / 14])
ISHIGAMI_VARIANCE = 0.5 + 49 / 8 + 0.1 * np.pi**4 / 5 + 0.01 * np.pi**8 / 18


def ishigami(x):
    return np.sin(x[:, 0]) + 7 * np.sin(x[:, 1]) ** 2 + 0.1 * x[:, 2] ** 4 * np.sin(x[:, 0])


def ishigami_gradient(x):
    a, b, c = x.T
    return np.stack([np.cos(a) * (1 + 0.1 * c**4), 7 * np.sin(2 * b), 0.4 * c**3 * np.sin(a)], 1)


def result_of(values, gradients, inputs, laws, shapes, names=None, chunk=700, **more):
    """values (cells, n), gradients (cells, n, m), inputs (cells, n, m); leading axes come from `more`."""
    n = gradients.shape[1]
    each = tuple(len(e) for e in more.get("each", ()))
    leading = (*each, len(more["upstream"])) if more.get("stacked") else each

    def rows(cell):
        for i in range(0, n, chunk):
            yield values[cell, i : i + chunk], gradients[cell, i : i + chunk], inputs[cell, i : i + chunk]

    def shaped(a):
        ends = np.cumsum([int(np.prod(s)) for s in shapes])[:-1]
        parts = tuple(
            p.reshape((*leading, *s)) for p, s in zip(np.split(a, ends, axis=1), shapes, strict=True)
        )
        return parts if len(parts) > 1 else parts[0]

    return Sensitivity(
        mean=shaped(gradients.mean(1)),
        stderr=shaped(gradients.std(1, ddof=1) / np.sqrt(n)),
        abs_mean=shaped(np.abs(gradients).mean(1)),
        second_moment=shaped((gradients**2).mean(1)),
        active=shaped((gradients != 0).mean(1)),
        value_mean=values.mean(1).reshape(leading),
        value_stderr=(values.std(1, ddof=1) / np.sqrt(n)).reshape(leading),
        samples=n,
        seed=0,
        seconds=0.25,
        names=names or tuple("xyzw"[: len(laws)]),
        wrt=tuple(range(len(laws))),
        _rows=rows,
        _distributions=tuple(laws),
        **more,
    )


def study(f, gradient, law, n, seed, **more):
    """One cell, one argument: f (n, d) -> (n,), gradient (n, d) -> (n, d)."""
    u = np.random.default_rng(seed).random((n, *law.slot_shape))
    x = law.ppf(u).reshape(n, -1)
    return result_of(f(x)[None], gradient(x)[None], x[None], [law], [tuple(law.shape)], **more)
