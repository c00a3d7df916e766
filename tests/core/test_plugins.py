from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from palaestra.errors import ConfigError, PalaestraError, UnknownNameError
from palaestra.plugins import Registry, load_object, load_plugins


def test_load_object():
    assert load_object("os.path:join").__name__ == "join"
    assert load_object("palaestra.plugins:Registry.make") is Registry.make
    for path in ("os.path", ":join", "os.path:", ""):
        with pytest.raises(PalaestraError, match="is not of the form 'module:attribute'"):
            load_object(path)
    with pytest.raises(PalaestraError, match="The module 'os' has no attribute 'no_such'"):
        load_object("os:no_such")
    with pytest.raises(ModuleNotFoundError):
        load_object("no_such_module_here:x")


def test_a_registry():
    registry: Registry[Any] = Registry("shape", {"path": "pathlib:Path"})
    registry.register("pair", lambda a, b=2: (a, b))
    assert list(registry) == ["pair", "path"] and "pair" in registry and "par" not in registry
    assert registry.make("pair", a=1) == (1, 2)
    assert registry.get("path") is Path
    with pytest.raises(UnknownNameError, match=r"There is no shape 'par'\. Did you mean 'pair'"):
        registry.get("par")
    with pytest.raises(ConfigError, match=r"The shape 'pair' has no option 'color'\. Choose from: a, b\."):
        registry.make("pair", a=1, color=3)
    with pytest.raises(ConfigError, match=r"needs the option\(s\) a"):
        registry.make("pair")
    with pytest.raises(PalaestraError, match=r"The shape 'pair' is already registered .* replace=True"):
        registry.register("pair", "pathlib:Path")
    registry.register("pair", "pathlib:Path", replace=True)
    assert registry.get("pair") is Path


def test_factories_that_take_anything_or_nothing():
    registry: Registry[Any] = Registry("shape")
    registry.register("any", lambda **kwargs: kwargs)
    registry.register("none", lambda: 3)
    assert registry.make("any", name="x", what=1) == {"name": "x", "what": 1}
    with pytest.raises(ConfigError, match=r"has no option 'a'\. It takes no options"):
        registry.make("none", a=1)

    def own_bug() -> None:
        raise TypeError("inside")

    registry.register("buggy", own_bug)
    with pytest.raises(TypeError, match="inside"):
        registry.make("buggy")


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    monkeypatch.syspath_prepend(str(tmp_path))

    def put(name: str, source: str) -> None:
        (tmp_path / f"{name}.py").write_text(source)
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[palaestra]\n{name}_entry = {name}\n")
        importlib.invalidate_caches()

    return put


def test_every_plugin_is_loaded_once_and_all_broken_ones_are_named(install, monkeypatch):
    install(
        "plugin_good", "import builtins; builtins.plugin_good_loads = getattr(builtins, 'plugin_good_loads', 0) + 1"
    )
    install("plugin_bad", "1 / 0")
    install("plugin_worse", "import no_such_module_here")
    monkeypatch.setattr("builtins.plugin_good_loads", 0, raising=False)
    for _ in range(2):
        with pytest.raises(PalaestraError) as caught:
            load_plugins()
        message = str(caught.value)
        assert "from the package 'plugin_bad') does not load: ZeroDivisionError" in message
        assert "from the package 'plugin_worse') does not load: ModuleNotFoundError" in message
        assert "plugin_good" not in message
    import builtins

    assert builtins.plugin_good_loads == 1  # type: ignore[attr-defined]
    del sys.modules["plugin_good"]


def test_no_plugins():
    assert load_plugins() == ()
