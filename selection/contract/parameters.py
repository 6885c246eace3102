"""Parameters by scikit-learn's convention, without what an import of it takes: about a second."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from sklearn.utils import Tags


class Parameters:
    """Base of what is constructed with parameters, which it keeps as they are, and then fitted.

    `sklearn.base.clone` and `sklearn.utils.validation.check_is_fitted` take it for an estimator.

    Examples
    --------
    >>> class Scaled(Parameters):
    ...     def __init__(self, factor=1.0, method=None):
    ...         self.factor = factor
    ...         self.method = method
    >>> nested = Scaled(method=Scaled(factor=2.0)).set_params(method__factor=3.0)
    >>> nested
    Scaled(method=Scaled(factor=3.0))
    >>> nested.get_params()["method__factor"]
    3.0
    """

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        """Return what each parameter is where it is not given, in alphabetical order."""
        of_call = inspect.signature(cls.__init__).parameters.values()
        named = (p for p in of_call if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))
        return {p.name: p.default for p in sorted(named, key=lambda p: p.name) if p.name != "self"}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name; of those that have parameters too, ``name__parameter`` with `deep`."""
        values: dict[str, Any] = {}
        for name in self._defaults():
            value = getattr(self, name)
            values[name] = value
            inner = getattr(value, "get_params", None)
            if deep and inner is not None and not isinstance(value, type):
                values |= {f"{name}__{key}": held for key, held in inner().items()}
        return values

    def set_params(self, **values: Any) -> Self:
        """Set parameters, those of a parameter as ``name__parameter``.

        Raises
        ------
        ValueError
            A name that is no parameter.
        """
        known = self._defaults()
        nested: dict[str, dict[str, Any]] = {}
        for given, value in values.items():
            name, inner, key = given.partition("__")
            if name not in known:
                raise ValueError(
                    f"Invalid parameter {name!r} for estimator {self}. "
                    f"Valid parameters are: {list(known)}."
                )
            if inner:
                nested.setdefault(name, {})[key] = value
            else:
                setattr(self, name, value)
        for name, held in nested.items():
            getattr(self, name).set_params(**held)
        return self

    def __repr__(self) -> str:
        values = self.get_params(deep=False)
        given = [
            f"{name}={values[name]!r}"
            for name, default in self._defaults().items()
            if repr(values[name]) != repr(default)
        ]
        return f"{type(self).__name__}({', '.join(given)})"

    def __sklearn_tags__(self) -> Tags:
        from sklearn.base import BaseEstimator

        return BaseEstimator().__sklearn_tags__()


def check_is_fitted(method: Any, attribute: str | None = None, *, msg: str | None = None) -> None:
    """Raise `sklearn.exceptions.NotFittedError` before `fit`, or before `attribute` is set."""
    held = vars(method)
    fitted = (
        any(name.endswith("_") and not name.startswith("__") for name in held)
        if attribute is None
        else attribute in held
    )
    if not fitted:
        from sklearn.exceptions import NotFittedError

        name = type(method).__name__
        raise NotFittedError(
            msg or f"This {name} instance is not fitted yet. Call 'fit' before using its results."
        )
