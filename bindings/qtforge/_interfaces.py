"""Whether a plugin has the methods of an interface, asked by the host; and the mark for methods that run on the lane."""

from __future__ import annotations

import contextlib
import inspect
import types
import typing
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Optional, TypeVar, Union, get_args, get_origin

from qtforge import _qtforge

__all__ = ["check", "make_method", "on_lane"]

_MARK = "_qtforge_on_lane"  # include/qtforge/python/detail/bridge_interfaces.hpp looks for it too

_Function = TypeVar("_Function", bound=Callable[..., Any])

# A C++ type as the host names it: its Python name, and that of its elements: ("list", ("float",)).
_Type = tuple[Any, ...]

_CLASSES: dict[str, type] = {
    "None": type(None),
    "bool": bool,
    "int": int,
    "float": float,
    "str": str,
    "list": list,
    "dict": dict,
    "BinaryMessage": _qtforge.BinaryMessage,
}
# What is known not to become a BinaryMessage; others may be arrays.
_NO_BYTES = (type(None), bool, int, float, complex, str, list, dict, tuple, set)
# Annotations of results that say enough to be judged.
_PLAIN = (*_NO_BYTES, bytes, bytearray, memoryview, _qtforge.BinaryMessage)
_UNIONS = (Union, getattr(types, "UnionType", Union))


def on_lane(function: _Function) -> _Function:
    """Marks a method of an interface: it runs on the thread of its plugin, while the caller waits.

    Without the mark a method runs on the caller's thread, under the GIL. Methods that use the plugin's asyncio loop, or
    state that its handlers use too, want the mark.
    """
    setattr(function, _MARK, True)
    return function


def check(
    plugin: object, methods: Sequence[tuple[str, Sequence[tuple[str, _Type]], _Type]]
) -> tuple[list[tuple[Callable[..., Any], bool]], str]:
    """Looks for the methods of an interface in `plugin`.

    Args:
        plugin: the plugin's object.
        methods: of each its name, its parameters' names and types, and its result's type.

    Returns:
        The bound methods, each with whether it is marked with `on_lane`; and all that is wrong, empty if nothing is.
    """
    found: list[tuple[Callable[..., Any], bool]] = []
    problems: list[str] = []
    for name, parameters, result in methods:
        wanted = f"{name}({', '.join(parameter for parameter, _ in parameters)})"
        try:
            method = getattr(plugin, name)
        except AttributeError:
            problems.append(f"there is no method {wanted}")
            continue
        if not callable(method):
            problems.append(f"{name} is no method but of type {type(method).__name__}")
            continue
        problems += _problems(method, name, wanted, parameters, result)
        found.append((method, bool(getattr(method, _MARK, False))))
    return found, "; ".join(problems)


def guarded(found: int, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a function that calls a method of a plugin in Python while that stays loaded, on its lane where it is marked
    with `on_lane`; after a reload that of the new version. It does not keep `method`."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return _qtforge.plugin_invoke(found, name, args, kwargs)

    call.__name__, call.__doc__ = name, method.__doc__
    call.__qualname__ = getattr(method, "__qualname__", name)
    with contextlib.suppress(TypeError, ValueError):  # not all that is built in says it
        call.__signature__ = inspect.signature(method)  # type: ignore[attr-defined]
    return call


def make_method(
    plugin: int,
    interface: str,
    spelled: str,
    name: str,
    parameters: Sequence[tuple[str, _Type]],
    result: _Type,
) -> Callable[..., Any]:
    """Makes a function that calls a method of a plugin in C++.

    Args:
        plugin: its number.
        interface: the interface's name.
        spelled: the method as C++ spells it, for help().
        name: the method's name.
        parameters: their names and types.
        result: its type.
    """
    signature = inspect.Signature(
        [
            inspect.Parameter(parameter, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=_annotation(type_))
            for parameter, type_ in parameters
        ],
        return_annotation=_annotation(result),
    )
    count = len(parameters)

    def method(*args: Any, **kwargs: Any) -> Any:
        if kwargs or len(args) != count:
            args = signature.bind(*args, **kwargs).args
        return _qtforge.plugin_call(plugin, interface, name, args)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"{spelled}, of the interface {interface}."
    method.__signature__ = signature  # type: ignore[attr-defined]
    return method


def _annotation(type_: _Type) -> Any:
    kind, *elements = type_
    if kind == "json":
        return Any
    if kind == "optional":
        return Optional[_annotation(elements[0])]
    if kind == "None":
        return None
    if not elements:
        return _CLASSES[kind]
    inner = _annotation(elements[0])
    return types.GenericAlias(list, (inner,)) if kind == "list" else types.GenericAlias(dict, (str, inner))


def _problems(
    method: Callable[..., Any], name: str, wanted: str, parameters: Sequence[tuple[str, _Type]], result: _Type
) -> list[str]:
    if inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method):
        return [f"{name} is a coroutine function; a method must be a plain function"]
    try:
        signature = inspect.signature(method)
    except (TypeError, ValueError):  # of a builtin: the call will tell
        return []
    try:
        bound = signature.bind(*range(len(parameters)))
    except TypeError as error:
        return [f"{name}{signature} cannot be called as {wanted}: {error}"]
    try:
        hints = typing.get_type_hints(method)
    except Exception:  # noqa: BLE001  what is annotated may be any expression, of names that only type checkers know
        return []
    problems = []
    for parameter, given in bound.arguments.items():
        annotation = hints.get(parameter, Any)
        for index in given if isinstance(given, tuple) else (given,):
            type_ = parameters[index][1]
            if not _takes(annotation, type_):
                problems.append(
                    f"{name}: parameter {parameter}: {_shown(annotation)} is annotated, {_named(type_)} comes"
                )
    if not _gives(hints.get("return", Any), result):
        problems.append(f"{name}: {_shown(hints['return'])} is annotated as result, {_named(result)} is wanted")
    return problems


def _shown(annotation: Any) -> str:
    return annotation.__name__ if type(annotation) is type else str(annotation).replace("typing.", "")


def _named(type_: _Type) -> str:
    kind, *elements = type_
    if kind == "optional":
        return f"{_named(elements[0])} or None"
    if kind == "list" and elements:
        return f"list[{_named(elements[0])}]"
    if kind == "dict" and elements:
        return f"dict[str, {_named(elements[0])}]"
    return "anything" if kind == "json" else str(kind)


def _parts(annotation: Any) -> tuple[Any, ...]:
    """The alternatives of an annotation; what says nothing is Any."""
    if annotation is None:
        return (type(None),)
    if get_origin(annotation) is Annotated:
        return _parts(get_args(annotation)[0])
    if get_origin(annotation) in _UNIONS:
        return tuple(part for one in get_args(annotation) for part in _parts(one))
    kind = get_origin(annotation) or annotation
    return (annotation,) if isinstance(kind, type) and kind is not object else (Any,)


def _takes(annotation: Any, type_: _Type) -> bool:
    """Whether a parameter may be given a value of that type. What cannot be judged is well."""
    kind, *elements = type_
    parts = _parts(annotation)
    if kind == "json" or Any in parts:
        return True
    if kind == "optional":
        return type(None) in parts and _takes(annotation, elements[0])
    return any(_takes_one(part, kind, elements) for part in parts)


def _takes_one(annotation: Any, kind: str, elements: list[_Type]) -> bool:
    class_ = get_origin(annotation) or annotation
    given = _CLASSES[kind]
    try:
        fits = issubclass(given, class_) or (given is int and class_ is float)
    except TypeError:  # a protocol that is not for the run time
        return True
    inner = get_args(annotation)
    if not fits or not inner or not elements:
        return fits
    return _takes(inner[-1], elements[0])


def _gives(annotation: Any, type_: _Type) -> bool:
    """Whether a value of that annotation may become that type. What cannot be judged is well."""
    kind, *elements = type_
    parts = _parts(annotation)
    if kind in ("json", "None") or Any in parts:
        return True
    if kind == "optional":
        return all(part is type(None) or _gives(part, elements[0]) for part in parts)
    return all(_gives_one(part, kind, elements) for part in parts)


def _gives_one(annotation: Any, kind: str, elements: list[_Type]) -> bool:
    class_ = get_origin(annotation) or annotation
    wanted = _CLASSES[kind]
    if kind == "BinaryMessage":
        return class_ not in _NO_BYTES
    if class_ not in _PLAIN:
        return True
    if kind == "list":
        if class_ in (bytes, bytearray):
            return not elements or elements[0][0] == "int"
        inner = [one for one in get_args(annotation) if one is not ...]
        return class_ in (list, tuple) and all(_gives(one, elements[0]) for one in inner if elements)
    if kind == "dict":
        inner = list(get_args(annotation))
        return class_ is dict and (not inner or not elements or _gives(inner[-1], elements[0]))
    return class_ is wanted or (wanted is float and class_ is int)
