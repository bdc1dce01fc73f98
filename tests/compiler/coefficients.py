"""Makes the polynomial coefficients of `pullback.compiler.functions`: minimax fits in mpmath.

Run as a program (`python tests/compiler/coefficients.py [name ...]`) it prints the tables; a test compares
some of them with the source. Each fit says which function it approximates, on which interval, and what the
error is weighted by.
"""

from __future__ import annotations

import sys
from pathlib import Path

import mpmath as mp

mp.mp.dps = 50
TINY = mp.mpf("1e-9")  # weights are never 0


def remez(f, low, high, degree, weight, rounds=12, grid=1500):
    """Coefficients p with max |weight(x) (f(x) - p(x))| smallest on [low, high], and that error."""
    low, high = mp.mpf(low), mp.mpf(high)
    points = [low + (high - low) * (1 - mp.cos(mp.pi * i / grid)) / 2 for i in range(grid + 1)]
    values = [f(x) for x in points]
    weights = [mp.mpf(weight(x)) for x in points]
    n = degree + 2
    index = [round(grid * i / (n - 1)) for i in range(n)]
    best = None
    for _ in range(rounds):
        a = mp.matrix(n, n)
        b = mp.matrix(n, 1)
        for row, i in enumerate(index):
            for k in range(degree + 1):
                a[row, k] = points[i] ** k
            a[row, degree + 1] = (-1) ** row / weights[i]
            b[row] = values[i]
        solved = mp.lu_solve(a, b)
        p = [solved[k] for k in range(degree + 1)]
        error = [w * (v - mp.polyval(p[::-1], x)) for x, v, w in zip(points, values, weights, strict=True)]
        worst = max(abs(e) for e in error)
        if best is None or worst < best[1]:
            best = (p, worst)
        # the largest error of each run of one sign
        runs, start = [], 0
        for i in range(1, grid + 2):
            if i == grid + 1 or mp.sign(error[i]) != mp.sign(error[start]):
                runs.append(max(range(start, i), key=lambda j: abs(error[j])))
                start = i
        if len(runs) < n:
            break
        while len(runs) > n:
            runs.pop(0 if abs(error[runs[0]]) < abs(error[runs[-1]]) else -1)
        if runs == index:
            break
        index = runs
    return best


def series(f, small):
    """f, where it would divide 0 by 0 its value nearby."""
    return lambda x: f(x) if abs(x) > small else f(mp.mpf(small))


def root(f):
    """f as a function of the square of its argument."""
    return lambda z: f(mp.sqrt(z)) if z > 0 else f(mp.mpf("1e-7"))


half = mp.log(2) / 2
quarter = mp.pi / 4
s2 = mp.sqrt(2)


def small_erf(z):
    """erf(x) / x where z = x^2."""
    return mp.erf(mp.sqrt(z)) / mp.sqrt(z) if z > 0 else 2 / mp.sqrt(mp.pi)


def erfc_place(x):
    return (mp.mpf(x) - 2) / (mp.mpf(x) + 2)


def erfcx(q):
    """exp(x^2) erfc(x) (1 + 2 x) at the x of this q."""
    x = 2 * (1 + q) / (1 - q)
    return mp.exp(x * x) * mp.erfc(x) * (1 + 2 * x)


def inverse(w):
    """erfinv(x) / x where w = -log(1 - x^2)."""
    if w < mp.mpf("1e-20"):
        return mp.sqrt(mp.pi) / 2
    x = mp.sqrt(-mp.expm1(-w))
    rest = mp.exp(-w) / (1 + x)  # 1 - x
    y = mp.sqrt(w) * mp.mpf("0.9") if w > 1 else x
    for _ in range(60):  # Newton's steps on log erfc, which is nearly a parabola
        if w > 1:
            step = mp.erfc(y) * mp.log(mp.erfc(y) / rest) / (2 / mp.sqrt(mp.pi) * mp.exp(-y * y))
        else:
            step = (x - mp.erf(y)) / (2 / mp.sqrt(mp.pi) * mp.exp(-y * y))
        y += step
        if abs(step) < mp.mpf(10) ** -44:
            break
    return y / x


# name: (function, low, high, degree, weight), the weight such that errors are relative to the result
FITS = {
    # exp(r) = 1 + r + r^2 P(r)
    "EXP4": (series(lambda r: (mp.expm1(r) - r) / r**2, 1e-12), -half, half, 4, lambda r: r * r + TINY),
    "EXP8": (series(lambda r: (mp.expm1(r) - r) / r**2, 1e-12), -half, half, 10, lambda r: r * r + TINY),
    # log(1 + f) = f - f^2/2 + f^3 Q(f)
    "LOG4": (
        series(lambda f: (mp.log1p(f) - f + f * f / 2) / f**3, 1e-10), 1 / s2 - 1, s2 - 1, 8,
        lambda f: abs(f**3 / mp.log1p(f)) + TINY if f else TINY,
    ),
    # the same where 1 part in 2^23 is enough: the radius of a float32 normal
    "RADIUS4": (
        series(lambda f: (mp.log1p(f) - f + f * f / 2) / f**3, 1e-10), 1 / s2 - 1, s2 - 1, 6,
        lambda f: abs(f**3 / mp.log1p(f)) + TINY if f else TINY,
    ),
    # log(1 + f) = 2 s + s z R(z), s = f / (2 + f), z = s^2
    "LOG8": (
        root(lambda s: (2 * mp.atanh(s) - 2 * s) / s**3), 0,
        (s2 - 1) ** 2 / (s2 + 1) ** 2, 6, lambda z: z + TINY
    ),
    # log(1 + f) = 2 s + s z (2/3 + z P(z)), to more digits than a float64 has
    "POW8": (
        root(lambda s: ((2 * mp.atanh(s) - 2 * s) / s**3 - mp.mpf(2) / 3) / s**2), 0,
        (s2 - 1) ** 2 / (s2 + 1) ** 2, 7, lambda z: z * z + TINY,
    ),
    # sin(r) = r + r z S(z), cos(r) = 1 - z/2 + z^2 C(z), z = r^2
    "SIN4": (root(lambda r: (mp.sin(r) - r) / r**3), 0, quarter**2, 2, lambda z: z + TINY),
    "COS4": (root(lambda r: (mp.cos(r) - 1 + r * r / 2) / r**4), 0, quarter**2, 2, lambda z: z * z + TINY),
    "SIN8": (root(lambda r: (mp.sin(r) - r) / r**3), 0, quarter**2, 5, lambda z: z + TINY),
    "COS8": (root(lambda r: (mp.cos(r) - 1 + r * r / 2) / r**4), 0, quarter**2, 5, lambda z: z * z + TINY),
    # tanh(x) = x + x z T(z), z = x^2, |x| <= 0.625
    "TANH4": (root(lambda x: (mp.tanh(x) / x - 1) / x**2), 0, 0.625**2, 5, lambda z: z + TINY),
    "TANH8": (root(lambda x: (mp.tanh(x) / x - 1) / x**2), 0, 0.625**2, 12, lambda z: z + TINY),
    # asin(x) = x + x z A(z), z = x^2, |x| <= 1/2
    "ASIN4": (root(lambda x: (mp.asin(x) / x - 1) / x**2), 0, 0.25, 5, lambda z: z + TINY),
    "ASIN8": (root(lambda x: (mp.asin(x) / x - 1) / x**2), 0, 0.25, 12, lambda z: z + TINY),
    # atan(t) = t + t z A(z), z = t^2, |t| <= tan(pi/8)
    "ATAN4": (root(lambda x: (mp.atan(x) / x - 1) / x**2), 0, (s2 - 1) ** 2, 4, lambda z: z + TINY),
    "ATAN8": (root(lambda x: (mp.atan(x) / x - 1) / x**2), 0, (s2 - 1) ** 2, 11, lambda z: z + TINY),
    # erf(x) = x E(x^2), |x| <= 1; for float32 a result in float64 that is good to 2^-32
    "ERF4": (small_erf, 0, 1, 6, lambda z: 1),
    "ERF8": (small_erf, 0, 1, 11, lambda z: 1),
    # erfc(x) = exp(-x^2) C(q) / (1 + 2 x), q = (x - 2) / (x + 2), 0 <= x <= 28
    "ERFC4": (erfcx, erfc_place(0), erfc_place(28), 13, lambda q: 1),
    "ERFC8": (erfcx, erfc_place(0), erfc_place(28), 27, lambda q: 1),
    # erfinv(x) / x for w = -log(1 - x^2): of w - 3 up to 6, of sqrt(w) - 3.25 up to 16, of sqrt(w) - 5 beyond
    "ERFINV4A": (lambda u: inverse(u + 3), -3, 3, 12, lambda u: 1),
    "ERFINV4B": (lambda u: inverse((u + 3.25) ** 2), mp.sqrt(6) - 3.25, 0.75, 10, lambda u: 1),
    "ERFINV8A": (lambda u: inverse(u + 3), -3, 3, 24, lambda u: 1),
    "ERFINV8B": (lambda u: inverse((u + 3.25) ** 2), mp.sqrt(6) - 3.25, 0.75, 21, lambda u: 1),
    "ERFINV8C": (lambda u: inverse((u + 5) ** 2), -1, mp.sqrt(37) - 5, 20, lambda u: 1),
}  # fmt: skip


def table(name):
    f, low, high, degree, weight = FITS[name]
    return remez(f, low, high, degree, weight)


HEADER = '"""Coefficients, lowest power first: made by tests/compiler/coefficients.py.\n\n\
What each table approximates stands there, and where it is used. Imports nothing.\n"""\n'
TARGET = Path(__file__).resolve().parents[2] / "src/pullback/compiler/functions/tables.py"


def main(arguments):
    """Print the named tables; with --write make all of them and write the module."""
    lines = [HEADER]
    for name in [a for a in arguments if not a.startswith("-")] or FITS:
        p, worst = table(name)
        bits = int(mp.floor(-mp.log(worst, 2)))
        lines.append(f"# error 2**-{bits}\n{name} = (")
        lines += [f"    {float(c)!r}," for c in p]
        lines.append(")")
    text = "\n".join(lines) + "\n"
    if "--write" in arguments:
        TARGET.write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main(sys.argv[1:])
