"""Random numbers inside kernels: Philox4x32-10 and what makes uniforms and normals of its words, in LLVM.

Holds `group_function`: a function that writes the numbers of one slot for one group of samples, in the
layout of `pullback.random.philox`, whose words and uniforms it gives to the bit. Read that module's header,
then `_philox`, then `group_function`. May import `pullback.random.philox` (its constants),
`compiler.functions`, `compiler.text`.

Eight calls of the generator are computed side by side as two vectors of four 64-bit lanes, the even calls
and the odd ones: a 32 x 32 -> 64 bit product needs its factors in the low halves, and what stands in the
high halves is ignored, so no word has to be moved between lanes until the last round.
"""

from __future__ import annotations

from pullback.compiler.functions.exponential import log_inside, split_normal
from pullback.compiler.functions.kit import polynomial
from pullback.compiler.functions.tables import COS4, RADIUS4
from pullback.compiler.functions.trigonometric import cosine, sine
from pullback.compiler.text import SIZES, Code, Module, V
from pullback.random.philox import MULTIPLIERS, ROUNDS, WEYL

GROUP = {"f4": (4, 16), "f8": (2, 8)}  # words x lanes of a group of samples
_LOW = 0xFFFFFFFF
_SIDE = 8  # calls of the generator side by side
_PI = 3.141592653589793


def group_function(module: Module, kind: str, t: str) -> str:
    """The name of the function (ptr out, i64 group, i32 slot, i32 stream, ptr keys) for this kind and type.

    It writes words x lanes numbers to `out` (aligned to one vector of lanes), samples in order.
    """
    name = f"{kind}.{t}"
    _, lanes = GROUP[t]

    def write(code: Code) -> None:
        group = V("%group", "i8", 1, code)
        slot, stream = (code.add(f"zext i32 %{n} to i64", "i8", 1) for n in ("slot", "stream"))
        calls = [
            _philox(code, group * lanes + start, slot, stream, "%keys") for start in range(0, lanes, _SIDE)
        ]
        joined = [_beside(list(parts)) for parts in zip(*calls, strict=True)]
        for w, numbers in enumerate(_CONVERT[kind, t](joined)):
            code.store(code.pointer("%out", t, w * lanes), numbers, align=SIZES[t] * lanes)
        code.do("ret void")

    # never in place: the call costs nothing beside its 64 numbers, and it is compiled once
    parameters = "ptr noalias %out, i64 %group, i32 %slot, i32 %stream, ptr noalias readonly %keys"
    module.function(name, "internal void", parameters, "nounwind noinline", write)
    return name


def write_keys(code: Code, key: V) -> str:
    """The address of a table of each round's two key words, each in all four 64-bit lanes."""
    table = code.add(f"alloca i64, i64 {8 * ROUNDS}, align 32", "i8", 1).ref
    low, high = key & _LOW, key.lsr(32)
    for r in range(ROUNDS):
        for k, word in enumerate(((low + r * WEYL[0]) & _LOW, (high + r * WEYL[1]) & _LOW)):
            code.store(code.pointer(table, "i8", 8 * r + 4 * k), code.wide(word, 4), align=32)
    return table


def _philox(code: Code, first: V, slot: V, stream: V, table: str) -> list[V]:
    """The four words, 8 lanes of i4 each, of the calls first .. first + 7 (first is a multiple of 8)."""
    m0, m1 = MULTIPLIERS

    def key(r: int, k: int, n: int) -> V:
        return code.load(code.pointer(table, "i8", 8 * r + 4 * k), "i8", n, align=32 if n > 1 else 8)

    # counter words 1, 2 and 3 are the same in all lanes, and so are two words of the next round: scalars
    q1 = first.lsr(32)
    p1 = slot * m1
    states: list[list[V]] = []
    for odd in range(2):
        c0 = code.wide(first & _LOW, 4) + code.per_lane([2 * i + odd for i in range(4)], "i8")
        p0 = c0 * m0
        varied = p0.lsr(32) ^ code.wide(stream ^ key(0, 1, 1), 4)
        states.append([p1.lsr(32) ^ q1 ^ key(0, 0, 1), p1 & _LOW, varied, p0])
    for r in range(1, ROUNDS):
        # in round 1 the first word is still the same in all lanes: a scalar key for a scalar
        states = _round(states, key(r, 0, 4 if r > 1 else 1), key(r, 1, 4))
    words: list[V] = []
    for even, odd_half in zip(*states, strict=True):
        both = (code.wide(even, 4) & _LOW) | (code.wide(odd_half, 4) << 32)
        words.append(code.add(f"bitcast {both.typed} to <8 x i32>", "i4", _SIDE))
    return words


def _round(states: list[list[V]], k0: V, k1: V) -> list[list[V]]:
    """One round on 64-bit lanes whose low halves count; a word that all lanes share is still a scalar.

    The steps of the two vectors are interleaved: one alone would wait for each of its products.
    """
    m0, m1 = MULTIPLIERS
    products = [((c[0] & _LOW) * m0, (c[2] & _LOW) * m1) for c in states]
    keyed = [(c[1] ^ k0, c[3] ^ k1) for c in states]
    return [
        [p1.lsr(32) ^ x1, p1, p0.lsr(32) ^ x3, p0] for (p0, p1), (x1, x3) in zip(products, keyed, strict=True)
    ]


# ------------------------------------------------------------------------------------- numbers from words


def _joined(words: list[V]) -> list[V]:
    """Two vectors of 64-bit numbers, (words 0, 1) and (words 2, 3), the first one high."""
    made: list[V] = []
    for high, low in (words[0:2], words[2:4]):
        code = high.code
        wide_high = code.add(f"zext {high.typed} to <8 x i64>", "i8", 8)
        wide_low = code.add(f"zext {low.typed} to <8 x i64>", "i8", 8)
        made.append((wide_high << 32) | wide_low)
    return made


def _uniform_single(words: list[V]) -> list[V]:
    """23 bits as the mantissa of a number in [1, 2), minus 1, plus half a cell: exact."""
    return [(w.lsr(9) | 0x3F800000).bits("f4") - (1.0 - 2.0**-24) for w in words]


def _uniform_double(words: list[V]) -> list[V]:
    return [_uniform_wide(x) for x in _joined(words)]


def _uniform_wide(x: V) -> V:
    return (x.lsr(12) | 0x3FF0000000000000).bits("f8") - (1.0 - 2.0**-53)


def _quadrants(c: V, s: V, turned: V) -> tuple[V, V]:
    """cos and sin of an angle whose quadrant is the top two bits of an integer, from those of the rest."""
    top = 31 if turned.t == "i4" else 63
    odd = (turned << 1).lt(0)
    sign = -(1 << top)
    cosine_sign, sine_sign = (turned + (1 << (top - 1))) & sign, turned & sign
    a, b = odd.select(s, c), odd.select(c, s)
    return (a.bits(turned.t) ^ cosine_sign).bits(c.t), (b.bits(turned.t) ^ sine_sign).bits(c.t)


def _normal_single(words: list[V]) -> list[V]:
    """Both pairs side by side: the steps of one wait for one another, so the other's fill the gaps."""
    n, code = words[0].n, words[0].code
    even, odd = _beside([words[0], words[2]]), _beside([words[1], words[3]])
    shift = even.lt(0).select(code.const(1.0, "f4", 2 * n), 2.0**-33)
    u = code.fma(even.to("f4"), 2.0**-32, shift)
    u = u.lt(1.0 - 2.0**-24).select(u, 1.0 - 2.0**-24)
    radius = code.intrinsic("sqrt", _minus_two_log(u))
    rest = (odd << 2) >> 2  # the low 30 bits, signed: the distance from the nearest multiple of pi/2
    r = rest.to("f4") * (2.0 * _PI * 2.0**-32)
    a, b = _quadrants(_cosine_short(r), sine(r), odd + (1 << 29))
    return [code.shuffle(z, z, range(k, k + n)) for k in (0, n) for z in (radius * a, radius * b)]


def _beside(parts: list[V]) -> V:
    """One or two vectors as one."""
    if len(parts) == 1:
        return parts[0]
    a, b = parts
    return a.code.shuffle(a, b, range(2 * a.n))


def _cosine_short(r: V) -> V:
    """cos(r) for |r| <= pi/4 to about 1 ulp."""
    z = r * r
    return r.code.fma(z, r.code.fma(z, polynomial(z, COS4), -0.5), 1.0)


def _minus_two_log(u: V) -> V:
    """-2 ln(u) for a float32 in [2**-33, 1 - 2**-24] to 1 part in 2**23, the factor in the coefficients."""
    code = u.code
    moved = u.bits("i4") - 0x3F3504F3
    g = ((moved & 0x7FFFFF) + 0x3F3504F3).bits("f4") - 1.0
    e = (moved >> 23).to("f4")
    q = polynomial(g, [-2.0 * c for c in RADIUS4])
    tail = code.fma(e, -2.0 * 0.6931471805599453, g * g * code.fma(g, q, 1.0))
    return code.fma(g, -2.0, tail)


def _normal_double(words: list[V]) -> list[V]:
    """One pair of normals; the angle's number gives 2 bits of quadrant and 52 of the rest."""
    even, odd = _joined(words)
    code = even.code
    u = _uniform_wide(even)
    radius = code.intrinsic("sqrt", log_inside(u, *split_normal(u)) * -2.0)
    turned = odd + (1 << 61)
    r = (((turned << 2).lsr(12) | 0x3FF0000000000000).bits("f8") - 1.5) * (0.5 * _PI)
    a, b = _quadrants(cosine(r), sine(r), turned)
    return [radius * a, radius * b]


_CONVERT = {
    ("uniform", "f4"): _uniform_single, ("uniform", "f8"): _uniform_double,
    ("normal", "f4"): _normal_single, ("normal", "f8"): _normal_double,
}  # fmt: skip
