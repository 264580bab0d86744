"""Checkpoints of training: whole or absent, and refused where they belong to another run."""

import hashlib
import json
import os
import pickle
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from whybuy.errors import ModelError


class Checkpoint:
    """The place where one run of training keeps what it needs to go on.

    Parameters
    ----------
    path : file
    run : what the run is made from, as JSON: a checkpoint of anything else is not gone on with
    every_s : seconds between two checkpoints
    """

    def __init__(self, path: Path, run: dict[str, Any], *, every_s: float = 120.0) -> None:
        self.path = path
        self.fingerprint = hashlib.sha256(json.dumps(run, sort_keys=True).encode()).hexdigest()
        self.every_s = every_s

    def save(self, state: dict[str, Any]) -> None:
        """Write ``state`` beside the last checkpoint and put it in its place: a full disk or a kill leaves the last."""
        temporary = self.path.with_suffix(".part")
        try:
            with temporary.open("wb") as file:
                torch.save({"fingerprint": self.fingerprint, **state}, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path)
        finally:
            temporary.unlink(missing_ok=True)

    def load(self) -> dict[str, Any] | None:
        """Return the saved state; None where there is none or it is another run's.

        Raises
        ------
        ModelError
            The file is no checkpoint.
        """
        if not self.path.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise ModelError.of(
                found=f"{self.path} is damaged: it is no checkpoint of a training",
                needed="what an interrupted `whybuy train` left",
                do="Remove the file; training then starts from the beginning",
            ) from error
        return state if state.get("fingerprint") == self.fingerprint else None


def run_card(**parts: Any) -> dict[str, Any]:
    """Return dataclasses and plain values as one JSON document."""
    return {name: asdict(part) if hasattr(part, "__dataclass_fields__") else part for name, part in parts.items()}
