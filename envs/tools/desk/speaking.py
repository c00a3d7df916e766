"""The tools with which the agent speaks to the user, and tools that are good for nothing here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from palaestra.envs.language.tools import Tool, ToolOutput, answer_tool
from palaestra.envs.tools.desk.drafts import REASONS

__all__ = ["DISTRACTORS", "distractor_tools", "speaking_tools"]

Run = Callable[..., str | ToolOutput]


def speaking_tools(answer: Run, ask: Run, decline: Run) -> tuple[Tool, ...]:
    """`ask_user`, `decline` and `answer`; the last two end the episode."""
    reasons = "; ".join(f"{reason}: {meaning}" for reason, meaning in REASONS.items())
    return (
        Tool(
            name="ask_user",
            description="Asks the user a question, for what only the user can know.",
            parameters={
                "type": "object",
                "properties": {"question": {"type": "string", "minLength": 1, "maxLength": 1000}},
                "required": ["question"],
                "additionalProperties": False,
            },
            run=ask,
            primary="question",
        ),
        Tool(
            name="decline",
            description="Tells the user that the request cannot or must not be carried out, and ends. Nothing may have "
            f"been changed for it. Reasons: {reasons}.",
            parameters={
                "type": "object",
                "properties": {
                    "reason": {"type": "string", "enum": list(REASONS), "description": "The one that fits best."},
                    "explanation": {"type": "string", "description": "For the user.", "maxLength": 1000},
                },
                "required": ["reason"],
                "additionalProperties": False,
            },
            run=decline,
            final=True,
        ),
        answer_tool(answer, "Tells the user that it is done, or what was asked for, and ends."),
    )


# Name, description, one parameter, what it says.
_SPARE: tuple[tuple[str, str, str, str], ...] = (
    ("weather_forecast", "Tells the weather of the next days in a city.", "city", "Mostly cloudy, 9 to 14 degrees."),
    ("translate_text", "Translates a text into English.", "text", "The text is in English already."),
    ("currency_rate", "Tells the exchange rate of a currency to the euro.", "currency", "The markets are closed."),
    ("flights_search", "Finds flights to a city.", "city", "There are no direct flights this week."),
    ("trains_search", "Finds train connections to a city.", "city", "There are trains every two hours."),
    ("recipes_find", "Finds a recipe with an ingredient.", "ingredient", "Soup of the day: ask in the canteen."),
    ("stocks_quote", "Tells the price of a share.", "symbol", "The exchange is closed."),
    ("music_play", "Plays a song on the speaker of the desk.", "song", "The speaker is muted during work."),
    ("news_headlines", "Shows today's headlines on a topic.", "topic", "There is no news on this."),
    ("lights_set", "Sets the light at the desk.", "mode", "The light is controlled centrally today."),
    ("dictionary_define", "Explains a word.", "word", "The dictionary has no entry for this."),
    ("taxi_estimate", "Estimates the price of a taxi ride.", "destination", "About 18 euros."),
)
DISTRACTORS: tuple[str, ...] = tuple(name for name, _, _, _ in _SPARE)


def distractor_tools() -> Mapping[str, Tool]:
    """All of them by name. They answer, and change nothing."""
    return MappingProxyType({name: _spare(name, *rest) for name, *rest in _SPARE})


def _spare(name: str, description: str, parameter: str, says: str) -> Tool:
    def run(**arguments: Any) -> str:
        return says

    return Tool(
        name=name,
        description=description,
        parameters={
            "type": "object",
            "properties": {parameter: {"type": "string", "maxLength": 200}},
            "required": [parameter],
            "additionalProperties": False,
        },
        run=run,
    )
