"""Philox4x32-10 against its published vectors, and the layout of its words over samples."""

from __future__ import annotations

import numpy as np
import pytest

from pullback.compiler import native_draws
from pullback.random import philox

# counter, key, result: the three "philox4x32 10" lines of Random123's kat_vectors
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def numbers(text):
    return [int(w, 16) for w in text.split()]


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN)
def test_published_vectors(counter, key, result):
    c, k = numbers(counter), numbers(key)
    got = philox.words(k[0] | k[1] << 32, c[3], c[2], np.array([c[0] | c[1] << 32], np.uint64))
    assert [int(w[0]) for w in got] == numbers(result)


@pytest.mark.parametrize(("dtype", "group", "lanes"), [("float32", 64, 16), ("float64", 16, 8)])
def test_layout_of_uniforms(dtype, group, lanes):
    got = philox.fill("uniform", dtype, 11, 3, 5, 0, 4 * group)
    for s in (0, 1, lanes - 1, lanes, group - 1, group, 3 * group + lanes + 2):
        g, r = divmod(s, group)
        w, lane = divmod(r, lanes)
        words = [int(x[0]) for x in philox.words(11, 3, 5, np.array([g * lanes + lane], np.uint64))]
        if dtype == "float32":
            assert got[s] == np.float32((words[w] >> 9) + 0.5) / np.float32(2**23)
        else:
            assert got[s] == ((words[2 * w] << 20 | words[2 * w + 1] >> 12) + 0.5) / 2**52


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["uniform", "normal"])
@pytest.mark.parametrize("first", [0, 1, 63, 64, 2**32 * 4 - 5, 2**40 + 17])
def test_any_range_gives_the_same_numbers(kind, dtype, first):
    base = first - first % 64
    whole = philox.fill(kind, dtype, 2**64 - 3, 9, 2, base, 400)
    assert (philox.fill(kind, dtype, 2**64 - 3, 9, 2, first, 200) == whole[first - base :][:200]).all()
    assert whole.dtype == np.dtype(dtype)


def test_chunks_meet(monkeypatch):
    whole = philox.fill("normal", "float32", 1, 0, 0, 37, 5000)
    monkeypatch.setattr(philox, "_CHUNK", 64)
    assert (philox.fill("normal", "float32", 1, 0, 0, 37, 5000) == whole).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normals_by_the_formula(dtype):
    group, lanes = (64, 16) if dtype == "float32" else (16, 8)
    z = philox.fill("normal", dtype, 5, 0, 1, 0, group)
    w = [x.astype(np.uint64) for x in philox.words(5, 0, 1, np.arange(lanes, dtype=np.uint64))]
    if dtype == "float32":
        pairs, bits = [(w[0], w[1]), (w[2], w[3])], 32
    else:
        pairs, bits = [((w[0] << np.uint64(32)) | w[1], (w[2] << np.uint64(32)) | w[3])], 64
    for i, (a, b) in enumerate(pairs):
        radius = np.sqrt(-2 * np.log((a.astype(float) + 0.5) * 2.0**-bits))
        angle = 2 * np.pi * b.astype(float) * 2.0**-bits
        got = z[2 * i * lanes :][: 2 * lanes]
        tolerance = 1e-5 if dtype == "float32" else 1e-13
        assert np.allclose(got[:lanes], radius * np.cos(angle), rtol=0, atol=tolerance)
        assert np.allclose(got[lanes:], radius * np.sin(angle), rtol=0, atol=tolerance)


def test_extreme_words_stay_inside():
    w = np.array([0, 1, 2**31 - 1, 2**31, 2**32 - 1], np.uint32)
    u = philox.radius_single(w)
    assert u[0] == np.float32(2.0**-33)
    assert u[-1] == np.float32(1 - 2.0**-24)
    assert u[2] == u[3] == 0.5
    for maker in (philox._uniform_single, philox._uniform_double):
        for words in (np.zeros(1, np.uint32), np.full(1, 2**32 - 1, np.uint32)):
            (low, *_) = maker(words, words, words, words)
            assert 0 < low[0] < 1
    assert philox._uniform_single(*[np.full(1, 2**32 - 1, np.uint32)] * 4)[0].dtype == np.float32


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_moments_of_normals(dtype):
    # fixed seed; each bound is 5 standard errors: false alarms 6e-7 a line were the seed free
    n = 400_000
    z = philox.fill("normal", dtype, 2026, 0, 0, 0, n).astype(float)
    for power, mean, variance in [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)]:
        assert abs((z**power).mean() - mean) < 5 * np.sqrt(variance / n)
    other = philox.fill("normal", dtype, 2026, 0, 1, 0, n).astype(float)
    assert abs((z * other).mean()) < 5 / np.sqrt(n)
    assert abs((z[1:] * z[:-1]).mean()) < 5 / np.sqrt(n)


def test_wrong_arguments():
    for arguments in [
        ("gamma", "float32", 0, 0, 0, 0, 1),
        ("normal", "float16", 0, 0, 0, 0, 1),
        ("normal", "float32", 0, 0, 0, -1, 1),
        ("normal", "float32", 0, 0, 0, 0, -1),
    ]:
        with pytest.raises(ValueError, match="kind|float32 or|numbered"):
            philox.fill(*arguments)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["uniform", "normal"])
@pytest.mark.parametrize(("first", "count"), [(0, 0), (0, 1), (5, 300), (63, 2), (2**36 + 17, 1000)])
def test_native_draws_are_the_reference(kind, dtype, first, count):
    for seed, stream, slot in [(0, 0, 0), (2**63 + 5, 2**32 - 1, 3), (17, 4, 2**32 - 1)]:
        got = native_draws.fill(kind, dtype, seed, stream, slot, first, count)
        want = philox.fill(kind, dtype, seed, stream, slot, first, count)
        assert got.dtype == want.dtype
        assert got.shape == (count,)
        bound = 0 if kind == "uniform" else native_draws.NORMAL_ULP * np.spacing(np.abs(want))
        assert (np.abs(got - want) <= bound).all()


def test_native_normals_over_a_million():
    for dtype in ("float32", "float64"):
        got, want = (m.fill("normal", dtype, 99, 0, 0, 0, 10**6) for m in (native_draws, philox))
        assert (np.abs(got - want) <= native_draws.NORMAL_ULP * np.spacing(np.abs(want))).all()
