import pytest

from whybuy.causal.effects import Effect
from whybuy.report.payload import Missing, disagreement
from whybuy.report.selection import MAX_CLOUD, MAX_COMPARED, MAX_GRID, TOP_PER_VERDICT, effects_part, nuisance_losses


@pytest.mark.parametrize(
    ("naive", "estimate", "verdict", "kind"),
    [
        (0.05, -0.02, "strong", "wrong_sign"),
        (0.05, -0.02, "suggestive", "wrong_sign"),
        (0.004, -0.02, "strong", "outside"),  # a naive difference below the smallest effect has no sign to be wrong
        (0.05, 0.001, "none", "nothing_there"),
        (0.05, 0.02, "strong", "outside"),
        (0.021, 0.02, "strong", "agrees"),
        (0.05, -0.02, "cannot_tell", "open"),
        (None, 0.02, "strong", "open"),
        (0.05, None, "cannot_tell", "open"),
    ],
)
def test_how_co_occurrence_compares(effect, naive, estimate, verdict, kind):
    raw = effect("view:a", "purchase:b", naive=naive, estimate=estimate, verdict=verdict)
    assert disagreement(Effect.from_json(raw), smallest_effect=0.005) == kind


def test_funnel_pairs_are_in_no_count_and_no_list(effect):
    pairs = [
        effect("view:a", "purchase:b", naive=0.05, estimate=0.02),
        effect("cart:b", "purchase:b", naive=0.5, estimate=0.2, funnel=True),
    ]
    part = effects_part(pairs, {}, smallest_effect=0.005)
    assert (part.n_pairs, part.n_funnel, part.n_asked, part.n_answered) == (2, 1, 1, 1)
    assert part.verdicts == {"strong": 1, "suggestive": 0, "none": 0, "cannot_tell": 0}
    assert [p.effect.treatment for p in (*part.top, *part.compared, *part.cloud)] == ["view:a"] * 3
    assert [p.effect.treatment for p in part.funnel] == ["cart:b"]


def test_the_surest_effect_comes_first(effect):
    pairs = [
        effect("view:wide", "purchase:*", naive=0.1, estimate=0.05, std_error=0.02),  # at least .011
        effect("view:sure", "purchase:*", naive=0.1, estimate=-0.03, std_error=0.001),  # at least .028
        effect("view:weak", "purchase:*", naive=0.1, estimate=0.2, std_error=0.001, verdict="suggestive"),
        effect("view:open", "purchase:*", naive=0.1, estimate=None, verdict="cannot_tell"),
    ]
    part = effects_part(pairs, {}, smallest_effect=0.005)
    assert [p.effect.treatment for p in part.top] == ["view:sure", "view:wide", "view:weak", "view:open"]


def test_the_grid_holds_every_pair_in_its_place(effect):
    pairs = [
        effect("view:a", "purchase:b", naive=0.1, estimate=0.05),
        effect("cart:*", "purchase:*", naive=0.1, estimate=0.03),
        effect("cart:*", "purchase:b", naive=0.1, estimate=0.01, horizon="30d"),
    ]
    grid = effects_part(pairs, {}, smallest_effect=0.005).grid
    assert (grid.horizon, grid.treatments, grid.outcomes) == ("7d", ("cart:*", "view:a"), ("purchase:*", "purchase:b"))
    estimates = [[cell and cell.effect.effect.estimate for cell in row] for row in grid.cells]
    assert estimates == [[0.03, None], [None, 0.05]]


def test_twenty_thousand_pairs_are_counted_and_few_are_shown(effect):
    words = ("strong", "suggestive", "none", "cannot_tell")
    pairs = [
        effect(f"view:{i % 200}", f"purchase:{i // 200}", naive=0.02, estimate=0.01, verdict=words[i % 4])
        for i in range(20_000)
    ]
    part = effects_part(pairs, {}, smallest_effect=0.005)
    assert part.n_asked == 20_000
    assert part.verdicts == dict.fromkeys(words, 5_000)
    assert len(part.top) == sum(TOP_PER_VERDICT.values())
    assert (len(part.cloud), len(part.compared)) == (MAX_CLOUD, MAX_COMPARED)
    assert (len(part.grid.treatments), len(part.grid.outcomes)) == MAX_GRID
    assert (part.grid.n_treatments, part.grid.n_outcomes) == (200, 100)


def test_no_pair_at_all_is_missing():
    assert effects_part([], {}, smallest_effect=0.005) == Missing(
        "No question was asked: the log has no behavior that happens often enough."
    )


def test_each_behavior_has_its_losses_once(effect):
    pairs = [effect(b, "purchase:*", naive=0.1, estimate=0.05) for b in ("view:a", "view:b")]
    assert [(n.role, n.behavior) for n in nuisance_losses(pairs)] == [
        ("treatment", "view:a"),
        ("outcome", "purchase:*"),
        ("treatment", "view:b"),
    ]


def test_a_pair_without_losses_has_none_to_show(effect):
    assert nuisance_losses([effect("view:a", "purchase:*", naive=0.1, estimate=0.05, checks={"grounds": {}})]) == ()
