"""Names of columns: which are ours, which may be kept, and when two names are the same.

SQL compares names without regard to the case of ASCII letters, data sets don't. So every name that
a user gives is looked up here: in filters, expressions, orders, costs, groups, kept columns, scores.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from assay.storage.errors import ColumnError, ConfigError

SAMPLE_NAMES = ("sample_id", "source", "row", "label", "group_id", "content_hash")
"""What a run knows of every sample, besides the columns that are kept."""

VIEW_NAMES = ("run_id", "pool")
"""What the views of samples and scores have in front."""

EXPORT_NAMES = ("position", "weight")
"""What an export adds, besides the scores."""

OURS = "assay"
"""The qualifier of our own columns in rules: ``assay.label``."""

KEY, PROBLEM = "key", "problem"
"""Columns of ours that users don't see; a kept column of such a name is stored under another."""

_STORED = "kept."
_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


class Reference(NamedTuple):
    """A column: its exact name, and whether it is ours or the pool's."""

    name: str
    ours: bool

    def __str__(self) -> str:
        return f"{OURS}.{self.name}" if self.ours else self.name


def fold(name: str) -> str:
    """Return a name as SQL compares it: without regard to the case of ASCII letters.

    Examples
    --------
    >>> fold("Score"), fold("É")
    ('score', 'É')
    """
    return name.translate(_LOWER)


def stored_name(name: str) -> str:
    """Return the name under which a kept column is stored beside our own `key` and `problem`.

    Examples
    --------
    >>> stored_name("topic"), stored_name("Key"), own_name(stored_name("Key"))
    ('topic', 'kept.Key', 'Key')
    """
    folded = fold(name)
    return _STORED + name if folded in (KEY, PROBLEM) or folded.startswith(_STORED) else name


def own_name(stored: str) -> str:
    """Return the name of the kept column that is stored under `stored`."""
    return stored[len(_STORED) :] if fold(stored).startswith(_STORED) else stored


def check_kept(keep: Sequence[str], scores: Collection[str] = ()) -> None:
    """Check that columns can be kept under their names, in a run with these scores.

    Raises
    ------
    ConfigError
        A name is, in any case, one of `latest_samples` or one that export adds; or it is no name in
        SQL; or two of them are the same in SQL.
    """
    reserved = {fold(n): n for n in (*SAMPLE_NAMES, *VIEW_NAMES, *EXPORT_NAMES)}
    scored = {fold(name): name for name in scores}
    seen: dict[str, str] = {}
    for name in keep:
        folded = fold(name)
        _check_sql_name(name, "kept column")
        if folded in reserved:
            raise ConfigError(
                f"Column {name!r} can't be kept under its name, which assay uses itself "
                f"({', '.join(sorted(reserved))}); rename it in the data."
            )
        if folded in scored:
            raise ConfigError(
                f"Column {name!r} can't be kept under its name, which is that of the score "
                f"{scored[folded]!r}; rename it in the data, or leave the score out."
            )
        if folded in seen:
            raise ConfigError(
                f"keep names the column {seen[folded]!r} twice, as {name!r} too (case does not count "
                "in SQL); keep one, or rename one in the data."
            )
        seen[folded] = name


def check_score_names(names: Iterable[str], methods: Iterable[str]) -> None:
    """Check that scores of one's own can be columns of `latest_scores` and of an export.

    Raises
    ------
    ConfigError
        A name is, in any case, one of ours, that of a method or that of another score; or it is no
        name in SQL.
    """
    columns = (*VIEW_NAMES, *SAMPLE_NAMES, *EXPORT_NAMES, KEY)
    taken = {fold(n): f"{n!r} is a column of assay's own" for n in columns}
    taken |= {fold(n): f"{n!r} is a method of assay" for n in (*methods, "difficulty")}
    for name in names:
        _check_sql_name(name, "expression")
        if fold(name) in taken:
            raise ConfigError(
                f"The expression {name!r} can't have that name: {taken[fold(name)]} (case does not "
                "count in SQL). Choose another."
            )
        taken[fold(name)] = f"{name!r} is another expression"


def _check_sql_name(name: str, what: str) -> None:
    if not name or "\0" in name:
        raise ConfigError(
            f"{name!r} can't be the name of a {what}: SQL has no names that are empty or hold the "
            "character 0. Rename it."
        )


def find(name: str, own: Collection[str], ours: Collection[str] = ()) -> Reference | None:
    """Return the column that a name refers to, None if there is none.

    The pool's own columns come first, by their exact name, else without regard to case; then ours.
    ``assay.NAME`` means ours in any case.

    Raises
    ------
    ConfigError
        Several columns differ from the name in case only.

    Examples
    --------
    >>> find("label", ["label"], ["label"]), find("assay.label", ["label"], ["label"])
    (Reference(name='label', ours=False), Reference(name='label', ours=True))
    """
    if name in own:
        return Reference(name, False)
    qualifier, dot, rest = name.partition(".")
    if dot and fold(qualifier) == OURS:
        column = _same(rest, ours)
        if column is not None:
            return Reference(column, True)
    for columns, is_ours in ((own, False), (ours, True)):
        column = _same(name, columns)
        if column is not None:
            return Reference(column, is_ours)
    return None


def find_or_raise(
    name: str, own: Collection[str], ours: Collection[str] = (), *, what: str = "column"
) -> Reference:
    """Return the column that a name means; see `find`.

    Raises
    ------
    ColumnError, ConfigError
        There is none, or several differ from it in case only.
    """
    column = find(name, own, ours)
    if column is None:
        raise ColumnError.missing(name, listed(own, ours), what=what)
    return column


def listed(own: Iterable[str], ours: Iterable[str]) -> list[str]:
    """Return every column as a rule may write it."""
    return [*own, *(str(Reference(name, True)) for name in ours)]


def _same(name: str, columns: Collection[str]) -> str | None:
    if name in columns:
        return name
    folded = fold(name)
    matches = [column for column in columns if fold(column) == folded]
    if len(matches) > 1:
        raise ConfigError(
            f"{name!r} could be {' or '.join(map(repr, matches))}, which differ in case only; write "
            "the one you mean exactly."
        )
    return matches[0] if matches else None
