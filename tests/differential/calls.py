"""The expressions that are compared: generated ones for whole classes of functions, others from calls.txt."""

from __future__ import annotations

import re
from pathlib import Path

ALL = ("float64", "float32", "int64", "bool", "complex128")
FLOATS = ("float64", "float32")
NUMBERS = ("float64", "float32", "int64", "complex128")
F64 = ("float64",)

REALS = ("float64", "int64")
KINDS = {"all": ALL, "floats": FLOATS, "numbers": NUMBERS, "double": F64, "reals": REALS}


def words(text: str) -> list[str]:
    """The words of a text."""
    return text.split()


UNARY = words("""
abs absolute acos acosh angle arccos arccosh arcsin arcsinh arctan arctanh asin asinh atan atanh bitwise_not
ceil conj cos cosh deg2rad digamma erf erfc erfinv exp exp2 expm1 fix floor frac isfinite isinf isnan
isneginf isposinf isreal lgamma log log10 log1p log2 logical_not logit nan_to_num neg negative positive
rad2deg reciprocal relu round rsqrt sgn sigmoid sign signbit sin sinc sinh sqrt square tan tanh trunc
""")
UNARY_METHODS = words("""
abs absolute acos acosh angle arccos arccosh arcsin arcsinh arctan arctanh asin asinh atan atanh bitwise_not
ceil cos cosh deg2rad digamma erf erfc erfinv exp exp2 expm1 fix floor frac isfinite isinf isnan isneginf
isposinf isreal lgamma log log10 log1p log2 logical_not logit nan_to_num neg negative positive rad2deg
reciprocal relu round rsqrt sgn sigmoid sign signbit sin sinc sinh sqrt square tan tanh trunc conj
""")
UNARY_IN_PLACE = words("""
abs_ absolute_ acos_ acosh_ arccos_ arccosh_ arcsin_ arcsinh_ arctan_ arctanh_ asin_ asinh_ atan_ atanh_
bitwise_not_ ceil_ cos_ cosh_ deg2rad_ digamma_ erf_ erfc_ erfinv_ exp_ exp2_ expm1_ fix_ floor_ frac_
lgamma_ log_ log10_ log1p_ log2_ logical_not_ logit_ nan_to_num_ neg_ negative_ rad2deg_ reciprocal_ relu_
round_ rsqrt_ sgn_ sigmoid_ sign_ sin_ sinc_ sinh_ sqrt_ square_ tan_ tanh_ trunc_
""")
BINARY = words("""
add arctan2 atan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor copysign div
divide eq float_power floor_divide fmax fmin fmod ge greater greater_equal gt heaviside hypot le less
less_equal logaddexp logaddexp2 logical_and logical_or logical_xor lt maximum minimum mul multiply ne
not_equal pow remainder rsub sub subtract true_divide xlogy
""")
BINARY_IN_PLACE = [
    f"{n}_"
    for n in BINARY
    if n not in ("fmax", "fmin", "logaddexp", "logaddexp2", "maximum", "minimum", "rsub")
]
OPERATORS = words("+ - * / // % ** == != < <= > >= & | ^ << >> @")

DIM = words("""
all amax amin any count_nonzero logsumexp mean nanmean nansum std sum var
""")
DIM_ONE = words("argmax argmin cummax cummin cumprod cumsum logcumsumexp max median min mode nanmedian prod")


def sections():
    """The sections of calls.txt: name -> (dtypes, expressions)."""
    found: dict[str, tuple[tuple[str, ...], list[str]]] = {}
    for line in (Path(__file__).parent / "calls.txt").read_text(encoding="utf-8").splitlines():
        header = re.fullmatch(r"\[(.+): ([a-z0-9 ]+)\]", line)
        if header:
            name, kinds = header.groups()
            found[name] = (KINDS.get(kinds) or tuple(kinds.split()), [])
        elif found and line.strip():
            found[name][1].append(line.strip())
    return found


def expand():
    """name -> [(expression, dtype), ...]"""
    table: dict[str, list[tuple[str, str]]] = {}
    for n in UNARY:
        table[n] = [(f"torch.{n}({a})", d) for d in ALL for a in ("x", "s", "e")]
        table[n] += [(f"torch.{n}(unit)", d) for d in FLOATS]
    for n in UNARY_METHODS:
        table.setdefault(n, []).extend((f"x.{n}()", d) for d in ("float64", "int64"))
    for n in UNARY_IN_PLACE:
        table[n] = [(f"{a}.clone().{n}()", d) for d in ALL for a in ("x", "s")]
    for n in BINARY:
        pairs = ("x, y", "x, v", "c, v", "x, s", "s, x", "s, s2", "e, v", "x, q")
        table[n] = [(f"torch.{n}({p})", d) for d in ALL for p in pairs]
        table[n] += [(f"torch.{n}(x, {k})", d) for d in ALL for k in ("2", "0.5", "True")]
        table[n] += [(f"torch.{n}(x, {o})", d) for d in ALL for o in ("n", "b", "l")]
        table[n] += [(f"torch.{n}(2, x)", d) for d in ("float64", "int64")]
        if n != "rsub":
            table[n] += [(f"x.{n}(y)", d) for d in ALL]
    for n in BINARY_IN_PLACE:
        table[n] = [(f"x.clone().{n}({o})", d) for d in ALL for o in ("y", "v", "2", "0.5", "q", "n")]
    for op in OPERATORS:
        forms = [
            f"x {op} y",
            f"x {op} 2",
            f"2 {op} x",
            f"x {op} 1.5",
            f"x {op} v",
            f"s {op} x",
            f"x {op} n",
            f"x {op} q",
            f"x {op} None",
        ]
        table[f"operator {op}"] = [(f, d) for d in ALL for f in forms]
    table["operator unary"] = [
        (f, d)
        for d in ALL
        for f in ("-x", "+x", "~x", "abs(x)", "round(x)", "divmod(x, 2)", "2 in x", "not s")
    ]
    for n in DIM + DIM_ONE:
        forms = [
            f"torch.{n}(x)",
            f"torch.{n}(x, 0)",
            f"x.{n}(1)",
            f"x.{n}(-1)",
            f"torch.{n}(s)",
            f"torch.{n}(s, 0)",
            f"x.{n}(dim=1)",
            f"x.{n}(7)",
            f"e.{n}(0)",
            f"e.{n}(1)",
        ]
        forms += (
            [f"x.{n}(1, keepdim=True)"]
            if n not in ("cummax", "cummin", "cumprod", "cumsum", "logcumsumexp", "count_nonzero")
            else []
        )
        forms += [f"t3.{n}((0, 2))"] if n in DIM else []
        table[f"{n} along"] = [(f, d) for d in ALL for f in forms]
    for n, (kinds, expressions) in sections().items():
        table.setdefault(n, []).extend((e, d) for d in kinds for e in expressions)
    return table


TABLE = expand()
