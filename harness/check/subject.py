"""What is checked: an id with its keyword arguments, and how to make it, here or in another process."""

from __future__ import annotations

import importlib
import inspect
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import gymnasium as gym

from palaestra import registration
from palaestra.errors import PalaestraError
from palaestra.harness.check.verdicts import CheckFailed, CheckSkipped
from palaestra.harness.check.world import World
from palaestra.registration import EnvCard

__all__ = ["Subject"]

_CHILD_SECONDS = 600


@dataclass(frozen=True)
class Subject:
    """The environment under check. It can be pickled.

    Attributes:
        env_id: The id, without a module.
        env_kwargs: For the constructor.
        card: Its card.
        seed: Seeds everything that the checks draw.
        fuzz: Number of strings of the fuzz.
        modules: Imported before the id is looked up in another process.
        entry_point: "module:Class", for other processes in which nothing registers the id.
        default_kwargs: Keyword arguments that the registration adds.
        has_card: Whether it was registered with a card of its own.
    """

    env_id: str
    env_kwargs: Mapping[str, Any]
    card: EnvCard
    seed: int = 0
    fuzz: int = 20_000
    modules: tuple[str, ...] = ()
    entry_point: str = ""
    default_kwargs: Mapping[str, Any] = field(default_factory=dict)
    has_card: bool = True

    @classmethod
    def of(cls, env_id: str, env_kwargs: Mapping[str, Any], *, seed: int = 0, fuzz: int = 20_000) -> Subject:
        """Finds the environment and makes it once, to learn where it lives.

        Raises:
            PalaestraError: There is no such environment, its packages are missing, or it does not take an argument.
        """
        card = registration.card(env_id)
        card = replace(card, bounds=dict(card.bounds or {}))
        module = env_id.rpartition(":")[0]
        spec = gym.registry.get(card.id)
        modules, entry_point = [module], ""
        try:
            env = registration.make(env_id, **env_kwargs)
        except PalaestraError:
            raise
        except Exception:
            pass  # the first check says so, as part of the certificate
        else:
            kind = type(env.unwrapped)
            modules.append(kind.__module__)
            entry_point = f"{kind.__module__}:{kind.__qualname__}"
            env.close()
        return cls(
            env_id=card.id,
            env_kwargs=dict(env_kwargs),
            card=card,
            seed=seed,
            fuzz=fuzz,
            modules=tuple(name for name in modules if name and name != "__main__"),
            entry_point=entry_point,
            default_kwargs=dict(spec.kwargs) if spec is not None else {},
            has_card=any(found.id == card.id for found in registration.cards()),
        )

    @property
    def parallel(self) -> bool:
        """Whether it is a world of several agents."""
        return self.card.agents == "parallel"

    def make(self, **changes: Any) -> World:
        """A new instance by `palaestra.make`, as users get it."""
        return World(registration.make(self.env_id, **{**self.env_kwargs, **changes}))

    def make_lean(self, **changes: Any) -> World:
        """A new instance without Gymnasium's passive checker, for many episodes."""
        lean = {} if self.parallel else {"disable_env_checker": True}
        return self.make(**lean, **changes)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keeps one instance open meanwhile, so that what instances share (a corpus, an index) is loaded once."""
        try:
            world = self.make_lean()
        except Exception:
            yield  # the first check says so
            return
        with world:
            yield

    def env_class(self) -> type[Any]:
        """The class of the unwrapped environment."""
        with self.make() as world:
            return type(world.raw)

    def accepts(self, argument: str) -> bool:
        """Whether the constructor takes this keyword argument."""
        for kind in self.env_class().__mro__:
            if "__init__" in vars(kind):
                parameters = inspect.signature(vars(kind)["__init__"]).parameters.values()
                if argument in {parameter.name for parameter in parameters}:
                    return True
                if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
                    return False
        return False

    def all_splits(self) -> dict[str, Any]:
        """The keyword argument that brings the tasks of every split, where there is one."""
        return {"split": "all"} if self.accepts("split") else {}

    def require(self, fine: bool, reason: str) -> None:
        """Skips the check unless it applies.

        Raises:
            CheckSkipped: It does not.
        """
        if not fine:
            raise CheckSkipped(reason)

    def ensure_registered(self) -> None:
        """Makes the id known in this process."""
        for name in self.modules:
            importlib.import_module(name)
        try:
            registration.card(self.env_id)
        except LookupError:
            registration.register(self.card, self.entry_point, **self.default_kwargs)

    def in_new_process(self, function: str, *arguments: Any, hash_seed: int = 1) -> Any:
        """Calls `function(subject, *arguments)` in a fresh interpreter.

        Args:
            function: "module:name".
            *arguments: Picklable.
            hash_seed: Its `PYTHONHASHSEED`.

        Returns:
            What the function returned.

        Raises:
            CheckFailed: The process did not come to its end.
        """
        try:
            job = pickle.dumps((self, function, arguments))
        except Exception as error:
            raise CheckFailed(
                "keyword arguments that can be pickled, so that the environment can be made in another process",
                f"{type(error).__name__}: {error}",
                "an argument is a lambda, an open file or a lock; pass plain values",
            ) from error
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "result"
            env = {
                **os.environ,
                "PYTHONHASHSEED": str(hash_seed),
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            }
            command = [sys.executable, "-m", "palaestra.harness.check.child", str(target)]
            try:
                done = subprocess.run(command, input=job, env=env, capture_output=True, timeout=_CHILD_SECONDS)
            except subprocess.TimeoutExpired as error:
                raise CheckFailed(
                    f"the work of a few seconds in another process, at most {_CHILD_SECONDS} s",
                    "it was still running",
                    "the environment waits for something that only exists in the first process (a server, a lock)",
                ) from error
            if not target.exists():
                last = done.stderr.decode(errors="replace").strip().splitlines()[-12:]
                raise CheckFailed(
                    "the environment can be made and played in a fresh Python process",
                    "the process ended with code {}:\n    {}".format(done.returncode, "\n    ".join(last)),
                    "its module needs something that was set up in the first process, or it crashes at import",
                )
            return pickle.loads(target.read_bytes())
