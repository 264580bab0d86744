"""Small studies of drawn logs: with a trained model, or with heads that know nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from whybuy.behavior.family import family_of, feature_spec
from whybuy.behavior.targets import Heads
from whybuy.behavior.twins import train_twins
from whybuy.causal.study import Study
from whybuy.causal.trials import TrialSource, save_heads
from whybuy.config import config_from_dict, duration_ms
from whybuy.events.moments import BehaviorIndex
from whybuy.events.sequences import Sequences, encode_log
from whybuy.events.shards import ingest


def study_of(events: pd.DataFrame, folder: Path, *, users: pd.DataFrame | None = None, **settings: Any) -> Study:
    """Return the study of a log that is read and encoded: no model yet."""
    raw = {
        "horizons": ["1d"],
        "lookback": "5d",
        "events": [{"path": "table:log", "columns": {name: name for name in events.columns}}],
        "behavior": {"size": "tiny", "epochs": 2},
        **({} if users is None else {"users": {"path": "table:users"}}),
        **settings,
    }
    config = config_from_dict(raw, base=folder)
    for name in ("events", "sequences", "model", "scan"):
        (folder / name).mkdir()
    tables = {"log": events} if users is None else {"log": events, "users": users}
    log = ingest(config, folder / "events", tables=tables)
    store = encode_log(log, folder / "sequences")
    return Study(store, log, config, folder / "model", folder / "scan")


def trained(study: Study) -> Study:
    """Train the twins and save what they say of every trial."""
    train_twins(study.store, study.log, study.config, study.model)
    horizon = min(study.config.horizons, key=duration_ms)
    save_heads(study.twins(), study.store, study.protocol(horizon), study.heads)
    return study


def ignorant(study: Study) -> TrialSource:
    """Return the trials of the first horizon with heads that say one half to everything."""
    store, horizon = study.store, study.config.horizons[0]
    family = family_of(store, study.config.causal)
    outcomes = tuple(i for i, b in enumerate(family.modeled) if b in family.outcomes)
    spec = feature_spec(store, BehaviorIndex.of(family.modeled, store.vocabulary))
    heads = Heads(spec, outcomes, (duration_ms(horizon),), (), study.log.quality.end_ms)
    for shard in store.shards:
        n = len(Sequences.open(shard).moment_starts) - 1
        np.save(study.heads / f"{shard.name}.moments.npy", np.arange(n))
        np.save(
            study.heads / f"{shard.name}.logits.npy", np.zeros((n, heads.n_behaviors + 2 * len(outcomes)), np.float16)
        )
    return TrialSource(store, heads, study.heads, study.protocol(horizon))
