"""How results are shown in a notebook: a short table, made in one place."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

_LONGEST = 200


class Shown:
    """Base of what a notebook shows as a short table of names and values."""

    def _notebook_rows(self) -> Iterable[tuple[str, Any]]:
        """Return what the table holds."""
        raise NotImplementedError(f"{type(self).__name__} names no rows to show.")

    def _repr_html_(self) -> str:
        return html_table(type(self).__name__, self._notebook_rows())

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        # scikit-learn's own would come before the table
        return {"text/plain": repr(self), "text/html": self._repr_html_()}


def html_table(title: str, rows: Iterable[tuple[str, Any]]) -> str:
    """Return a table of two columns as HTML; every text is escaped.

    Examples
    --------
    >>> html_table("Result", [("chosen", 3), ("label", "<b>")])
    '<table><caption>Result</caption><tbody><tr><th scope="row">chosen</th><td>3</td></tr><tr><th scope="row">label</th><td>&lt;b&gt;</td></tr></tbody></table>'
    """
    lines = "".join(
        f'<tr><th scope="row">{escape(str(name))}</th><td>{escape(_text(value))}</td></tr>'
        for name, value in rows
    )
    return f"<table><caption>{escape(title)}</caption><tbody>{lines}</tbody></table>"


def short_numbers(values: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the entries of a report that are single values."""
    return [(k, v) for k, v in values.items() if isinstance(v, str | int | float) or v is None]


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    text = str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
