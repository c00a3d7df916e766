"""Which drafts become tasks: how many of each kind, evenly spread over answers, countries and splits."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator

from palaestra.envs.search.factbook.chains import bridges, lookups
from palaestra.envs.search.factbook.comparisons import comparisons
from palaestra.envs.search.factbook.counts import counts
from palaestra.envs.search.factbook.drafts import Describer, Draft
from palaestra.envs.search.factbook.intersections import intersections
from palaestra.envs.search.factbook.names import normalise
from palaestra.envs.search.factbook.superlatives import superlatives
from palaestra.envs.search.factbook.world import World
from palaestra.tasks import Task, split_of

__all__ = ["questions"]


def _choose(drafts: Iterable[Draft], count: int, *, answer_share: float, group_share: float = 0.03) -> Iterator[Draft]:
    """The first drafts, up to a count, without twins, and with no answer, group or relation too often."""
    answers: Counter[str] = Counter()
    groups: Counter[str] = Counter()
    relations: Counter[str] = Counter()
    typical: Counter[tuple[str, str]] = Counter()  # an answer should not follow from what is asked, either
    prompts: set[str] = set()
    chosen = 0
    for draft in drafts:
        answer = normalise(draft.answers[0])
        if (
            draft.prompt in prompts
            or answers[answer] >= max(2.0, answer_share * count)
            or groups[draft.group] >= max(2.0, group_share * count)
            or relations[draft.relation] >= max(2.0, 0.12 * count)
            or typical[draft.relation, answer] >= max(2.0, 0.04 * count)
        ):
            continue
        prompts.add(draft.prompt)
        answers[answer] += 1
        groups[draft.group] += 1
        relations[draft.relation] += 1
        typical[draft.relation, answer] += 1
        chosen += 1
        yield draft
        if chosen == count:
            return


def _difficulty(draft: Draft) -> str:
    return "easy" if not draft.hidden else "medium" if len(draft.hidden) == 1 else "hard"


def _task(world: World, draft: Draft) -> Task:
    form = json.dumps(draft.form, ensure_ascii=False)
    group = world.group(draft.group)
    return Task(
        id=f"{draft.kind}-{group}-{hashlib.sha256(form.encode()).hexdigest()[:8]}",
        group=group,
        prompt=draft.prompt,
        split=split_of(group),
        truth={
            "answers": draft.answers,
            "gold_passages": tuple(step.passages for step in draft.steps),
            "reasoning": tuple(step.sentence for step in draft.steps),
            "queries": tuple(step.query for step in draft.steps),
            "form": draft.form,
        },
        metadata={
            "kind": draft.kind,
            "hops": min(4, len(draft.steps)),
            "facts": len(draft.steps),
            "difficulty": _difficulty(draft),
            "relation": draft.relation,
            "candidates": draft.candidates,
        },
    )


def questions(world: World) -> tuple[Task, ...]:
    """All tasks, ordered by kind and hops, then in their stable mixed order."""
    describer = Describer(world)
    chosen = [
        *_choose(lookups(world), 800, answer_share=0.01),
        *_choose(bridges(world, describer, 2), 700, answer_share=0.01),
        *_choose(bridges(world, describer, 3), 600, answer_share=0.015),
        *_choose(bridges(world, describer, 4), 500, answer_share=0.02),
        *_choose(comparisons(world, describer, 2), 350, answer_share=0.03),
        *_choose(comparisons(world, describer, 3), 250, answer_share=0.03),
        *_choose(comparisons(world, describer, 4), 200, answer_share=0.03),
        *_choose(comparisons(world, describer, 2, described=True), 200, answer_share=0.03),
        *_choose(intersections(world), 600, answer_share=0.03),
        *_choose(superlatives(world, describer), 700, answer_share=0.03),
        *_choose(counts(world, describer), 550, answer_share=0.25),
    ]
    return tuple(_task(world, draft) for draft in chosen)
