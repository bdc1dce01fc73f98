"""Figures of results: sweeps, ratios, convergence, bars, brackets, eigenvalues, descents, flow.

Each function takes `ax=None` (the Axes to draw into; None makes a figure of 6 x 4 inch), returns the Axes,
never shows a figure, and writes nothing. matplotlib is imported by the first figure that is drawn. May
import: everything below the command line.
"""

from pullback.plot.bars import bars as bars
from pullback.plot.convergence import convergence as convergence
from pullback.plot.descent import descent as descent
from pullback.plot.dgsm import dgsm as dgsm
from pullback.plot.fit import Line as Line
from pullback.plot.fit import fit_line as fit_line
from pullback.plot.flow import flow as flow
from pullback.plot.ratio import ratio as ratio
from pullback.plot.subspace import active_subspace as active_subspace
from pullback.plot.sweep import sweep as sweep
