"""From the files of a workspace to the payload of the report.

Every part is read on its own: a file that is not there, is no JSON, or lacks a field makes that part
:class:`~whybuy.report.payload.Missing` with the reason, and leaves the others alone. Texts of the log are cut to what a
person reads, since a title or a query may be a megabyte long.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from whybuy.behavior.calibration import Reliability
from whybuy.causal.certificate import Certificate
from whybuy.causal.opinions import SecondOpinion
from whybuy.columns import ACTION, TIME_MS
from whybuy.config import CausalConfig
from whybuy.report.campaigns import MAX_CAMPAIGNS, campaigns_part
from whybuy.report.fields import MAX_TEXT, clip, interval, lines, number
from whybuy.report.payload import (
    CampaignsPart,
    LogFacts,
    Missing,
    ModelPart,
    Profile,
    ProfilesPart,
    RecommendedItem,
    ReportPayload,
    Sample,
    Timeline,
    Truth,
)
from whybuy.report.selection import effects_part, graph_part, nuisance_losses

HOUR_MS, DAY_MS, WEEK_MS = 3_600_000, 86_400_000, 604_800_000
OPINION = "second_opinion.json"
"""Beside the report: what other methods say of the same behaviors, or why they say nothing."""
MAX_SAMPLES, MAX_ITEMS, MAX_PROFILES = 8, 5, 8

Part = TypeVar("Part")


def collect(
    workspace_root: Path,
    *,
    smallest_effect: float | None = None,
    opinion: Path | None = None,
    is_certified: bool = True,
) -> ReportPayload:
    """Return what the report of a workspace says.

    Parameters
    ----------
    workspace_root : the folder that the stages were written to
    smallest_effect : effects inside plus or minus this count as none; the default of the config where absent
    opinion : where the second opinion stands; beside the workspace's report where absent
    is_certified : whether the certificate in the workspace is of the effects in the workspace
    """
    smallest = CausalConfig().smallest_effect if smallest_effect is None else smallest_effect
    log = _part(workspace_root / "events" / "quality.json", _log_facts, "Run `whybuy run`.")
    truths = _part(workspace_root / "truth.json", _truths, "")
    path = workspace_root / "confirm" / "effects.json"
    if isinstance(log, LogFacts) and not log.has_times:
        effects: Any = Missing("The log has an order of events but no times, so every causal question is refused.")
        graph: Any = effects
    else:
        known = {} if isinstance(truths, Missing) else truths
        hint = "Run `whybuy run` or `whybuy scan`."
        effects = _part(path, lambda raw, _: effects_part(raw["effects"], known, smallest_effect=smallest), hint)
        graph = _part(path, lambda raw, _: graph_part(raw["effects"], smallest_effect=smallest), hint)
    curves = workspace_root / "scan" / "calibration.json"
    model = _part(workspace_root / "model" / "training.json", _model_reader(path, curves), "Run `whybuy train`.")
    return ReportPayload(
        log=log,
        effects=effects,
        graph=graph,
        opinion=_part(opinion or workspace_root / "report" / OPINION, _opinion, "Run `whybuy run`."),
        certificate=_certificate(workspace_root / "certificate" / "certificate.json", is_current=is_certified),
        model=model,
        campaigns=_campaigns(workspace_root / "campaign" / "campaigns.json", log),
        samples=_part(workspace_root / "recommend" / "samples.json", _samples, "Run `whybuy run`."),
        profiles=_part(workspace_root / "profile" / "summary.json", _profiles, "Run `whybuy run`."),
        is_demo=not isinstance(truths, Missing),
    )


def _part(path: Path, read: Callable[[Any, Path], Part | Missing], hint: str) -> Part | Missing:
    """Return what ``read`` makes of the JSON at ``path``, or why that cannot be had."""
    name = f"{path.parent.name}/{path.name}"
    if not path.is_file():
        return Missing(f"The workspace has no {name}: this part has not been computed. {hint}".strip())
    try:
        # NaN and infinities are no JSON; whoever wrote them had no number.
        raw = json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda _: None)
        return read(raw, path)
    except KeyError as error:
        return Missing(f"{name} has no field {error}: it was written by another version. {hint}".strip())
    except (OSError, ValueError, TypeError, AttributeError) as error:
        return Missing(f"{name} cannot be read ({clip(str(error))}). {hint}".strip())


def _truths(raw: Any, _: Path) -> dict[tuple[str, str], Truth]:
    return {
        (t["treatment"], t["outcome"]): Truth(
            truth=float(t["truth"]), std_error=number(t.get("std_error")), kind=clip(t.get("kind") or "")
        )
        for t in raw
    }


# --- the log ----------------------------------------------------------------------------------------------------
def _log_facts(raw: Any, path: Path) -> LogFacts:
    counts = {name: int(raw[name]) for name in ("rows_read", "rows_kept", "duplicates_merged")}
    sizes = {name: int(raw[name]) for name in ("n_users", "n_items", "n_categories", "n_sessions")}
    times: dict[str, Any] = {
        name: None if raw.get(name) is None else int(raw[name])
        for name in ("first_ms", "last_ms", "start_ms", "end_ms", "longest_gap_ms")
    }
    return LogFacts(
        **counts,
        **sizes,
        **times,
        rejected={clip(reason): int(n) for reason, n in raw["rejected"].items()},
        actions=dict(sorted(raw["actions"].items(), key=lambda pair: -pair[1])),
        has_times=bool(raw["has_times"]),
        campaigns=tuple(clip(c) for c in raw.get("campaigns", ())[:MAX_CAMPAIGNS]),
        notes=lines(raw.get("notes", ())),
        timeline=_timeline(path.parent / "shards", times["start_ms"], times["end_ms"], has_times=raw["has_times"]),
    )


def _timeline(shards: Path, start_ms: int | None, end_ms: int | None, *, has_times: bool) -> Timeline | Missing:
    """Return the events per step and action within the observed window, counted by DuckDB over all shards."""
    if not has_times or start_ms is None or end_ms is None:
        return Missing("The log has an order of events but no times.")
    files = sorted(str(file) for file in shards.glob("*.parquet"))
    if not files:
        return Missing("The workspace has no shards of events. Run `whybuy run`.")
    span = end_ms - start_ms
    step, unit = (HOUR_MS, "hour") if span <= 3 * DAY_MS else (DAY_MS, "day")
    if span > 400 * DAY_MS:
        step, unit = WEEK_MS, "week"
    # Shifted by four days, weeks start on Monday: 1970-01-01 was a Thursday.
    shift = 4 * DAY_MS if unit == "week" else 0
    query = (
        f'SELECT ({TIME_MS} - {shift}) // {step} AS step, "{ACTION}"::VARCHAR AS action, count(*) AS n '
        f"FROM read_parquet(?) WHERE {TIME_MS} BETWEEN ? AND ? GROUP BY ALL"
    )
    with duckdb.connect() as connection:
        found = connection.execute(query, [files, start_ms, end_ms]).fetchall()
    if not found:
        return Missing("No event lies within the observed window.")
    first, last = min(row[0] for row in found), max(row[0] for row in found)
    counts: dict[str, list[int]] = {}
    for at, action, n in found:
        counts.setdefault(action, [0] * (last - first + 1))[at - first] = n
    ordered = sorted(counts.items(), key=lambda pair: -sum(pair[1]))
    return Timeline(
        unit=unit,  # type: ignore[arg-type] # one of the three by construction
        starts_ms=tuple(at * step + shift for at in range(first, last + 1)),
        counts={action: tuple(per_step) for action, per_step in ordered},
    )


# --- the model --------------------------------------------------------------------------------------------------
def _model_reader(effects_path: Path, curves_path: Path) -> Callable[[Any, Path], ModelPart]:
    def read(raw: Any, _: Path) -> ModelPart:
        curves = _part(curves_path, lambda found, _: _first_horizon(found), "")
        losses = _part(effects_path, lambda found, _: nuisance_losses(found["effects"]), "")
        return ModelPart(
            **{name: raw.get(name) for name in ("parameters", "n_events", "n_users", "n_behaviors")},
            train=tuple(tuple(number(e["train"]) for e in twin) for twin in raw["twins"]),
            validation=tuple(tuple(number(e["validation"]) for e in twin) for twin in raw["twins"]),
            nuisance=() if isinstance(losses, Missing) else losses,
            calibration=() if isinstance(curves, Missing) else curves,
        )

    return read


def _first_horizon(raw: dict[str, list[dict[str, Any]]]) -> tuple[Reliability, ...]:
    return tuple(Reliability.from_json(curve) for curve in next(iter(raw.values()), []))


def _opinion(raw: Any, _: Path) -> SecondOpinion | Missing:
    return Missing(clip(raw["refused"], 2 * MAX_TEXT)) if "refused" in raw else SecondOpinion.from_json(raw)


def _certificate(path: Path, *, is_current: bool) -> Certificate | Missing:
    """Return the certificate, or how to get one."""
    ask = "`whybuy certify` plants behaviors with known effects into copies of this log and runs everything again."
    if not path.is_file():
        return Missing(f"Nobody has asked for a certificate yet, since it trains on every copy anew. {ask}")
    if not is_current:
        return Missing(f"There is a certificate, but log, settings or code have changed since. {ask}")
    return _part(path, lambda raw, _: Certificate.from_json(raw), "Run `whybuy certify`.")


# --- recommendations, profiles -------------------------------------------------------------------------
def _campaigns(path: Path, log: LogFacts | Missing) -> CampaignsPart | Missing:
    found = _part(path, campaigns_part, "Run `whybuy run`.")
    nothing = isinstance(found, Missing) or found.n_campaigns == 0
    if nothing and isinstance(log, LogFacts) and not log.campaigns:
        return Missing("The log has no campaign: no event names a campaign_id.")
    if isinstance(found, CampaignsPart) and found.n_campaigns == 0:
        return Missing("No campaign of the log could be judged.")
    return found


def _samples(raw: Any, _: Path) -> tuple[Sample, ...] | Missing:
    found = tuple(
        Sample(
            user_id=clip(s["user_id"]),
            history=lines(s.get("history", ())),
            items=tuple(_recommended(item) for item in s["items"][:MAX_ITEMS]),
        )
        for s in raw["samples"][:MAX_SAMPLES]
    )
    return found or Missing("No user could be given recommendations.")


def _recommended(raw: dict[str, Any]) -> RecommendedItem:
    texts = {name: clip(raw.get(name) or "") for name in ("title", "category", "basis")}
    return RecommendedItem(
        item_id=clip(raw["item_id"], 80),
        rank=int(raw["rank"]),
        lift=interval(raw, "lift", "lift_low", "lift_high"),
        p_buy=number(raw.get("p_buy")),
        reason=clip(raw.get("reason") or "", 2 * MAX_TEXT),
        **texts,
    )


def _profiles(raw: Any, _: Path) -> ProfilesPart:
    return ProfilesPart(
        stages={clip(stage, 60): int(n) for stage, n in raw["stages"].items()},
        examples=tuple(
            Profile(user_id=clip(p["user_id"]), lines=lines(p["summary"])) for p in raw["examples"][:MAX_PROFILES]
        ),
    )
