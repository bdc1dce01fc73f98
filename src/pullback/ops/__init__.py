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
    index,
    join,
    linalg,
    memory,
    pointwise,
    randomness,
    scatter,
    select,
    shape,
    special,
)

MODULES = (contract, linalg, arrange, create, index, join, memory, scatter, shape, convert, pointwise, randomness, select, special, compare, complex_numbers)
