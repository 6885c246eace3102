"""Scalar products of int8 rows in registers, written as LLVM code for Numba.

A *tile* is six rows by 64 columns. For each of its pairs the product of the codes is summed exactly
in int32, made a key (see `codes`) and compared, so that no matrix is ever stored. There are two
kinds of tile, with the same integers and the same float32 steps, and so the same keys:

- `VNNI`: four bytes at a time, unsigned columns by signed rows (AVX-512 VNNI). Columns are stored
  with 128 added, which costs 128 times the sum of the row's code; the row's `offset` takes it away.
- `WORDS`: two int16 at a time, in terms that LLVM has on every processor (``pmaddwd`` on x86).

Numba caches machine code for each processor apart, so what a kind is made of may depend on it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

VNNI, WORDS = 0, 1
KINDS = {"vnni": VNNI, "words": WORDS}
# the processor's features that a kind needs
NEEDS = {"vnni": ("avx512f", "avx512vnni"), "words": ()}
ROWS, COLUMNS = 6, 64

_BIT, _INT16, _INT32, _INT64 = (ir.IntType(bits) for bits in (1, 16, 32, 64))
_FLOAT = ir.FloatType()

Multiply = Callable[[Any, Any, Any, Any], Any]


def _function(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    known = builder.module.globals.get(name)
    return known or ir.Function(builder.module, ir.FunctionType(result, arguments), name)


def _zeros(kind: Any) -> Any:
    return ir.Constant(kind, [ir.Constant(kind.element, 0)] * kind.count)


def _lanes(builder: Any, value: Any, count: int) -> Any:
    """Return a vector of which every lane is `value`."""
    empty = ir.Constant(ir.VectorType(value.type, count), ir.Undefined)
    first = builder.insert_element(empty, value, ir.Constant(_INT32, 0))
    return builder.shuffle_vector(first, empty, _zeros(ir.VectorType(_INT32, count)))


def _add_bytes(builder: Any, total: Any, column: Any, row: Any) -> Any:
    kind = total.type
    name = "llvm.x86.avx512.vpdpbusd.512"
    return builder.call(_function(builder, name, kind, [kind] * 3), [total, column, row])


def _add_words(builder: Any, total: Any, column: Any, row: Any) -> Any:
    count = total.type.count
    words = ir.VectorType(_INT16, 2 * count)
    wide = ir.VectorType(_INT32, 2 * count)
    left, right = (builder.sext(builder.bitcast(side, words), wide) for side in (column, row))
    product = builder.mul(left, right)
    halves = []
    for first in (0, 1):
        places = [ir.Constant(_INT32, first + 2 * lane) for lane in range(count)]
        mask = ir.Constant(ir.VectorType(_INT32, count), places)
        halves.append(builder.shuffle_vector(product, product, mask))
    return builder.add(total, builder.add(*halves))


def _write(builder: Any, arguments: Any, lanes: int, across: int, multiply: Multiply) -> None:
    """Write the tile: 64 columns in panels of `across` vectors of `lanes` columns."""
    rows, stride, columns, steps, shift, scale, limit = arguments[:7]
    row_shift, row_scale, row_limit, row_offset, keys, hits = arguments[7:]
    ints, floats = ir.VectorType(_INT32, lanes), ir.VectorType(_FLOAT, lanes)

    def number(value: int) -> Any:
        return ir.Constant(_INT64, value)

    def at(address: Any, kind: Any, place: Any = None) -> Any:
        pointer = builder.inttoptr(address, ir.PointerType(kind))
        return pointer if place is None else builder.gep(pointer, [place])

    def spread(address: Any, row: int, kind: Any) -> Any:
        return _lanes(builder, builder.load(at(address, kind, number(row)), align=4), lanes)

    starts = [builder.add(rows, builder.mul(stride, number(row))) for row in range(ROWS)]
    masks = [number(0)] * ROWS
    width = lanes * across
    for panel in range(COLUMNS // width):
        bytes_before = builder.mul(steps, number(panel * width * 4))
        begin = builder.add(columns, bytes_before)
        before = builder.block
        loop, done = (builder.append_basic_block(f"{name}{panel}") for name in ("loop", "done"))
        builder.branch(loop)
        builder.position_at_end(loop)
        step = builder.phi(_INT64)
        step.add_incoming(number(0), before)
        totals = [[builder.phi(ints) for _ in range(across)] for _ in range(ROWS)]
        first = builder.mul(step, number(across))
        right = [
            builder.load(at(begin, ints, builder.add(first, number(j))), align=4 * lanes)
            for j in range(across)
        ]
        sums = []
        for row in range(ROWS):
            left = _lanes(builder, builder.load(at(starts[row], _INT32, step), align=4), lanes)
            sums.append([multiply(builder, totals[row][j], right[j], left) for j in range(across)])
        following = builder.add(step, number(1))
        step.add_incoming(following, loop)
        for total, new in zip(totals, sums, strict=True):
            for phi, value in zip(total, new, strict=True):
                phi.add_incoming(_zeros(ints), before)
                phi.add_incoming(value, loop)
        builder.cbranch(builder.icmp_signed("<", following, steps), loop, done)
        builder.position_at_end(done)

        def vector(address: Any, j: int, panel: int = panel) -> Any:
            return builder.load(at(address, floats, number(panel * across + j)), align=4)

        shifts, scales, limits = (
            [vector(address, j) for j in range(across)] for address in (shift, scale, limit)
        )
        for row in range(ROWS):
            own_shift, own_scale, own_limit = (
                spread(address, row, _FLOAT) for address in (row_shift, row_scale, row_limit)
            )
            offset = spread(row_offset, row, _INT32)
            for j in range(across):
                product = builder.sitofp(builder.sub(sums[row][j], offset), floats)
                key = builder.fsub(
                    builder.fadd(own_shift, shifts[j]),
                    builder.fmul(builder.fmul(own_scale, scales[j]), product),
                )
                place = number((row * COLUMNS + panel * width) // lanes + j)
                builder.store(key, at(keys, floats, place), align=4)
                wider = builder.fcmp_ordered(">", own_limit, limits[j])
                most = builder.select(wider, own_limit, limits[j])
                near = builder.fcmp_ordered("<=", key, most)
                bits = builder.zext(builder.bitcast(near, ir.IntType(lanes)), _INT64)
                bits = builder.shl(bits, number(panel * width + j * lanes))
                masks[row] = builder.or_(masks[row], bits)
    for row in range(ROWS):
        builder.store(masks[row], at(hits, _INT64, number(row)))


# lanes, vectors side by side, and what adds the products of two or four coordinates
_SHAPES: dict[str, tuple[int, int, Multiply]] = {
    "vnni": (16, 4, _add_bytes),
    "words": (8, 2, _add_words),
}
_SIGNATURE = types.void(*[types.intp] * 13)


def has(features: str, kind: str) -> bool:
    """Return whether a kind of tile runs with these features, as LLVM writes them."""
    return all(f"+{need}" in features.split(",") for need in NEEDS[kind])


def _emit(kind: str) -> Callable[..., Any]:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        features = context.codegen().magic_tuple()[2]
        # what the processor lacks can't even be compiled; nobody calls it there
        if has(features, kind):
            _write(builder, arguments, *_SHAPES[kind])
        return context.get_dummy_value()

    return emit


@intrinsic
def tile_of_bytes(typing, r, rb, c, st, cs, ca, cl, rs, ra, rl, ro, k, h):  # type: ignore[no-untyped-def]
    """Fill a tile of the kind `VNNI`; see `_tile_kernels.near_pairs`."""
    return _SIGNATURE, _emit("vnni")


@intrinsic
def tile_of_words(typing, r, rb, c, st, cs, ca, cl, rs, ra, rl, ro, k, h):  # type: ignore[no-untyped-def]
    """Fill a tile of the kind `WORDS`; see `_tile_kernels.near_pairs`."""
    return _SIGNATURE, _emit("words")


@intrinsic
def lowest_bit(typing, bits):  # type: ignore[no-untyped-def]
    """Return the place of the lowest bit of an int64 that is not 0."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        count = _function(builder, "llvm.cttz.i64", _INT64, [_INT64, _BIT])
        return builder.call(count, [arguments[0], ir.Constant(_BIT, 1)])

    return types.int64(types.int64), emit


# the longest list that is entered in one go
LANES = 32


@intrinsic
def enter_short(typing, keys, rows, length, key, row):  # type: ignore[no-untyped-def]
    """Enter a row on a sorted list of at most 32 (key, row), unless it is there; return the last key.

    `keys` and `rows` are addresses of float32 and int32. Nothing branches: every entry that stands
    before the new one stays, every other takes its neighbor's place.
    """
    ints, floats = ir.VectorType(_INT32, LANES), ir.VectorType(_FLOAT, LANES)
    bits = ir.VectorType(_BIT, LANES)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        keys, rows, length, key, row = arguments
        align = ir.Constant(_INT32, 4)
        places = ir.Constant(ints, [ir.Constant(_INT32, lane) for lane in range(LANES)])
        count = builder.trunc(length, _INT32)
        filled = builder.icmp_unsigned("<", places, _lanes(builder, count, LANES))
        key_at, row_at = (
            builder.inttoptr(address, ir.PointerType(kind))
            for address, kind in ((keys, floats), (rows, ints))
        )

        def load(name: str, kind: Any, pointer: Any, missing: Any) -> Any:
            arguments = [ir.PointerType(kind), _INT32, bits, kind]
            read = _function(builder, f"llvm.masked.load.{name}.p0", kind, arguments)
            return builder.call(read, [pointer, align, filled, missing])

        infinite = ir.Constant(floats, [ir.Constant(_FLOAT, float("inf"))] * LANES)
        old_keys = load("v32f32", floats, key_at, infinite)
        old_rows = load("v32i32", ints, row_at, _zeros(ints))
        new_key = _lanes(builder, key, LANES)
        new_row = _lanes(builder, builder.trunc(row, _INT32), LANES)
        equal = builder.fcmp_ordered("==", old_keys, new_key)
        earlier = builder.icmp_signed("<", old_rows, new_row)
        stays = builder.or_(
            builder.fcmp_ordered("<", old_keys, new_key), builder.and_(equal, earlier)
        )
        # a pair has one key, so that a row that is there has it
        same = builder.and_(equal, builder.icmp_signed("==", old_rows, new_row))
        known = builder.icmp_unsigned("!=", builder.bitcast(same, _INT32), ir.Constant(_INT32, 0))
        before = ir.Constant(
            ints, [ir.Constant(_INT32, lane) for lane in (LANES, *range(LANES - 1))]
        )
        all_stay = ir.Constant(bits, [ir.Constant(_BIT, 1)] * LANES)
        follows = builder.shuffle_vector(stays, all_stay, before)
        moved_keys = builder.shuffle_vector(old_keys, new_key, before)
        moved_rows = builder.shuffle_vector(old_rows, new_row, before)
        keys_now = builder.select(stays, old_keys, builder.select(follows, new_key, moved_keys))
        rows_now = builder.select(stays, old_rows, builder.select(follows, new_row, moved_rows))
        written = builder.and_(filled, _lanes(builder, builder.not_(known), LANES))

        def store(name: str, kind: Any, value: Any, pointer: Any) -> None:
            arguments = [kind, ir.PointerType(kind), _INT32, bits]
            write = _function(builder, f"llvm.masked.store.{name}.p0", ir.VoidType(), arguments)
            builder.call(write, [value, pointer, align, written])

        store("v32f32", floats, keys_now, key_at)
        store("v32i32", ints, rows_now, row_at)
        last = builder.select(_lanes(builder, known, LANES), old_keys, keys_now)
        return builder.extract_element(last, builder.sub(count, ir.Constant(_INT32, 1)))

    return types.float32(types.intp, types.intp, types.intp, types.float32, types.intp), emit
