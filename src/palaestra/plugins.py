"""Names and what they stand for; third parties add theirs from their own packages.

A package announces itself by one entry point in the group `palaestra`::

    [project.entry-points.palaestra]
    my_package = "my_package.plugin"

The module is imported only when a name is looked up that nothing has registered, and is expected to register its
environments (`palaestra.register`) and rewards (`palaestra.rewards.register`) when imported.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from palaestra.errors import ConfigError, PalaestraError, UnknownNameError, nearest

__all__ = ["PLUGIN_GROUP", "Registry", "load_object", "load_plugins"]

PLUGIN_GROUP = "palaestra"

T = TypeVar("T")


def load_object(path: str) -> Any:
    """The object at "module:attribute".

    Raises:
        PalaestraError: The path has another form, or the module has no such attribute.
        ImportError: The module cannot be imported.
    """
    module_name, separator, attribute = path.partition(":")
    if not separator or not module_name or not attribute:
        raise PalaestraError(f"'{path}' is not of the form 'module:attribute'.")
    target: Any = importlib.import_module(module_name)
    for part in attribute.split("."):
        try:
            target = getattr(target, part)
        except AttributeError:
            raise PalaestraError(f"The module '{module_name}' has no attribute '{attribute}'.") from None
    return target


def load_plugins() -> tuple[str, ...]:
    """Imports every installed plugin (Python imports each only once) and returns their names.

    Raises:
        PalaestraError: A plugin does not import; it is named, with its package, and the cause is chained. The other
            plugins are loaded all the same.
    """
    names: list[str] = []
    broken: list[tuple[str, Exception]] = []
    for point in sorted(entry_points(group=PLUGIN_GROUP), key=lambda point: point.name):
        try:
            point.load()
        except Exception as error:
            package = point.dist.name if point.dist is not None else "unknown package"
            broken.append((f"'{point.name}' ({point.value}, from the package '{package}')", error))
        else:
            names.append(point.name)
    if broken:
        told = "; ".join(f"{where} does not load: {type(error).__name__}: {error}" for where, error in broken)
        raise PalaestraError(f"The plugin {told}. Mend or uninstall the package.") from broken[0][1]
    return tuple(names)


class Registry(Generic[T]):
    """Names for things of one kind, each a factory or the place of one.

    Args:
        what: The kind, as a person would call it ("reward").
        built_in: Names and "module:attribute" paths, imported only when asked for.
    """

    def __init__(self, what: str, built_in: Mapping[str, str] | None = None) -> None:
        self.what = what
        self._targets: dict[str, str | Callable[..., T]] = dict(built_in or {})

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._targets))

    def __contains__(self, name: object) -> bool:
        return name in self._targets

    def register(self, name: str, target: str | Callable[..., T], *, replace: bool = False) -> None:
        """Adds a name.

        Args:
            name: The name.
            target: A factory, or "module:attribute" of one.
            replace: Whether an existing name may be taken over.

        Raises:
            PalaestraError: The name is taken by something else.
        """
        taken = self._targets.get(name)
        if taken is not None and taken != target and not replace:
            raise PalaestraError(
                f"The {self.what} '{name}' is already registered ({taken}). Pass replace=True to change it."
            )
        self._targets[name] = target

    def get(self, name: str) -> Callable[..., T]:
        """The factory of this name; on a miss, plugins are loaded and asked.

        Raises:
            UnknownNameError: Nothing has this name; the nearest is suggested.
            PalaestraError: Nothing has this name, and a plugin that might have it does not load.
        """
        if name not in self._targets:
            try:
                load_plugins()
            except PalaestraError:
                if name not in self._targets:
                    raise
        try:
            target = self._targets[name]
        except KeyError:
            raise UnknownNameError(self.what, name, self._targets) from None
        if isinstance(target, str):
            factory: Callable[..., T] = load_object(target)
            return factory
        return target

    def make(self, name: str, /, **kwargs: Any) -> T:
        """Calls the factory of this name.

        Raises:
            UnknownNameError: Nothing has this name.
            ConfigError: The factory does not take one of the keyword arguments, or needs another.
        """
        factory = self.get(name)
        _check_arguments(f"The {self.what} '{name}'", factory, kwargs)
        return factory(**kwargs)


def _check_arguments(who: str, factory: Callable[..., Any], kwargs: Mapping[str, Any]) -> None:
    """Compares keyword arguments with a signature, so that a typing error is not a bare TypeError from within."""
    parameters = inspect.signature(factory).parameters
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    accepted = {name: parameter for name, parameter in parameters.items() if parameter.kind in kinds}
    if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        for given in kwargs:
            if given not in accepted:
                hint = nearest(given, accepted) or "It takes no options."
                raise ConfigError(f"{who} has no option '{given}'. {hint}")
    missing = [
        name for name, parameter in accepted.items() if parameter.default is parameter.empty and name not in kwargs
    ]
    if missing:
        raise ConfigError(f"{who} needs the option(s) {', '.join(missing)}.")
