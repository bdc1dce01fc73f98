"""Linear algebra: one file per op. Read `common` first (checks), then `inv`, the shortest op.

Each file gives the public functions of one op; this module collects them: LINALG for the torch.linalg room,
PUBLIC and METHODS for torch and Tensor. May import `families`, `graph`, other ops modules.
"""

from __future__ import annotations

from typing import Any

from pullback.ops.contract import matmul
from pullback.ops.contract_more import linalg_cross, multi_dot
from pullback.ops.linalg.cholesky import cholesky, cholesky_ex, torch_cholesky
from pullback.ops.linalg.det import det, linalg_slogdet, logdet, slogdet
from pullback.ops.linalg.eig import eig, eigvals
from pullback.ops.linalg.eigh import eigh, eigvalsh
from pullback.ops.linalg.expm import linalg_matrix_exp, matrix_exp
from pullback.ops.linalg.inv import inv, inv_ex, inverse
from pullback.ops.linalg.norms import cond, matrix_norm, matrix_rank, norm
from pullback.ops.linalg.pinv import lstsq, pinv, pinverse
from pullback.ops.linalg.powers import linalg_diagonal, matrix_power, tensorinv, tensorsolve, vander, vecdot
from pullback.ops.linalg.qr import qr, torch_qr
from pullback.ops.linalg.solve import solve, solve_ex
from pullback.ops.linalg.svd import svd, svdvals, torch_svd
from pullback.ops.linalg.triangular import (
    cholesky_inverse,
    cholesky_solve,
    solve_triangular,
    triangular_solve,
)
from pullback.ops.norms import vector_norm

LINALG: dict[str, Any] = {
    "cholesky": cholesky,
    "cholesky_ex": cholesky_ex,
    "cond": cond,
    "cross": linalg_cross,
    "det": det,
    "diagonal": linalg_diagonal,
    "eig": eig,
    "eigh": eigh,
    "eigvals": eigvals,
    "eigvalsh": eigvalsh,
    "inv": inv,
    "inv_ex": inv_ex,
    "lstsq": lstsq,
    "matmul": matmul,
    "matrix_exp": linalg_matrix_exp,
    "matrix_norm": matrix_norm,
    "matrix_power": matrix_power,
    "matrix_rank": matrix_rank,
    "multi_dot": multi_dot,
    "norm": norm,
    "pinv": pinv,
    "qr": qr,
    "slogdet": linalg_slogdet,
    "solve": solve,
    "solve_ex": solve_ex,
    "solve_triangular": solve_triangular,
    "svd": svd,
    "svdvals": svdvals,
    "tensorinv": tensorinv,
    "tensorsolve": tensorsolve,
    "vander": vander,
    "vecdot": vecdot,
    "vector_norm": vector_norm,
}
PUBLIC: dict[str, Any] = {
    "inverse": inverse,
    "det": det,
    "logdet": logdet,
    "slogdet": slogdet,
    "cholesky": torch_cholesky,
    "qr": torch_qr,
    "svd": torch_svd,
    "pinverse": pinverse,
    "cholesky_solve": cholesky_solve,
    "cholesky_inverse": cholesky_inverse,
    "triangular_solve": triangular_solve,
    "matrix_exp": matrix_exp,
    "matrix_power": matrix_power,
}
METHODS: dict[str, Any] = dict(PUBLIC)
IN_PLACE: dict[str, Any] = {}
