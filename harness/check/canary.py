"""Ground truth stays where it belongs: a nonce planted as the answer never reaches an agent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

from palaestra.blobs import MemoryBlobs
from palaestra.harness.check.subject import Subject
from palaestra.harness.check.verdicts import CheckFailed, Problems, shorten
from palaestra.harness.check.world import MAX_STEPS, World, canonical
from palaestra.policies import Policy
from palaestra.records import encode_value

__all__ = ["check_canary"]

_EPISODES = 6
_MASK = "quince"


def check_canary(subject: Subject) -> str:
    """Plants nonces and looks for them wherever an agent may look.

    Every policy plays but the oracle, which knows them. In its stead a masked oracle walks the same way with another
    word wherever it would have said the nonce.

    Raises:
        CheckFailed: A nonce was found, or could not be planted.
    """
    subject.require(subject.card.kind == "verifiable", "a control environment has no ground truth")
    problems = Problems()
    modes = subject.env_class().metadata.get("render_modes") or []
    mode = next((mode for mode in modes if mode.startswith("ansi")), None)
    with subject.make_lean(**({"render_mode": mode} if mode else {})) as world:
        names = [name for name in world.policy_names if name != "oracle"]
        actors: list[tuple[str, Callable[[World, str, int], Policy] | str]] = [(name, name) for name in names]
        looked = 0
        for number in range(_EPISODES):
            nonce = _nonce(subject, number)
            for name, actor in actors + ([("masked oracle", _masked(nonce))] if "oracle" in world.policy_names else []):
                looked += _episode(world, actor, name, subject.seed + number, nonce, bool(mode), problems)
    written = _written(subject, _nonce(subject, -1), problems)
    return problems.finish(f"{looked} turns of {len(actors) + 1} policies, {_EPISODES} nonces, none seen; {written}")


def _nonce(subject: Subject, number: int) -> str:
    return "nonce" + hashlib.sha256(f"{subject.seed} {number}".encode()).hexdigest()[:16]


def _written(subject: Subject, nonce: str, problems: Problems) -> str:
    """What runs write down."""
    try:
        seen = subject.in_new_process("palaestra.harness.check.canary_runs:leaks", nonce)
    except CheckFailed as failure:
        problems.include(failure)
        return "nothing was written"
    problems.require(
        seen["planted"] == seen["records"],
        "every record holds the ground truth under `privileged`, where verifiers and credit find it",
        f"{seen['planted']} of {seen['records']} records do",
        "privileged() does not show the ground truth that the verifier uses",
    )
    for place, excerpt in seen["found"]:
        problems.add(
            f"the ground truth is nowhere in {place}",
            f"...{excerpt}...",
            "it was put into what agents see (observation, info, the task's prompt or metadata, a tool's data), and "
            "from there it is recorded and shown",
        )
    return f"nor in {seen['records']} records, their report and their exports"


def _masked(nonce: str) -> Callable[[World, str, int], Policy]:
    def make(world: World, agent: str, seed: int) -> Policy:
        oracle = world.policy("oracle", seed, agent)
        return lambda observation: _replace(oracle(observation), nonce)

    return make


def _replace(action: Any, nonce: str) -> Any:
    if isinstance(action, str):
        return action.replace(nonce, _MASK)
    return action


def _episode(
    world: World,
    actor: Callable[[World, str, int], Policy] | str,
    name: str,
    seed: int,
    nonce: str,
    ansi: bool,
    problems: Problems,
) -> int:
    options = {"canary": nonce}
    try:
        observation, infos = world.reset(seed, options)
    except Exception as error:
        raise CheckFailed(
            "reset(options={'canary': nonce}) makes the nonce the ground truth of the episode",
            f"{type(error).__name__}: {error}",
            "accept the option in _reset: put the nonce in place of the task's answers for this episode",
        ) from error
    if not _holds(world.raw.privileged(), nonce):
        raise CheckFailed(
            "after reset(options={'canary': nonce}) the nonce is in privileged()",
            shorten(dict(world.raw.privileged())),
            "the option is ignored, or privileged() does not show the ground truth that the verifier uses",
        )
    policies = {
        agent: world.policy(actor, seed, agent) if isinstance(actor, str) else actor(world, agent, seed)
        for agent in world.live
    }
    for agent in world.live:
        _search(world, name, -1, {"observation": observation[agent], "info": infos[agent]}, nonce, ansi, problems)
    for t in range(MAX_STEPS):
        live = world.live
        actions = {agent: policies[agent](observation[agent]) for agent in live}
        if any(_holds(action, nonce) for action in actions.values()):
            if len(problems):
                return t  # it may have read it where it was found
            problems.add(
                f"the policy {name} does not know the ground truth",
                f"it says the nonce in turn {t}: {shorten(actions)}",
                "the policy reads privileged data; only the oracle may, the others have what an agent has",
            )
            return t
        step = world.step(actions)
        for agent in live:
            seen = {"observation": step.observation[agent], "info": step.info[agent]}
            _search(world, name, t, seen, nonce, ansi, problems)
        observation = step.observation
        if not world.live or all(step.terminated[agent] or step.truncated[agent] for agent in live):
            return t + 1
    return MAX_STEPS


def _search(world: World, name: str, t: int, seen: dict[str, Any], nonce: str, ansi: bool, problems: Problems) -> None:
    raw = world.raw
    for attribute in ("messages", "tools", "stop"):
        if hasattr(raw, attribute):
            seen[attribute] = getattr(raw, attribute)
    if ansi:
        seen["rendering"] = world.env.render()
    task = getattr(raw, "task", None)
    if task is not None:
        seen["task (prompt, metadata, id, group)"] = [task.prompt, dict(task.metadata), task.id, task.group]
    for place, value in seen.items():
        problems.require(
            not _holds(value, nonce),
            f"the ground truth is nowhere in {place}",
            f"the nonce {nonce!r} ({'at reset' if t < 0 else f'turn {t}'}, policy {name}): {_around(value, nonce)}",
            "feedback that names the right answer, or truth that was put into what agents see; keep it in "
            "Task.truth and privileged()",
        )


def _texts(value: Any) -> Iterator[str]:
    blobs = _Kept()
    try:
        yield json.dumps(encode_value(value, blobs))
    except Exception:
        yield json.dumps(canonical(value)) + repr(value)
    for data in blobs.kept:
        yield data.decode("latin-1")


class _Kept(MemoryBlobs):
    """Also keeps what is put, to be searched."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[bytes] = []

    def put(self, data: bytes, media_type: str = "application/octet-stream") -> Any:
        """See `BlobStore.put`."""
        self.kept.append(data)
        return super().put(data, media_type)


def _holds(value: Any, nonce: str) -> bool:
    return any(nonce in text.casefold() for text in _texts(value))


def _around(value: Any, nonce: str) -> str:
    for text in _texts(value):
        place = text.casefold().find(nonce)
        if place >= 0:
            return "..." + text[max(0, place - 80) : place + len(nonce) + 40] + "..."
    return ""
