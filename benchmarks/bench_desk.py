"""The office of ToolDesk: calls per second at tool level, steps per second through gym.make, and saved states.

    python benchmarks/bench_desk.py [--rounds 15] [--episodes 200] [--out benchmarks/results/desk.json]

One core, measured in seconds of that core. A call is whole: arguments checked against the schema, rules, state, result
as JSON text. The workload is episodes of fifteen calls for different people, half of them reading and half writing,
over all nine applications; the state is restored after each. Some calls are refused, by their schema or by a rule.
Medians over rounds.

Steps are those of the oracle on every task of every split through `gym.make` with its wrappers, scripted beforehand:
parsing, checking, acting, results as text; resets and verdicts are in the time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

import palaestra
from palaestra.envs.tools.desk.world import TOOLS, World
from palaestra.errors import ToolError

CALLS = 15
Call = tuple[str, dict[str, Any]]

FOUND = """
import time
from palaestra.envs.tools.desk.world import World
start = time.perf_counter()
World.create(0)
print(time.perf_counter() - start)
"""


def episodes(world: World, count: int) -> list[tuple[str, list[Call]]]:
    """For each episode who acts, and calls with arguments drawn from what that person has."""
    rng = np.random.default_rng(0)
    people = list(world.table("people"))
    made = []
    for _ in range(count):
        user = people[int(rng.integers(len(people)))]
        makers = list(calls_of(world, user, people, rng).items())
        made.append((user.id, [makers[int(rng.integers(len(makers)))][1]() for _ in range(CALLS)]))
    return made


def calls_of(world: World, user: Any, people: list[Any], rng: np.random.Generator) -> dict[str, Callable[[], Call]]:
    """A maker of calls for each kind of call in the workload."""

    def one(items: Any) -> Any:
        items = list(items)
        return items[int(rng.integers(len(items)))]

    def some_id(table: str, index: str, key: str) -> str:
        found = world.table(table).where(index, key)
        return str(one(found).id) if found else "none"

    other = one(people)
    day = f"2026-03-{int(rng.integers(10, 28))}"
    start = f"{day}T{int(rng.integers(9, 17)):02}:00"
    own_event = next((e.id for e in world.table("events").where("person", user.id) if e.organizer == user.id), "none")
    product = one(world.table("products"))
    account = some_id("accounts", "holder", user.id)
    return {
        "me": lambda: ("people_me", {}),
        "people": lambda: ("people_search", {"query": other.name.split()[0]}),
        "person": lambda: ("people_get", {"person": other.email}),
        "events": lambda: ("calendar_list", {"start": "2026-03-09T00:00", "end": "2026-03-16T00:00"}),
        "event": lambda: ("calendar_get", {"event": own_event}),
        "rooms": lambda: ("calendar_rooms", {"start": start, "end": f"{day}T18:00", "city": user.office}),
        "slots": lambda: ("calendar_find_slots", {"people": [user.id, other.id], "duration_minutes": 30,
                                                  "start": start, "end": "2026-03-30T00:00"}),
        "create": lambda: ("calendar_create", {"title": "Budget talk", "start": start, "duration_minutes": 30,
                                               "attendees": [other.id], "allow_conflicts": True}),
        "rename": lambda: ("calendar_update", {"event": own_event, "title": "Another title"}),
        "mails": lambda: ("mail_search", {"unread": True}),
        "mail": lambda: ("mail_get", {"mail": some_id("mails", "address", user.email)}),
        "send": lambda: ("mail_send", {"to": [other.email], "subject": "Numbers", "body": "They are in the file."}),
        "star": lambda: ("mail_mark", {"mails": [some_id("mails", "address", user.email)], "mark": "starred"}),
        "files": lambda: ("files_list", {}),
        "write": lambda: ("files_write", {"file": some_id("files", "owner", user.id), "content": "x",
                                          "mode": "append"}),
        "contacts": lambda: ("contacts_search", {"query": "logistics", "limit": 5}),
        "contact": lambda: ("contacts_add", {"name": "Ada Lund", "email": "ada@lund.example"}),
        "products": lambda: ("shop_search", {"category": product.category, "limit": 5}),
        "order": lambda: ("shop_order", {"items": [{"product": product.id, "quantity": 1}], "idempotency_key": "k"}),
        "accounts": lambda: ("bank_accounts", {}),
        "transfer": lambda: ("bank_transfer", {"from_account": account, "to": "A-0001", "amount": 12.5,
                                               "reference": "Lunch"}),
        "limit": lambda: ("bank_set_limit", {"account": account, "kind": "daily", "amount": 5000}),
        "ticket": lambda: ("tickets_create", {"queue": "it", "title": "Mouse", "description": "It sticks."}),
        "tickets": lambda: ("tickets_search", {"status": "open"}),
        "comment": lambda: ("tickets_comment", {"ticket": some_id("tickets", "requester", user.id),
                                                "text": "Any news?"}),
        "leave": lambda: ("leave_request", {"kind": "vacation", "first": "2026-09-07", "last": "2026-09-11"}),
        "wrong": lambda: ("mail_mark", {"mails": [], "mark": "red"}),
    }  # fmt: skip


def play(world: World, work: list[tuple[str, list[Call]]], start: Any) -> tuple[int, int]:
    """Plays all episodes: how many calls were done, and how many refused."""
    done = refused = 0
    for user, calls in work:
        world.restore(start)
        world.act_for(user)
        for name, arguments in calls:
            try:
                world.call(name, arguments)
                done += 1
            except ToolError:
                refused += 1
    return done, refused


def seconds(work: Callable[[], object]) -> float:
    """Of the core that does the work, so that what else the machine does stays out."""
    start = time.process_time()
    work()
    return time.process_time() - start


def microseconds_saved(world: World, changed: int) -> float:
    """One snapshot, a write after it and its restoring, when so many records have changed."""
    world.restore(World.create(0).snapshot())
    mails = world.table("mails")
    for mail in list(mails)[:changed]:
        mails.put(mail._replace(starred_by=(world.user,)))
    world.call("people_me", {})
    one = mails["M-0001"]
    times = []
    for _ in range(200):
        start = time.perf_counter()
        saved = world.snapshot()
        mails.put(one)
        world.restore(saved)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


def scripts(env: Any) -> list[tuple[str, list[str]]]:
    """For each task the oracle's turns."""
    made = []
    for task in env.unwrapped.tasks:
        env.reset(seed=0, options={"task_id": task.id})
        act, turns, ended = env.unwrapped.policy("oracle", np.random.default_rng(0)), [], False
        while not ended:
            turns.append(act(""))
            _, _, terminated, truncated, _ = env.step(turns[-1])
            ended = terminated or truncated
        made.append((task.id, turns))
    return made


def replay(env: Any, scripted: list[tuple[str, list[str]]]) -> None:
    """Every task from reset to verdict."""
    for task_id, turns in scripted:
        env.reset(options={"task_id": task_id})
        for turn in turns:
            env.step(turn)


def steps_per_second(dialect: str, rounds: int) -> tuple[int, float]:
    """How many steps a round has, and how many were taken in a second."""
    env = gym.make("palaestra/ToolDesk-v0", split="all", dialect=dialect)
    scripted = scripts(env)
    steps = sum(len(turns) for _, turns in scripted)
    rate = steps / statistics.median(seconds(lambda: replay(env, scripted)) for _ in range(rounds))
    env.close()
    return steps, rate


def microseconds_of_a_snapshot() -> float:
    """Saving and restoring the whole environment with its wrappers after three turns."""
    env = gym.make("palaestra/ToolDesk-v0", split="all")
    env.reset(seed=0)
    for _ in range(3):
        env.step(env.unwrapped.say("people_me"))
    times = []
    for _ in range(200):
        start = time.perf_counter()
        palaestra.snapshot(env).restore()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    world = World.create(0)
    start = world.snapshot()
    work = episodes(world, options.episodes)
    done, refused = play(world, work, start)
    spent = [seconds(lambda: play(world, work, start)) for _ in range(options.rounds)]
    rate = (done + refused) / statistics.median(spent)
    kinds: dict[str, list[float]] = {}
    for user, calls in work:
        world.restore(start)
        world.act_for(user)
        for name, arguments in calls:
            begin = time.perf_counter()
            try:
                world.call(name, arguments)
            except ToolError:
                name = f"{name}, refused"
            kinds.setdefault(name, []).append(time.perf_counter() - begin)
    by_tool = {name: round(statistics.median(times) * 1e6, 1) for name, times in sorted(kinds.items())}
    saved = {str(changed): round(microseconds_saved(world, changed), 2) for changed in (0, 15, 150)}
    founding = [float(subprocess.run([sys.executable, "-c", FOUND], capture_output=True, text=True, check=True).stdout)
                for _ in range(3)]  # fmt: skip
    print(f"{rate:,.0f} calls per second ({done} done, {refused} refused; asked: 20,000 or more)")
    for name, time_ in by_tool.items():
        print(f"  {name:32} {time_:7.1f} us")
    for changed, time_ in saved.items():
        print(f"snapshot, one write, restore with {changed:>3} records changed: {time_:.1f} us (asked: 100 or less)")
    print(f"founding an office: {statistics.median(founding):.2f} s, once per seed and process")
    through_gym = {dialect: steps_per_second(dialect, options.rounds) for dialect in ("hermes", "json", "tags")}
    for dialect, (steps, pace) in through_gym.items():
        print(f"{pace:,.0f} steps per second through gym.make, {dialect} ({steps} a round; asked: 5,000 or more)")
    whole = microseconds_of_a_snapshot()
    print(f"palaestra.snapshot and restore of the whole environment: {whole:.0f} us")
    result = {
        "workload": f"{options.episodes} episodes of {CALLS} calls of {len(TOOLS)} tools, {options.rounds} rounds",
        "figures": {
            "calls_per_second": round(rate),
            "done": done,
            "refused": refused,
            "microseconds_by_tool": by_tool,
            "snapshot_write_restore_microseconds_by_records_changed": saved,
            "steps_per_second_through_gym_make": {name: round(pace) for name, (_, pace) in through_gym.items()},
            "environment_snapshot_restore_microseconds": round(whole),
            "founding_s": round(statistics.median(founding), 3),
        },
        "machine": {"cores": os.cpu_count(), "cpu": cpu_name(), "python": platform.python_version()},
        "versions": {"numpy": np.__version__},
    }
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def cpu_name() -> str:
    try:
        found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    except OSError:
        found = None
    return found[1] if found else platform.processor()


if __name__ == "__main__":
    main()
