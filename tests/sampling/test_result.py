"""`Sensitivity` as data and its intervals, judged by NumPy, SciPy and repetition."""

import json
import pickle
import sys

import numpy as np
import pytest
import scipy.stats as st

from pullback.sampling import distributions as D
from pullback.sampling.jumps import Jump
from pullback.sampling.result import Invalid, Sensitivity
from pullback.sampling.statistics import Groups, Joint, bca, quantile, ratio_interval
from sampling.studies import ishigami, ishigami_gradient, result_of, study

LAW = D.Uniform(-np.pi, np.pi).expand(3)
JUMP = Jump("floor", "a.py:3", 0.1, 0.01, 0.5, 0.1, 0.0, "x", "floor jumps")


@pytest.fixture
def one():
    return study(ishigami, ishigami_gradient, LAW, 2000, 0)


@pytest.fixture
def sweep():
    """2 values of a parameter, 3 upstream vectors, two differentiated arguments of shapes (2,) and ()."""
    g = np.random.default_rng(1).normal([1.0, 2.0, 3.0], 1.0, (6, 500, 3)) * np.arange(1, 7)[:, None, None]
    return result_of(
        g.sum(2),
        g,
        g,
        [D.Normal().expand(2), D.Normal()],
        [(2,), ()],
        names=("x", "y"),
        each=(np.array([0.5, 1.5]),),
        upstream=np.eye(3),
        stacked=True,
    )


def test_interval_is_students(one):
    _, g, _ = one.rows(0, 10**6)
    low, high = one.interval(0.9)
    expected = [st.ttest_1samp(g[:, i], 0.0).confidence_interval(0.9) for i in range(3)]
    np.testing.assert_allclose(np.stack([low, high], 1), expected, rtol=1e-10)
    assert np.all(one.interval()[0] < low)
    with pytest.raises(ValueError, match="between 0 and 1"):
        one.interval(95)


def test_axes_labels_and_entries(sweep):
    assert sweep.leading == (2, 3)
    assert sweep.shapes == ((2,), ())
    assert sweep.sizes == (2, 1)
    assert sweep.labels == ("x[0]", "x[1]", "y")
    low, high = sweep.interval()
    assert isinstance(low, tuple)
    assert low[0].shape == (2, 3, 2)
    assert high[1].shape == (2, 3)
    assert [sweep.entry(i) for i in (1, -1, "y", (0, 1), (1,))] == [1, 2, 2, 1, 2]
    for wrong in (3, "z", (0, 2), (2, 0), 1.5):
        with pytest.raises(IndexError, match="no gradient entry"):
            sweep.entry(wrong)
    assert sweep.flat(sweep.mean).shape == (2, 3, 3)
    np.testing.assert_array_equal(sweep.flat(sweep.mean)[..., 2], sweep.mean[1])


def test_rows_are_the_first_samples(sweep):
    f, g, x = sweep.rows(cell=4, limit=750)
    assert f.shape == (500,)
    assert g.shape == (500, 3)
    np.testing.assert_array_equal(g.mean(0), sweep.flat(sweep.mean)[1, 1])
    np.testing.assert_array_equal(sweep.rows(4, 10)[2], x[:10])


def test_records(sweep):
    rows = sweep.records()
    assert len(rows) == 18
    row = next(r for r in rows if (r["each_0"], r["upstream"], r["entry"]) == (1.5, 2, "y"))
    assert row["mean"] == sweep.mean[1][1, 2]
    assert row["low"] == sweep.interval()[0][1][1, 2]
    assert json.loads(json.dumps(rows)) == rows
    assert sweep.to_dict()["mean"][1] == sweep.mean[1].tolist()


def test_to_dataframe_says_what_is_missing(one, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="needs pandas"):
        one.to_dataframe()


# ---------------------------------------------------------------------- ratio


def test_ratio_by_the_delta_method_is_the_textbook_formula(one):
    _, g, _ = one.rows(0, 10**6)
    a, b = g[:, 2], g[:, 1] + 5
    shifted = result_of(a[None], np.stack([a, b], 1)[None], g[None, :, :2], [None], [(2,)])
    found = shifted.ratio(0, 1, method="delta", confidence=0.9)
    residual = (a - found.value * b) / b.mean()
    error = residual.std(ddof=1) / np.sqrt(len(a))
    assert found.stderr == pytest.approx(error, rel=1e-10)
    assert found.high - found.value == pytest.approx(st.t.ppf(0.95, len(a) - 1) * error, rel=1e-10)


def test_fieller_is_the_set_of_ratios_that_a_test_does_not_reject():
    rng = np.random.default_rng(3)
    g = rng.multivariate_normal([1.0, 0.6], [[1.0, 0.5], [0.5, 1.0]], 60)
    found = result_of(g[None, :, 0], g[None], g[None], [None], [(2,)]).ratio(0, 1)
    for edge in (found.low, found.high):
        assert st.ttest_1samp(g[:, 0] - edge * g[:, 1], 0.0).pvalue == pytest.approx(0.05, rel=1e-6)
    assert found.low < found.value < found.high


def test_ratio_to_an_uncertain_zero_is_unbounded():
    rng = np.random.default_rng(4)
    g = rng.normal([1.0, 0.0], 1.0, (100, 2))
    found = result_of(g[None, :, 0], g[None], g[None], [None], [(2,)]).ratio(0, 1)
    assert (found.low, found.high) == (-np.inf, np.inf)
    value, error, _ = ratio_interval(np.array([1.0, 0.0]), np.eye(2), 2.0, "fieller")
    assert np.isnan(value)
    assert np.isnan(error)
    with pytest.raises(ValueError, match="fieller"):
        ratio_interval(np.ones(2), np.eye(2), 2.0, "exact")


def test_ratio_of_every_cell(sweep):
    found = sweep.ratio("y", (0, 0))
    assert found.value.shape == (2, 3)
    assert found.labels == ("y", "x[0]")
    np.testing.assert_allclose(found.value, sweep.mean[1] / sweep.mean[0][..., 0], rtol=1e-14)
    assert np.all((found.low < found.value) & (found.value < found.high))


def test_a_jump_leaves_the_ratio_without_bounds(one):
    missed = Sensitivity(**{**one.state(), "stderr": np.array([np.inf, 1.0, 1.0])}, _rows=one._rows)
    assert missed.ratio(0, 1).high == np.inf
    assert np.isfinite(missed.ratio(1, 2, method="delta").high)


def test_fieller_covers_as_often_as_it_says():
    """1000 repetitions at 90 %: outside 871 to 928 with probability 0.003."""
    rng, hits = np.random.default_rng(5), 0
    for _ in range(1000):
        g = rng.multivariate_normal([2.0, 1.0], [[1.0, 0.4], [0.4, 1.0]], 50)
        joint = Joint()
        joint.add(g[:, :0], g)
        _, _, (low, high) = ratio_interval(joint.y, joint.yy / 50, float(quantile(0.9, 49)), "fieller")
        hits += low <= 2.0 <= high
    assert 871 <= hits <= 928


# ---------------------------------------------------------------------- moments and bootstrap


def test_joint_moments_do_not_depend_on_chunks():
    X = np.random.default_rng(0).normal(1e6, 1.0, (1000, 3))
    Y = X[:, :2] ** 2 / 1e6
    joint = Joint()
    for i in range(0, 1000, 77):
        joint.add(X[i : i + 77], Y[i : i + 77])
    both = np.cov(X.T, Y.T)
    np.testing.assert_allclose(joint.xx, np.diag(both)[:3], rtol=1e-8)
    np.testing.assert_allclose(joint.xy, both[:3, 3:], rtol=1e-8)
    np.testing.assert_allclose(joint.yy, both[3:, 3:], rtol=1e-8)


def test_groups_keep_the_sums():
    a = np.random.default_rng(0).normal(size=(1003, 2))
    groups = Groups(1003, 2, most=50)
    for i in range(0, 1003, 91):
        groups.add(a[i : i + 91])
    sums, counts = groups.trimmed()
    assert groups.size == 21
    assert counts.tolist() == [21] * 47 + [16]
    np.testing.assert_allclose(sums[3], a[63:84].sum(0))


def test_bca_against_scipy():
    """The same statistic by SciPy's BCa with other resamples: the ends agree to the resampling noise."""
    x = np.random.default_rng(7).exponential(size=(200, 1))
    columns = np.concatenate([x, x**2], 1)
    variance = lambda m: (m[..., 1] - m[..., 0] ** 2)[..., None]
    low, high = bca(columns, np.ones(200), variance, 0.9, 20_000, 0)
    theirs = st.bootstrap(
        (x[:, 0],),
        np.var,
        confidence_level=0.9,
        n_resamples=20_000,
        method="BCa",
        rng=np.random.default_rng(1),
    )
    width = theirs.confidence_interval.high - theirs.confidence_interval.low
    assert abs(low[0] - theirs.confidence_interval.low) < 0.03 * width
    assert abs(high[0] - theirs.confidence_interval.high) < 0.03 * width


# ---------------------------------------------------------------------- files


@pytest.mark.parametrize("suffix", [".json", ".npz"])
def test_save_and_load_keep_every_bit(sweep, tmp_path, suffix):
    path = tmp_path / f"r{suffix}"
    stderr = (sweep.stderr[0].copy(), np.full((2, 3), np.inf))
    invalid = Invalid(3, 17, (np.array([np.nan, 1.0]), np.float64(2.0)), "log (a.py:4)")
    full = Sensitivity(**{**sweep.state(), "stderr": stderr, "jumps": (JUMP,), "invalid": invalid})
    full.save(path)
    back = Sensitivity.load(path)
    for name, value in full.state().items():
        other = getattr(back, name)
        if isinstance(value, tuple) and value and isinstance(value[0], np.ndarray):
            assert all(np.array_equal(a, b) for a, b in zip(value, other, strict=True)), name
        elif isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, other, err_msg=name)
        elif name != "invalid":
            assert value == other, name
    assert back.invalid.op == invalid.op
    assert np.isnan(back.invalid.inputs[0][0])
    assert back.jumps == (JUMP,)
    assert isinstance(back.stderr, tuple)
    np.testing.assert_array_equal(back.interval()[0][0], full.interval()[0][0])
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    with pytest.raises(RuntimeError, match="keeps sums and no samples"):
        back.ratio(0, 1)


def test_scalar_results_survive_files(tmp_path):
    r = study(lambda x: x[:, 0], np.ones_like, D.Normal(), 100, 0)
    for suffix in (".json", ".npz"):
        r.save(tmp_path / f"r{suffix}")
        back = Sensitivity.load(tmp_path / f"r{suffix}")
        assert np.shape(back.mean) == ()
        assert back.mean == 1.0
        assert back.labels == ("x",)
    assert json.loads((tmp_path / "r.json").read_text())["seed"] == 0


def test_json_is_strict(sweep, tmp_path):
    path = tmp_path / "r.json"
    Sensitivity(**{**sweep.state(), "value_stderr": np.full((2, 3), np.nan)}).save(path)

    def refuse(word):
        raise AssertionError(word)

    json.loads(path.read_text(), parse_constant=refuse)


@pytest.mark.parametrize("suffix", [".json", ".npz"])
def test_other_files_are_refused(one, tmp_path, suffix):
    path = tmp_path / f"r{suffix}"
    one.save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="not a saved result, or is damaged"):
        Sensitivity.load(path)
    path.write_text('{"format": "other"}')
    with pytest.raises(ValueError, match="not a saved result"):
        Sensitivity.load(path)
    with pytest.raises(ValueError, match="saved as .json or .npz"):
        one.save(tmp_path / "r.csv")


def test_a_failed_save_leaves_the_old_file(one, tmp_path, monkeypatch):
    path = tmp_path / "r.json"
    one.save(path)
    before = path.read_bytes()

    def full(_):
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="disk full"):
        one.save(path)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_pickle_leaves_the_samples_behind(one):
    back = pickle.loads(pickle.dumps(one))
    np.testing.assert_array_equal(back.mean, one.mean)
    assert back._rows is None


# ---------------------------------------------------------------------- for people


def test_repr_is_one_line_and_says_what_is_wrong(one, sweep):
    assert repr(one).startswith("Sensitivity(x[0]=")
    assert "samples=2,000, seed=0" in repr(one)
    assert "2x3 cells of 3 entries" in repr(sweep)
    bad = Sensitivity(**{**one.state(), "jumps": (JUMP,), "invalid": Invalid(5, 2), "partial": True})
    assert "1 jumps missed, 5 invalid, partial" in repr(bad)
    assert "\n" not in repr(bad)
    assert bad.message.splitlines() == [
        "floor jumps",
        "5 samples are not finite; the first is number 2",
        "stopped early: 2,000 samples were done",
    ]
    assert one.message == ""


def test_html_is_escaped_and_shows_warnings(one):
    names = ("<x>",)
    bad = Sensitivity(**{**one.state(), "names": names, "labels": (), "partial": True})
    html = bad._repr_html_()
    assert "&lt;x&gt;[0]" in html
    assert "<x>" not in html
    assert "stopped early" in html
    assert html.count("<tr>") == 4


def test_results_are_frozen(one):
    with pytest.raises(AttributeError):
        one.mean = 0.0
