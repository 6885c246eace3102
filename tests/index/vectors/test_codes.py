"""int8 codes against NumPy: the same integers, the same float32 steps, the same lists."""

from __future__ import annotations

import platform

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llvmlite import binding, ir

from assay.index.vectors import _scan_kernels as kernels
from assay.index.vectors import _tiles, codes
from assay.index.vectors._tile_kernels import pack, pack_rows, tile_steps
from assay.index.vectors.codes import (
    TILES,
    Codes,
    empty_code_lists,
    encode,
    encode_points,
    frame_of,
    nearest_codes,
    tile_kind,
)
from assay.index.vectors.exact import frozen
from assay.storage.errors import ConfigError

KINDS = [name for name in _tiles.KINDS if codes._works(name)]
METRICS = ["l2", "cosine", "ip"]


def made(n: int, d: int, seed: int = 0) -> Codes:
    rng = np.random.default_rng(seed)
    rows = np.zeros((n, -(-d // 64) * 64), np.int8)
    rows[:, :d] = rng.integers(-127, 128, (n, d))
    scale = rng.random(n).astype(np.float32) + np.float32(0.1)
    squares = scale * scale * (rows.astype(np.int64) ** 2).sum(axis=1).astype(np.float32)
    offsets = 128 * rows.astype(np.int32).sum(axis=1, dtype=np.int32)
    facts = np.stack([squares, scale])
    return Codes(frozen(rows), facts, offsets, squares, np.zeros(n, np.float32), d)


def keys_of(one: Codes, other: Codes) -> np.ndarray:
    """The keys of all pairs, in float32 steps of the order that is promised."""
    product = (one.codes.astype(np.int64) @ other.codes.astype(np.int64).T).astype(np.float32)
    scale = (np.float32(2) * one.facts[1])[:, None] * other.facts[1]
    return (one.facts[0][:, None] + other.facts[0]) - scale * product


def least(keys: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    rows = np.argsort(keys, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(keys, rows, axis=1), rows


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", [1, 2, 3, 5, 63, 64, 65, 130, 1_000])
def test_keys_are_those_of_numpy_to_the_bit(
    kind: str, d: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TILES, kind)
    assert tile_kind() == _tiles.KINDS[kind]
    for n, m, k in ((1, 1, 1), (5, 64, 9), (7, 65, 19), (250, 131, 40)):
        one, other = made(n, d), made(m, d, seed=1)
        keys, rows = nearest_codes(one, other, k)
        expected, places = least(keys_of(one, other), k)
        np.testing.assert_array_equal(keys[:, :m], expected)
        np.testing.assert_array_equal(rows[:, :m], places)
        assert (rows[:, m:] == -1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_every_pair_serves_both_rows_once(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TILES, kind)
    for n in (2, 64, 65, 500):
        mine = made(n, 20)
        k = min(19, n - 1)
        lists = empty_code_lists(n, k)
        everyone = np.arange(n)
        kernels.scan(
            *mine.scanned(), everyone, mine.codes, mine.facts, 0, n, kernels.TRIANGLE,
            kernels.BOTH, 0, *lists,
        )  # fmt: skip
        # what is met again changes nothing
        kernels.scan(
            *mine.scanned(), everyone, mine.codes, mine.facts, 0, n, kernels.AMONG,
            kernels.MET, 0, *lists,
        )  # fmt: skip
        keys = keys_of(mine, mine)
        np.testing.assert_array_equal(keys, keys.T)
        np.fill_diagonal(keys, np.inf)
        expected, rows = least(keys, k)
        np.testing.assert_array_equal(lists[1], expected)
        np.testing.assert_array_equal(lists[2], rows)
        np.testing.assert_array_equal(lists[0], expected[:, -1])


@settings(max_examples=80, deadline=None)
@given(
    entries=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 60)), max_size=80),
    length=st.sampled_from([1, 2, 19, 31, 32, 33, 60]),
)
def test_lists_hold_the_least_of_what_was_entered(
    entries: list[tuple[int, int]], length: int
) -> None:
    # a row has one key
    key_of = {row: key for key, row in entries}
    keys, rows = np.full((3, length), np.inf, np.float32), np.full((3, length), -1, np.int32)
    for _, row in entries:
        last = kernels.enter_code(keys, rows, 1, np.float32(key_of[row]), row)
        assert last == keys[1, -1]
    expected = sorted((key, row) for row, key in key_of.items())[:length]
    assert list(zip(keys[1, : len(expected)], rows[1, : len(expected)], strict=True)) == expected
    assert (rows[1, len(expected) :] == -1).all()
    for untouched in (0, 2):
        assert np.isinf(keys[untouched]).all()
        assert (rows[untouched] == -1).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("d", [1, 3, 16, 100, 512])
@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e17])
def test_codes_are_near_the_rows(metric: str, d: int, scale: float) -> None:
    rng = np.random.default_rng(d)
    X = ((rng.normal(size=(300, d)) + 5) * scale).astype(np.float32)
    squares = (X.astype(np.float64) ** 2).sum(axis=1)
    take = rng.permutation(300)
    frame = frame_of(X, take, squares[take], metric)
    found = encode(X, take, squares[take], frame, threads=2)
    Y = X[take].astype(np.float64) * frame.power
    if metric == "cosine":
        Y = X[take] / np.sqrt(squares[take])[:, None]
    Y = Y - frame.mean
    lengths = np.linalg.norm(Y, axis=1)
    # a rotation keeps lengths, and what rounding lost is told
    decoded = found.decoded(slice(None))
    off = np.abs(np.linalg.norm(decoded, axis=1) - lengths)
    assert (off <= found.errors * 1.001 + 1e-5 * lengths + 1e-7).all()
    true = ((Y[:, None] - Y[None]) ** 2).sum(axis=2)
    keys = keys_of(found.by_distance(), found.by_distance()).astype(np.float64)
    apart = np.abs(np.sqrt(np.maximum(keys, 0)) - np.sqrt(true))
    # of one column all directions are equal, but for the rounding of float64 here
    bound = found.errors[:, None] + found.errors + 1e-3 * lengths.max() + 1e-15
    assert (apart <= bound).all()
    # a row's code depends on that row only
    alone = encode(X, take[:7], squares[take[:7]], frame)
    np.testing.assert_array_equal(alone.codes, found.codes[:7])
    np.testing.assert_array_equal(alone.facts, found.facts[:, :7])


def test_points_are_encoded_as_rows_are() -> None:
    points = np.random.default_rng(0).normal(size=(20, 30))
    found = encode_points(points)
    np.testing.assert_allclose(found.decoded(slice(None)), points, atol=np.abs(points).max() / 200)
    np.testing.assert_allclose(
        found.squares, (found.decoded(slice(None)) ** 2).sum(axis=1), rtol=1e-5
    )
    np.testing.assert_array_equal(found.offsets, 128 * found.codes.astype(int).sum(axis=1))


def test_a_kind_of_tile_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TILES, "abacus")
    with pytest.raises(ConfigError, match=r"ASSAY_TILES is .abacus.; this processor has: .*words"):
        tile_kind()
    monkeypatch.delenv(TILES)
    assert tile_kind() in {_tiles.KINDS[name] for name in KINDS}


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="code for x86")
@pytest.mark.parametrize(
    ("kind", "processor", "instruction"),
    [
        ("vnni", "znver4", "vpdpbusd"),
        ("words", "znver3", "vpmaddwd"),
        ("words", "x86-64", "pmaddwd"),
    ],
)
def test_tiles_become_the_instructions_that_they_stand_for(
    kind: str, processor: str, instruction: str
) -> None:
    module = ir.Module()
    module.triple = binding.get_default_triple()
    address = ir.IntType(64)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [address] * 13), "tile")
    builder = ir.IRBuilder(function.append_basic_block())
    _tiles._write(builder, function.args, *_tiles._SHAPES[kind])
    builder.ret_void()
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    target = binding.Target.from_default_triple().create_target_machine(cpu=processor, opt=3)
    parsed = binding.parse_assembly(str(module))
    options = binding.create_pipeline_tuning_options(speed_level=3)
    builder = binding.create_pass_builder(target, options)
    builder.getModulePassManager().run(parsed, builder)
    code = target.emit_assembly(parsed)
    assert code.count(instruction) >= 12
    # float32 steps are not contracted
    assert "fmadd" not in code
    assert "fnmadd" not in code


@pytest.mark.parametrize("kind", _tiles.KINDS)
@pytest.mark.parametrize("d", [1, 6, 65])
def test_packed_rows_and_columns_hold_the_products(kind: str, d: int) -> None:
    number = _tiles.KINDS[kind]
    one, other = made(9, d), made(70, d, seed=1)
    steps = int(tile_steps(number, d))
    columns = pack(number, other.codes, steps)
    rows = np.zeros(12 * steps * 4, np.uint8)
    pack_rows(number, one.codes, np.arange(9), steps, rows)
    if kind == "vnni":
        left = rows.view(np.int8).reshape(12, steps, 4).astype(np.int64)
        right = columns.reshape(2, steps, 64, 4).transpose(0, 2, 1, 3).reshape(128, steps, 4)
    else:
        left = rows.view(np.int16).reshape(12, steps, 2).astype(np.int64)
        panels = columns.view(np.int16).reshape(8, steps, 16, 2)
        right = panels.transpose(0, 2, 1, 3).reshape(128, steps, 2)
    found = np.einsum("rse,cse->rc", left, right.astype(np.int64))[:9, :70]
    if kind == "vnni":
        found -= one.offsets[:, None]
    expected = one.codes.astype(np.int64) @ other.codes.astype(np.int64).T
    np.testing.assert_array_equal(found, expected)
