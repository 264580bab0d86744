"""The file of profiles: what it is relative to, one user's row, and how many users are in which stage."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq

from whybuy import columns as c
from whybuy.errors import QuestionError, WorkspaceError, nearest
from whybuy.profile.lifecycle import STAGES, Lifecycle
from whybuy.profile.result import Profile, profile_from_row

PROFILES, SUMMARY = "profiles.parquet", "summary.json"
CONTEXT = "whybuy"
"""Key of the file's metadata that holds the :class:`Context`."""
_LIKE_ENOUGH, _N_LIKE = 0.7, 20


@dataclass(frozen=True)
class Context:
    """What every profile is relative to.

    Attributes
    ----------
    as_of_ms : the end of the observed window: days are counted back from here
    new_days : see :class:`whybuy.profile.lifecycle.Lifecycle`
    """

    as_of_ms: int
    new_days: float
    timezone: str
    has_times: bool

    @classmethod
    def of_file(cls, path: Path) -> "Context":
        """Return the context kept in the metadata of ``path``."""
        metadata = pq.read_metadata(path).metadata
        return cls(**json.loads(metadata[CONTEXT.encode()]))


def profile_of(folder: Path, user_id: str) -> Profile:
    """Return the profile of one user.

    Raises
    ------
    QuestionError
        There is no such user; the nearest id is named.
    WorkspaceError
        The folder has no profiles.
    """
    path = _existing(folder)
    with duckdb.connect() as connection:
        sql = f"SELECT * FROM read_parquet($path) WHERE {c.USER} = $user"
        found = _rows(connection, sql, {"path": str(path), "user": user_id})
        if not found:
            raise _unknown_user(connection, path, user_id)
    return profile_from_row(found[0], **asdict(Context.of_file(path)))


def profile_summary(folder: Path) -> dict[str, Any]:
    """Return how many users are in which stage, the rule, quartiles of the buyers' facts, and an example per stage.

    Raises
    ------
    WorkspaceError
        The folder has no profiles.
    """
    path = _existing(folder)
    context = Context.of_file(path)
    with duckdb.connect() as connection:
        connection.read_parquet(str(path)).create_view("profiles")
        counts = dict(connection.execute("SELECT stage, count(*) FROM profiles GROUP BY stage").fetchall())
        quartiles = {
            name: connection.execute(
                f"SELECT quantile_cont({name}, [0.25, 0.5, 0.75]) FROM profiles WHERE frequency > 0"
            ).fetchall()[0][0]
            for name in ("recency_days", "frequency", "monetary", "basket_value")
        }
        best = f"row_number() OVER (PARTITION BY stage ORDER BY {c.N_EVENTS} DESC, {c.USER})"
        examples = _rows(connection, f"SELECT * FROM profiles QUALIFY {best} = 1", {})
    profiles = [profile_from_row(row, **asdict(context)) for row in examples]
    profiles.sort(key=lambda profile: STAGES.index(profile.stage))
    return {
        "n_users": sum(counts.values()),
        "stages": {stage: counts[stage] for stage in STAGES if stage in counts},
        "rule": {stage: text for stage, text in Lifecycle(context.new_days).words().items() if stage in counts},
        "buyers": quartiles,
        "examples": [{"user_id": profile.user_id, "summary": list(profile.lines())} for profile in profiles],
    }


def _rows(connection: duckdb.DuckDBPyConnection, sql: str, values: dict[str, str]) -> list[dict[str, Any]]:
    answer = connection.execute(sql, values)
    names = [column[0] for column in answer.description or ()]
    return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


def _existing(folder: Path) -> Path:
    path = folder / PROFILES
    if not path.is_file():
        raise WorkspaceError.of(
            found=f"{folder} holds no profiles", needed=f"{PROFILES} is needed", do="Run `whybuy run`"
        )
    return path


def _unknown_user(connection: duckdb.DuckDBPyConnection, path: Path, user_id: str) -> QuestionError:
    # Similarity in the database first: a million ids are too many to compare one by one in Python.
    sql = f"""
        SELECT {c.USER} FROM read_parquet($path)
        WHERE jaro_winkler_similarity({c.USER}, $user) > {_LIKE_ENOUGH}
        ORDER BY jaro_winkler_similarity({c.USER}, $user) DESC, {c.USER} LIMIT {_N_LIKE}
    """
    like = [row[0] for row in connection.execute(sql, {"path": str(path), "user": user_id}).fetchall()]
    near = nearest(user_id, like)
    total = pq.read_metadata(path).num_rows
    return QuestionError.of(
        found=f"User {user_id!r} is not among the {total:,} users of the log",
        needed="the id of a user, as the log writes it",
        do=f"Did you mean {near!r}?" if near else "Look ids up in the log or in users.parquet of the workspace",
    )
