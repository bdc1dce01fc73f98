"""Every name that PyTorch also has, on the same inputs: values, dtypes, shapes, grad_fn names, gradients
and errors.

Run this file as a program for a summary and the list of what differs. `calls` is the table; `known` says
which differences there are.
"""

from __future__ import annotations

import re
import sys
from functools import cache
from pathlib import Path

import pytest

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

theirs = pytest.importorskip("torch", reason="PyTorch is the judge here")

import pullback  # noqa: E402
from differential import calls, compare, known  # noqa: E402
from pullback.methods import public_names  # noqa: E402

pytestmark = pytest.mark.peers


def words(text):
    return text.split()


# names of PyTorch's core that people use; what pullback lacks of them is printed by the summary
CORE = words("""
abs add addmm all allclose amax amin any arange argmax argmin argsort as_tensor atan2 autograd backward
bmm bool broadcast_to cat cdist ceil chunk clamp clone complex128 cos cosh cross cummax cumprod cumsum
cov det diag diagonal diff dist dot einsum empty equal erf exp expand_copy expm1 eye flatten flip float32
floor from_numpy full func gather ge gradient gt histc hstack imag index_select inner isclose isfinite
isin isnan kron lerp linalg linspace log logaddexp logsumexp lt manual_seed masked_fill masked_select
matmul max maximum mean median meshgrid min mm movedim multinomial mv narrow ne nn no_grad nonzero norm
normal numel ones optim outer permute pi polar pow prod quantile rand randint randn randperm reciprocal
relu renorm reshape roll round rsqrt save load scatter searchsorted select sigmoid sign sin softmax sort
special sparse fft split sqrt square squeeze stack std sum svd t take tan tanh tensor tensordot tile topk
trace transpose trapezoid tril triu trunc unbind unique unsqueeze utils vander var vdot view_as_real vmap
vstack where xlogy zeros select_scatter slice_scatter diagonal_scatter dsplit index_reduce logical_and
bitwise_and float_power isin cosine_similarity pairwise_distance set_printoptions set_default_dtype
get_default_dtype is_grad_enabled set_grad_enabled inference_mode enable_grad Generator Size device
typename nan_to_num nanmean nansum cartesian_prod combinations block_diag bucketize bincount i0 igamma
mvlgamma erfcx frexp ldexp gcd lcm hypot nextafter signbit count_nonzero positive swapaxes tensor_split
unflatten unravel_index vecdot masked lobpcg
""")

# names that no expression can compare, by reason
NO_RESULT = words("""
BoolTensor ByteTensor CharTensor DoubleTensor FloatTensor Generator HalfTensor IntTensor LongTensor
ShortTensor are_deterministic_algorithms_enabled compile default_generator get_num_threads get_rng_state
initial_seed layout memory_format channels_last contiguous_format preserve_format strided return_types
seed set_default_tensor_type set_num_threads set_rng_state use_deterministic_algorithms manual_seed
from_numpy empty empty_strided
""")
ELSEWHERE = words("""
backward retain_grad retains_grad requires_grad requires_grad_ register_hook
register_post_accumulate_grad_hook grad grad_fn grad_dtype is_leaf data data_ptr numpy apply_ cuda
pin_memory is_pinned share_memory_ is_shared storage is_mps is_quantized is_sparse is_inference is_cpu
resize_ put put_ empty
""")  # semantics and nn have tests of their own


PATTERNS = {**known.DELIBERATE, **known.GAPS}


@cache
def differences(name):
    """name :: expression [dtype] difference, for everything that differs."""
    found = []
    for text, dtype in calls.TABLE[name]:
        mine = compare.outcome(pullback, text, dtype)
        d = compare.difference(mine, compare.outcome(theirs, text, dtype), dtype)
        if d is not None:
            found.append(" / ".join(f"{name} :: {text} [{dtype}] {d}".split("\n")))
    return found


def is_known(line):
    return any(re.search(p, line) for p in PATTERNS.values())


@pytest.mark.parametrize("name", calls.TABLE)
def test_same_as_torch(name):
    assert [line for line in differences(name) if not is_known(line)] == []


def test_known_differences_exist():
    """What has been mended must leave the list."""
    lines = [line for name in calls.TABLE for line in differences(name)]
    assert [reason for reason, p in PATTERNS.items() if not any(re.search(p, line) for line in lines)] == []


def compared():
    """The names that some expression calls."""
    words = set()
    for cases in calls.TABLE.values():
        for text, _ in cases:
            words |= set(re.findall(r"(?:torch|linalg)\.(\w+)", text)) | set(
                re.findall(r"[\w\])]\.(\w+)", text)
            )
    return words


def test_every_public_name_is_compared():
    names = {n for n in public_names() if hasattr(theirs, n)}
    assert sorted(names - compared() - set(NO_RESULT)) == []


def test_every_method_is_compared():
    names = {n for n in dir(pullback.Tensor) if not n.startswith("_") and hasattr(theirs.Tensor, n)}
    assert sorted(names - compared() - set(NO_RESULT) - set(ELSEWHERE)) == []


def test_a_difference_is_seen():
    """The comparison itself can fail."""
    a = compare.outcome(theirs, "torch.sin(x)", "float64")
    for other in (
        "torch.cos(x)",
        "torch.sin(x.double() + 1e-11)",
        "torch.sin(x.detach())",
        "torch.sin(x)[0]",
        "torch.sin(x).float()",
        "torch.sin(1)",
    ):
        assert compare.difference(compare.outcome(theirs, other, "float64"), a, "float64"), other
    b = compare.outcome(theirs, "torch.sin(x)", "float64")
    b["gradients"]["x"] = b["gradients"]["x"] * (1 + 1e-9)
    assert compare.difference(b, a, "float64")


if __name__ == "__main__":
    lines = [line for name in calls.TABLE for line in differences(name)]
    for line in lines:
        if "-v" in sys.argv or not is_known(line):
            print(line[:300])
    total = sum(map(len, calls.TABLE.values()))
    unknown = sum(not is_known(line) for line in lines)
    print(f"{total} calls of {len(compared())} names; {len(lines)} differ, {unknown} of them unknown")
    print(
        "lacking of the core:",
        *(n for n in dict.fromkeys(CORE) if hasattr(theirs, n) and not hasattr(pullback, n)),
    )
