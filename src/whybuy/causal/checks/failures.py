"""What the checks of a confirmed effect say, in words: what does not hold, and what to keep in mind."""

from whybuy.causal.checks.activity import activity_failures
from whybuy.causal.checks.balance import balance_failures
from whybuy.causal.checks.halves import halves_failures
from whybuy.causal.checks.influence import influence_failures
from whybuy.causal.checks.interference import interference_warnings
from whybuy.causal.checks.negative_control import negative_control_failures, negative_control_warnings
from whybuy.causal.checks.nuisance import nuisance_failures
from whybuy.causal.checks.overlap import overlap_failures
from whybuy.causal.checks.past_outcome import past_outcome_warnings
from whybuy.causal.checks.placebo import placebo_failures
from whybuy.causal.checks.repeat import repeat_failures
from whybuy.causal.checks.season import season_failures
from whybuy.causal.checks.sensitivity import sensitivity_failures
from whybuy.causal.effects import Effect

_IN_WORDS = (
    ("overlap", overlap_failures),
    ("placebo", placebo_failures),
    ("negative_control", negative_control_failures),
    ("balance", balance_failures),
    ("nuisance", nuisance_failures),
    ("sensitivity", sensitivity_failures),
    ("halves", halves_failures),
    ("influence", influence_failures),
    ("season", season_failures),
    ("negative_control", negative_control_warnings),
    ("past_outcome", past_outcome_warnings),
    ("interference", interference_warnings),
)

CAPS = {
    "session": "Session design: suggestive at most. What brought a person here today is in no event before the "
    "session, and whether a session gets this far without the outcome may depend on the behavior itself.",
    "calendar": "Calendar design: suggestive at most. Why people come in one period and not in another is in no event "
    "before it, and those who come do more of everything.",
}
"""What keeps a design from being strong, whatever its checks say."""


def failures(effect: Effect) -> list[str]:
    """Return the checks of a confirmed effect that did not pass, in words; warnings last, starting with that word."""
    of_design = activity_failures(effect.checks["activity"]) if "activity" in effect.checks else []
    of_design += [CAPS[effect.design]] if effect.design in CAPS else []
    of_design += repeat_failures(effect)
    return of_design + [words for name, told in _IN_WORDS for words in told(effect.checks[name])]
