"""Kernels: the loops around the body of a lane program, and what a kernel looks like from outside.

Holds `kernel_text`, which writes the whole LLVM module of a program. Entry points:

    map      void kernel(ptr arrays, i64 begin, i64 end)
             for all outer indices: lanes begin .. end - 1; nothing outside is read or written
    samples  void kernel(ptr arrays, i64 first, i64 last, i64 block, ptr sums, i64 key, i64 stream)
             samples first .. last - 1; each block of `block` samples writes one row of float64 sums

`arrays` points at one address per array; the element of a lane is at index lane * lane_stride + outer
indices * outer strides + offset. Read `kernel_text`, then `_samples`. May import `compiler.program`,
`compiler.text` and its siblings.

Lanes left over by vectors run through the same body as scalars (map), or through a body in which they do not
count (samples). Sums are added in an order that depends on the program only: within a group of samples by
lane, in the type of the terms; over groups by lane in float64; over lanes in halves at the end of the
block.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from pullback.compiler.llvm.draws import GROUP, group_function, write_keys
from pullback.compiler.llvm.loops import write_loop
from pullback.compiler.llvm.values import Lanes
from pullback.compiler.llvm.vary import varying
from pullback.compiler.program import Loop, Program, Value
from pullback.compiler.text import SIZES, Code, Module, V

LARGE = 1500  # values from which on a body is written once and cut into blocks
HUGE = 8000  # values from which on a scalar body is compiled in a tenth of the time, to run twice as long
_STACK = 1 << 16  # bytes of memory that a kernel takes from the stack
_SMALL_USES = 2  # an elementary function is written in place up to so many times
_NEVER = (1 << 63) - 1


def values(body: Sequence[Value]) -> Iterator[Value]:
    """All values of a body, those inside loops included."""
    for v in body:
        yield v
        if v.op == "loop":
            loop: Loop = v.data
            yield from values(loop.header)
            yield from values(loop.body)


def kernel_text(program: Program) -> str:
    """The LLVM module of a program, with one public function "kernel"."""
    return _Writer(program).text()


def size_of(program: Program) -> str:
    """How `compiler.machine` should treat the program's module: "small", "large" or "huge"."""
    count = sum(1 for _ in values(program.body))
    if count > HUGE and program.lanes == 1:
        return "huge"
    return "large" if count > LARGE else "small"


class _Writer:
    """One program on its way to LLVM."""

    def __init__(self, program: Program) -> None:
        self.program, self.module = program, Module()
        everything = list(values(program.body))
        self.large = len(everything) > LARGE
        self.uses = Counter(v.op for v in everything)
        self.slots = list(dict.fromkeys(v.data for v in everything if v.op == "draw"))
        self.varying = varying(program) if program.lanes > 1 else set[int]()
        self.terms = {v.data: v.args[0].type for v in everything if v.op == "sum"}
        self.heap: list[str] = []
        self.stacked = 0  # bytes asked for on the stack so far

    def text(self) -> str:
        kinds = {"map": (self._map, "i64 %begin, i64 %end")}
        kinds["samples"] = (
            self._samples,
            "i64 %first, i64 %last, i64 %block, ptr %sums, i64 %key, i64 %stream",
        )
        write, parameters = kinds[self.program.kind]
        self.module.function("kernel", "void", f"ptr noundef %arrays, {parameters}", "nounwind", write)
        return self.module.text() + "\n!0 = !{}\n"

    # ------------------------------------------------------------------------------------------ shared

    def _lanes(self, code: Code, n: int, lane0: V) -> Lanes:
        """Lanes that start at lane0, ready for the body but for what the caller knows better."""
        lanes = Lanes(code, self.program, n, lane0)
        lanes.varying = self.varying
        lanes.inline = lambda op: not self.large and self.uses[op] <= _SMALL_USES
        if self.large:
            lanes.opaque = self.opaque
        return lanes

    def _start(self, code: Code) -> None:
        """What stands at the beginning of every kernel."""
        if self.large:
            code.module.global_line("@always = internal global i1 true")
            self.opaque = code.add("load volatile i1, ptr @always", "b1", 1)

    def _memory(self, code: Code, t: str, count: int, n: int) -> str:
        """`count` entries of n lanes of t, aligned; on the stack, or on the heap where they are many."""
        stored = "u1" if t == "b1" else t
        size = SIZES[t] * n * count
        align = max(SIZES[t] * n, 8)
        self.stacked += size
        if self.stacked <= _STACK:
            element = code.const(0, stored, n).type
            return code.add(f"alloca {element}, i64 {count}, align {align}", "i8", 1).ref
        code.module.external("malloc", "ptr (i64)")
        raw = code.add(f"call ptr @malloc(i64 {size + align})", "i8", 1).ref
        self.heap.append(raw)
        whole = code.add(f"ptrtoint ptr {raw} to i64", "i8", 1)
        start = (whole + (align - 1)) & -align
        return code.add(f"inttoptr i64 {start.ref} to ptr", "i8", 1).ref

    def _scratch(self, code: Code, n: int) -> list[str]:
        return [self._memory(code, t, count, n) for t, count in self.program.scratch]

    def _end(self, code: Code) -> None:
        """Leave the kernel."""
        code.jump("leave")
        code.label("leave")
        for raw in self.heap:
            code.module.external("free", "void (ptr)")
            code.do(f"call void @free(ptr {raw})")
        code.do("ret void")

    def _bases(self, code: Code) -> list[str]:
        """The arrays' addresses as the caller gave them."""
        made: list[str] = []
        for i in range(len(self.program.arrays)):
            place = code.add(f"getelementptr ptr, ptr %arrays, i64 {i}", "i8", 1)
            made.append(code.add(f"load ptr, ptr {place.ref}, align 8", "i8", 1).ref)
        return made

    def _at(self, code: Code, bases: Sequence[str], lane: V) -> list[str]:
        """The addresses of this lane's elements."""
        return [
            code.pointer(base, a.type, lane * a.lane_stride) if a.lane_stride else base
            for base, a in zip(bases, self.program.arrays, strict=True)
        ]

    # --------------------------------------------------------------------------------------------- map

    def _map(self, code: Code) -> None:
        self._start(code)
        begin, end = V("%begin", "i8", 1, code), V("%end", "i8", 1, code)
        n = self.program.lanes
        wide, narrow = self._scratch(code, n), self._scratch(code, 1) if n > 1 else []
        outer_bases = self._bases(code)

        def inside(indices: list[V]) -> None:
            bases: list[str] = []
            for base, a in zip(outer_bases, self.program.arrays, strict=True):
                offset = code.const(0, "i8")
                for i, stride in zip(indices, a.outer, strict=True):
                    offset = offset + i * stride if stride else offset
                bases.append(base if offset.ref == "0" else code.pointer(base, a.type, offset))
            start = begin
            if n > 1:
                start = begin + ((end - begin) & -n)
                counted(code, begin, start, n, lambda i: self._entries(code, n, i, bases, wide))
            counted(
                code, start, end, 1, lambda i: self._entries(code, 1, i, bases, narrow if n > 1 else wide)
            )

        any_lane = code.name("some")
        code.branch(begin.lt(end), any_lane, "leave")
        code.label(any_lane)
        self._outer(code, inside, [])
        self._end(code)

    def _outer(self, code: Code, inside: Callable[[list[V]], None], indices: list[V]) -> None:
        """The loops over the outer indices, the first one outermost."""
        depth = len(indices)
        if depth == len(self.program.outer):
            inside(indices)
            return
        stop = code.const(self.program.outer[depth], "i8")
        counted(code, code.const(0, "i8"), stop, 1, lambda i: self._outer(code, inside, [*indices, i]))

    def _entries(self, code: Code, n: int, lane0: V, bases: Sequence[str], scratch: list[str]) -> None:
        """The body for n entries."""
        lanes = self._lanes(code, n, lane0)
        lanes.bases, lanes.scratch = self._at(code, bases, lane0), scratch
        lanes.emit(self.program.body, write_loop)

    # ----------------------------------------------------------------------------------------- samples

    def _samples(self, code: Code) -> None:
        self._start(code)
        n = self.program.lanes
        words = {16: 4, 8: 2}[n]
        size = words * n
        self.frame = _Frame(self, code, words)
        first, last, block = (V(f"%{name}", "i8", 1, code) for name in ("first", "last", "block"))
        bases = self._bases(code)
        row = self.frame.row

        def one_block(start: V) -> None:
            self.frame.reset()
            stop = start + block
            stop = stop.lt(last).select(stop, last)
            whole = start + ((stop - start) & -size)
            if not self.large:
                counted(code, start, whole, size, lambda g: self._group(code, g, None, bases))
                counted(code, whole, stop, size, lambda g: self._group(code, g, stop, bases))
            else:
                counted(code, start, stop, size, lambda g: self._group(code, g, stop, bases))
            number = code.add(f"udiv i64 {(start - first).ref}, {block.ref}", "i8", 1)
            self.frame.write(code.pointer("%sums", "f8", number * row))

        some = code.name("some")
        code.branch(first.lt(last), some, "leave")
        code.label(some)
        _stepped(code, first, last, block, one_block)
        self._end(code)

    def _group(self, code: Code, start: V, stop: V | None, bases: Sequence[str]) -> None:
        """One group of samples; those at `stop` and beyond do not count."""
        frame, n = self.frame, self.program.lanes
        frame.draw(start)
        frame.clear_partials()

        def one_word(w: V) -> None:
            lane0 = start + w * n
            lanes = self._lanes(code, n, lane0)
            lanes.bases, lanes.scratch = self._at(code, bases, lane0), frame.scratch
            lanes.partial = frame.partials
            lanes.draws = frame.addresses(w)
            if stop is not None:
                index = code.wide(lane0, n) + code.per_lane(range(n), "i8")
                lanes.valid = index.lt(code.wide(stop, n))
            lanes.emit(self.program.body, write_loop)

        counted(code, code.const(0, "i8"), code.const(frame.words, "i8"), 1, one_word)
        frame.fold()


class _Frame:
    """The memory of a samples kernel: random numbers of a group, partial sums of a group and of a block."""

    def __init__(self, writer: _Writer, code: Code, words: int) -> None:
        self.code, self.program, self.words = code, writer.program, words
        self.slots, self.module = writer.slots, writer.module
        self.terms = [writer.terms.get(i, "f8") for i in range(len(self.program.accumulators))]
        self.row = len(self.program.accumulators)
        n = self.program.lanes
        whole = writer._memory(code, self.program.draws, words * len(self.slots), n) if self.slots else ""
        self.numbers = [
            code.pointer(whole, self.program.draws, i * words * n) for i in range(len(self.slots))
        ]
        self.keys = write_keys(code, V("%key", "i8", 1, code)) if self.slots else ""
        self.scratch = writer._scratch(code, n)
        self.partials: list[str] = []
        self.totals: list[str] = []
        for kind, t in zip(self.program.accumulators, self.terms, strict=True):
            if kind == "sum" and t == "f4":
                self.partials.append(writer._memory(code, "f4", 1, n))
                self.totals.append(writer._memory(code, "f8", 1, n // 2))
            else:
                held = {"sum": ("f8", n), "count": ("i4", n), "first": ("i8", 1)}[kind]
                self.partials.append(writer._memory(code, held[0], 1, held[1]))
                self.totals.append(self.partials[-1])

    def draw(self, start: V) -> None:
        """Make the random numbers of the group that starts with sample `start`."""
        code = self.code
        if not self.slots:
            return
        words, n = GROUP[self.program.draws]
        group = start.lsr((words * n).bit_length() - 1)
        stream = code.add("trunc i64 %stream to i32", "i4", 1)
        for (kind, slot), address in zip(self.slots, self.numbers, strict=True):
            name = group_function(self.module, kind, self.program.draws)
            given = f"ptr {address}, {group.typed}, i32 {slot}, {stream.typed}, ptr {self.keys}"
            code.do(f"call void @{name}({given})")

    def addresses(self, w: V) -> dict[tuple[str, int], str]:
        """Where the numbers of word w stand."""
        at = w * self.program.lanes
        return {
            slot: self.code.pointer(address, self.program.draws, at)
            for slot, address in zip(self.slots, self.numbers, strict=True)
        }

    def _each(self) -> Iterator[tuple[str, str, str, str]]:
        yield from zip(self.program.accumulators, self.terms, self.partials, self.totals, strict=True)

    def reset(self) -> None:
        """Forget the sums of the block before."""
        n, code = self.program.lanes, self.code
        for kind, t, _, total in self._each():
            if kind == "sum":
                width = n // 2 if t == "f4" else n
                code.store(total, code.const(0.0, "f8", width), align=8 * width)
            elif kind == "count":
                code.store(total, code.const(0, "i4", n), align=4 * n)
            else:
                code.store(total, code.const(_NEVER, "i8"))

    def clear_partials(self) -> None:
        """Forget the partial sums of the group before."""
        n = self.program.lanes
        for kind, t, partial, _ in self._each():
            if kind == "sum" and t == "f4":
                self.code.store(partial, self.code.const(0.0, "f4", n), align=4 * n)

    def fold(self) -> None:
        """Add the group's float32 sums to the block's: lane k and lane k + n/2 together, in float64."""
        code, n = self.code, self.program.lanes
        for kind, t, partial, total in self._each():
            if kind == "sum" and t == "f4":
                x = code.load(partial, "f4", n, align=4 * n)
                low, high = code.shuffle(x, x, range(n // 2)), code.shuffle(x, x, range(n // 2, n))
                added = code.load(total, "f8", n // 2, align=4 * n) + (low + high).to("f8")
                code.store(total, added, align=4 * n)

    def write(self, row: str) -> None:
        """Write the block's sums to its row; "first" without any is inf."""
        code, n = self.code, self.program.lanes
        for i, (kind, t, _, total) in enumerate(self._each()):
            if kind == "first":
                found = code.load(total, "i8")
                result = found.eq(_NEVER).select(float("inf"), found.to("f8"))
            else:
                held, width = ("i4", n) if kind == "count" else ("f8", n // 2 if t == "f4" else n)
                x = code.load(total, held, width, align=SIZES[held] * width)
                while x.n > 2:
                    half = x.n // 2
                    x = code.shuffle(x, x, range(half)) + code.shuffle(x, x, range(half, x.n))
                result = (x.lane(0) + x.lane(1)).to("f8")
            code.store(code.pointer(row, "f8", i), result)


def counted(code: Code, start: V, stop: V, step: int, body: Callable[[V], None]) -> None:
    """for i in start, start + step, ... while i < stop."""
    _stepped(code, start, stop, code.const(step, "i8"), body)


def _stepped(code: Code, start: V, stop: V, step: V, body: Callable[[V], None]) -> None:
    before, head, inside, done = code.block, code.name("each"), code.name("do"), code.name("end")
    code.jump(head)
    code.label(head)
    i = code.add("", "i8", 1)
    line = len(code.lines) - 1
    code.branch(i.lt(stop), inside, done)
    code.label(inside)
    body(i)
    following = i + step
    code.lines[line] = f"  {i.ref} = phi i64 [ {start.ref}, %{before} ], [ {following.ref}, %{code.block} ]"
    code.jump(head)
    code.label(done)
