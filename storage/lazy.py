"""Names imported when they are first asked for: the face of a package, and plug-ins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Self


def lazy_face(
    package: str, names: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return ``__getattr__``, ``__dir__`` and ``__all__`` for the package ``package``.

    Parameters
    ----------
    package : str
        The package's ``__name__``.
    names : mapping of str to str
        Public name -> module (relative to the package) that holds it.
    """

    def __getattr__(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(names[name], package), name)

    def __dir__() -> list[str]:
        return sorted(names)

    return __getattr__, __dir__, sorted(names)


@dataclass(frozen=True)
class Plugin:
    """What another package adds by an entry point.

    Attributes
    ----------
    name : str
        The entry point's.
    path : str
        ``"module:attribute"``.
    package : str
        The package and its version: ``"name 1.0"``.
    target : object
        What was imported; None where that failed.
    problem : str
        Why it can't be used; empty where it can.
    """

    name: str
    path: str
    package: str
    target: Any = None
    problem: str = ""


class PluginWarning(UserWarning):
    """A plug-in can't be used and is left out."""

    @classmethod
    def about(cls, plugin: Plugin, what: str) -> Self:
        """Return the warning that names a plug-in and its problem."""
        return cls(
            f"The {what} {plugin.name!r} of the package {plugin.package} is left out: "
            f"{plugin.problem.rstrip('.')}. Repair or remove that package."
        )


def load_plugins(group: str) -> tuple[Plugin, ...]:
    """Import what other packages add to a group of entry points, in order of name and package.

    Importing runs their code, which may fail in any way: then `problem` says how.
    """
    loaded = []
    for point in entry_points(group=group):
        package = f"{point.dist.name} {point.dist.version}" if point.dist else "(unknown)"
        target, problem = None, ""
        try:
            target = point.load()
        except (Exception, SystemExit) as error:
            problem = f"{type(error).__name__}: {error}"
        loaded.append(Plugin(point.name, point.value.strip(), package, target, problem))
    return tuple(sorted(loaded, key=lambda plugin: (plugin.name, plugin.package)))
