from __future__ import annotations

import pytest

from palaestra.errors import ConfigError
from palaestra.models import FakeJudge, FakeScorer
from palaestra.rewards.base import Models, check_requires
from palaestra.rewards.outcome import Outcome


def test_models_say_what_they_give():
    assert Models().gives == frozenset()
    assert Models(FakeScorer()).gives == {"scorer", "hidden"}
    assert Models(judge=FakeJudge(), render_answer=lambda answer: (answer, (0, len(answer)))).gives == {
        "judge",
        "dialect",
    }


def test_a_missing_way_to_say_an_answer_is_named():
    reward = Outcome()
    reward.requires = frozenset({"dialect"})
    with pytest.raises(ConfigError, match="'dialect': choose an environment whose dialect can say an answer"):
        check_requires(reward, {"outcome", "answers"})
