"""`run`: one agent on one environment, recorded in a run folder."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from palaestra import registration
from palaestra.agents.base import Agent, ArrayPolicy
from palaestra.episodes import Episode, EpisodeError
from palaestra.errors import ConfigError, RecordError
from palaestra.harness import manifest as manifests
from palaestra.harness.array_run import ArrayRun, is_array_policy
from palaestra.harness.forks import ForkedRunner, can_fork
from palaestra.harness.lockstep import LockstepRunner
from palaestra.harness.manifest import cores
from palaestra.harness.plan import Plan, asked_of, kwargs_of, requests_of
from palaestra.harness.play import nothing_of
from palaestra.harness.reward_state import RewardState
from palaestra.harness.run_folder import Entry, Run, RunWriter
from palaestra.harness.runner import Finished, Limits, Record, Runner, Stop
from palaestra.harness.schedule import Request
from palaestra.harness.scoring import Rewards, SlotScoring
from palaestra.harness.worlds import world_of
from palaestra.registration import EnvCard
from palaestra.rewards.base import Models
from palaestra.snapshots import ReplayLog

__all__ = ["run"]

OnWorld = Callable[[Sequence[Finished]], None]
_AGENT = ("name", "policy", "act", "finish", "describe", "close")


def run(
    env_id: str,
    agent: Agent | ArrayPolicy | str,
    out: str | Path,
    *,
    env_kwargs: Mapping[str, Any] | None = None,
    split: str | None = None,
    tasks: Sequence[str] = (),
    episodes: int | None = 20,
    samples: int = 1,
    seed: int = 0,
    rewards: Sequence[Any] = (),
    models: Models | None = None,
    concurrency: int = 1,
    limits: Limits | None = None,
    deterministic: bool = False,
    resume: bool = False,
    retry_failed: bool = False,
    on_start: Callable[[int, int], None] | None = None,
    on_world: OnWorld | None = None,
) -> Run:
    """Rolls out an agent on an environment and records every episode.

    Args:
        env_id: The environment, optionally as "module:id".
        agent: Who plays, or its name as on the command line.
        out: The run folder.
        env_kwargs: For the environment's constructor.
        split: Which tasks: `train`, `val`, `test` or `all`; None leaves it to the environment.
        tasks: Exactly these tasks, by id.
        episodes: How many tasks, or episodes where there are no tasks; None for all tasks of the split.
        samples: How often each.
        seed: Everything random follows from it.
        rewards: `NAME`, `NAME:WEIGHT`, or pairs of a reward and its weight; empty for the environment's own.
        models: What rewards may ask.
        concurrency: How many worlds are played at once.
        limits: Deadlines, retries and budgets.
        deterministic: Whether the worlds of a model in this process advance in lock step, so that the same turns are
            always batched together and the same seed gives the same bytes at this concurrency.
        resume: Whether to go on with the run in `out`.
        retry_failed: When resuming, whether to play failed episodes again.
        on_start: Called once with the number of worlds already done, and of all.
        on_world: Called with the gist of each world's episodes when they are recorded.

    Returns:
        The run; `manifest["status"]` says how it ended: `finished`, or `budget`, `disk` or `interrupted`.

    Raises:
        PalaestraError: What was asked cannot be done; the message says why.
    """
    plan = Plan(env_id, dict(env_kwargs or {}), split, tuple(tasks), episodes, samples, seed, tuple(rewards))
    limits = limits or Limits()
    with ExitStack() as stack:
        player = _player(agent, stack)
        card = registration.card(plan.env_id)
        _check_concurrency(card, concurrency)
        on_arrays = _on_arrays(card, player, limits)
        # One world stays open beside the slots': it lists the tasks, and keeps alive what instances share.
        kwargs = kwargs_of(plan, card)
        probe = world_of(registration.make(plan.env_id, **kwargs))
        stack.callback(probe.close)
        requests, truth = requests_of(plan, card, probe, kwargs)
        scoring = Rewards.of(plan.rewards, models)
        scoring.check(card, truth)
        asked = asked_of(plan, card, kwargs, player, scoring, limits, requests)
        writer = stack.enter_context(closing(RunWriter(out)))
        todo = _open(writer, asked, requests, limits, resume, retry_failed)
        manifest = _manifest(asked, todo.before, card, concurrency, limits)
        writer.begin(manifest)
        if on_start is not None:
            on_start(len(requests) - len(todo.requests), len(requests))

        def make_env() -> Any:
            made = registration.make(plan.env_id, **kwargs)
            return made.env if isinstance(made, ReplayLog) else made  # nobody takes snapshots during a run

        def recording(tell: OnWorld | None) -> Record:
            def record(episodes: Sequence[Episode], timing: Mapping[str, Any]) -> None:
                writer.append(episodes, timing)
                if tell is not None:
                    tell([Finished.of(episode) for episode in episodes])

            return record

        common: dict[str, Any] = {
            "env_id": card.id,
            "env_kwargs": manifests.redact(kwargs),
            "run_seed": plan.seed,
            "limits": limits,
        }

        def make_runner(todo: list[Request], slots: int, tell: OnWorld | None) -> Runner:
            kind = LockstepRunner if deterministic else Runner
            return kind(
                lambda: world_of(make_env()),
                cast(Agent, player),
                todo,
                recording(tell),
                slots=slots,
                make_scoring=(lambda world: SlotScoring(scoring, world)) if scoring else None,
                **common,
            )

        runner: Runner | ArrayRun | ForkedRunner
        workers = min(concurrency, len(todo.requests), cores())
        if on_arrays:
            learned = RewardState(writer, scoring.step)
            learned.load()
            record, save = recording(on_world), learned.save
            runner = ArrayRun(
                make_env, player, todo.requests, record, slots=concurrency, rewards=scoring, on_update=save, **common
            )
        elif workers > 1 and can_fork(cast(Agent, player)):

            def lost(request: Request, error: EpisodeError) -> Sequence[Episode]:
                episodes = [nothing_of(request, error, card.id, common["env_kwargs"])]
                writer.append(episodes)
                return episodes

            runner = ForkedRunner(
                make_runner,
                todo.requests,
                workers=workers,
                slots=concurrency,
                on_world=on_world or (lambda worlds: None),
                recorded=lambda: {entry.world_id for entry in Run(writer.path).entries},
                lost=lost,
                flush=writer.flush,
            )
        else:
            runner = make_runner(todo.requests, concurrency, on_world)
        stop = Stop("failed", "The run ended by an error.")
        try:
            stop = runner.run()
        finally:
            writer.begin(_ended(manifest, writer.path, stop, player))
    return Run(out)


def _on_arrays(card: EnvCard, player: Agent | ArrayPolicy, limits: Limits) -> bool:
    """Whether the array runner plays: an array policy, or a shipped policy of an array environment."""
    arrays = card.interface == "array" and card.agents == "single"
    if is_array_policy(player) and not arrays:
        raise ConfigError(f"'{player.name}' acts on batches of arrays, and {card.id} is not played that way.")
    chosen = arrays and (is_array_policy(player) or cast(Agent, player).policy is not None)
    if chosen and limits.turns is not None:
        raise ConfigError(f"{card.id} is stepped in batches, which max_turns cannot cut; set its own horizon instead.")
    return chosen


def _player(agent: Agent | ArrayPolicy | str, stack: ExitStack) -> Agent | ArrayPolicy:
    if not isinstance(agent, str):
        lacks = [name for name in _AGENT if not hasattr(agent, name)]
        if lacks and not is_array_policy(agent):
            raise ConfigError(
                f"{type(agent).__name__} is no agent: it lacks {', '.join(map(repr, lacks))}. "
                "See palaestra.agents.base.Agent, or give the name of one."
            )
        return agent
    from palaestra.agents.registry import make_agent

    made: Agent = make_agent(agent)
    stack.callback(made.close)
    return made


def _check_concurrency(card: EnvCard, concurrency: int) -> None:
    if concurrency < 1:
        raise ConfigError(f"concurrency is {concurrency}; it must be at least 1.")
    if card.concurrency == "process" and concurrency > 1:
        raise ConfigError(
            f"{card.id} can run only once in a process, got concurrency={concurrency}. Use --concurrency 1, and start "
            "several runs with different seeds side by side."
        )


@dataclass(frozen=True, slots=True)
class _Todo:
    """What is left to play, and what the folder already holds."""

    requests: list[Request]
    before: Mapping[str, Any] | None = None


def _open(
    writer: RunWriter,
    asked: Mapping[str, Any],
    requests: list[Request],
    limits: Limits,
    resume: bool,
    retry_failed: bool,
) -> _Todo:
    out = writer.path
    if not (out / "manifest.json").exists():
        if (out / "episodes.jsonl").exists() and (out / "episodes.jsonl").stat().st_size:
            raise RecordError(f"{out} holds episodes but no manifest.json, so it cannot be told what run they are of.")
        return _Todo(requests)
    if not resume:
        raise ConfigError(f"{out} already holds a run. Go on with it by --resume, or choose another folder with --out.")
    existing = Run(out)
    manifests.refuse_differences({key: existing.manifest.get(key) for key in asked}, asked)
    worlds: dict[str, list[Entry]] = {}
    for entry in existing.entries:
        worlds.setdefault(entry.world_id, []).append(entry)
    left = list(_left(requests, worlds, limits, retry_failed))
    if existing.torn:
        writer.drop_after(existing.good_size)
        warnings.warn(existing.torn, stacklevel=3)
    return _Todo(left, existing.manifest)


def _left(
    requests: Sequence[Request], worlds: Mapping[str, Sequence[Entry]], limits: Limits, retry_failed: bool
) -> Iterator[Request]:
    for request in requests:
        entries = worlds.get(request.world_id)
        if not entries:
            yield request
            continue
        attempt, error = entries[0].attempt, entries[0].error
        if error is not None and (retry_failed or (error["retryable"] and limits.may_retry(attempt))):
            yield replace(request, attempt=attempt + 1)


def _manifest(
    asked: Mapping[str, Any], before: Mapping[str, Any] | None, card: EnvCard, concurrency: int, limits: Limits
) -> dict[str, Any]:
    session = {
        "started": manifests.now(),
        "machine": manifests.machine(),
        "packages": manifests.packages(),
        "concurrency": concurrency,
        "limits": manifests.redact(limits),
    }
    sessions = [*(before or {}).get("sessions", []), session]
    return {**asked, "schema": 1, "card": manifests.redact(card), "sessions": sessions, "status": "running"}


def _ended(manifest: Mapping[str, Any], path: Path, stop: Stop, player: Any) -> dict[str, Any]:
    sessions = [dict(session) for session in manifest["sessions"]]
    sessions[-1]["ended"] = manifests.now()
    if hasattr(player, "metrics"):  # what it spent, how often it had to ask again
        sessions[-1]["agent"] = manifests.redact(player.metrics())
    found = Run(path)
    counts: dict[str, int] = {}
    for entry in found.entries:
        counts[entry.status] = counts.get(entry.status, 0) + 1
    return {
        **manifest,
        "sessions": sessions,
        "status": stop.reason,
        "message": stop.message,
        "counts": counts,
        "digest": found.digest(),
    }
