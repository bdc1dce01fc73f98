"""What the figures show: the numbers in their artists, the labels, the Axes they use."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import pullback
from plot.standin import SLOPES, WEIGHTS, Result, relu_sweep, single
from pullback import plot
from pullback.plot.convergence import prefixes
from pullback.plot.table import tabulate

EIGEN = SimpleNamespace(
    eigenvalues=np.array([30.0, 9.0, 0.5, 1e-25]),
    eigenvalue_ranges=(np.array([25.0, 7.0, 0.4, 0.0]), np.array([35.0, 11.0, 0.6, 0.0])),
)
BRACKETS = SimpleNamespace(
    labels=("a", "b[0]", "b[1]"),
    lower_bound=np.array([0.3, 0.4, 0.0]),
    upper_bound=np.array([2.2, 0.7, 0.25]),
    lower_interval=(np.array([0.28, 0.4, -0.01]), np.array([0.34, 0.4, 0.01])),
    upper_interval=(np.array([2.1, 0.6, 0.22]), np.array([2.4, 0.8, 0.29])),
    confidence=0.95,
)
PATH = SimpleNamespace(path=np.array([[0.0, 0.0], [1.0, -1.0], [1.5, -2.0], [2.0, -3.0]]))


def bowl(w):
    return (w[0] - 2) ** 2 + (w[1] + 3) ** 2


FIGURES = {
    "sweep": lambda ax=None: plot.sweep(relu_sweep(), ax=ax),
    "ratio": lambda ax=None: plot.ratio(relu_sweep(), 3, 2, ax=ax),
    "bars": lambda ax=None: plot.bars(single(), ax=ax),
    "convergence": lambda ax=None: plot.convergence(single(), ax=ax),
    "dgsm": lambda ax=None: plot.dgsm(BRACKETS, ax=ax),
    "active_subspace": lambda ax=None: plot.active_subspace(EIGEN, ax=ax),
    "descent": lambda ax=None: plot.descent(PATH, bowl, ax=ax),
}


def words(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def points(container):
    """x, y and the half-widths below and above of an errorbar container."""
    line, _, (bars,) = container.lines
    x, y = line.get_data()
    ends = np.array([segment[:, 1] for segment in bars.get_segments()])
    return x, y, y - ends[:, 0], ends[:, 1] - y


@pytest.mark.parametrize("name", FIGURES)
def test_draws_into_the_axes_it_is_given_and_returns_it(name, plt):
    figure, (left, right) = plt.subplots(1, 2)
    assert FIGURES[name](ax=right) is right
    assert right.has_data()
    assert not left.has_data()
    assert plt.get_fignums() == [figure.number]
    figure.canvas.draw()


@pytest.mark.parametrize("name", FIGURES)
def test_makes_a_figure_of_its_own_and_leaves_settings_alone(name, plt):
    before = dict(plt.rcParams)
    ax = FIGURES[name]()
    assert tuple(ax.figure.get_size_inches()) == (6.0, 4.0)
    assert ax.get_xlabel()
    assert len(plt.get_fignums()) == 1
    ax.figure.canvas.draw()
    assert dict(plt.rcParams) == before


@pytest.mark.parametrize("name", FIGURES)
def test_text_stays_inside_the_figure(name, plt):
    ax = FIGURES[name]()
    renderer = ax.figure.canvas.get_renderer()
    ax.figure.canvas.draw()
    box = ax.get_tightbbox(renderer)
    width, height = ax.figure.canvas.get_width_height()
    assert box.x0 >= -1
    assert box.y0 >= -1
    assert box.x1 <= width + 1
    assert box.y1 <= height + 1


def test_importing_the_figures_imports_no_matplotlib():
    code = "import pullback.plot, sys; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'pullback\[plot\]'"):
        plot.bars(single())


class TestTable:
    def test_axes_are_flattened_in_order(self):
        mean = (np.arange(24.0).reshape(2, 3, 4), 100 + np.arange(24.0).reshape(2, 3, 2, 2))
        result = Result(
            mean,
            tuple(0.1 * np.ones_like(m) for m in mean),
            np.zeros((2, 5)),
            upstream=np.zeros((3, 5)),
            each=(np.zeros(2),),
            names=("s", "x", "W"),
            wrt=(1, 2),
        )
        table = tabulate(result)
        assert table.leading == (2, 3)
        assert table.labels[:5] == ("x[0]", "x[1]", "x[2]", "x[3]", "W[0,0]")
        assert table.mean.shape == (6, 8)
        assert table.mean[table.row((1, 2)), table.column("W[1,0]")] == mean[1][1, 2, 1, 0]
        assert table.mean[4, 3] == mean[0][1, 1, 3]

    def test_a_scalar_argument_has_a_bare_name(self):
        result = Result(np.array(1.0), np.array(0.1), np.array(0.0), names=("spot",))
        assert tabulate(result).labels == ("spot",)

    def test_interval_follows_the_confidence(self):
        wide, narrow = (tabulate(single(), level) for level in (0.99, 0.5))
        assert np.all((wide.high - wide.low)[0, :2] > 3 * (narrow.high - narrow.low)[0, :2])

    @pytest.mark.parametrize(
        ("ask", "error"),
        [
            (lambda t: t.column("y[0]"), KeyError),
            (lambda t: t.column(6), IndexError),
            (lambda t: t.row(None), ValueError),
            (lambda t: t.row(20), IndexError),
        ],
    )
    def test_what_is_not_there_is_said(self, ask, error):
        with pytest.raises(error, match="x|out of range|20 cells"):
            ask(tabulate(relu_sweep()))


class TestSweep:
    def test_shows_the_means_with_their_intervals(self, plt):
        result = relu_sweep()
        ax = plot.sweep(result, confidence=0.9)
        x, y, below, above = points(ax.containers[0])
        low, high = result.interval(0.9)
        np.testing.assert_allclose(x, WEIGHTS)
        np.testing.assert_allclose(y, result.mean[:, 2])
        np.testing.assert_allclose(below, (result.mean - low)[:, 2], atol=1e-12)
        np.testing.assert_allclose(above, (high - result.mean)[:, 2], atol=1e-12)
        assert words(ax) == ["x[2]", "x[3]", "x[0], x[1], x[4], x[5]: exactly zero"]
        assert ax.get_legend().get_title().get_text() == "90 % intervals"
        assert ax.get_xlabel() == "upstream weight $v_{2}$"

    def test_complementary_weight_is_on_the_top_axis(self, plt):
        ax = plot.sweep(relu_sweep())
        (top,) = ax.child_axes
        ax.figure.canvas.draw()
        assert top.get_xlabel() == "upstream weight $v_{3}$"
        for weight in (0.1, 0.4):
            place = ax.transData.transform((weight, 0.0))[0]
            assert top.transData.transform((1 - weight, 0.0))[0] == pytest.approx(place)
        assert plot.sweep(relu_sweep(), complement=False).child_axes == []

    def test_no_top_axis_without_a_complementary_weight(self, plt):
        result = relu_sweep()
        result.upstream = result.upstream * 2
        assert plot.sweep(result).child_axes == []

    def test_weights_choose_the_horizontal_axis(self, plt):
        assert plot.sweep(relu_sweep(), weights=3).get_xlabel() == "upstream weight $v_{3}$"
        own = plot.sweep(relu_sweep(), weights=np.arange(20))
        assert points(own.containers[0])[0].tolist() == list(range(20))

    def test_expected_lines_are_drawn_through_chosen_entries(self, plt):
        expected = np.column_stack([1.5 * (1 - WEIGHTS), WEIGHTS])
        ax = plot.sweep(relu_sweep(), entries=["x[3]", 2], expected=expected)
        assert words(ax) == ["x[3]", "x[2]", "expected"]
        assert any(np.array_equal(line.get_ydata(), expected[:, 0]) for line in ax.lines)

    def test_values_of_a_parameter_make_a_sweep_too(self, plt):
        mean = np.arange(6.0).reshape(3, 2) + 1
        result = Result(mean, 0.1 * mean, np.zeros(3), each=(np.array([1.0, 2.0, 4.0]),))
        ax = plot.sweep(result)
        assert points(ax.containers[1])[1].tolist() == mean[:, 1].tolist()
        assert ax.child_axes == []

    def test_an_index_chooses_among_several_leading_axes(self, plt):
        mean = np.arange(24.0).reshape(2, 3, 4) + 1
        result = Result(mean, 0.1 * mean, np.zeros((2, 3)), upstream=np.eye(3), each=(np.zeros(2),))
        ax = plot.sweep(result, at=(1,), entries=[2])
        assert points(ax.containers[0])[1].tolist() == mean[1, :, 2].tolist()
        with pytest.raises(ValueError, match=r"at=index along the other 1"):
            plot.sweep(result)

    def test_only_the_largest_of_many_are_drawn(self, plt):
        mean = np.tile(np.arange(1.0, 13.0), (2, 1))
        result = Result(mean, 0.1 * mean, np.zeros(2), upstream=np.eye(2))
        ax = plot.sweep(result)
        assert words(ax) == [f"x[{i}]" for i in range(4, 12)]
        assert "4 more not drawn" in ax.get_legend().get_title().get_text()

    @pytest.mark.parametrize(
        ("result", "options", "message"),
        [
            (single(), {}, "leading axis"),
            (relu_sweep(), {"weights": [1.0, 2.0]}, r"shape \(2,\), the sweep has 20 points"),
            (relu_sweep(), {"weights": 4}, "out of range"),
            (relu_sweep(), {"entries": [2], "expected": [1.0]}, "expected has shape"),
        ],
    )
    def test_what_does_not_fit_is_said(self, result, options, message, plt):
        with pytest.raises((ValueError, IndexError), match=message):
            plot.sweep(result, **options)


class TestRatio:
    def test_points_lie_at_the_ratios_and_the_fit_finds_the_chain_rule(self, plt):
        result = relu_sweep(samples=20_000)
        ax = plot.ratio(result, "x[3]", "x[2]")
        x, y, _, _ = points(ax.containers[0])
        np.testing.assert_allclose(x, (1 - WEIGHTS) / WEIGHTS)
        np.testing.assert_allclose(y, result.mean[:, 3] / result.mean[:, 2])
        fitted = next(line for line in ax.lines if len(line.get_xdata()) == 200)
        slope = np.polyfit(*fitted.get_data(), 1)[0]
        # 20 ratios of 1 % error each: 0.03 is more than 4 standard errors
        assert slope == pytest.approx(SLOPES[3] / SLOPES[2], abs=0.03)
        assert ax.get_xlabel().endswith("$v_{3} / v_{2}$")
        assert ax.get_xscale() == "log"
        text = words(ax)[1]
        assert text.startswith("slope 1.5")
        assert "95 % interval of the slope: " in text
        assert "$R^2$ = 0.99" in text

    def test_common_draws_say_that_the_interval_is_a_bound(self, plt):
        assert "95 % interval or more" in words(plot.ratio(relu_sweep(), 3, 2, independent=False))[1]

    def test_weights_name_components_or_give_numbers(self, plt):
        down = plot.ratio(relu_sweep(), 3, 2, weights=(2, 3))
        assert down.get_xlabel().endswith("$v_{2} / v_{3}$")
        own = plot.ratio(relu_sweep(), 3, 2, weights=np.arange(20.0), log=False)
        assert own.get_xscale() == "linear"
        assert points(own.containers[0])[0].tolist() == list(range(20))

    def test_ratios_that_do_not_exist_are_left_out(self, plt):
        result = relu_sweep()
        result.mean[4, 2] = np.nan
        assert len(points(plot.ratio(result, 3, 2).containers[0])[0]) == 19

    def test_what_does_not_fit_is_said(self, plt):
        with pytest.raises(ValueError, match="stack of upstream vectors"):
            plot.ratio(single(), 0, 1)
        with pytest.raises(ValueError, match=r"weights=\(a, b\)"):
            plot.ratio(relu_sweep(), 4, 2)


class TestConvergence:
    def test_prefixes_are_means_of_the_first_samples(self):
        result = single(samples=5000)
        gradients = np.concatenate([rows[1] for rows in result.iterate(0)])
        found = prefixes(result, 0, [0, 3], most=4000)
        assert found.samples[0] == 16
        assert found.samples[-1] == 4000
        for n, mean, stderr in zip(found.samples, found.mean, found.stderr, strict=True):
            first = gradients[:n, [0, 3]]
            np.testing.assert_allclose(mean, first.mean(axis=0), rtol=1e-9)
            np.testing.assert_allclose(stderr, first.std(axis=0, ddof=1) / np.sqrt(n), rtol=1e-6)

    def test_a_constant_far_from_zero_has_no_error(self):
        rows = [np.full((100, 1), 1e9 + 0.1)]
        result = SimpleNamespace(samples=100, iterate=lambda _: iter([(None, r, None) for r in rows]))
        assert prefixes(result, 0, [0], 100).stderr.max() == 0.0

    def test_non_finite_samples_are_left_out(self):
        values = np.array([[np.nan], [1.0], [np.inf], [3.0]] * 10)
        result = SimpleNamespace(samples=40, iterate=lambda _: iter([(None, values, None)]))
        assert prefixes(result, 0, [0], 40).mean[-1] == pytest.approx(2.0)

    def test_band_and_expectation(self, plt):
        ax = plot.convergence(single(), [0, "x[1]"], truth=[1.0, -2.0])
        assert len(ax.collections) == 2
        assert words(ax) == ["x[0]", "x[1]", "expected"]
        assert ax.get_xlim() == (16, 20_000)

    def test_a_loaded_result_says_that_it_has_no_samples(self, plt):
        result = single()
        result._rows = None
        with pytest.raises(RuntimeError, match="loaded from a file"):
            plot.convergence(result)


def test_an_entry_along_which_f_jumps_has_no_interval_and_says_so(plt):
    result = single()
    result.stderr[2] = np.inf
    assert [t.get_text() for t in plot.bars(result).texts] == ["f jumps: no interval"]
    ax = plot.convergence(result, [0, 2])
    assert words(ax) == ["x[0]", "x[2] (f jumps: no interval)"]
    assert len(ax.collections) == 1
    many = relu_sweep()
    many.stderr[:, 3] = np.inf
    assert "x[3] (f jumps: no interval)" in words(plot.sweep(many))


class TestBars:
    def test_bars_have_the_lengths_of_the_means(self, plt):
        result = single()
        ax = plot.bars(result)
        assert [bar.get_width() for bar in ax.patches] == pytest.approx(result.mean.tolist())
        assert [t.get_text() for t in ax.get_yticklabels()] == ["x[0]", "x[1]", "x[2]", "x[3]"]
        assert [t.get_text() for t in ax.texts] == ["exactly zero"]

    def test_sorted_and_cut(self, plt):
        ax = plot.bars(single(), sort=True, most=2)
        assert [t.get_text() for t in ax.get_yticklabels()] == ["x[1]", "x[0]"]
        assert "2 smaller ones not drawn" in ax.get_xlabel()

    def test_a_cell_must_be_chosen_among_several(self, plt):
        with pytest.raises(ValueError, match="cell=0"):
            plot.bars(relu_sweep())
        result = relu_sweep()
        ax = plot.bars(result, cell=7, entries=[2, 3])
        assert [bar.get_width() for bar in ax.patches] == pytest.approx(result.mean[7, 2:4].tolist())


def test_brackets_run_from_lower_to_upper_bound(plt):
    ax = plot.dgsm(BRACKETS, total=[0.5, 0.5, 0.1])
    thick = [line.get_xdata().tolist() for line in ax.lines if line.get_linewidth() == 8]
    assert thick == [[0.3, 2.2], [0.4, 0.7], [0.0, 0.25]]
    assert words(ax) == ["lower bound", "upper bound", "total index"]
    assert [t.get_text() for t in ax.texts] == ["above 1:\nsays nothing"]


def test_eigenvalues_are_logarithmic_and_zeros_are_said(plt):
    ax = plot.active_subspace(EIGEN)
    assert ax.get_yscale() == "log"
    assert ax.lines[0].get_ydata().tolist() == [30.0, 9.0, 0.5]
    assert ax.get_legend().get_title().get_text() == "1 more: zero"


class TestDescent:
    def test_path_and_contours(self, plt):
        ax = plot.descent(PATH, bowl, minimum=(2.0, -3.0))
        assert any(np.array_equal(line.get_xydata(), PATH.path) for line in ax.lines)
        assert len(ax.collections) == 2  # filled and lines
        assert "minimum (2, -3)" in words(ax)
        assert len(plot.descent(PATH).collections) == 0

    def test_a_minimum_knows_its_function(self, plt):
        start = pullback.tensor([0.0, 0.0], dtype=pullback.float64)
        ax = plot.descent(pullback.minimize(bowl, start, lr=0.1, max_iter=50))
        assert len(ax.collections) == 2
        assert ax.lines[0].get_xydata()[-1] == pytest.approx([2.0, -3.0], abs=1e-3)

    def test_heights_of_the_contours_are_values_of_the_function(self, plt):
        ax = plot.descent(PATH, bowl)
        lines = ax.collections[1]
        for level, path in zip(lines.levels, lines.get_paths(), strict=True):
            x, y = path.vertices[len(path.vertices) // 2] if len(path.vertices) else (0, 0)
            if len(path.vertices):
                assert (x - 2) ** 2 + (y + 3) ** 2 == pytest.approx(level, rel=0.02)

    def test_another_number_of_parameters_is_said(self, plt):
        with pytest.raises(ValueError, match="function of two parameters"):
            plot.descent(SimpleNamespace(path=np.zeros((4, 3))))
