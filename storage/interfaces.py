"""What objects of other packages offer to be read: Arrow's protocols, columns, a shape, rows."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class ArrowStream(Protocol):
    """A column or table that exports itself to Arrow (Polars, pandas, Arrow, DuckDB relation)."""

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any: ...


@runtime_checkable
class ArrowArray(Protocol):
    """A column that exports itself to Arrow in one piece."""

    def __arrow_c_array__(self, requested_schema: Any = None) -> Any: ...


@runtime_checkable
class Frame(Protocol):
    """A table with columns."""

    @property
    def columns(self) -> Any: ...


@runtime_checkable
class Shaped(Protocol):
    """An array, a matrix or a frame with a shape."""

    @property
    def shape(self) -> tuple[int, ...]: ...


@runtime_checkable
class TakesRows(Protocol):
    """A column or table that hands on some of its rows."""

    def take(self, indices: Any) -> Any: ...
