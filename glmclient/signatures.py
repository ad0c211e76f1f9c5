"""Signatures and docstrings that are written once, in a base class, and shown on both of its subclasses.

The methods of a blocking class and of its asynchronous mirror take the same arguments. The subclasses declare these
arguments as a ``TypedDict``, which type checkers expand but ``help()`` and documentation tools do not. Therefore the
base class declares each method once in full, with its docstring and without a body, and `complete` copies both.
"""

from __future__ import annotations

import inspect

__all__ = ["complete"]


class _ClientsOwn:
    """The default that documentation shows for an argument whose absence means the client's own value."""

    def __repr__(self) -> str:
        return "<the client's own>"


_CLIENTS_OWN = _ClientsOwn()


def complete(subclass: type, base: type) -> None:
    """Give the methods of a subclass the signatures and docstrings of the methods that they implement.

    Args:
        subclass: the class that was just made; a method with a docstring of its own keeps it.
        base: the class that declares the methods; the return annotations stay those of the subclass.
    """
    for name, method in vars(subclass).items():
        declaration = vars(base).get(name)
        if name.startswith("_") or not inspect.isfunction(method) or method.__doc__ is not None:
            continue
        if inspect.isfunction(declaration):
            method.__doc__ = declaration.__doc__
            own = inspect.signature(method)
            parameters = [
                parameter.replace(default=_default(parameter, own))
                for parameter in inspect.signature(declaration).parameters.values()
            ]
            method.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]


def _default(declared: inspect.Parameter, own: inspect.Signature) -> object:
    if declared.name in own.parameters:
        return own.parameters[declared.name].default
    return _CLIENTS_OWN if declared.default is ... else declared.default
