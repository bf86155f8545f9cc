"""Functions that are chosen by name and given plain values: telejax's own, or a user's as "package.module:name"."""

import importlib
import inspect
import os
import re
import sys
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from telejax.backend.plain_numbers import is_plain_number
from telejax.errors import check_name, short

KINDS = (bool, int, float, str)
WORDS = {bool: "true or false", int: "an integer", float: "a number", str: "a text"}

OPTIMIZERS = ("adagrad", "adam", "adamw", "lion", "rmsprop", "sgd")
"""Those of optax that go by their name."""

Factory = Callable[..., Any]


def is_path(name: str) -> bool:
    """Whether a name says where a function of the user's is.

    >>> is_path("my.module:method"), is_path("teleportation")
    (True, False)
    """
    return re.fullmatch(r"[^\W\d][\w.]*:[^\W\d]\w*", name) is not None


def imported(kind: str, path: str) -> Factory:
    """The function at "package.module:name", as Python would import it from the working directory.

    Args:
        kind: what it makes, in a word, for errors.
        path: where it is.

    Raises:
        ValueError: no such module, or nothing in it that can be called by this name.

    >>> imported("task", "math:hypot")(3.0, 4.0)
    5.0
    """
    module, _, attribute = path.partition(":")
    if os.getcwd() not in sys.path:  # as `python -m` does, which a command of its own does not
        sys.path.insert(0, os.getcwd())
    try:
        found = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{kind} is {path!r}, and there is no module {error.name!r}; run where Python can import it"
        ) from error
    except AttributeError:
        raise ValueError(f"{kind} is {path!r}, and module {module!r} has no {attribute!r}; give a name in it") from None
    except Exception as error:  # of the user's module, as it is imported
        raise ValueError(f"{kind} is {path!r}, whose module cannot be imported: {error!r}") from error
    if not callable(found):
        raise ValueError(f"{kind} is {path!r}, which is {short(found)}; give a function that makes a {kind}")
    return typing.cast(Factory, found)


def find(kind: str, name: str, known: Mapping[str, Factory]) -> Factory:
    """The function of this name, or the one that it is the path of.

    Raises:
        ValueError: there is none.

    >>> find("shape", "ring", {"ring": dict}), find("shape", "math:hypot", {})
    (<class 'dict'>, <built-in function hypot>)
    """
    return imported(kind, name) if is_path(name) else known[check_name(kind, name, known)]


def signature(factory: Factory, eval_str: bool = False) -> Mapping[str, inspect.Parameter]:
    """The parameters of a factory; a ValueError for what has none that Python knows, as some of C have not."""
    try:
        return inspect.signature(factory, eval_str=eval_str).parameters
    except (TypeError, ValueError, NameError) as error:
        told = f"{short(factory)} has parameters that cannot be read ({error})"
        raise ValueError(f"{told}; give a Python function") from error


def parameters(factory: Factory) -> dict[str, tuple[type, ...]]:
    """The parameters of a factory that plain values can be given for, with the types each takes.

    >>> def clip(bound: float = 1.0, rule: str | None = None, on: bool = True): ...
    >>> parameters(clip)
    {'bound': (<class 'float'>,), 'rule': (<class 'str'>,), 'on': (<class 'bool'>,)}
    """
    found = {}
    for name, parameter in signature(factory, eval_str=True).items():
        kinds = _plain_kinds(parameter.annotation)
        if kinds:
            found[name] = (float,) if float in kinds else kinds
    return found


def kinds_of(what: str, key: str, factory: Factory) -> tuple[type, ...]:
    """The types that a parameter takes.

    Args:
        what: names the factory, for errors.
        key: the parameter.
        factory: it.

    Raises:
        ValueError: there is no such parameter, or none that takes a plain value.
    """
    kinds = parameters(factory)
    if key in signature(factory) and key not in kinds:
        raise ValueError(
            f"{key!r} is a parameter of {what} for which no plain value can be given; annotate it, as in {key}: float"
        )
    if not kinds:
        raise ValueError(f"{key!r} is no parameter of {what}, for which no plain values can be given; leave it out")
    return kinds[check_name(f"parameter of {what}", key, kinds)]


def required(factory: Factory) -> list[str]:
    """The parameters that have no default."""
    named = signature(factory).values()
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [one.name for one in named if one.default is one.empty and one.kind not in variadic]


def split(spec: str, known: Iterable[str]) -> tuple[str, dict[str, str]]:
    """The name and the parameters, as texts, of ``name:parameter=value,...``.

    >>> split("fedavg:local_steps=4", ["fedavg"]), split("my.module:method:rate=0.1", ["fedavg"])
    (('fedavg', {'local_steps': '4'}), ('my.module:method', {'rate': '0.1'}))
    """
    name, _, rest = spec.partition(":")
    if name not in known and is_path(f"{name}:{rest.partition(':')[0]}"):
        own, _, rest = rest.partition(":")
        name = f"{name}:{own}"
    texts: dict[str, str] = {}
    for item in filter(None, rest.split(",")):
        key, _, value = (part.strip() for part in item.partition("="))
        if key in texts:
            raise ValueError(f"{key} of {spec!r} is {texts[key]!r} and {value!r}; give it once")
        texts[key] = value
    return name, texts


def read(kind: str, name: str, texts: Mapping[str, str], factory: Factory) -> dict[str, Any]:
    """The values that a command line gives for parameters of a factory.

    Raises:
        ValueError: a parameter that the factory does not have, or a value of another type.

    >>> def clip(bound: float = 1.0, on: bool = True): ...
    >>> read("rule", "clip", {"bound": "2", "on": "false"}, clip)
    {'bound': 2.0, 'on': False}
    """
    what = f"{kind} {name}"
    return {key: _value(f"{key} of {what}", text, kinds_of(what, key, factory)) for key, text in texts.items()}


def _value(what: str, text: str, kinds: tuple[type, ...]) -> Any:
    for kind in kinds:
        if kind in (int, float) and not is_plain_number(text):
            continue
        try:
            return {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
        except (KeyError, ValueError):
            continue
    raise ValueError(f"{what} is {text!r}; give {' or '.join(WORDS[kind] for kind in kinds)}, as in name:parameter=2")


def _plain_kinds(annotation: Any) -> tuple[type, ...]:
    parts = typing.get_args(annotation) if typing.get_origin(annotation) is not None else ()
    nested = [kind for part in parts for kind in _plain_kinds(part)] if parts else [annotation]
    return tuple(kind for kind in KINDS if kind in nested)
