"""The one exception tree of assay.

Every error says what was given, what is allowed and what to do next. An error that is also a
`ValueError` or `KeyError` means that assay was used wrongly (the command line exits with 2); one
that is also a `RuntimeError` means that something failed (the command line exits with 1).
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class AssayError(Exception):
    """Root of every error that assay raises on purpose."""


class ConfigError(AssayError, ValueError):
    """A parameter, an option or a configuration file is not what it may be."""


class BudgetError(ConfigError):
    """The budget is not a count or share that the pool allows."""


class InputError(AssayError, ValueError):
    """The data given can't be read, or is not what its role asks for."""


class SourceError(InputError):
    """A file or folder is missing, of an unknown format, or broken."""


class UnreachableError(SourceError, RuntimeError):
    """A data source did not answer, perhaps for a moment only; the cause is an `OSError`."""


class IdError(InputError):
    """Sample ids are null, repeated or unknown."""


class NonFiniteError(InputError):
    """Vectors or scores hold NaN or infinite values."""


class MissingInputError(InputError):
    """A method was not given an input that it needs."""


class ColumnError(AssayError, KeyError):
    """A column, feature or method of that name does not exist."""

    def __str__(self) -> str:
        # KeyError would print the repr of a message
        return str(self.args[0]) if self.args else ""

    @classmethod
    def missing(cls, name: str, there_are: Iterable[str], *, what: str = "column") -> ColumnError:
        """Build the error for `name` among `there_are`, naming the likely one."""
        names = list(there_are)
        lowered = {n.lower(): n for n in reversed(names)}
        close = get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.5)
        hint = f" Did you mean {lowered[close[0]]!r}?" if close else ""
        shown = ", ".join(names[:30]) + (f", ... ({len(names)} in all)" if len(names) > 30 else "")
        return cls(f"There is no {what} {name!r}; there are: {shown or 'none'}.{hint}")


class QueryError(AssayError, ValueError):
    """An SQL query is malformed, or does more than read."""


class StoreError(AssayError, RuntimeError):
    """A store can't be opened, read or written."""


class CorruptArtifactError(StoreError):
    """A stored file does not match its checksum."""


class ResourceError(AssayError, RuntimeError):
    """A run would take more memory than it may."""


class SourceChangedError(AssayError, RuntimeError):
    """A source file changed while it was being read."""


class DependencyError(AssayError, RuntimeError):
    """An optional package that is needed here is not installed."""


class ConvergenceError(AssayError, RuntimeError):
    """An iteration did not come to an end that can be trusted."""


class ServiceError(AssayError, RuntimeError):
    """A service did not answer as it should."""


class ServiceRefusedError(ServiceError):
    """A service refuses what it is asked, or does not understand it; asking again won't help."""
