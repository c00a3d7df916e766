"""What a learned reward has learned, kept in the run folder so that a resumed run goes on with it."""

from __future__ import annotations

import errno
import json

from palaestra.errors import DiskFull, RecordError
from palaestra.harness.run_folder import RunWriter, write_json
from palaestra.records import decode_value, encode_value
from palaestra.rewards.base import StepReward

__all__ = ["RewardState"]

_NAME = "reward_state.json"


class RewardState:
    """Saves and loads a reward's `state_dict`.

    Args:
        writer: The run folder.
        reward: The reward.
    """

    def __init__(self, writer: RunWriter, reward: StepReward | None) -> None:
        self._writer, self._reward = writer, reward

    def save(self) -> None:
        """Writes the state, whole or not at all.

        Raises:
            RecordError: It holds something that cannot be recorded.
            DiskFull: There is no room.
        """
        if self._reward is None:
            return
        state = encode_value(self._reward.state_dict(), self._writer.blobs)
        try:
            write_json(self._writer.path / _NAME, {"version": self._reward.version, "state": state})
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise DiskFull(f"There is no room left for the learned reward in {self._writer.path}.") from error
            raise

    def load(self) -> None:
        """Continues from what was saved, where anything was.

        Raises:
            RecordError: The file cannot be read.
        """
        path = self._writer.path / _NAME
        if self._reward is None or not path.exists():
            return
        try:
            saved = json.loads(path.read_text(encoding="utf-8"))
            state = decode_value(saved["state"], self._writer.blobs)
        except (ValueError, KeyError) as error:
            raise RecordError(f"{path} is damaged ({error}); delete it to let the reward learn anew.") from error
        self._reward.load_state_dict(state)
