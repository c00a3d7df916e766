"""Tasks for the tools of any MCP server: the environment."""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal

from palaestra.answers import exact_match
from palaestra.environment import OnFailure
from palaestra.envs.language.dialects import Dialect
from palaestra.envs.language.environment import LanguageEnv
from palaestra.envs.language.tools import Tool, ToolOutput, answer_tool
from palaestra.envs.tools.mcp.connection import ListedTool, McpConnection
from palaestra.envs.tools.mcp.content import tool_output
from palaestra.envs.tools.mcp.endpoint import read_endpoint
from palaestra.envs.tools.mcp.policies import MCP_POLICIES, modal_answer
from palaestra.envs.tools.mcp.task_files import McpTasks, load_tasks
from palaestra.envs.tools.mcp.toolset import chosen_tools, make_tools
from palaestra.envs.tools.mcp.verifier import holds
from palaestra.episodes import TextPart
from palaestra.errors import ConfigError, DataError, EnvironmentUnavailable, EpisodeFailure, SnapshotError, ToolError
from palaestra.policies import PolicyFactory
from palaestra.tasks import Task

__all__ = ["McpToolsEnv"]

_ANSWER = "Ends the task and gives your final answer, in a few words; 'done' where nothing was asked."
_INSTRUCTIONS_CHARS = 4000


class McpToolsEnv(LanguageEnv):
    """Do tasks with the tools of any MCP server.

    ## Description
    A server that speaks the Model Context Protocol brings the tools, a JSONL file the tasks. The server is started by
    a command (stdio) or reached at an address (streamable HTTP), in either generation of the protocol (2026-07-28, and
    2025-11-25 with its predecessors). The agent calls its tools and ends with `answer`. A task is judged by what it
    expects: answers, and results of calls that are made after the episode to look at the server's state.

    What a tool says of its own failure (`isError`) is the agent's to read. A server that is dead, hangs, or breaks the
    protocol or its own schemas fails the episode, which is then worth nothing rather than 0; the next reset connects
    anew.

    ## Action Space
    | Space | Bound | Meaning |
    | --- | --- | --- |
    | `Utf8(max_bytes=65536)` | 65536 bytes | One turn: thought, then tool calls in the chosen dialect |

    Any text is legal. A malformed turn is answered by what was wrong and what is accepted. `sample()` draws
    well-formed calls. The tools are those of the server, and:

    | Tool | Arguments | Effect |
    | --- | --- | --- |
    | `answer` | `answer` (string) | Ends the episode |

    ## Observation Space
    | Space | Bound | Meaning |
    | --- | --- | --- |
    | `Utf8(max_bytes=65536)` | 65536 bytes | At reset instructions and task; then the results of the last turn |

    ## Rewards
    0 until the end, then the outcome: 1 if the answer is among the accepted ones (exact match after SQuAD's
    normalisation; where the task has any) and every check holds, else 0.

    ## Starting State
    A task drawn uniformly from the split, or the one named by `reset(options={"task_id": ...})`. With `restart` a new
    session and, for a command, a new process; then the task's `setup` calls.

    ## Episode End
    1. Termination: `answer` was called.
    2. Truncation: `max_turns` turns were taken; the checks then decide, where no answer is asked for.
    3. Truncation with `info["status"] == "failed"`: the server is out of order. `info["error"]["kind"]` is `mcp_down`,
       `mcp_timeout`, `mcp_garbage` or `mcp_tools_changed`. Not a reward of 0.

    ## Information
    Always `status`. At reset `task_id`, `group`, `split`. After each step `calls` (tuple of `ToolCall`, structured
    results in `data`) and `malformed`; at the end also `outcome`, `em` (1.0 if the answer is right or none is asked
    for) and `checks` (the share that holds).

    ## Arguments
    | Parameter | Type | Default | Description |
    | --- | --- | --- | --- |
    | `server` | str, sequence | `None` | A command line, or an address (`http://...`); needed |
    | `tasks` | path | `None` | JSONL of tasks, see `docs/mcp.md`; needed |
    | `tools` | sequence | `None` | Only these of the server's tools |
    | `restart` | bool | `True` | A new session for every episode; switch off for servers without state |
    | `protocol` | str | `"auto"` | `auto`, `2026-07-28` or `2025-11-25` |
    | `connect_seconds` | float | `30.0` | Time to start or reach the server |
    | `call_seconds` | float | `60.0` | Time for each call |
    | `on_timeout` | str | `"failure"` | A call without answer is a `failure`, or the call's `tool_error` |
    | `max_result_bytes` | int | `8388608` | Longest message that is taken from the server |
    | `server_env` | mapping | `None` | Environment variables for a command |
    | `cwd` | path | `None` | Folder that a command runs in |
    | `headers` | mapping | `None` | HTTP headers for an address |
    | `brief` | bool | `False` | Leave out the instructions |
    | `split` | str | `"all"` | `train`, `val`, `test` or `all` |
    | `dialect` | str | `"hermes"` | `tags`, `hermes`, `json`, or a dialect of your own |
    | `max_turns` | int | `16` | Horizon |
    | `max_calls` | int | `16` | Calls a turn may make |
    | `max_action_bytes` | int | `65536` | Longest utterance that is read |
    | `max_observation_bytes` | int | `65536` | Longest observation |
    | `render_mode` | str | `None` | `ansi` or `human` |
    | `on_failure` | str | `"truncate"` | `truncate` or `raise` |
    | `privileged` | bool | `False` | Show the ground truth in `info` |

    >>> import gymnasium as gym, palaestra
    >>> env = gym.make("palaestra/McpTools-v0", server="python server.py", tasks="tasks.jsonl")  # doctest: +SKIP
    >>> observation, info = env.reset(seed=0)  # doctest: +SKIP

    ## Version History
    * v0: first version.
    """

    shipped_policies: ClassVar[Mapping[str, PolicyFactory]] = MCP_POLICIES

    def __init__(
        self,
        server: str | Sequence[str] | None = None,
        tasks: str | os.PathLike[str] | McpTasks | None = None,
        *,
        tools: Sequence[str] | None = None,
        restart: bool = True,
        protocol: str = "auto",
        connect_seconds: float = 30.0,
        call_seconds: float = 60.0,
        on_timeout: Literal["failure", "tool_error"] = "failure",
        max_result_bytes: int = 8 * 2**20,
        server_env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        headers: Mapping[str, str] | None = None,
        brief: bool = False,
        split: str = "all",
        dialect: str | Dialect = "hermes",
        max_turns: int = 16,
        max_calls: int = 16,
        max_action_bytes: int = 65_536,
        max_observation_bytes: int = 65_536,
        render_mode: str | None = None,
        on_failure: OnFailure = "truncate",
        privileged: bool = False,
    ) -> None:
        if server is None or tasks is None:
            missing = "server" if server is None else "tasks"
            raise ConfigError(
                f"McpTools needs '{missing}': gym.make('palaestra/McpTools-v0', server='python server.py', "
                "tasks='tasks.jsonl')."
            )
        if on_timeout not in ("failure", "tool_error"):
            raise ConfigError(f"on_timeout is {on_timeout!r}; choose 'failure' or 'tool_error'.")
        self.restart, self.on_timeout, self.brief = restart, on_timeout, brief
        endpoint = read_endpoint(
            server,
            server_env=server_env,
            cwd=cwd,
            headers=headers,
            protocol=protocol,
            connect_seconds=connect_seconds,
            call_seconds=call_seconds,
            max_bytes=max_result_bytes,
        )
        self.all_tasks = tasks if isinstance(tasks, McpTasks) else load_tasks(tasks)
        chosen = self.all_tasks.tasks.where(split=split)
        self._chosen = (tools,) if isinstance(tools, str) else tools
        self._answer: str | None = None
        self._verdict: Mapping[str, float] | None = None
        self.connection = McpConnection(endpoint)
        # Also where nobody closes the environment: no thread and no process outlives it.
        self._finalizer = weakref.finalize(self, McpConnection.close, self.connection)
        try:
            self._everything = self._connect()
            self._unused = True
            self._listed = chosen_tools(self._everything, self._chosen)
            self._server_tools = self._make_server_tools()
            super().__init__(
                chosen,
                dialect=dialect,
                max_turns=max_turns,
                max_calls=max_calls,
                max_action_bytes=max_action_bytes,
                max_observation_bytes=max_observation_bytes,
                render_mode=render_mode,
                on_failure=on_failure,
                privileged=privileged,
            )
            self._check_tasks()
        except BaseException:
            self._finalizer()
            raise

    def close(self) -> None:
        """Ends the session, the server if it is ours, and the thread that spoke to it. May be called twice."""
        self._finalizer()
        super().close()

    @cached_property
    def modal_answer(self) -> str:
        """The most frequent training answer, for the `prior` policy."""
        return modal_answer(self.all_tasks.tasks)

    # The server --------------------------------------------------------------------------------------------------

    def _connect(self) -> tuple[ListedTool, ...]:
        try:
            return self.connection.open()
        except EpisodeFailure as failure:
            raise EnvironmentUnavailable(f"McpTools cannot list the server's tools: {failure.message}") from failure

    def _make_server_tools(self) -> Mapping[str, tuple[ListedTool, Tool]]:
        try:
            return make_tools(self._listed, self._call)
        except EpisodeFailure as failure:
            raise EnvironmentUnavailable(failure.message) from failure

    def _refresh(self) -> None:
        """A session for the next episode, with the tools that there were when the environment was made."""
        if self._unused:
            self._unused = False
            if self.connection.is_open:
                return
        again = self.restart or not self.connection.is_open
        self._compare(self.connection.open() if again else self.connection.list_tools())

    def _compare(self, now: Sequence[ListedTool]) -> None:
        before = {tool.name: tool for tool in self._everything}
        after = {tool.name: tool for tool in now}
        of_interest = before.keys() | after.keys() if self._chosen is None else {tool.name for tool in self._listed}
        changed = sorted(name for name in of_interest if before.get(name) != after.get(name))
        if changed:
            self.connection.drop()
            names = ", ".join(repr(name) for name in changed[:5])
            problem = f"{self.connection.endpoint} has changed its tools since the environment was made: {names}."
            raise EpisodeFailure("mcp_tools_changed", problem)

    def _call(self, name: str, arguments: Mapping[str, Any]) -> ToolOutput:
        """A call of the agent's."""
        self._verdict = None
        try:
            output, is_error = self._ask(name, arguments, forgive_delay=self.on_timeout == "tool_error")
        except ToolError as refusal:
            if not isinstance(refusal.__cause__, EpisodeFailure):  # a busy server is not asked for its tools
                self._compare(self.connection.list_tools())
            raise
        if is_error or self.connection.news:
            self._compare(self.connection.list_tools())
        if is_error:
            raise ToolError(_text(output) or f"'{name}' could not do this, and does not say why.")
        return output

    def _ask(self, name: str, arguments: Mapping[str, Any], *, forgive_delay: bool = False) -> tuple[ToolOutput, bool]:
        result = self.connection.call(name, arguments, forgive_delay=forgive_delay)
        try:
            return tool_output(result), result.is_error
        except ValueError as error:
            self.connection.drop()
            problem = f"{self.connection.endpoint} gave no valid answer to '{name}': {error}."
            raise EpisodeFailure("mcp_garbage", problem) from error

    # What the base class asks for --------------------------------------------------------------------------------

    def _make_tools(self) -> Sequence[Tool]:
        return (*(tool for _, tool in self._server_tools.values()), answer_tool(self._give_answer, _ANSWER))

    def _begin(self, task: Task) -> None:
        self._answer, self._verdict = None, None
        self._refresh()
        for call in self.all_tasks.setups.get(task.id, ()):
            try:
                output, is_error = self._ask(call.name, call.arguments)
            except ToolError as refusal:
                output, is_error = ToolOutput((TextPart(str(refusal)),)), True
            if is_error:
                problem = f"The setup call '{call.name}' of the task '{task.id}' failed: {_text(output)[:600]}"
                raise EpisodeFailure("mcp_setup_failed", problem, retryable=False)

    def _prompt(self, task: Task) -> str:
        if self.brief:
            return f"Task: {task.prompt}"
        own = self.connection.instructions.strip()
        return "\n".join(
            (
                f"Do the task with the tools below; you have {self.max_turns} turns. End with the tool 'answer'.",
                *([own[:_INSTRUCTIONS_CHARS]] if own else []),
                self.dialect.instructions(self._tool_list),
                f"\nTask: {task.prompt}",
            )
        )

    def _give_answer(self, answer: str) -> ToolOutput:
        self._answer, self._verdict = answer, None
        return ToolOutput((TextPart("The answer was noted."),))

    def _judge(self) -> Mapping[str, float]:
        if self._verdict is None:
            answers, checks = self.task.truth.get("answers", ()), self.task.truth.get("checks", ())
            em = float(not answers or (self._answer is not None and exact_match(self._answer, answers) == 1.0))
            share = sum(map(self._holds, checks)) / len(checks) if checks else 1.0
            self._verdict = {"outcome": em * float(share == 1.0), "em": em, "checks": share}
        return self._verdict

    def _holds(self, check: Mapping[str, Any]) -> bool:
        if check["name"] not in (tool.name for tool in self._everything):
            return False  # only where a canary was planted; `_check_tasks` has seen the others
        try:
            output, is_error = self._ask(check["name"], check["arguments"])
        except ToolError as refusal:
            output, is_error = ToolOutput((TextPart(str(refusal)),)), True
        return holds(check, output, is_error)

    def _get_family_state(self) -> Any:
        raise SnapshotError(f"{self.connection.endpoint} keeps state of its own, which cannot be saved.")

    # Bad input -----------------------------------------------------------------------------------------------------

    def _check_tasks(self) -> None:
        """Every tool that a task names exists, and every gold call is one that an agent could make."""
        there = {tool.name for tool in self._everything}
        for task in self.all_tasks.tasks:
            for field, calls in (
                ("setup", [call.name for call in self.all_tasks.setups.get(task.id, ())]),
                ("checks", [check["name"] for check in task.truth.get("checks", ())]),
            ):
                for name in calls:
                    if name not in there:
                        raise self._wrong(task, f"The server has no tool '{name}'. It has: {_names(there)}.", field)
            for call in (call for turn in task.truth.get("gold_calls", ()) for call in turn):
                tool = self._tools.get(call["name"])
                if tool is None:
                    problem = f"There is no tool '{call['name']}'. There are: {_names(self._tools)}."
                    raise self._wrong(task, problem, "gold_calls")
                wrong = tool.problem(call["arguments"])
                if wrong is not None:
                    raise self._wrong(task, wrong, "gold_calls")

    def _wrong(self, task: Task, problem: str, field: str) -> DataError:
        return DataError(self.all_tasks.path, problem, line=self.all_tasks.lines[task.id], field=field)


def _text(output: ToolOutput) -> str:
    return "\n".join(part.text for part in output.content if isinstance(part, TextPart))


def _names(names: Any) -> str:
    known = sorted(names)
    return ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
