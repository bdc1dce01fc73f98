"""Which inputs matter? Brackets of total Sobol' indices, and active directions, from averaged gradients.

Ishigami's function sin x1 + 7 sin^2 x2 + x3^4 / 10 sin x1 with x uniform on (-pi, pi)^3 has closed forms for
all that is estimated here: nu_i = E[(df/dx_i)^2], the variance, and the total indices. Its derivatives are so
large that the upper bounds exceed 1, and say nothing.

The flow of water through a borehole (eight uniform inputs, scaled to [-1, 1]) is what the brackets are made
for: they are narrow, order the inputs, and hold the total indices, which a pick-freeze design without
derivatives computes from nine times as many evaluations. One direction in the eight dimensions carries most
of its variation.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from reporting import Report, start

import pullback as pb

# radius of the borehole, of its influence, transmissivities and heads (upper, lower), length, conductivity
NAMES = ("$r_w$", "$r$", "$T_u$", "$H_u$", "$T_l$", "$H_l$", "$L$", "$K_w$")
LOW = (0.05, 100.0, 63070.0, 990.0, 63.1, 700.0, 1120.0, 9855.0)
HIGH = (0.15, 50000.0, 115600.0, 1110.0, 116.0, 820.0, 1680.0, 12045.0)
MIDDLE = [(low + high) / 2 for low, high in zip(LOW, HIGH, strict=True)]
HALF = [(high - low) / 2 for low, high in zip(LOW, HIGH, strict=True)]
# a dozen estimates are compared with closed forms: P(any beyond 4.5 standard errors) is below 1e-4
SIGMAS = 4.5


def ishigami(x: Any) -> Any:
    """Return Ishigami's function of x, shape (3,)."""
    return pb.sin(x[0]) + 7 * pb.sin(x[1]) ** 2 + 0.1 * x[2] ** 4 * pb.sin(x[0])


def borehole(x: Any) -> Any:
    """Return the flow in m^3 a year for x in [-1, 1]^8; of a tensor of shape (8,) or an array (8, n)."""
    log = np.log if isinstance(x, np.ndarray) else pb.log
    rw, r, Tu, Hu, Tl, Hl, L, Kw = (m + h * x[i] for i, (m, h) in enumerate(zip(MIDDLE, HALF, strict=True)))
    ratio = log(r / rw)
    return 2 * math.pi * Tu * (Hu - Hl) / (ratio * (1 + 2 * L * Tu / (ratio * rw**2 * Kw) + Tu / Tl))


def ishigami_truth() -> dict[str, np.ndarray]:
    """Return nu and the total indices in closed form (Sobol' and Kucherenko 2009), with b = 1/10."""
    b, p4, p6, p8 = 0.1, math.pi**4, math.pi**6, math.pi**8
    nu = np.array([0.5 * (1 + 2 * b * p4 / 5 + b * b * p8 / 9), 49 / 2, 8 * b * b * p6 / 7])
    v1, v2, v13 = 0.5 * (1 + b * p4 / 5) ** 2, 49 / 8, b * b * p8 * (1 / 18 - 1 / 50)
    return {"nu": nu, "total": np.array([v1 + v13, v2, v13]) / (v1 + v2 + v13)}


def pick_freeze(samples: int, seed: int) -> np.ndarray:
    """Return the borehole's total indices by Jansen's estimator, without derivatives."""
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(-1, 1, (2, 8, samples))
    base = borehole(a)
    totals = []
    for i in range(8):
        mixed = a.copy()
        mixed[i] = b[i]
        totals.append(np.mean((base - borehole(mixed)) ** 2) / 2)
    return np.array(totals) / base.var()


def check(name: str, bounds: Any, total: np.ndarray) -> None:
    """Print the brackets beside the total indices; the interval ends must hold them."""
    print(f"\n{name}: lower bound <= total index <= upper bound")
    rows = zip(bounds.labels, bounds.lower_bound, total, bounds.upper_bound, strict=True)
    for label, low, index, high in rows:
        print(f"  {label:<6} {low:7.4f} <= {index:7.4f} <= {high:7.4f}")
    slack = 0.01  # the pick-freeze indices and the ends are estimates, too
    assert np.all(bounds.lower_interval.low <= total + slack)
    assert np.all(total - slack <= bounds.upper_interval.high)


def draw(report: Report, bounds: Any, total: np.ndarray, directions: Any) -> None:
    """Draw the borehole's brackets and its eigenvalues."""
    plt = report.pyplot()
    if plt is None:
        return
    figure, (left, right) = plt.subplots(1, 2, figsize=(11.0, 4.4))
    pb.plot.dgsm(bounds, total=total, ax=left)
    left.set_yticks(range(8), NAMES)
    left.set_title("The bracket holds the total index")
    pb.plot.active_subspace(directions, ax=right)
    right.set_title("One direction carries most of the variation")
    report.save(figure)


def main() -> None:
    """Estimate, compare with closed forms, draw."""
    report, options = start("08_global_sensitivity", __doc__, samples=100_000, seed=0)
    study: dict[str, Any] = {"samples": options.samples, "seed": options.seed, "dtype": pb.float64}
    truth = ishigami_truth()
    result = pb.sensitivity(ishigami, pb.distributions.Uniform(-math.pi, math.pi).expand(3), **study)
    bounds = result.dgsm()
    print("Ishigami: nu_i = E[(df/dx_i)^2] with its 95 % interval, and in closed form")
    for i, label in enumerate(bounds.labels):
        low, high = bounds.nu_interval.low[i], bounds.nu_interval.high[i]
        print(f"  {label:<6} {bounds.nu[i]:8.4f}  ({low:.4f} .. {high:.4f})  {truth['nu'][i]:8.4f}")
        stderr = (high - low) / 2 / 1.96
        assert abs(bounds.nu[i] - truth["nu"][i]) < SIGMAS * stderr
    assert np.all(bounds.upper_bound > 1.0), "these bounds say nothing"
    check("Ishigami", bounds, truth["total"])

    result = pb.sensitivity(borehole, pb.distributions.Uniform(-1.0, 1.0).expand(8), **study)
    bounds, directions = result.dgsm(), result.active_subspace()
    total = pick_freeze(options.samples, options.seed)
    check("Borehole", bounds, total)
    values = directions.eigenvalues
    print(f"\nBorehole: share of the first eigenvalue {values[0] / values.sum():.4f}")
    assert values[0] > 0.8 * values.sum()

    report.record(
        samples=options.samples,
        ishigami={"nu": truth["nu"], "total": truth["total"]},
        borehole={
            "lower": bounds.lower_bound,
            "upper": bounds.upper_bound,
            "total": total,
            "eigenvalues": values,
        },
    )
    draw(report, bounds, total, directions)
    report.finish()


if __name__ == "__main__":
    main()
