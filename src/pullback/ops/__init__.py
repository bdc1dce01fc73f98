"""The op table, one module per family or subject. Read `pointwise` first: one line is one op.

Each module ends with PUBLIC (torch-level names), METHODS (Tensor methods and operators) and IN_PLACE (in-place methods).
May import `families`, `graph`, `dtypes`, `errors`, and other ops modules; nothing above.
"""

from __future__ import annotations

from pullback.ops import (
    arrange,
    compare,
    complex_numbers,
    contract,
    convert,
    create,
    extremes,
    histograms,
    index,
    join,
    linalg,
    memory,
    norms,
    pointwise,
    randomness,
    reduce,
    scans,
    scatter,
    select,
    shape,
    sorting,
    special,
    variance,
)

MODULES = (
    contract,
    linalg,
    arrange,
    create,
    index,
    join,
    memory,
    scatter,
    shape,
    convert,
    pointwise,
    randomness,
    select,
    special,
    compare,
    complex_numbers,
    reduce,
    variance,
    scans,
    extremes,
    sorting,
    histograms,
    norms,
)
