"""Why an item is recommended, in words, as one SQL expression: a million reasons are written without a loop.

A reason says at most four things: what is not known of the user, where the user stands with the item, what showing it
adds and on what evidence (or why that cannot be told), and the one confirmed effect of what the user did.
"""

from whybuy import columns as c
from whybuy.recommend.store import quoted
from whybuy.recommend.terms import Terms

_OWN = 0.05
"""Below this weight of an item's own data the figure is called that of its kind."""
_RARELY, _ANYWAY = 0.25, 0.75
"""Of those who buy it when shown, the share who would have bought it unshown."""
FEW_BOUGHT = 20
"""Below this many purchases after showing in the whole log every lift says so."""
COLD = "Nothing this user did is in the log, so this is the answer for anyone unknown. "


def reason_sql(terms: Terms) -> str:
    """Return the expression over chosen ``r``, its item ``i``, the followed item ``f`` and the exposures ``x``."""
    return f"""
        trim(CASE WHEN is_known THEN {_standing(terms)} ELSE {quoted(COLD)} END
        || CASE WHEN r.lift IS NULL THEN {_no_lift(terms)} WHEN r.alone IS NOT NULL THEN {_own_lift(terms)}
           ELSE {_lift(terms)} END
        || {_source(terms)}
        || CASE WHEN r.said IS NOT NULL THEN {_effect(terms)} ELSE '' END)
    """


def _standing(terms: Terms) -> str:
    when = f"in the last {terms.lookback}" if terms.has_times else "before"
    just = f"in the last {terms.horizon}" if terms.has_times else "before"
    had = f"You bought it {just}, or reviewed or rated it"
    filler = f"{had}: it is here only because the catalog has nothing else to fill the list. "
    return f"""CASE WHEN r.last THEN {quoted(filler)}
        WHEN r.state = 3 THEN 'You bought it before. '
        WHEN r.state = 2 THEN {quoted(f"You put it in the cart or marked it {when}. ")}
        WHEN r.state = 1 THEN {quoted(f"You looked at it {when}. ")} ELSE '' END"""


def _lift(terms: Terms) -> str:
    if terms.basis == "view":
        act, nobody = "Looking at it", "nobody looked at it"
        others = "CASE WHEN i.pool = 0 THEN 'looking at other things' ELSE 'looking at others of its category' END"
        grade = "by what people chose to look at, so at most suggestive"
    else:
        act, nobody = "Showing it", "nobody was shown it"
        others = "'showing others'"
        grade = "by the logged probabilities of being shown"
    if terms.n_bought is not None and terms.n_bought < FEW_BOUGHT:
        grade += f", and the whole log has only {terms.n_bought} such purchases"
    within = f" purchases of it in 100 within {terms.horizon} against "
    none = f"{nobody} in this situation, so the figure is that of its kind"
    return f"""{quoted(act)} || CASE WHEN r.lift >= 0 THEN ' adds ' ELSE ' takes away ' END
        || printf('%.2f', 100 * abs(r.lift)) || {quoted(within)} || {others} || {quoted(f" ({grade}; ")}
        || CASE WHEN r.lift_low < 0 AND r.lift_high > 0 THEN 'it may be nothing; ' ELSE '' END
        || CASE WHEN r.n_users = 0 THEN {quoted(none)}
           ELSE r.n_users || CASE WHEN r.n_users = 1 THEN ' person was' ELSE ' people were' END
                || ' in this situation, '
                || CASE WHEN r.own < {_OWN} THEN 'too few to tell it from others of its kind'
                   ELSE 'and the figure is drawn to that of its kind' END END || '). '"""


def _own_lift(terms: Terms) -> str:
    """Say what showing changes for people like this one, and whether they would find the item by themselves."""
    within = quoted(f" purchases of it in 100 within {terms.horizon} ")
    return f"""'Shown to people like you it ' || CASE WHEN r.lift >= 0 THEN 'adds ' ELSE 'takes away ' END
        || printf('%.2f', 100 * abs(r.lift)) || {within}
        || printf('(%+.2f to %+.2f', 100 * r.lift_low, 100 * r.lift_high)
        || CASE WHEN r.lift_low < 0 AND r.lift_high > 0 THEN ': it may be nothing); ' ELSE '); ' END
        || CASE WHEN r.lift < 0 THEN 'showing it puts people off. '
           WHEN r.alone < {_RARELY} * r.p_buy THEN 'they rarely find it alone. '
           WHEN r.alone > {_ANYWAY} * r.p_buy THEN 'most who buy it would have done so anyway. '
           ELSE printf('without, %.2f buy it. ', 100 * r.alone) END"""


def _no_lift(terms: Terms) -> str:
    if terms.why_no_lift is not None:
        return quoted(f"No lift can be told: {terms.why_no_lift}. ")
    how = "looked at" if terms.basis == "view" else "shown"
    counted = f"with {terms.lookback} of history before and {terms.horizon} of follow-up after"
    never = f"No lift can be told: it was never {how} {counted}. "
    always = f"No lift can be told: it was {how} every time, so there is nothing to compare with. "
    empty = "No lift can be told: nobody in this log was in this situation. "
    return f"""CASE WHEN x.shown IS NULL THEN {quoted(never)} WHEN x.not_shown <= 0 THEN {quoted(always)}
        ELSE {quoted(empty)} END"""


def _source(terms: Terms) -> str:
    """Say what brought the item up; how popular it is only where there is no lift to go by."""
    taken = "bought" if terms.goal == "purchase" else "took"
    return f"""CASE
        WHEN r.strength > 0
        THEN 'After ' || trim(coalesce(f.{c.TITLE}, f.{c.ITEM})) || ', one of your last items, others {taken} it. '
        WHEN r.near THEN 'It is of a category you were in, or shown, last. '
        WHEN r.lift IS NOT NULL OR r.adds > 0 THEN ''
        WHEN i.buyers > 0 THEN 'Ranked by the number of its buyers: ' || i.buyers || '. '
        WHEN i.touchers > 0 THEN 'Ranked by the number of people who touched it: ' || i.touchers || '. '
        ELSE 'It is in the catalog, and nobody has touched it yet. ' END"""


def _effect(terms: Terms) -> str:
    part = "CASE WHEN r.lift IS NULL THEN '' ELSE ', ' || printf('%+.3f', 100 * r.adds) || ' of the figure above' END"
    return f"""upper(r.said[1]) || r.said[2:] || CASE WHEN r.share_place = 1 THEN '; this is the one people take most ('
        ELSE '; this is one of those people take (' END || printf('%.0f', 100 * r.share) || ' in 100)'
        || {part if terms.basis == "view" else "''"} || '.'"""
