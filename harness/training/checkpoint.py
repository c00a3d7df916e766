"""Checkpoints: written beside their place and moved there whole, the newest few kept."""

from __future__ import annotations

import errno
import json
import pickle
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from palaestra.blobs import FolderBlobs
from palaestra.errors import DiskFull, RecordError
from palaestra.harness.run_folder import move_whole, write_json
from palaestra.records import decode_value, encode_value

__all__ = ["Checkpoints"]


class Checkpoints:
    """The folder `checkpoints` of a training run.

    Each checkpoint is a folder `step-N` with `learner.pt` (weights, optimizer, random states; tensors and plain values
    only, so that reading one runs no code) and `state.json` (everything else).

    Args:
        folder: Where they are.
        keep: How many of the newest stay.
    """

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.folder, self.keep = folder, keep

    def steps(self) -> list[int]:
        """The steps of which there is a checkpoint, in order."""
        names = [path.name.removeprefix("step-") for path in self.folder.glob("step-*") if path.is_dir()]
        return sorted(int(name) for name in names if name.isdigit())

    def save(self, step: int, learner: Mapping[str, Any], state: Mapping[str, Any]) -> Path:
        """Writes a checkpoint whole or not at all, then removes the oldest beyond `keep`.

        Args:
            step: Updates done.
            learner: The learner's state.
            state: All other state: plain values and arrays.

        Raises:
            DiskFull: There is no room; the checkpoints before are untouched.
        """
        import torch

        place, draft = self.folder / f"step-{step}", self.folder / f".step-{step}"
        try:
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(parents=True)
            with (draft / "learner.pt").open("wb") as file:
                torch.save(dict(learner), file)
            blobs = FolderBlobs(draft / "blobs")
            write_json(draft / "state.json", {"step": step, "state": encode_value(dict(state), blobs)})
            if place.exists():
                shutil.rmtree(place)
            move_whole(draft, place)
        except (OSError, RuntimeError) as error:
            shutil.rmtree(draft, ignore_errors=True)
            # torch's own writer says RuntimeError where the disk is full.
            full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            if full or "PytorchStreamWriter" in str(error):
                raise DiskFull(
                    f"There is no room for a checkpoint of step {step} in {self.folder}. The checkpoints before it are "
                    "untouched. Make room, then go on with --resume."
                ) from error
            raise
        for old in self.steps()[: -self.keep]:
            shutil.rmtree(self.folder / f"step-{old}", ignore_errors=True)
        return place

    def load(self, step: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """The learner's state, in the machine's own memory, and all other state.

        Raises:
            RecordError: The checkpoint cannot be read.
        """
        import torch

        place = self.folder / f"step-{step}"
        try:
            learner = torch.load(place / "learner.pt", map_location="cpu", weights_only=True)
            saved = json.loads((place / "state.json").read_text(encoding="utf-8"))
            return learner, decode_value(saved["state"], FolderBlobs(place / "blobs"))
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            if isinstance(error, pickle.UnpicklingError):
                reason = "learner.pt holds something else than tensors and plain values, or is damaged"
            raise RecordError(
                f"The checkpoint {place} cannot be read ({reason}). Delete its folder to go on from the one before, if "
                "there is one."
            ) from error
