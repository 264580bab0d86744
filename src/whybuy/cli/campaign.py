"""``campaign``: what being sent one changes, whom it moves, and whom to send it to."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from whybuy.cli.campaign_parts import show_parts
from whybuy.cli.session import Session, command, require_names, write_output
from whybuy.cli.tables import NOTHING, Column, number, show_table
from whybuy.errors import QuestionError
from whybuy.pipeline import CAMPAIGNS, Pipeline

if TYPE_CHECKING:
    from whybuy.campaign.asked import Asked
    from whybuy.campaign.policy import Policy
    from whybuy.campaign.portfolio import Portfolio

CAMPAIGN_COLUMNS: tuple[Column, ...] = (
    ("campaign", "left"),
    ("kind", "left"),
    ("outcome", "left"),
    ("horizon", "left"),
    ("naive", "right"),
    ("adjusted", "right"),
    ("low", "right"),
    ("high", "right"),
    ("verdict", "left"),
)
POLICY_COLUMNS: tuple[Column, ...] = (
    ("way of choosing", "left"),
    ("sent to", "right"),
    ("spent", "right"),
    ("adds", "right"),
    ("low", "right"),
    ("high", "right"),
)
TENTH_COLUMNS: tuple[Column, ...] = (
    ("tenth", "right"),
    ("foretold", "right"),
    ("found", "right"),
    ("low", "right"),
    ("high", "right"),
)


@command
def campaign(  # noqa: PLR0913 - the options of the program
    session: Session,
    *,
    campaign_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="One campaign; all where left out.")] = None,
    outcome: Annotated[str | None, typer.Option(help="What counts, as in purchase:shoes; any purchase.")] = None,
    horizon: Annotated[str | None, typer.Option(help="Within how long after the assignment, as in 7d.")] = None,
    budget: Annotated[float | None, typer.Option(help="How much may be spent on sending it.")] = None,
    cost: Annotated[float | None, typer.Option(help="Of sending it to one person; the config's.")] = None,
    value: Annotated[float | None, typer.Option(help="Of one more person with the outcome; the config's.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="A Parquet file to write whom to send to.", dir_okay=False)
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="An HTML file for the plan's figure.", dir_okay=False)] = None,
) -> None:
    """Say what being sent a campaign changes, whom it moves, and whom to send it to under a budget."""
    from whybuy.campaign.asked import Asked
    from whybuy.campaign.question import require_question, require_words

    require_names(output=output, picture=picture)
    asked = Asked(budget=budget, cost=cost, value=value)
    require_words(outcome, horizon)
    if campaign_id is None:
        _refuse_without_one(**{"--outcome": outcome, "--horizon": horizon, "--cost": cost, "--value": value})
        if budget is None:
            _refuse_without_one(**{"--output": output, "--picture": picture})
            _show_all(session)
        else:
            _plan_all(session, budget, output, picture)
        return
    is_for_sending = any(option is not None for option in (budget, cost, value, output, picture))
    with session.pipeline() as pipeline:
        pipeline.run("events")
        # What cannot be asked is said before a model is trained.
        require_question(pipeline.log, pipeline.config, campaign_id, outcome=outcome, horizon=horizon)
        is_kept = output is not None or picture is not None
        if is_kept:
            _require_terms(pipeline, campaign_id, asked)
        raw, policy = _one(pipeline, campaign_id, (outcome, horizon), asked if is_for_sending else None)
    if policy is not None and is_kept:
        if raw["policy"].get("refused"):
            raise _nothing_to_write(raw["policy"]["refused"])
        _write_plan(policy, output, picture)
    _show_one(session, raw, output)


def _refuse_without_one(**options: object) -> None:
    named = [name for name, given in options.items() if given is not None]
    if named:
        raise QuestionError.of(
            found=f"{' and '.join(named)} {'were' if len(named) > 1 else 'was'} given without a campaign",
            needed="The id of one campaign",
            do="Name it, as in `whybuy campaign spring --horizon 14d`; costs and values of several are in whybuy.toml",
        )


def _one(
    pipeline: Pipeline, campaign_id: str, changed: tuple[str | None, str | None], asked: "Asked | None"
) -> "tuple[dict[str, Any], Policy | None]":
    """Return the answer about one campaign as JSON, and the plan; computed now where the run has none."""
    if asked is None and changed == (None, None):
        pipeline.run("campaign")
        raw = next(found for found in _known_campaigns(pipeline) if found["campaign"] == campaign_id)
        if not raw["uplift"].get("left_out"):
            return raw, None
    pipeline.run("model")
    from whybuy.campaign.analyze import analyze_campaign

    found = analyze_campaign(
        pipeline.log,
        pipeline.config,
        campaign_id,
        outcome=changed[0],
        horizon=changed[1],
        by_person=True,
        asked=asked,
        forecaster=pipeline.forecaster,
        report=pipeline.report,
    )
    return found.to_json(), found.policy


def _write_plan(found: "Policy | Portfolio", output: Path | None, picture: Path | None) -> None:
    """Write whom to send to, and the figure."""
    if output is not None:
        write_output(output, lambda path: found.to_frame().to_parquet(path, index=False))
    if picture is not None:
        write_output(picture, lambda path: found.plot().write_html(path, include_plotlyjs=True))


def _require_terms(pipeline: Pipeline, campaign_id: str, asked: "Asked") -> None:
    """Refuse to write a plan that lacks its cost or budget, before anything is computed for it."""
    from whybuy.campaign.asked import missing_terms

    lacking = missing_terms(asked, pipeline.config.campaign, campaign_id)
    if lacking is not None:
        raise _nothing_to_write(lacking)


def _nothing_to_write(why: str) -> QuestionError:
    return QuestionError.of(
        found=f"There is no plan to write. {why}",
        needed="a plan of whom to send to",
        do="Leave --output and --picture away to see what can be told",
    )


def _known_campaigns(pipeline: Pipeline) -> list[dict[str, Any]]:
    text = (pipeline.folder("campaign") / CAMPAIGNS).read_text(encoding="utf-8")
    found: list[dict[str, Any]] = json.loads(text)["campaigns"]
    return found


def _show_all(session: Session) -> None:
    with session.pipeline() as pipeline:
        pipeline.run("events")
        has_any = bool(pipeline.log.quality.campaigns)
        if has_any:
            pipeline.run("campaign")
        found = _known_campaigns(pipeline) if has_any else []
    if session.as_json:
        session.emit({"campaigns": found})
    elif found:
        show_table(session.out, CAMPAIGN_COLUMNS, map(_campaign_row, found))
        by_chance = [raw["campaign"] for raw in found if _may_be_chance(raw)]
        if by_chance:
            session.say(
                f"{', '.join(by_chance)}: cannot_tell, since of {len(found)} campaigns judged together some look good "
                "by chance (q-value); `whybuy campaign ID` with a budget or a horizon judges one by itself and may "
                "say more."
            )
    else:
        session.say("The log has no campaign: no event with the action campaign names a campaign_id.")


def _may_be_chance(raw: dict[str, Any]) -> bool:
    """Return whether a campaign's own p-value would tell it, and its q-value among all of them does not."""
    from whybuy.causal.verdict import Q_LIMIT

    p, q = raw["effect"]["p_value"], raw["effect"]["q_value"]
    return raw["verdict"] == "cannot_tell" and p is not None and q is not None and p < Q_LIMIT <= q


def _campaign_row(raw: dict[str, Any]) -> list[str]:
    effect = raw["effect"]
    numbers = (raw["naive"]["difference"], effect["estimate"], effect["ci_low"], effect["ci_high"])
    names = (raw["campaign"], raw["kind"], raw["outcome"], raw["horizon"])
    return [*names, *map(number, numbers), raw["verdict"]]


def _show_one(session: Session, raw: dict[str, Any], output: Path | None) -> None:
    if session.as_json:
        session.emit(raw)
        return
    show_table(session.out, CAMPAIGN_COLUMNS, [_campaign_row(raw)])
    session.say()
    session.say(f"judged on {raw['n_treated']:,} people who were sent it and {raw['n_control']:,} who were not")
    for reason in raw["reasons"]:
        session.say(f"- {reason}")
    for line in _money_lines(raw["uplift"]):
        session.say(f"- {line}")
    show_parts(session, raw)
    if raw["uplift"].get("deciles"):
        session.say()
        session.say("by tenth of the people, those first whom it is foretold to move most:")
        show_table(session.out, TENTH_COLUMNS, map(_tenth_row, raw["uplift"]["deciles"]))
    session.say()
    _show_policy(session, raw["policy"])
    if output is not None:
        session.say(f"whom to send to: {output}")


def _money_lines(uplift: dict[str, Any]) -> Iterator[str]:
    for name in ("revenue", "margin"):
        found = uplift.get(name)
        average = None if found is None else found["average"]
        if average is not None and average["estimate"] is not None:
            low, high = (f"{average[end]:+,.2f}" for end in ("ci_low", "ci_high"))
            yield f"It changes {name} by {average['estimate']:+,.2f} per person [{low}, {high}]."


def _tenth_row(tenth: dict[str, Any]) -> list[str]:
    numbers = (tenth[name] for name in ("foretold", "effect", "ci_low", "ci_high"))
    return [str(tenth["decile"]), *map(number, numbers)]


def _show_policy(session: Session, policy: dict[str, Any]) -> None:
    if policy.get("needed") or policy.get("refused"):
        session.say(policy.get("needed") or f"Whom to send it to is not told. {policy['refused']}")
        return
    for line in policy["decision"]:
        session.say(line)
    session.say()
    show_table(session.out, POLICY_COLUMNS, map(_policy_row, policy["compared"]))
    if policy["rule"] is not None and policy["rule"]["is_told"]:
        session.say()
        session.say(
            f"a rule for whom it is worth sending to whatever the budget (it would cost {policy['rule']['cost']:,.2f}):"
        )
        for line in policy["rule"]["words"]:
            session.say(f"- {line}")


def _policy_row(found: dict[str, Any]) -> list[str]:
    totals = [found[f"total_{name}"] for name in ("estimate", "ci_low", "ci_high")]
    shares = [f"{100 * found['share_sent']:.0f}%", f"{found['spent']:,.2f}"]
    return [found["policy"], *shares, *(NOTHING if x is None else f"{x:+,.1f}" for x in totals)]


def _plan_all(session: Session, budget: float, output: Path | None, picture: Path | None) -> None:
    """Plan a budget over all campaigns of the log."""
    from whybuy.campaign.question import require_offers

    with session.pipeline() as pipeline:
        pipeline.run("events")
        require_offers(pipeline.log, pipeline.config)
        pipeline.run("model")
        from whybuy.campaign.portfolio import plan_campaigns

        found = plan_campaigns(
            pipeline.log, pipeline.config, budget, forecaster=pipeline.forecaster, report=pipeline.report
        )
    _write_plan(found, output, picture)
    if session.as_json:
        session.emit(found.to_json())
        return
    session.say(found.summary())
    if output is not None:
        session.say(f"whom to send to: {output}")
