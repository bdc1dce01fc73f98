"""The printed form of arrays, to the character: fixed texts, and a fuzz against PyTorch.

Read `GOLDEN` first for what the texts look like; `_case` draws what the fuzz compares.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from pullback import printing
from pullback.printing import (
    array_text,
    format_scalar,
    printoptions,
    set_printoptions,
    tensor_text,
    wrapped_text,
)

F, D = np.float32, np.float64
NAN, INF = float("nan"), float("inf")


@pytest.fixture(autouse=True)
def _default_options() -> Iterator[None]:
    yield
    set_printoptions(profile="default")


# ----------------------------------------------------------------------------------------------- fixed texts

GOLDEN: list[tuple[Any, dict[str, Any], str]] = [
    (F(1), {}, "tensor(1.)"),
    (F(1.5), {}, "tensor(1.5000)"),
    (np.int64(3), {}, "tensor(3)"),
    (np.array(True), {}, "tensor(True)"),
    (F(-0.0), {}, "tensor(-0.)"),
    (F(NAN), {}, "tensor(nan)"),
    (D(1), {}, "tensor(1., dtype=torch.float64)"),
    (D(1), {"default_float": np.dtype(D)}, "tensor(1.)"),
    (F(1), {"default_float": np.dtype(D)}, "tensor(1., dtype=torch.float32)"),
    (F(123456.789), {}, "tensor(123456.7891)"),
    (F(1e8), {}, "tensor(100000000.)"),
    (F(1e9), {}, "tensor(1.0000e+09)"),
    (F(1e-4), {}, "tensor(1.0000e-04)"),
    (F(0.001), {}, "tensor(0.0010)"),
    (D(1e-4), {}, "tensor(0.0001, dtype=torch.float64)"),
    (np.array([0, -0.0, 1], F), {}, "tensor([0., -0., 1.])"),
    (np.array([1, 2.5], F), {}, "tensor([1.0000, 2.5000])"),
    (np.array([-1, 2], F), {}, "tensor([-1.,  2.])"),
    (np.array([1, INF], F), {}, "tensor([1., inf])"),
    (np.array([NAN, 2], F), {}, "tensor([nan, 2.])"),
    (np.array([-INF, 1.5], F), {}, "tensor([  -inf, 1.5000])"),
    (np.array([1, 1500.5], F), {}, "tensor([1.0000e+00, 1.5005e+03])"),
    (np.array([1, 1000], F), {}, "tensor([   1., 1000.])"),
    (np.array([1, 1001], F), {}, "tensor([1.0000e+00, 1.0010e+03])"),
    (np.array([0, 1e-5], F), {}, "tensor([0.0000e+00, 1.0000e-05])"),
    (np.array([1, -20, 300]), {}, "tensor([  1, -20, 300])"),
    (np.array([True, False]), {}, "tensor([ True, False])"),
    (np.array([1.5, 2], np.float16), {}, "tensor([1.5000, 2.0000], dtype=torch.float16)"),
    (np.array([3], np.uint8), {}, "tensor([3], dtype=torch.uint8)"),
    (np.array([1 + 2j, 3.5 - 1j], np.complex64), {}, "tensor([1.0000+2.j, 3.5000-1.j])"),
    (np.complex64(1j), {}, "tensor(0.+1.j)"),
    (np.array([], F), {}, "tensor([])"),
    (np.zeros((0, 3), F), {}, "tensor([], size=(0, 3))"),
    (np.zeros((0, 2), np.int64), {}, "tensor([], size=(0, 2), dtype=torch.int64)"),
    (np.zeros(0, bool), {}, "tensor([], dtype=torch.bool)"),
    (np.array([], F), {"requires_grad": True}, "tensor([], requires_grad=True)"),
    (np.array([1, 2], F), {"requires_grad": True}, "tensor([1., 2.], requires_grad=True)"),
    (
        np.array([2.0, 4.0]),
        {"grad_fn": "MulBackward0", "requires_grad": True},
        "tensor([2., 4.], dtype=torch.float64, grad_fn=<MulBackward0>)",
    ),
    (np.array([1, 2], F), {"tangent": "tensor([3., 4.])"}, "tensor([1., 2.], tangent=tensor([3., 4.]))"),
    (np.array([[1, 2.5]] * 2, F), {"prefix": "Sub("}, "Sub([[1.0000, 2.5000],\n     [1.0000, 2.5000]])"),
    (
        np.arange(8).reshape(2, 2, 2),
        {},
        "tensor([[[0, 1],\n         [2, 3]],\n\n        [[4, 5],\n         [6, 7]]])",
    ),
    (
        np.array([0.0, 1.5, 3.0, 4.5, 6.0]),
        {"grad_fn": "MulBackward0"},
        "tensor([0.0000, 1.5000, 3.0000, 4.5000, 6.0000], dtype=torch.float64,\n"
        "       grad_fn=<MulBackward0>)",
    ),
    (
        np.arange(1200).reshape(40, 30),
        {},
        "tensor([[   0,    1,    2,  ...,   27,   28,   29],\n"
        "        [  30,   31,   32,  ...,   57,   58,   59],\n"
        "        [  60,   61,   62,  ...,   87,   88,   89],\n"
        "        ...,\n"
        "        [1110, 1111, 1112,  ..., 1137, 1138, 1139],\n"
        "        [1140, 1141, 1142,  ..., 1167, 1168, 1169],\n"
        "        [1170, 1171, 1172,  ..., 1197, 1198, 1199]])",
    ),
]


@pytest.mark.parametrize(("value", "arguments", "expected"), GOLDEN, ids=[text[:40] for *_, text in GOLDEN])
def test_fixed_texts(value: Any, arguments: dict[str, Any], expected: str) -> None:
    assert tensor_text(value, **arguments) == expected


def test_long_rows_break_and_suffixes_follow_the_last_line() -> None:
    values = [-3.7349, -3.5813, -3.4041, -3.1998, -2.9641, -2.6921, -2.3784, -2.0166, -1.5991, -1.1176]
    assert tensor_text(np.array(values, F), grad_fn="LogSoftmaxBackward0") == (
        "tensor([-3.7349, -3.5813, -3.4041, -3.1998, -2.9641, -2.6921, -2.3784, -2.0166,\n"
        "        -1.5991, -1.1176], grad_fn=<LogSoftmaxBackward0>)"
    )
    short = tensor_text(np.linspace(0, 1, 6, dtype=F), grad_fn="ReluBackward0")
    assert short.endswith("1.0000],\n       grad_fn=<ReluBackward0>)")


def test_rows_break_at_the_column_that_the_format_asks_for() -> None:
    # Zeros alone count as one column wide, a complex element as both parts and the sign.
    with printoptions(linewidth=22, threshold=8, edgeitems=2):
        assert array_text(np.zeros(6), 7) == "[0., 0., 0., 0., 0.,\n        0.]"
        rows = "[[   0, 1000,\n         2000],\n        [3000, 4000,\n         5000]]"
        assert array_text(np.arange(6).reshape(2, 3) * 1000, 7) == rows
        assert array_text(np.ones((2, 2)) / 2) == "[[0.5000, 0.5000],\n [0.5000, 0.5000]]"
        # Above the threshold, but no axis longer than the two ends: everything is shown.
        assert array_text(np.ones((1, 4, 4), np.int64), 7).split("\n")[0] == "[[[1, 1, 1, 1],"
    with printoptions(linewidth=28):
        pairs = np.array([1 + 2.5j, 3, 4j])
        assert array_text(pairs, 7) == "[1.+2.5000j,\n        3.+0.0000j,\n        0.+4.0000j]"


def test_suffixes_break_where_pytorch_counts_the_columns() -> None:
    column = tensor_text(np.ones((2, 1)))
    assert column == "tensor([[1.],\n        [1.]], dtype=torch.float64)"
    for linewidth, on_a_line_of_its_own in ((35, True), (36, False)):
        with printoptions(linewidth=linewidth):
            assert (tensor_text(np.ones((2, 1))) != column) is on_a_line_of_its_own
    with printoptions(linewidth=33):
        assert tensor_text(np.ones(1)) == "tensor([1.],\n       dtype=torch.float64)"


def test_settings_apply_profile_first_and_reset_sci_mode() -> None:
    set_printoptions(sci_mode=True)
    assert array_text(F(2)) == "2.0000e+00"
    set_printoptions(precision=2)
    assert printing.get_printoptions() == printing.PrintOptions(precision=2)
    set_printoptions(profile="short", edgeitems=1, threshold=3)
    assert array_text(np.arange(5)) == "[0,  ..., 4]"
    set_printoptions(profile="no such profile")
    assert printing.get_printoptions().edgeitems == 1
    set_printoptions(profile="full")
    assert array_text(np.zeros(1500, int)).count("0") == 1500


def test_printoptions_restores_after_an_error() -> None:
    with pytest.raises(KeyError), printoptions(precision=1):
        assert array_text(F(0.25)) == "0.2"
        raise KeyError
    assert printing.get_printoptions() == printing.PrintOptions()


@pytest.mark.parametrize("name", ["precision", "edgeitems"])
def test_negative_settings_are_refused_and_change_nothing(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name} must not be negative"):
        set_printoptions(linewidth=10, **{name: -1})
    assert printing.get_printoptions() == printing.PrintOptions()


def test_without_edgeitems_the_size_is_stated() -> None:
    with printoptions(edgeitems=0, threshold=3):
        assert tensor_text(np.ones((3, 3), F)) == "tensor([...], size=(3, 3))"
        assert tensor_text(np.ones(3, F)) == "tensor([1., 1., 1.], size=(3,))"
        assert tensor_text(np.ones(0, F)) == "tensor([])"


def test_a_summary_reads_only_what_it_shows() -> None:
    # 10**12 elements of one repeated number: reading them all is not possible, showing 6**3 of them is.
    huge = np.broadcast_to(F(1), (10**4,) * 3)
    assert tensor_text(huge).count("1.") == 6**3


def test_scalars_format_as_their_number_and_arrays_refuse_a_spec() -> None:
    assert format_scalar(np.array(1.23456, F), ".2f") == "1.23"
    assert format_scalar(np.float16(1.5), "") == "1.5"
    assert format_scalar(np.array(True), "") == "True"
    assert format_scalar(np.complex64(1 + 2j), ".1f") == "1.0+2.0j"
    with pytest.raises(ValueError, match=r"^Unknown format code 'd' for object of type 'float'"):
        format_scalar(np.array(3.0), "d")
    with pytest.raises(TypeError, match=r"^unsupported format string passed to Tensor.__format__\n.*\(3,\)"):
        format_scalar(np.ones(3), ".2f")
    with pytest.raises(TypeError, match=r"^unsupported format string passed to Parameter.__format__"):
        format_scalar(np.array(3.0), ".2f", "Parameter")


def test_wrapped_texts_nest_and_keep_blank_lines_empty() -> None:
    inner = wrapped_text("BatchedTensor", 1, 0, tensor_text(np.ones((2, 1, 1), F)))
    assert wrapped_text("GradTrackingTensor", 2, None, inner) == (
        "GradTrackingTensor(lvl=2, value=\n"
        "    BatchedTensor(lvl=1, bdim=0, value=\n"
        "        tensor([[[1.]],\n"
        "\n"
        "                [[1.]]])\n"
        "    )\n"
        ")"
    )


# ------------------------------------------------------------------------------------------- against PyTorch

SHAPES = [
    (), (1,), (2,), (5,), (7,), (12,), (100,), (1001,), (0,),
    (2, 3), (3, 40), (0, 3), (3, 0), (40, 30), (1, 1001), (1001, 1),
    (2, 3, 4), (8, 9, 20), (2, 0, 4), (1, 1, 1), (6, 6, 30),
    (2, 2, 2, 3), (7, 6, 8, 5), (1, 0, 0, 2),
]  # fmt: skip
DTYPES = [
    "float16",
    "float32",
    "float64",
    "complex64",
    "complex128",
    "bool",
    "uint8",
    "int8",
    "int16",
    "int32",
    "int64",
]
OPTIONS: list[dict[str, Any]] = [
    {"profile": "default"},
    {"profile": "short"},
    {"profile": "full"},
    {"precision": 2},
    {"precision": 0},
    {"precision": 10, "linewidth": 120},
    {"linewidth": 40},
    {"linewidth": 0},
    {"threshold": 5, "edgeitems": 1},
    {"threshold": 5, "edgeitems": 2, "linewidth": 30},
    {"threshold": 0, "edgeitems": 0},
    {"threshold": 50, "edgeitems": 0},
    {"sci_mode": True},
    {"sci_mode": False},
    {"profile": "short", "precision": 6, "sci_mode": True},
]


def _reals(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Numbers of one of the kinds that choose different formats, sometimes with zeros, inf and nan."""
    kind = rng.integers(7)
    x = rng.standard_normal(shape)
    if kind == 0:
        x = np.round(x * 10.0 ** rng.integers(0, 5))
    elif kind == 1:
        x = x * 10.0 ** rng.integers(-9, 10)
    elif kind == 2:
        x = x * 10.0 ** rng.uniform(-5, 5, shape)
    elif kind == 3:
        x = rng.choice([1.0, 1000.0, 1001.0, 1e8, 1e-4, 0.9e-4, 99999999.0, 0.1, -0.5], shape)
    elif kind == 4:
        x = x * 10.0 ** rng.uniform(-320, 300, shape)
    elif kind == 5:
        x = np.zeros(shape)
    if rng.random() < 0.4:
        special = rng.choice([0.0, -0.0, INF, -INF, NAN, 1.0], shape)
        x = np.where(rng.random(shape) < rng.random(), special, x)
    return np.asarray(x)


def _case(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray[Any, Any]:
    if dtype == "bool":
        return np.asarray(rng.random(shape) < rng.choice([0.0, 0.5, 1.0]))
    with np.errstate(all="ignore"):
        if dtype.startswith("float"):
            return np.asarray(_reals(rng, shape).astype(dtype))
        if dtype.startswith("complex"):
            out = np.empty(shape, dtype)
            out.real, out.imag = _reals(rng, shape), _reals(rng, shape)
            return out
    limits = np.iinfo(dtype)
    bound = min(int(10 ** rng.uniform(0, 19)), int(limits.max))
    return np.asarray(rng.integers(max(-bound, int(limits.min)), bound, shape, dtype, endpoint=True))


@pytest.fixture(scope="module")
def torch() -> Iterator[Any]:
    module = pytest.importorskip("torch")
    yield module
    module.set_printoptions(profile="default")
    module.set_default_dtype(module.float32)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_texts_equal_those_of_torch(torch: Any, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(OPTIONS.index(options))
    torch.set_printoptions(profile="default")
    torch.set_printoptions(**options)
    set_printoptions(**options)
    for shape in SHAPES:
        for dtype in DTYPES:
            array = _case(rng, shape, dtype)
            if options.get("profile") == "full" and array.size > 1100:
                continue  # slow in PyTorch, and longer rows of the same layout
            tensor = torch.from_numpy(array.copy())
            assert tensor_text(array) == repr(tensor), (shape, dtype)
            if dtype.startswith(("float", "complex")):
                leaf = tensor.requires_grad_()
                assert tensor_text(array, requires_grad=True) == repr(leaf), (shape, dtype)
                out = leaf.view_as(leaf) if rng.random() < 0.5 else leaf.clone()
                text = tensor_text(array, grad_fn=type(out.grad_fn).__name__, requires_grad=True)
                assert text == repr(out), (shape, dtype)


@pytest.mark.parametrize("default", ["float16", "float32", "float64"])
def test_the_default_dtype_decides_which_dtypes_are_named(torch: Any, default: str) -> None:
    torch.set_printoptions(profile="default")
    torch.set_default_dtype(getattr(torch, default))
    try:
        for dtype in DTYPES:
            for shape in ((), (2,), (0,), (0, 2)):
                array = np.ones(shape, dtype)
                text = tensor_text(array, default_float=np.dtype(default))
                assert text == repr(torch.from_numpy(array)), (dtype, shape)
    finally:
        torch.set_default_dtype(torch.float32)


def test_suffixes_wrap_where_those_of_torch_wrap(torch: Any) -> None:
    torch.set_printoptions(profile="default")
    for size in range(1, 40):
        for rows in (1, 2):
            array = np.ones((rows, size)).squeeze()
            tensor = torch.from_numpy(array).requires_grad_()
            for out in (tensor, tensor.view_as(tensor), tensor.exp().log(), tensor.log_softmax(0)):
                value = out.detach().numpy()
                name = None if out.grad_fn is None else type(out.grad_fn).__name__
                assert tensor_text(value, grad_fn=name, requires_grad=True) == repr(out)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
def test_transforms_and_dual_numbers_print_as_in_torch(torch: Any) -> None:
    torch.set_printoptions(profile="default")
    seen: list[str] = []

    def record(x: Any) -> Any:
        seen.append(repr(x))
        return x.sum()

    array = np.arange(8, dtype=F).reshape(2, 2, 2)
    tensor = torch.from_numpy(array)
    torch.func.vmap(record, in_dims=1)(tensor)
    torch.func.vmap(torch.func.grad(record))(tensor)
    batched = wrapped_text("BatchedTensor", 1, 0, tensor_text(array))
    assert seen == [
        wrapped_text("BatchedTensor", 1, 1, tensor_text(array)),
        wrapped_text("GradTrackingTensor", 2, None, batched),
    ]
    forward = torch.autograd.forward_ad
    with forward.dual_level():
        primal, tangent = np.linspace(0, 1, 20), np.linspace(1, 3, 20)
        dual = forward.make_dual(torch.from_numpy(primal).float(), torch.from_numpy(tangent).float())
        expected = tensor_text(primal.astype(F), tangent=tensor_text(tangent.astype(F)))
        assert expected == repr(dual)


def test_formatting_equals_that_of_torch(torch: Any) -> None:
    for value in (
        np.array(1.5, F),
        np.array(3),
        np.array(True),
        np.array(1 + 2j, np.complex64),
        np.float16(0.1),
    ):
        tensor = torch.from_numpy(np.asarray(value))
        for spec in ("", ".3f", "10.2e", "d", ">8", "+"):
            try:
                expected = format(tensor, spec)
            except (TypeError, ValueError) as error:
                with pytest.raises(type(error)) as caught:
                    format_scalar(value, spec)
                assert str(caught.value) == str(error)
            else:
                assert format_scalar(value, spec) == expected
