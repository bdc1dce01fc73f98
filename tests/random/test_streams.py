"""The CPU random streams: fixed values that need no PyTorch, then draw by draw against PyTorch itself."""

from __future__ import annotations

import random
import warnings

import numpy as np
import pytest

from pullback.random import cephes, streams
from pullback.random.streams import Generator

F16, F32, F64 = np.float16, np.float32, np.float64
FLOATS = (F16, F32, F64)
INTEGERS = (np.int64, np.int32, np.int16, np.int8, np.uint8)


def seeded(seed=0):
    return Generator().manual_seed(seed)


# ---- known values ----


@pytest.mark.parametrize(
    ("draw", "want"),
    [
        (lambda g: g.rand((3,)), [0.4963, 0.7682, 0.0885]),
        (lambda g: g.rand((3,), F64), [0.9701, 0.7078, 0.4594]),
        (lambda g: g.randn((5,)), [1.5410, -0.2934, -2.1788, 0.5684, -1.0845]),
        (lambda g: g.randn((5,), F64), [1.5410, -0.2934, -2.1788, 0.5684, -1.0845]),
        (lambda g: g.randn((20,))[:4], [-1.1258, -1.1524, -0.2506, -0.4339]),
        (lambda g: g.randn((4, 5)).ravel()[:4], [-1.1258, -1.1524, -0.2506, -0.4339]),
        (lambda g: g.randn((20,), F64)[:4], [-2.3104, -0.3733, -1.0608, 0.9995]),
        (lambda g: g.randint(0, 10, (8,)), [4, 9, 3, 0, 3, 9, 7, 3]),
        (lambda g: g.randint(0, 10, (8,), np.int32), [4, 9, 3, 0, 3, 9, 7, 3]),
        (lambda g: g.randperm(10), [4, 1, 7, 5, 3, 9, 0, 8, 6, 2]),
    ],
)
def test_known_values_of_seed_0(draw, want):
    np.testing.assert_allclose(draw(seeded()).astype(F64), want, atol=5.1e-5, rtol=0)


def test_dtypes_shapes_and_ownership():
    g = seeded()
    for shape in [(), (0,), (3,), (2, 0), (2, 3), (4, 5, 6)]:
        for d in FLOATS:
            for out in (g.rand(shape, d), g.randn(shape, d), g.exponential(shape, 2.0, d)):
                assert out.shape == shape
                assert out.dtype == d
                assert out.flags.writeable
    assert g.rand((2,)).dtype == F32
    assert g.randint(0, 3, (2,)).dtype == np.int64


def test_writing_into_a_draw_does_not_change_later_draws():
    g, h = seeded(5), seeded(5)
    for draw in (
        lambda x: x.randn((6,)),
        lambda x: x.rand((6,)),
        lambda x: x.randn((20,)),
        lambda x: x.rand((3,), F64),
    ):
        for _ in range(40):
            a = draw(g)
            np.testing.assert_array_equal(a, draw(h))
            a[...] = 7.0


def test_one_long_draw_equals_many_short_ones():
    for d in FLOATS:
        g, h = seeded(3), seeded(3)
        np.testing.assert_array_equal(
            g.rand((9000,), d), np.concatenate([h.rand((k,), d) for k in [7] * 1285 + [5]])
        )
    g, h = seeded(3), seeded(3)
    pairs = g.normal((9000,), contiguous=False)
    np.testing.assert_array_equal(pairs, np.concatenate([h.randn((k,)) for k in [6, 3] * 1000]))


def test_cached_normal_survives_other_draws_and_is_forgotten_by_seeding():
    g, h = seeded(2), seeded(2)
    whole = g.randn((4,), F64)
    first = h.randn((3,), F64)
    h.rand((2,))
    h.randint(0, 5, (3,))
    h.randn((16,))
    assert first.tolist() == whole[:3].tolist()
    assert h.randn((1,)).tolist() == whole[3:].astype(F32).tolist()
    h.randn((1,))
    assert h.manual_seed(2).randn((4,), F64).tolist() == whole.tolist()


def test_cached_normal_with_long_runs_in_between():
    g = seeded(4)
    g.randn((1,))
    g.rand((1,))
    state = g.get_state()
    one_by_one = [g.randn((), F64).item() for _ in range(3000)]
    g.set_state(state)
    assert [x for _ in range(500) for x in g.randn((6,), F64).tolist()] == one_by_one


@pytest.mark.parametrize("before", range(0, 1300, 77))
def test_state_round_trip_at_any_position(before):
    g = seeded(11)
    g.rand((before,))
    g.randn((before % 5,))
    state = g.get_state()
    assert state.shape == (5056,)
    assert state.dtype == np.uint8
    want = [g.randn((3,)), g.rand((700,)), g.randn((40,), F64), g.randint(0, 9, (5,))]
    h = Generator()
    h.set_state(state)
    assert h.initial_seed() == 11
    np.testing.assert_array_equal(h.get_state(), state)
    for a, b in zip(
        want, [h.randn((3,)), h.rand((700,)), h.randn((40,), F64), h.randint(0, 9, (5,))], strict=True
    ):
        np.testing.assert_array_equal(a, b)
    twin = h.clone_state()
    np.testing.assert_array_equal(twin.rand((9,)), h.rand((9,)))


def test_seeds():
    assert Generator().initial_seed() == 67280421310721
    assert seeded(-1).initial_seed() == 2**64 - 1
    np.testing.assert_array_equal(seeded(5).rand((3,)), seeded(5 + 2**32).rand((3,)))
    g = Generator()
    assert g.seed() == g.initial_seed()
    assert g.device == "cpu"
    assert Generator("cpu").manual_seed(3).rand((2,)).tolist() == seeded(3).rand((2,)).tolist()


def test_default_generator():
    before = streams.get_rng_state()
    assert streams.manual_seed(3) is streams.default_generator
    assert streams.manual_seed("7").initial_seed() == 7
    assert streams.manual_seed(1.7).initial_seed() == streams.initial_seed() == 1
    state = streams.get_rng_state()
    a = streams.default_generator.rand((3,))
    assert a.tolist() == seeded(1).rand((3,)).tolist()
    streams.set_rng_state(state)
    assert a.tolist() == streams.default_generator.rand((3,)).tolist()
    assert streams.seed() == streams.initial_seed()
    streams.set_rng_state(before)


# ---- rounding helpers ----


def test_fma_rounds_once():
    from fractions import Fraction

    rng = np.random.default_rng(0)
    a = rng.standard_normal(500)
    for b, c in [(1.7, 0.3), (2.3, -1.1), (0.1, 1e3), (1.0, 0.0), (3.0, 0.0)]:
        exact = [float(Fraction(x) * Fraction(b) + Fraction(c)) for x in a.tolist()]
        assert cephes.fma64(a, b, c).tolist() == exact


def test_functions_are_the_c_library_ones():
    import math

    u = cephes.uniform64(seeded(1).take(20000))
    assert cephes.log(u).tolist() == [math.log(x) for x in u.tolist()]
    assert cephes.log1p(-u).tolist() == [math.log1p(-x) for x in u.tolist()]
    assert cephes.exp(u * 9 - 4).tolist() == [math.exp(x) for x in (u * 9 - 4).tolist()]
    sin, cos = cephes.sincos(u * 2 * math.pi)
    assert sin.tolist() == [math.sin(x) for x in (u * 2 * math.pi).tolist()]
    assert cos.tolist() == [math.cos(x) for x in (u * 2 * math.pi).tolist()]
    assert cephes.log(np.zeros(1))[0] == -np.inf


def test_library_falls_back_to_math_when_numpy_rounds_otherwise(monkeypatch):
    import math

    monkeypatch.setattr(np, "log1p", lambda x: np.log(1.0 + x))  # accurate, but not the library's rounding
    cephes._library.cache_clear()
    x = -cephes.uniform64(seeded(1).take(200))
    assert cephes.log1p(x).tolist() == [math.log1p(v) for v in x.tolist()]
    cephes._library.cache_clear()


# ---- errors ----


def error_cases():
    g = seeded()
    z = np.zeros
    return [
        (lambda: Generator("cuda"), RuntimeError, "Cannot get CUDA generator without ATen_cuda library."),
        (lambda: g.manual_seed(2**64), ValueError, "Overflow when unpacking long long"),
        (lambda: g.manual_seed(-(2**63) - 1), ValueError, "Overflow when unpacking long long"),
        (lambda: g.manual_seed("3"), RuntimeError, "manual_seed expected a long, but got str"),
        (lambda: g.manual_seed(1.7), RuntimeError, "manual_seed expected a long, but got float"),
        (lambda: g.manual_seed(True), RuntimeError, "manual_seed expected a long, but got bool"),
        (lambda: g.manual_seed(np.int64(3)), TypeError, "an integer is required"),
        (lambda: streams.manual_seed("a"), ValueError, "invalid literal for int() with base 10: 'a'"),
        (lambda: streams.manual_seed(2**64), ValueError, "Overflow when unpacking long long"),
        (lambda: g.set_state(3), TypeError, "expected a torch.ByteTensor, but got int"),
        (lambda: g.set_state(z(5056)), TypeError, "RNG state must be a torch.ByteTensor"),
        (
            lambda: g.set_state(z(10, np.uint8)),
            RuntimeError,
            "Expected a CPUGeneratorImplState of size 5056 but found the input RNG state size to be 10",
        ),
        (lambda: g.set_state(z(5056, np.uint8)), RuntimeError, "Invalid mt19937 state"),
        (
            lambda: g.randn((3,), np.int64),
            NotImplementedError,
            "\"normal_kernel_cpu\" not implemented for 'Long'",
        ),
        (
            lambda: g.rand((3,), np.int64),
            NotImplementedError,
            "\"check_uniform_bounds\" not implemented for 'Long'",
        ),
        (lambda: g.randn((-1,)), RuntimeError, "Trying to create tensor with negative dimension -1: [-1]"),
        (
            lambda: g.rand((2, -3)),
            RuntimeError,
            "Trying to create tensor with negative dimension -3: [2, -3]",
        ),
        (
            lambda: g.randn((-2, -3)),
            RuntimeError,
            "Trying to create tensor with negative dimension -2: [-2, -3]",
        ),
        (
            lambda: g.uniform((3,), 2, 1),
            RuntimeError,
            "uniform_ expects to return a [from, to) range, but found from=2 > to=1",
        ),
        (lambda: g.uniform((3,), 0, float("inf")), RuntimeError, "to is out of bounds for float"),
        (lambda: g.uniform((3,), float("nan"), 1), RuntimeError, "from is out of bounds for float"),
        (lambda: g.uniform((3,), 0, 1e5, F16), RuntimeError, "to is out of bounds for c10::Half"),
        (
            lambda: g.uniform((3,), -3e38, 3e38),
            RuntimeError,
            (
                "uniform_ expects to-from <= std::numeric_limits<Float>::max(), but "
                "found to=3e+38 and from=-3e+38 which result in to-from to exceed the limit"
            ),
        ),
        (lambda: g.normal((3,), 0, -1), RuntimeError, "normal expects std >= 0.0, but found std -1"),
        (
            lambda: g.normal((3,), 0, float("nan")),
            RuntimeError,
            "normal expects std >= 0.0, but found std nan",
        ),
        (
            lambda: g.randint(5, 5, (3,)),
            RuntimeError,
            "random_ expects 'from' to be less than 'to', but got from=5 >= to=5",
        ),
        (
            lambda: g.randint(0, 300, (3,), np.uint8),
            RuntimeError,
            "to - 1 is out of bounds for unsigned char",
        ),
        (lambda: g.randint(-1, 3, (3,), np.uint8), RuntimeError, "from is out of bounds for unsigned char"),
        (lambda: g.randint(0, 5, (3,), np.bool_), RuntimeError, "to - 1 is out of bounds for bool"),
        (lambda: g.randint(0, 2**63, (3,)), ValueError, "Overflow when unpacking long long"),
        (lambda: g.randint(0, 2**40, (3,), np.int16), RuntimeError, "to - 1 is out of bounds for short int"),
        (lambda: g.randperm(-1), RuntimeError, "Trying to create tensor with negative dimension -1: [-1]"),
        (
            lambda: g.randperm(300, np.uint8),
            RuntimeError,
            "value cannot be converted to type uint8_t without overflow",
        ),
        (lambda: g.randperm(2050, F16), RuntimeError, "n cannot be greater than 2049 for Half type."),
        (lambda: g.randperm(3, np.bool_), NotImplementedError, "\"randperm\" not implemented for 'Bool'"),
        (
            lambda: g.bernoulli(np.array([1.5])),
            RuntimeError,
            (
                "Expected p_in >= 0 && p_in <= 1 to be true, but got false.  "
                "(Could this error message be improved?  If so, please report "
                "an enhancement request to PyTorch.)"
            ),
        ),
        (
            lambda: g.bernoulli(np.array([1])),
            NotImplementedError,
            "\"bernoulli_tensor_cpu_p_\" not implemented for 'Long'",
        ),
        (
            lambda: g.bernoulli_scalar(1.5, (3,)),
            RuntimeError,
            "bernoulli_ expects p to be in [0, 1], but got p=1.5",
        ),
        (
            lambda: g.exponential((3,), 0.0),
            RuntimeError,
            "exponential_ expects lambda > 0.0, but found lambda=0",
        ),
        (
            lambda: g.exponential((3,), 1.0, np.int64),
            RuntimeError,
            (
                "Exponential distribution is a continuous probability distribution. "
                "dtype must be a floating point but you specified Long"
            ),
        ),
        (lambda: g.log_normal((3,), 1, 0), RuntimeError, "log_normal_ expects std > 0.0, but found std=0"),
        (
            lambda: g.log_normal((3,), 1, 1, np.int64),
            NotImplementedError,
            "\"log_normal_cpu\" not implemented for 'Long'",
        ),
        (lambda: g.cauchy((3,), 0, 0), RuntimeError, "cauchy_ expects sigma > 0.0, but found sigma=0"),
        (
            lambda: g.cauchy((3,), 0, 1, np.int64),
            RuntimeError,
            (
                "Cauchy distribution is a continuous probability distribution. "
                "dtype must be a floating point but you specified long int"
            ),
        ),
        (lambda: g.geometric((3,), 1), RuntimeError, "geometric_ expects p to be in (0, 1), but got p=1"),
        (
            lambda: g.geometric((3,), 0.5, np.bool_),
            NotImplementedError,
            "\"geometric_cpu\" not implemented for 'Bool'",
        ),
        *multinomial_errors(g),
    ]


def multinomial_errors(g):
    one, cases = np.ones, []
    for p, n, replacement, text in [
        (np.zeros(3), 1, False, "invalid multinomial distribution (sum of probabilities <= 0)"),
        (np.zeros(3), 2, True, "invalid multinomial distribution (sum of probabilities <= 0)"),
        (np.array([1.0, -1]), 1, False, "probability tensor contains either `inf`, `nan` or element < 0"),
        (np.array([1.0, np.inf]), 1, False, "probability tensor contains either `inf`, `nan` or element < 0"),
        (
            np.array([1.0, np.nan]),
            2,
            True,
            "invalid multinomial distribution (encountering probability entry < 0)",
        ),
        (one(3), 4, False, "cannot sample n_sample > prob_dist.size(-1) samples without replacement"),
        (one(3), 0, False, "cannot sample n_sample <= 0 samples"),
        (one((2, 2, 2)), 1, False, "prob_dist must be 1 or 2 dim"),
        (one(3, np.int64), 1, False, "multinomial only supports floating-point dtypes for input, got: Long"),
    ]:
        call = lambda p=p, n=n, replacement=replacement: g.multinomial(p, n, replacement)
        cases.append((call, RuntimeError, text))
    return cases


@pytest.mark.parametrize(("call", "kind", "text"), error_cases())
def test_errors_have_pytorchs_type_and_first_sentence(call, kind, text):
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value).split("\n")[0] == text
    assert type(caught.value) is kind


def test_an_error_draws_nothing():
    g = seeded(1)
    for call in (
        lambda: g.randn((3,), np.int64),
        lambda: g.uniform((3,), 2, 1),
        lambda: g.multinomial(np.zeros(3), 1),
    ):
        with pytest.raises((RuntimeError, NotImplementedError)):
            call()
    assert g.rand((3,)).tolist() == seeded(1).rand((3,)).tolist()


def test_draws_beyond_exact_integers_warn():
    with pytest.warns(UserWarning, match=r"to - 1 is out of bounds \[-\(2\^24\), 2\^24\]"):
        seeded().randint(0, 2**25, (3,), F32)


# ---- against PyTorch ----

DRAWS = {
    "rand": lambda g, s, d: g.rand(s, d),
    "randn": lambda g, s, d: g.randn(s, d),
    "uniform": lambda g, s, d: g.uniform(s, -0.1, 0.7, d),
    "narrow uniform": lambda g, s, d: g.uniform(s, 100.0, 101.0, d),
    "normal": lambda g, s, d: g.normal(s, 0.3, 1.7, d),
    "log_normal": lambda g, s, d: g.log_normal(s, 0.3, 0.7, d),
    "exponential": lambda g, s, d: g.exponential(s, 1.7, d),
    "cauchy": lambda g, s, d: g.cauchy(s, 0.37, 2.3, d),
    "bernoulli_": lambda g, s, d: g.bernoulli_scalar(0.3, s, d),
    "bernoulli": lambda g, s, d: g.bernoulli(np.full(s, 0.3, d)),
    "geometric": lambda g, s, d: g.geometric(s, 0.3, d),
    "random": lambda g, s, d: g.random(s, d),
    "random from": lambda g, s, d: g.random(s, d, 5),
    "randint": lambda g, s, d: g.randint(3, 100, s, d),
    "multinomial": lambda g, s, d: g.multinomial(np.linspace(0, 3, 11).astype(d), 5),
    "multinomial, replacement": lambda g, s, d: g.multinomial(np.linspace(0, 3, 11).astype(d), 50, True),
}


def torch_draw(torch, name, gen, shape, d):
    dt = getattr(torch, np.dtype(d).name)
    e = torch.empty(shape, dtype=dt)
    weights = lambda: torch.from_numpy(np.linspace(0, 3, 11).astype(d))
    return {
        "rand": lambda: torch.rand(shape, dtype=dt, generator=gen),
        "randn": lambda: torch.randn(shape, dtype=dt, generator=gen),
        "uniform": lambda: e.uniform_(-0.1, 0.7, generator=gen),
        "narrow uniform": lambda: e.uniform_(100.0, 101.0, generator=gen),
        "normal": lambda: e.normal_(0.3, 1.7, generator=gen),
        "log_normal": lambda: e.log_normal_(0.3, 0.7, generator=gen),
        "exponential": lambda: e.exponential_(1.7, generator=gen),
        "cauchy": lambda: e.cauchy_(0.37, 2.3, generator=gen),
        "bernoulli_": lambda: e.bernoulli_(0.3, generator=gen),
        "bernoulli": lambda: torch.bernoulli(torch.full(shape, 0.3, dtype=dt), generator=gen),
        "geometric": lambda: e.geometric_(0.3, generator=gen),
        "random": lambda: e.random_(generator=gen),
        "random from": lambda: e.random_(5, None, generator=gen),
        "randint": lambda: torch.randint(3, 100, shape, dtype=dt, generator=gen),
        "multinomial": lambda: torch.multinomial(weights(), 5, generator=gen),
        "multinomial, replacement": lambda: torch.multinomial(weights(), 50, True, generator=gen),
    }[name]().numpy()


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.mark.peers
@pytest.mark.parametrize("d", FLOATS)
@pytest.mark.parametrize("name", DRAWS)
def test_draws_equal_torch(torch, name, d):
    for seed in (0, 1, 42, -1, 2**40 + 3):
        g, gen = seeded(seed), torch.Generator().manual_seed(seed)
        for shape in [(), (1,), (6,), (15,), (16,), (17,), (4, 5), (0,), (3, 1), (20011,), (6,), (2, 3)]:
            want = torch_draw(torch, name, gen, shape, d)
            got = DRAWS[name](g, shape, d)
            assert got.dtype == want.dtype
            np.testing.assert_array_equal(got, want, f"{name} {shape} seed {seed}")
            np.testing.assert_array_equal(g.get_state(), gen.get_state().numpy())


@pytest.mark.peers
@pytest.mark.parametrize("d", INTEGERS)
def test_integer_draws_equal_torch(torch, d):
    g, gen = seeded(9), torch.Generator().manual_seed(9)
    dt = getattr(torch, np.dtype(d).name)
    for n in (1, 3, 1000):
        for name in ("random", "random from", "randint", "geometric", "bernoulli_"):
            np.testing.assert_array_equal(DRAWS[name](g, (n,), d), torch_draw(torch, name, gen, (n,), d))
        np.testing.assert_array_equal(
            g.randperm(min(n, 100), d), torch.randperm(min(n, 100), dtype=dt, generator=gen).numpy()
        )


@pytest.mark.peers
@pytest.mark.parametrize("d", [np.int64, F16, F32, F64])
def test_integer_ranges_equal_torch(torch, d):
    dt = getattr(torch, np.dtype(d).name)
    ranges = [(-5, 7), (0, 5000), (5, 4000), (-5003, 7001), (-2051, 3)]
    if d is not F16:
        ranges += [(0, 2**28 - 1), (0, 2**28), (-(2**25) - 3, 2**26 + 7)]
    if d in (np.int64, F64):
        ranges += [(0, 2**40), (-(2**62), 2**62 + 12345), (-(2**63), 2**63 - 1)]
    g, gen = seeded(8), torch.Generator().manual_seed(8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # beyond the integers that a float holds; tested above
        for low, high in ranges:
            want = torch.randint(low, high, (500,), dtype=dt, generator=gen).numpy()
            np.testing.assert_array_equal(g.randint(low, high, (500,), d), want)
    if d is np.int64:
        want = torch.empty(50, dtype=dt).random_(-(2**63), None, generator=gen).numpy()
        np.testing.assert_array_equal(g.random((50,), d, -(2**63)), want)


@pytest.mark.peers
@pytest.mark.parametrize("d", FLOATS)
def test_target_that_is_not_contiguous_equals_torch(torch, d):
    g, gen = seeded(3), torch.Generator().manual_seed(3)
    for n in (5, 16, 301):
        strided = torch.empty(n, 2, dtype=getattr(torch, np.dtype(d).name))[:, 0]
        want = strided.normal_(0.3, 1.7, generator=gen).numpy()
        np.testing.assert_array_equal(g.normal((n,), 0.3, 1.7, d, contiguous=False), want)


@pytest.mark.peers
@pytest.mark.parametrize("seed", range(6))
def test_interleaved_draws_and_states_equal_torch(torch, seed):
    pick = random.Random(seed)
    g, gen = seeded(seed), torch.Generator().manual_seed(seed)
    names = ["randn"] * 8 + ["rand"] * 5 + list(DRAWS)
    for _ in range(250):
        event = pick.random()
        if event < 0.03:
            g.set_state(gen.get_state().numpy())
        elif event < 0.06:
            gen.set_state(torch.from_numpy(g.get_state()))
        elif event < 0.08:
            s = pick.randrange(2**64)
            g.manual_seed(s)
            gen.manual_seed(s)
        name, d = pick.choice(names), pick.choice([F32, F32, F32, *FLOATS])
        shape = pick.choice(
            [(), (1,), (2,), (3,), (5,), (6,), (6,), (16,), (20,), (4, 5), (pick.randrange(900),)]
        )
        np.testing.assert_array_equal(
            DRAWS[name](g, shape, d), torch_draw(torch, name, gen, shape, d), f"{name} {shape}"
        )


@pytest.mark.peers
def test_long_float32_normals_equal_torch(torch):
    for seed in (0, 1, 42):
        gen = torch.Generator().manual_seed(seed)
        want = torch.empty(400_005).normal_(-2.0, 0.1, generator=gen).numpy()
        np.testing.assert_array_equal(seeded(seed).normal((400_005,), -2.0, 0.1), want)
