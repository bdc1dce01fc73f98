"""What `pullback sensitivity` writes: CSV files, the whole result as JSON, figures, and a table on the
screen.

Read `write` first. Every file appears whole or not at all. May import: everything below the command line;
matplotlib inside functions.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterable, Sequence
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import numpy as np

from pullback import plot
from pullback.plot.table import Table, flat, tabulate
from pullback.sampling.files import write_whole

Row = list[str | int | float]
SHOWN = 24  # rows of the table on the screen


def write(result: Any, folder: Path, each_names: Sequence[str]) -> list[Path]:
    """Write gradients.csv, values.csv and result.json into `folder`; return their paths."""
    gradients, values, whole = (folder / name for name in ("gradients.csv", "values.csv", "result.json"))
    write_whole(gradients, _csv(gradient_rows(result, each_names)))
    write_whole(values, _csv(value_rows(result, each_names)))
    result.save(whole)
    return [gradients, values, whole]


# ---- numbers


def gradient_rows(result: Any, each_names: Sequence[str]) -> Iterable[Row]:
    """A header, and a row for each cell and entry: where, mean, stderr, interval, how the entry behaves."""
    table = tabulate(result)
    more = [flat(result, field) for field in (result.abs_mean, result.second_moment, result.active)]
    where, cells = _cells(result, each_names)
    yield [*where, "entry", "mean", "stderr", "low", "high", "abs_mean", "second_moment", "active"]
    for row, cell in enumerate(cells):
        for column, label in enumerate(table.labels):
            fields = (table.mean, table.stderr, table.low, table.high, *more)
            yield [*cell, label, *(float(field[row, column]) for field in fields)]


def value_rows(result: Any, each_names: Sequence[str]) -> Iterable[Row]:
    """A header, and a row for each cell: where, and the mean of v . f with its standard error."""
    where, cells = _cells(result, each_names)
    yield [*where, "mean", "stderr"]
    means, errors = np.ravel(result.value_mean), np.ravel(result.value_stderr)
    for cell, mean, stderr in zip(cells, means, errors, strict=True):
        yield [*cell, float(mean), float(stderr)]


def screen(result: Any, each_names: Sequence[str]) -> str:
    """The first rows of the gradients for people."""
    table = tabulate(result)
    where, cells = _cells(result, each_names)
    zero = (table.mean == 0.0) & (table.stderr == 0.0)
    lines = [[*where, "entry", "mean", "stderr", f"{100 * table.confidence:g} % interval"]]
    for row, cell in enumerate(cells):
        words = [f"{part:.6g}" if isinstance(part, float) else str(part) for part in cell]
        lines += [
            [*words, label, *_numbers(table, row, column)]
            for column, label in enumerate(table.labels)
            if not zero[:, column].all()
        ]
    hidden = max(0, len(lines) - 1 - SHOWN)
    text = _aligned(lines[: SHOWN + 1])
    if hidden:
        text += f"\n... and {hidden} rows more"
    silent = [label for column, label in enumerate(table.labels) if zero[:, column].all()]
    if silent:
        names = ", ".join(silent[:8]) + (f", and {len(silent) - 8} more" if len(silent) > 8 else "")
        text += f"\nexactly zero throughout: {names}"
    return text


def _numbers(table: Table, row: int, column: int) -> list[str]:
    """Mean, standard error and interval of one entry, with two digits of the standard error."""
    mean, stderr = table.mean[row, column], table.stderr[row, column]
    low, high = table.low[row, column], table.high[row, column]
    if not (np.isfinite([mean, stderr, low, high]).all() and stderr > 0.0):
        return [f"{mean:.8g}", f"{stderr:.2g}", f"{low:.8g} .. {high:.8g}"]
    digits = max(0, 1 - int(np.floor(np.log10(stderr))))
    if digits > 12:
        return [f"{mean:.8g}", f"{stderr:.2g}", f"{low:.8g} .. {high:.8g}"]
    return [f"{mean:.{digits}f}", f"{stderr:.{digits}f}", f"{low:.{digits}f} .. {high:.{digits}f}"]


def _cells(result: Any, each_names: Sequence[str]) -> tuple[list[str], list[Row]]:
    """The columns that say which cell a row is of: the `--each` values, then the upstream vector."""
    head = list(each_names)
    cells: list[Row] = [
        [_word(values, i) for values, i in zip(result.each, index, strict=True)]
        for index in np.ndindex(tuple(len(values) for values in result.each))
    ]
    if not result.stacked:
        return head, cells
    stack = np.asarray(result.upstream, dtype=np.float64)
    parts = stack.reshape(len(stack), -1)
    changing = np.flatnonzero(np.ptp(parts, axis=0) > 0.0)[:8]
    indices = [np.unravel_index(column, stack.shape[1:]) for column in changing]
    head += ["upstream", *(f"v[{','.join(str(i) for i in index)}]" for index in indices)]
    vectors: list[Row] = [[k, *(float(v) for v in parts[k, changing])] for k in range(len(stack))]
    return head, [[*cell, *vector] for cell in cells for vector in vectors]


def _word(values: Any, index: int) -> float | int:
    """One of the values of `--each` if it is a number, else its index."""
    return float(values[index]) if np.ndim(values) == 1 else index


def _csv(rows: Iterable[Row]) -> bytes:
    """Rows as CSV; numbers with all their digits."""
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _aligned(lines: list[list[str]]) -> str:
    """Columns to the right, two blanks between them."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(word.rjust(width) for word, width in zip(line, widths, strict=True)) for line in lines
    )


# ---- figures


def draw(result: Any, folder: Path, extras: dict[str, Any], *, fresh: bool = False) -> list[Path]:
    """Write the figures that this result has something to show in; return their paths.

    `extras` holds what was asked for besides: "dgsm", "active_subspace"; `fresh`: each upstream vector had
    its own draws. Without matplotlib nothing is drawn, and a line on stderr says so.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        sys.stderr.write("pullback sensitivity: no figures, since matplotlib is not installed\n")
        return []
    paths: list[Path] = []
    for name, function in _figures(result, extras, fresh).items():
        figure = Figure(figsize=(6.0, 4.0), layout="constrained")
        function(figure.subplots())
        content = BytesIO()
        figure.savefig(content, format="png", dpi=150)
        write_whole(folder / f"{name}.png", content.getvalue())
        paths.append(folder / f"{name}.png")
    return paths


def _figures(result: Any, extras: dict[str, Any], fresh: bool) -> dict[str, Callable[[Any], Any]]:
    """The figures by name, each a function of the Axes to draw into."""
    table = tabulate(result)
    found: dict[str, Callable[[Any], Any]] = {}
    if len(table.mean) == 1:
        found["bars"] = lambda ax: plot.bars(result, ax=ax)
        if result._rows is not None:
            found["convergence"] = lambda ax: plot.convergence(result, _largest(table), ax=ax)
    elif len(table.leading) == 1 and (result.stacked or np.ndim(result.each[-1]) == 1):
        found["sweep"] = lambda ax: plot.sweep(result, ax=ax)
        pair = _pair(result, table)
        if pair is not None:
            i, j, weights = pair
            found["ratio"] = lambda ax: plot.ratio(result, i, j, weights, independent=fresh, ax=ax)
    for name, drawn in extras.items():
        found[name] = lambda ax, name=name, drawn=drawn: getattr(plot, name)(drawn, ax=ax)
    return found


def _largest(table: Table) -> list[int]:
    """Up to three entries for the figure of convergence."""
    size = np.abs(table.mean[0])
    return sorted(sorted(range(len(size)), key=lambda i: -size[i])[:3])


def _pair(result: Any, table: Table) -> tuple[int, int, tuple[int, int]] | None:
    """The two entries whose ratio is worth a figure, and their components of the upstream vectors.

    These are the two that are not zero, if two components change.
    """
    if not result.stacked:
        return None
    parts = np.asarray(result.upstream, dtype=np.float64).reshape(len(result.upstream), -1)
    changing = np.flatnonzero(np.ptp(parts, axis=0) > 0.0)
    live = np.flatnonzero(np.all(table.mean != 0.0, axis=0))
    if len(changing) != 2 or len(live) != 2 or not np.all(parts[:, changing] != 0.0):
        return None
    first, second = parts[:, changing].T
    ratios = table.mean[:, live[1]] / table.mean[:, live[0]]
    # which component belongs to which entry shows in the ratios: they rise with the right one
    a, b = (1, 0) if np.corrcoef(second / first, ratios)[0, 1] > 0.0 else (0, 1)
    return int(live[1]), int(live[0]), (int(changing[a]), int(changing[b]))
