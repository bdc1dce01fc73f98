"""torch.einsum: sums of products in index notation, with ellipsis, repeated indices and implicit outputs.

Read `einsum` first, then `parse`. Operands are brought to unique labels (diagonals of repeated ones, squeezed
stretched ones) and contracted two at a time by the contraction family's `product`. May import `families`,
`errors`.
"""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_lowercase, ascii_uppercase
from typing import Any

from pullback.errors import message
from pullback.families.contraction import product
from pullback.graph.tensor import Tensor

# labels are numbers: the letters in PyTorch's order (capitals first), then the dimensions that an ellipsis
# stands for
LETTERS = ascii_uppercase + ascii_lowercase
DOTS = 52
TODO = "an equation looks like 'ij,jk->ik': one letter per dimension, operands separated by commas"
Labels = list[int]


def einsum(*args: Any) -> Any:
    """Products of tensors, summed over the indices that the output does not name.

    einsum("ij,jk->ik", a, b)          an equation and the operands (or one list of them)
    einsum(a, [0, 1], b, [1, 2], [0, 2])   the operands, each with its list of indices, and the output's

    Without "->" the output has the indices that occur once, in alphabetical order, after those of an
    ellipsis. "ii" takes a diagonal, "..." stands for the dimensions that are not named and broadcasts.

    >>> import pullback as torch
    >>> einsum("ij,j->i", torch.ones(2, 3), torch.ones(3))
    tensor([3., 3.])
    """
    equation, operands = _form(args)
    if isinstance(equation, str):
        inputs, output = parse(equation, operands)
    else:
        inputs, output = equation
    return contract_all(operands, inputs, output)


def _form(args: Sequence[Any]) -> tuple[Any, list[Any]]:
    """The equation (or lists of labels) and the operands, from either calling form."""
    if len(args) < 2:
        raise ValueError(
            "einsum(): must specify the equation string and at least one operand, or at least one operand "
            "and its subscripts list"
        )
    if isinstance(args[0], Tensor):
        return _sublists(args)
    equation: Any = args[0]
    operands: list[Any] = list(args[1:])
    if not isinstance(equation, str):
        first = f"einsum(): argument 'equation' (position 1) must be str, not {type(equation).__name__}"
        raise TypeError(message(first, "", TODO))
    if len(operands) == 1 and isinstance(operands[0], list | tuple):
        operands = list(operands[0])
    for k, a in enumerate(operands):
        if not isinstance(a, Tensor):
            kind = type(a).__name__
            first = f"einsum(): argument 'operands' (position {k + 2}) must be Tensor, not {kind}"
            raise TypeError(message(first, "", "wrap the value: torch.tensor(value)"))
    return equation, operands


def _sublists(args: Sequence[Any]) -> tuple[tuple[list[Labels], Labels | None], list[Any]]:
    operands = list(args[0 : 2 * (len(args) // 2) : 2])
    lists = list(args[1::2])
    given = list(args[-1]) if len(args) % 2 else None
    ranks = [a.ndim for a in operands]
    inputs = [_spread(_numbers(s), n, k) for k, (s, n) in enumerate(zip(lists, ranks, strict=True))]
    dots = max((sum(c >= DOTS for c in part) for part in inputs), default=0)
    inputs = [_aligned(part, dots) for part in inputs]
    if given is None:
        return (inputs, None), operands
    numbers = _numbers(given)
    return (inputs, _with_dots(numbers, dots)), operands


def _numbers(sublist: Any) -> list[int | None]:
    found: list[int | None] = []
    for s in sublist:
        if s is Ellipsis:
            found.append(None)
        elif isinstance(s, int) and 0 <= s < DOTS:
            found.append(s)
        else:
            first = f"einsum(): expected subscripts to be integers in [0, 52) or Ellipsis, but got {s!r}"
            raise ValueError(message(first))
    return found


def parse(equation: str, operands: Sequence[Any]) -> tuple[list[Labels], Labels | None]:
    """The labels of each operand and of the output (None: implicit), ellipses spelled out."""
    left, arrow, right = equation.partition("->")
    at = 0
    parts: list[list[int | None]] = []
    for k, part in enumerate(left.split(",")):
        parts.append(_scan(part, k, at))
        at += len(part) + 1
    if len(parts) != len(operands):
        few = "fewer" if len(operands) < len(parts) else "more"
        first = f"einsum(): {few} operands were provided than specified in the equation"
        raise RuntimeError(
            message(first, f"'{equation}' has {len(parts)} operands, {len(operands)} were given", TODO)
        )
    inputs = [_spread(part, a.ndim, k) for k, (part, a) in enumerate(zip(parts, operands, strict=True))]
    dots = max((sum(c >= DOTS for c in part) for part in inputs), default=0)
    inputs = [_aligned(part, dots) for part in inputs]
    if not arrow:
        return inputs, None
    return inputs, _with_dots(_scan(right, None, len(left) + 2), dots)


def _scan(part: str, operand: int | None, at: int) -> list[int | None]:
    """The labels of one operand's text; None stands for its ellipsis."""
    found: list[int | None] = []
    i = 0
    where = f"for operand {operand}" if operand is not None else "for output"
    twice = "for which" if operand is not None else "but"
    twice = f"{twice} an ellipsis {'' if operand is not None else '(...) '}was already found"
    while i < len(part):
        c = part[i]
        if c == " ":
            i += 1
        elif c == ".":
            if None in found:
                raise RuntimeError(message(f"einsum(): found '.' {where} {twice}", "", TODO))
            if part[i : i + 3] != "...":
                raise RuntimeError(
                    message(f"einsum(): found '.' {where} that is not part of any ellipsis", "", TODO)
                )
            found.append(None)
            i += 3
        elif c in LETTERS:
            found.append(LETTERS.index(c))
            i += 1
        else:
            first = (
                f"einsum(): invalid subscript given at index {at + i} in the equation string, subscripts "
                "must be in [a-zA-Z]"
            )
            raise RuntimeError(message(first, f"found {c!r}", TODO))
    return found


def _spread(part: list[int | None], rank: int, k: int) -> Labels:
    """An operand's labels with its ellipsis as labels DOTS, DOTS + 1, ... (counted from its own first)."""
    named = len(part) - (None in part)
    if named != rank and (None not in part or named > rank):
        counts = (
            f"einsum(): the number of subscripts in the equation ({named}) {{}} the number of dimensions "
            f"({rank}) for operand {k}"
        )
        if None in part:
            raise RuntimeError(message(counts.format("is more than"), "", TODO))
        raise RuntimeError(message(counts.format("does not match") + " and no ellipsis was given", "", TODO))
    found: Labels = []
    for c in part:
        found += range(DOTS, DOTS + rank - named) if c is None else [c]
    return found


def _aligned(part: Labels, dots: int) -> Labels:
    """Ellipses of different lengths are aligned at their last dimension, as broadcasting does."""
    shift = dots - sum(c >= DOTS for c in part)
    return [c + shift if c >= DOTS else c for c in part]


def _with_dots(part: list[int | None], dots: int) -> Labels:
    found: Labels = []
    for c in part:
        found += range(DOTS, DOTS + dots) if c is None else [c]
    return found


def contract_all(operands: Sequence[Any], inputs: Sequence[Labels], output: Labels | None) -> Any:
    """Check the labels against the sizes, then contract pair by pair."""
    if output is None:
        seen = [c for part in inputs for c in part]
        output = sorted({c for c in seen if c >= DOTS}) + sorted(
            c for c in set(seen) if c < DOTS and seen.count(c) == 1
        )
    _check_output(output, inputs)
    pairs = [_unique(a, part, k) for k, (a, part) in enumerate(zip(operands, inputs, strict=True))]
    sizes = _sizes(pairs)
    pairs = [_squeezed(a, part, sizes) for a, part in pairs]
    if len(pairs) == 1:
        return _single(*pairs[0], output)
    while len(pairs) > 1:
        i, j = _cheapest(pairs, output, sizes) if len(pairs) > 2 else (0, 1)
        b, a = pairs.pop(j), pairs.pop(i)
        later = set(output).union(*(part for _, part in pairs))
        pairs.insert(i, _pair(a, b, output if not pairs else None, later))
    return pairs[0][0]


def _letter(c: int) -> str:
    return LETTERS[c] if c < DOTS else "..."


def _check_output(output: Labels, inputs: Sequence[Labels]) -> None:
    for c in output:
        if output.count(c) > 1:
            raise RuntimeError(
                message(
                    f"einsum(): output subscript {_letter(c)} appears more than once in the output", "", TODO
                )
            )
        if all(c not in part for part in inputs):
            first = (
                f"einsum(): output subscript {_letter(c)} does not appear in the equation for any input "
                "operand"
            )
            raise RuntimeError(message(first, "", TODO))


def _unique(a: Any, part: Labels, k: int) -> tuple[Any, Labels]:
    """Diagonals of repeated labels, so that each occurs once."""
    part = list(part)
    for c in dict.fromkeys(part):
        while part.count(c) > 1:
            i = part.index(c)
            j = part.index(c, i + 1)
            m, n = a.shape[i], a.shape[j]
            if m != n:
                first = (
                    f"einsum(): subscript {_letter(c)} is repeated for operand {k} but the sizes don't "
                    f"match, {n} != {m}"
                )
                raise RuntimeError(
                    message(first, f"the operand has shape {list(a.shape)}", "a diagonal needs equal sizes")
                )
            a = a.diagonal(0, i, j)
            del part[j], part[i]
            part.append(c)
    return a, part


def _sizes(pairs: Sequence[tuple[Any, Labels]]) -> dict[int, int]:
    sizes: dict[int, int] = {}
    for k, (a, part) in enumerate(pairs):
        for c, n in zip(part, a.shape, strict=True):
            have = sizes.setdefault(c, n)
            if have != n and 1 not in (have, n):
                first = (
                    f"einsum(): subscript {_letter(c)} has size {n} for operand {k} which does not "
                    "broadcast with previously "
                    f"seen size {have}"
                )
                raise RuntimeError(
                    message(first, f"operand {k} has shape {list(a.shape)}", "equal labels need equal sizes")
                )
            sizes[c] = n if have == 1 else have
    return sizes


def _squeezed(a: Any, part: Labels, sizes: dict[int, int]) -> tuple[Any, Labels]:
    """Without the dimensions of size 1 that another operand stretches."""
    stretched = [i for i, c in enumerate(part) if sizes[c] != 1 and a.shape[i] == 1]
    for i in reversed(stretched):
        a = a.squeeze(i)
    return a, [c for i, c in enumerate(part) if i not in stretched]


def _single(a: Any, part: Labels, output: Labels) -> Any:
    """One operand: bring the output's labels to the front, sum the others."""
    rest = [c for c in part if c not in output]
    a = a.permute([part.index(c) for c in [*output, *rest]])
    return a.sum(tuple(range(len(output), len(part)))) if rest else a


def _pair(
    a: tuple[Any, Labels], b: tuple[Any, Labels], output: Labels | None, later: set[int]
) -> tuple[Any, Labels]:
    (x, p), (y, q) = a, b
    kept = output if output is not None else [c for c in dict.fromkeys([*p, *q]) if c in later]
    if x.dtype is not y.dtype:
        if any(c in q and c not in kept for c in p):
            first = f"expected scalar type {x.dtype.word} but found {y.dtype.word}"
            raise RuntimeError(
                message(first, "products that are summed do not promote", "convert one: b.to(a.dtype)")
            )
        wide = max(x.dtype, y.dtype, key=lambda d: (d.category, d.itemsize))
        x, y = x.to(wide), y.to(wide)
    names = {c: chr(97 + k) if k < 26 else chr(65 + k - 26) for k, c in enumerate(dict.fromkeys([*p, *q]))}
    spec = f"{''.join(names[c] for c in p)},{''.join(names[c] for c in q)}->{''.join(names[c] for c in kept)}"
    return product(x, y, spec=spec), list(kept)


def _cheapest(pairs: Sequence[tuple[Any, Labels]], output: Labels, sizes: dict[int, int]) -> tuple[int, int]:
    """The pair whose result grows the least (the first such pair): the usual greedy order."""
    best, found = float("inf"), (0, 1)
    for i in range(len(pairs)):
        for j in range(i + 1, len(pairs)):
            p, q = pairs[i][1], pairs[j][1]
            others = set(output).union(*(r for k, (_, r) in enumerate(pairs) if k not in (i, j)))
            made = _volume([c for c in {*p, *q} if c in others], sizes)
            grown = made - _volume(p, sizes) - _volume(q, sizes)
            if grown < best:
                best, found = grown, (i, j)
    return found


def _volume(part: Sequence[int], sizes: dict[int, int]) -> int:
    n = 1
    for c in part:
        n *= sizes[c]
    return n


PUBLIC: dict[str, Any] = {"einsum": einsum}
METHODS: dict[str, Any] = {}
IN_PLACE: dict[str, Any] = {}
