"""The figure of a gradient's flow: its points, its named factors, what is exactly zero."""

import math

import numpy as np
import pytest

import pullback as torch
from pullback import plot
from pullback.explanations.flow import flow


def shrinking(steps=12, factor=0.1):
    h = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    for _ in range(steps):
        h = h * factor
    return flow(h.sum())


def dead():
    x = torch.tensor([-1.0, -2.0], requires_grad=True)
    return flow((torch.relu(x * 0.01) * 2.0).sum())


def line(ax, label):
    (found,) = [h for h in ax.lines if h.get_label() == label]
    return found


def test_draws_into_the_axes_it_is_given_and_returns_it(plt):
    figure, (left, right) = plt.subplots(1, 2)
    assert shrinking().plot(ax=right) is right
    assert not left.has_data()
    assert plt.get_fignums() == [figure.number]
    figure.canvas.draw()


def test_makes_a_figure_of_its_own_and_leaves_settings_alone(plt):
    before = dict(plt.rcParams)
    ax = plot.flow(shrinking())
    assert tuple(ax.figure.get_size_inches()) == (6.0, 4.0)
    ax.figure.canvas.draw()
    assert dict(plt.rcParams) == before
    assert ax.get_yscale() == "log"
    assert ax.get_xlabel()
    assert ax.get_ylabel()


@pytest.mark.parametrize("result", [shrinking, dead, lambda: flow(torch.ones((), requires_grad=True))])
def test_text_stays_inside_the_figure(result, plt):
    ax = plot.flow(result())
    ax.figure.canvas.draw()
    box = ax.get_tightbbox(ax.figure.canvas.get_renderer())
    width, height = ax.figure.canvas.get_width_height()
    assert min(box.x0, box.y0) >= -1
    assert box.x1 <= width + 1
    assert box.y1 <= height + 1


def test_the_path_shows_its_norms(plt):
    result = shrinking()
    ax = plot.flow(result, color="black")
    path = line(ax, "longest path")
    assert path.get_color() == "black"
    np.testing.assert_array_equal(path.get_xdata(), np.arange(14))
    np.testing.assert_array_equal(path.get_ydata(), result.path.norms)
    assert line(ax, "leaves").get_ydata() == [result.leaves[0].norm]
    named = [t.get_text() for t in ax.texts if "mul" in t.get_text()]
    assert named == ["mul \N{MULTIPLICATION SIGN} 0.1"] * 3


def test_the_bound_of_a_lost_gradient_is_drawn_where_it_is_crossed(plt):
    words = "a millionth of the start"
    assert words in [t.get_text() for t in plot.flow(shrinking()).texts]
    assert words not in [t.get_text() for t in plot.flow(shrinking(steps=3)).texts]
    assert "a million times the start" in [t.get_text() for t in plot.flow(shrinking(factor=10.0)).texts]


def test_exact_zeros_lie_on_the_lower_edge(plt):
    ax = plot.flow(dead())
    zeros = line(ax, "exactly zero")
    assert list(zeros.get_xdata()) == [3, 4]
    assert 0 < zeros.get_ydata()[0] < min(n for n in dead().path.norms if n > 0)
    shown = line(ax, "longest path").get_ydata()
    assert [math.isnan(n) for n in shown] == [False, False, False, True, True]


def test_other_ops_are_points_and_leaves_can_be_left_out(plt):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    side = x * 3.0
    ax = plot.flow(flow((torch.exp(torch.sin(x)) + side).sum()), leaves=False)
    assert len(line(ax, "other ops").get_xdata()) == 1
    assert not [h for h in ax.lines if h.get_label() == "leaves"]
