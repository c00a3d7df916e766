"""The office as tools see it: calls that happen as a whole or not at all, and states that are saved in an instant."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from palaestra.envs.language.tools import Tool, ToolOutput
from palaestra.envs.tools.desk.apps import APPS
from palaestra.envs.tools.desk.founding import found_office
from palaestra.envs.tools.desk.office import Office
from palaestra.envs.tools.desk.records import RECORDS
from palaestra.envs.tools.desk.states import Change, Difference, WorldState, changes, differences
from palaestra.envs.tools.desk.tables import Table
from palaestra.envs.tools.desk.tooling import DeskTool
from palaestra.episodes import TextPart
from palaestra.errors import ConfigError, ToolError, UnknownNameError, nearest

__all__ = ["TOOLS", "World"]

TOOLS: Mapping[str, DeskTool] = MappingProxyType({tool.name: tool for app in APPS.values() for tool in app})


class World(Office):
    """One world of the office. Worlds of one seed share what they start from, and see nothing of each other.

    The clock stands still, reading changes nothing, and nothing counts how often something was done: what a state
    holds does not depend on the way that led to it, but for the ids of new records, which `diff` looks through.

    >>> world = World.create(seed=0)
    >>> saved = world.snapshot()
    >>> made = world.call("contacts_add", {"name": "Ada Lund", "email": "ada@lund.example"})
    >>> [change.kind for change in world.changes(saved)]
    ['created']
    >>> world.restore(saved)
    >>> world.changes(saved)
    ()
    """

    @classmethod
    def create(cls, seed: int = 0, user: str | None = None) -> World:
        """The office of a seed as it stands at the start.

        Args:
            seed: What people, events, mails, ... are drawn from; at least 0.
            user: Id of the employee for whom the agent acts; by default the first who has a manager and leads people.

        Raises:
            ConfigError: The seed is below 0, or there is no such employee.
        """
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise ConfigError(f"The seed of an office is a whole number from 0, got {seed!r}.")
        base = found_office(seed)
        people = base.tables["people"]
        if user is None:
            user = next(one.id for one in people.rows.values() if one.manager and people.by["manager"].get(one.id))
        _check_person(people.rows, user)
        return cls(base, user)

    def act_for(self, person: str) -> None:
        """Makes another employee the one for whom the agent acts.

        Raises:
            ConfigError: There is no employee with this id.
        """
        _check_person(self.base.tables["people"].rows, person)
        self.user = person

    def table(self, name: str) -> Table[Any]:
        """A table, to set up a task or to look at its outcome; writes here obey no rules.

        Raises:
            UnknownNameError: There is no such table.
        """
        if name not in self._tables:
            raise UnknownNameError("table", name, RECORDS)
        return self._tables[name]

    # Calls -----------------------------------------------------------------------------------------------------

    def call(self, name: str, arguments: Mapping[str, Any]) -> ToolOutput:
        """Calls a tool.

        Args:
            name: The tool's name.
            arguments: Whatever was said; checked against the tool's schema and then by its rules.

        Returns:
            The result as JSON text; `data["changed"]` has the records written, as `table/id`.

        Raises:
            ToolError: The call could not be done. The state is as it was.
        """
        checker = _CHECKERS.get(name) if isinstance(name, str) else None
        if checker is None:
            raise ToolError(f"There is no tool {name!r:.100}. {nearest(str(name)[:80], TOOLS)}")
        if not isinstance(arguments, Mapping):
            raise ToolError(f"The arguments of '{name}' must be an object, got {type(arguments).__name__}.")
        problem = checker.problem(arguments)
        if problem is not None:
            raise ToolError(problem)
        return self._do(TOOLS[name].run, arguments)

    def tools(self, names: Iterable[str] | None = None) -> tuple[Tool, ...]:
        """Tools that work in this world.

        Args:
            names: Which, in this order; all by default.

        Raises:
            UnknownNameError: There is no such tool.
        """
        chosen = tuple(TOOLS) if names is None else tuple(names)
        for name in chosen:
            if name not in TOOLS:
                raise UnknownNameError("tool", name, TOOLS)
        return tuple(_bound(TOOLS[name], partial(self._run, TOOLS[name].run)) for name in chosen)

    def _run(self, run: Callable[..., Mapping[str, Any]], /, **arguments: Any) -> ToolOutput:
        return self._do(run, arguments)

    def _do(self, run: Callable[..., Mapping[str, Any]], arguments: Mapping[str, Any]) -> ToolOutput:
        journal = self._journal
        journal.clear()
        try:
            result = run(self, **arguments)
        except BaseException:
            for table, id_, before, made in reversed(journal):
                table.undo(id_, before, made)
            journal.clear()
            raise
        changed = tuple(dict.fromkeys(f"{table.base.name}/{id_}" for table, id_, _, _ in journal)) if journal else ()
        return ToolOutput((TextPart(_write(result)),), {"changed": changed})

    # States ----------------------------------------------------------------------------------------------------

    def snapshot(self) -> WorldState:
        """The state as it stands; takes the same time however much has changed."""
        return WorldState(self.base, self.user, tuple([table.save() for table in self._tables.values()]))

    def restore(self, state: WorldState) -> None:
        """Brings the world to a state that was saved in any world of the same seed.

        Raises:
            ConfigError: It is a state of an office with another seed.
        """
        if state.base.seed != self.base.seed:
            raise ConfigError(f"This office has the seed {self.base.seed}, the state is of seed {state.base.seed}.")
        self.user = state.user
        for table, saved in zip(self._tables.values(), state.tables, strict=True):
            table.load(saved)

    def changes(self, since: WorldState | None = None) -> tuple[Change, ...]:
        """The records that are not what they were: at the start, or in a saved state. See `states.changes`."""
        if since is None:
            since = World(self.base, self.user).snapshot()
        return changes(since, self.snapshot())

    def diff(
        self,
        other: World | WorldState,
        ignore: Collection[str] = (),
        views: Mapping[str, Callable[[Any], Any]] | None = None,
    ) -> tuple[Difference, ...]:
        """In what the outcome differs from another one, whatever the way; empty where it does not.

        See `states.differences`.
        """
        return differences(self.snapshot(), other.snapshot() if isinstance(other, World) else other, ignore, views)

    def digest(self) -> str:
        """See `WorldState.digest`."""
        return self.snapshot().digest()


_write = json.JSONEncoder(ensure_ascii=False).encode


def _bound(tool: DeskTool, run: Callable[..., ToolOutput]) -> Tool:
    return Tool(tool.name, tool.description, tool.parameters, run)


def _never(**arguments: Any) -> ToolOutput:
    raise AssertionError("A checker only checks.")


# Checking arguments needs no world.
_CHECKERS: Mapping[str, Tool] = MappingProxyType({name: _bound(tool, _never) for name, tool in TOOLS.items()})


def _check_person(people: Mapping[str, Any], id_: str) -> None:
    if id_ not in people:
        raise ConfigError(f"There is no employee {id_!r}; ids go from {next(iter(people))} to {list(people)[-1]}.")
