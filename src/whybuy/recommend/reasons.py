"""Why an item is recommended, in words.

A reason says at most four things: what is not known of the user, where the user stands with the item, what showing it
adds and on what evidence (or why that cannot be told), and the one confirmed effect of what the user did. Every
sentence is written once, here: DuckDB writes a million of them without a loop, Python those of one answer. So is the
token that says in a word what the place of an item rests on.
"""

from whybuy.recommend.terms import Terms
from whybuy.recommend.wording import Both, Compared, Is, Known, Number, OneOf, Sentence, Text

_OWN = 0.05
"""Below this weight of an item's own data the figure is called that of its kind."""
_RARELY, _ANYWAY = 0.25, 0.75
"""Of those who buy it when shown, the share who would have bought it unshown."""
FEW_BOUGHT = 20
"""Below this many purchases after showing in the whole log every lift says so."""
COLD = "Nothing this user did is in the log, so this is the answer for anyone unknown. "

RANKED_BY = (
    "lift_by_person", "lift_by_impression", "lift_by_view", "effect", "repeat_purchase", "co_purchase", "category",
    "popular", "untouched", "filler",
)  # fmt: skip
"""What the place of an item may rest on, in the order of answers."""

REASON_COLUMNS = (
    "is_known", "last", "state", "lift", "lift_low", "lift_high", "p_buy", "alone", "n_users", "own", "pool", "shown",
    "not_shown", "strength", "followed_name", "again", "near", "adds", "buyers", "touchers", "said", "share",
    "share_place",
)  # fmt: skip
"""What reasons speak of: columns of ``told`` in ``ranking``, keys of an answer's row."""

_MAYBE_NOTHING = Both(Compared("lift_low", "<", 0), Compared("lift_high", ">", 0))
_ADDS = OneOf((Compared("lift", ">=", 0), "adds "), otherwise="takes away ")


def reason(terms: Terms) -> Sentence:
    """Return the reason; spaces at its end do not count."""
    return (
        OneOf((Is("is_known"), _standing(terms)), otherwise=COLD),
        OneOf((Known("alone"), _own_lift(terms)), (Known("lift"), _lift(terms)), otherwise=_no_lift(terms)),
        _source(terms),
        OneOf((Known("said"), _effect(terms))),
    )


def ranked_by(terms: Terms) -> Sentence:
    """Return the token of the first thing that the order of answers goes by: one of :data:`RANKED_BY`."""
    return OneOf(
        (Is("last"), "filler"),
        (Known("alone"), "lift_by_person"),
        (Known("lift"), f"lift_by_{terms.basis}"),
        (Compared("adds", ">", 0), "effect"),
        (Is("again"), "repeat_purchase"),
        (Compared("strength", ">", 0), "co_purchase"),
        (Is("near"), "category"),
        (Compared("buyers", ">", 0), "popular"),
        (Compared("touchers", ">", 0), "popular"),
        otherwise="untouched",
    )


def _standing(terms: Terms) -> Sentence:
    when = f"in the last {terms.lookback}" if terms.has_times else "before"
    just = f"in the last {terms.horizon}" if terms.has_times else "before"
    had = f"You bought it {just}, or reviewed or rated it"
    return OneOf(
        (Is("last"), f"{had}: it is here only because the catalog has nothing else to fill the list. "),
        (Compared("state", "=", 3), "You bought it before. "),
        (Compared("state", "=", 2), f"You put it in the cart or marked it {when}. "),
        (Compared("state", "=", 1), f"You looked at it {when}. "),
    )


def _lift(terms: Terms) -> Sentence:
    if terms.basis == "view":
        act, nobody = "Looking at it ", "nobody looked at it"
        others: Sentence = OneOf(
            (Compared("pool", "=", 0), "looking at other things"), otherwise="looking at others of its category"
        )
        grade = "by what people chose to look at, so at most suggestive"
    else:
        act, nobody, others = "Showing it ", "nobody was shown it", "showing others"
        grade = "by the logged probabilities of being shown"
    if terms.n_bought is not None and terms.n_bought < FEW_BOUGHT:
        grade += f", and the whole log has only {terms.n_bought} such purchases"
    evidence = (
        Text("n_users"),
        OneOf((Compared("n_users", "=", 1), " person was"), otherwise=" people were"),
        " in this situation, ",
        OneOf(
            (Compared("own", "<", _OWN), "too few to tell it from others of its kind"),
            otherwise="and the figure is drawn to that of its kind",
        ),
    )
    return (
        act,
        _ADDS,
        Number("lift", "%.2f", unsigned=True),
        f" purchases of it in 100 within {terms.horizon} against ",
        others,
        f" ({grade}; ",
        OneOf((_MAYBE_NOTHING, "it may be nothing; ")),
        OneOf(
            (Compared("n_users", "=", 0), f"{nobody} in this situation, so the figure is that of its kind"),
            otherwise=evidence,
        ),
        "). ",
    )


def _own_lift(terms: Terms) -> Sentence:
    """Say what showing changes for people like this one, and whether they would find the item by themselves."""
    return (
        "Shown to people like you it ",
        _ADDS,
        Number("lift", "%.2f", unsigned=True),
        f" purchases of it in 100 within {terms.horizon} (",
        Number("lift_low", "%+.2f"),
        " to ",
        Number("lift_high", "%+.2f"),
        OneOf((_MAYBE_NOTHING, ": it may be nothing); "), otherwise="); "),
        OneOf(
            (Compared("lift", "<", 0), "showing it puts people off. "),
            (Compared("alone", "<", _RARELY, times="p_buy"), "they rarely find it alone. "),
            (Compared("alone", ">", _ANYWAY, times="p_buy"), "most who buy it would have done so anyway. "),
            otherwise=("without, ", Number("alone", "%.2f"), " buy it. "),
        ),
    )


def _no_lift(terms: Terms) -> Sentence:
    if terms.why_no_lift is not None:
        return f"No lift can be told: {terms.why_no_lift}. "
    how = "looked at" if terms.basis == "view" else "shown"
    counted = f"with {terms.lookback} of history before and {terms.horizon} of follow-up after"
    never = f"No lift can be told: it was never {how} {counted}. "
    always = f"No lift can be told: it was {how} every time, so there is nothing to compare with. "
    empty = "No lift can be told: nobody in this log was in this situation. "
    return OneOf((Compared("not_shown", "<=", 0), always), (Known("shown"), empty), otherwise=never)


def _source(terms: Terms) -> Sentence:
    """Say what brought the item up; how popular it is only where there is no lift to go by."""
    taken = "bought" if terms.goal == "purchase" else "took"
    return OneOf(
        (Is("again"), "Others who bought it bought it again. "),
        (
            Compared("strength", ">", 0),
            ("After ", Text("followed_name"), f", one of your last items, others {taken} it. "),
        ),
        (Is("near"), "It is of a category you were in, or shown, last. "),
        (Known("lift"), ""),
        (Compared("adds", ">", 0), ""),
        (Compared("buyers", ">", 0), ("Ranked by the number of its buyers: ", Text("buyers"), ". ")),
        (Compared("touchers", ">", 0), ("Ranked by the number of people who touched it: ", Text("touchers"), ". ")),
        otherwise="It is in the catalog, and nobody has touched it yet. ",
    )


def _effect(terms: Terms) -> Sentence:
    part = OneOf((Known("lift"), (", ", Number("adds", "%+.3f"), " of the figure above")))
    return (
        Text("said"),
        OneOf(
            (Compared("share_place", "=", 1), "; this is the one people take most ("),
            otherwise="; this is one of those people take (",
        ),
        Number("share", "%.0f"),
        " in 100)",
        part if terms.basis == "view" else "",
        ".",
    )
