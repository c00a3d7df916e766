"""The claims that `palaestra reproduce` knows."""

from __future__ import annotations

from collections.abc import Mapping

from palaestra.errors import UnknownNameError
from palaestra.harness.reproduce.claim import Claim
from palaestra.harness.reproduce.control import ControlResult
from palaestra.plugins import load_object

__all__ = ["CLAIMS", "find_claim", "run_control"]

_HERE = "palaestra.harness.reproduce"
_BASELINE, _GRPO = "search-outcome-small.toml", ("outcome", "group-normalized")

CLAIMS: Mapping[str, Claim] = {
    claim.name: claim
    for claim in (
        Claim(
            name="igpo",
            title="Information gain (IGPO)",
            paper='"Information Gain-based Policy Optimization", 2025',
            sentence=(
                "Rewarding each turn of a search agent by what it adds to the policy's own belief in the right answer "
                "leads to a higher exact match on held-out questions than the outcome alone, at equal updates."
            ),
            method="search-igpo-small.toml",
            baseline=_BASELINE,
            design=("igpo", "turn-level"),
            baseline_design=_GRPO,
            smallest=0.05,
            control=f"{_HERE}.control_igpo:control",
            reason="The paper's margin over the best agent before it is about 6 points; 5 is what is of interest.",
        ),
        Claim(
            name="stratified",
            title="Stratified advantages (Stratified GRPO)",
            paper=(
                '"Stratified GRPO: Handling Structural Heterogeneity in Reinforcement Learning of LLM Search Agents", '
                "2025"
            ),
            sentence=(
                "Comparing a search agent's rollouts with those that made the same calls, blended with the whole "
                "group, leads to a higher exact match on held-out questions than comparing with the whole group alone, "
                "at equal updates."
            ),
            method="search-stratified-small.toml",
            baseline=_BASELINE,
            design=("outcome", "stratified"),
            baseline_design=_GRPO,
            smallest=0.05,
            control=f"{_HERE}.control_stratified:control",
            reason="The paper's margin over GRPO is up to 11 points; 5, less than half of it, is what is of interest.",
        ),
        Claim(
            name="spa",
            title="Stepwise progress attribution (SPA)",
            paper='"SPA-RL: Reinforcing LLM Agents via Stepwise Progress Attribution", 2025',
            sentence=(
                "Spreading a search agent's outcome over its turns by a learned estimate of progress leads to a higher "
                "exact match on held-out questions than the outcome alone, at equal updates."
            ),
            method="search-spa-small.toml",
            baseline=_BASELINE,
            design=("spa", "turn-level"),
            baseline_design=_GRPO,
            smallest=0.025,
            control=f"{_HERE}.control_spa:control",
            reason="The paper's margin is 2.5 points of success rate on average.",
        ),
        Claim(
            name="toolrl",
            title="Graded tool calls (ToolRL)",
            paper='"ToolRL: Reward is All Tool Learning Needs", 2025',
            sentence=(
                "Rewarding a tool-calling agent by how near its calls are to a reference's leads to a higher share of "
                "held-out tasks done than the outcome alone, at equal updates."
            ),
            method="tools-toolrl-small.toml",
            baseline="tools-outcome-small.toml",
            design=("toolrl", "group-normalized"),
            baseline_design=_GRPO,
            smallest=0.05,
            control=f"{_HERE}.control_toolrl:control",
            reason=(
                "The paper's margins over supervised learning are 6 to 22 points; 5 is what is of interest. Its own "
                "comparison is with coarser rewards, not with the outcome in an environment."
            ),
        ),
    )
}


def find_claim(name: str) -> Claim:
    """A claim by its name.

    Raises:
        UnknownNameError: There is none; the nearest is named.
    """
    if name not in CLAIMS:
        raise UnknownNameError("claim", name, CLAIMS)
    return CLAIMS[name]


def run_control(claim: Claim) -> ControlResult:
    """Runs a claim's positive control.

    Raises:
        MissingExtraError: It needs what is not installed.
    """
    result: ControlResult = load_object(claim.control)()
    return result
