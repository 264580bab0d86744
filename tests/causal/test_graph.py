"""An indirect path is claimed where the truth has no direct one, and only there."""

import numpy as np
import pandas as pd
import pytest

from tests.causal.chains import ALPHA, BETA, NAMES, chain, judged
from whybuy.causal.drawing import LOWERS, MAX_EDGES, RAISES, STAGE, curve, places
from whybuy.causal.effects import Estimate
from whybuy.causal.graph import effect_graph, product, rest
from whybuy.errors import QuestionError

SMALLEST = 0.01


def graph_of(effects, smallest=SMALLEST):
    return effect_graph(effects, horizon="7d", smallest_effect=smallest)


def of(estimate, std_error=0.005):
    return Estimate.of("ato", estimate, std_error)


@pytest.mark.parametrize("seed", range(100, 104))
def test_a_chain_without_a_direct_effect_is_indirect_though_the_naive_answer_has_one(seed):
    effects = chain(seed)
    (path,) = graph_of(effects).paths
    assert (path.treatment, path.mediator, path.outcome) == NAMES
    assert path.kind == "indirect"
    assert path.verdict == "strong"
    assert path.missing == ()
    assert path.indirect.ci_low < ALPHA * BETA < path.indirect.ci_high
    assert -SMALLEST < path.direct.ci_low < 0 < path.direct.ci_high < SMALLEST
    # The taste moves all three: the plain differences leave a direct effect that is not there.
    alpha, beta, total = (e.naive.difference for e in effects)
    assert abs(total - alpha * beta) > SMALLEST


@pytest.mark.parametrize("seed", range(100, 104))
def test_a_chain_with_a_direct_effect_is_a_possible_path(seed):
    (path,) = graph_of(chain(seed, direct=0.05)).paths
    assert path.kind == "possible"
    assert path.direct.ci_low < 0.05 < path.direct.ci_high
    assert path.missing == ("The direct effect is not known to lie within 1 in 100.",)


@pytest.mark.parametrize("seed", range(100, 104))
def test_a_second_arm_without_effect_gives_no_path(seed):
    graph = graph_of(chain(seed, beta=0.0))
    assert [(e.treatment, e.outcome) for e in graph.edges] == [NAMES[:2]]
    assert graph.paths == ()
    assert graph.n_none + graph.n_untold == 2


def test_too_few_users_to_know_the_direct_effect_give_a_possible_path():
    (path,) = graph_of(chain(100, n=20_000)).paths
    assert path.kind == "possible"


def test_the_product_by_hand():
    found = product(of(0.2, 0.02), of(0.5, 0.05))
    assert found.estimate == pytest.approx(0.1)
    # |beta| se(alpha) + |alpha| se(beta) = .01 + .01; z = 1 / (1/10 + 1/10).
    assert found.std_error == pytest.approx(0.02)
    left = rest(of(0.12, 0.01), found)
    assert (left.estimate, left.std_error) == (pytest.approx(0.02), pytest.approx(0.03))
    assert product(of(-0.2, 0.02), of(0.5, 0.05)).estimate == pytest.approx(-0.1)
    assert product(Estimate(estimand="ato"), of(0.5)).estimate is None


def test_the_bound_holds_where_the_arms_are_correlated():
    rng = np.random.default_rng(100)
    z, w = rng.normal(size=(2, 100_000))
    for r in (-1.0, 0.0, 0.6, 1.0):
        alpha, beta = 0.2 + 0.02 * z, 0.5 + 0.05 * (r * z + np.sqrt(1 - r * r) * w)
        # Beyond the delta method the product of two normals adds cov(alpha, beta)-sized terms of second order.
        assert (alpha * beta).std() < 1.02 * product(of(0.2, 0.02), of(0.5, 0.05)).std_error


def chain_of(alpha, beta, total=None, **of_total):
    pairs = [(NAMES[0], NAMES[1], alpha), (NAMES[1], NAMES[2], beta)]
    effects = [judged(b, a, e) for b, a, e in pairs]
    return effects if total is None else [*effects, judged(NAMES[0], NAMES[2], total, **of_total)]


def test_a_whole_effect_that_failed_its_overlap_or_was_not_confirmed_leaves_the_path_possible():
    arms = of(0.3, 0.001), of(0.2, 0.001)
    whole = of(0.06, 0.001)
    assert graph_of(chain_of(*arms, whole)).paths[0].kind == "indirect"
    (weak,) = graph_of(chain_of(*arms, whole, failed=["Overlap is weak: 12 trials."])).paths
    assert weak.missing == ("The whole effect has no answer that can be trusted.",)
    (unknown,) = graph_of(chain_of(*arms)).paths
    assert unknown.missing == ("The whole effect was not confirmed.",)
    assert unknown.total.estimate is None
    assert "+6.00 in 100" in unknown.summary()
    assert "an unknown amount beside it" in unknown.summary()


def test_two_arms_that_are_just_significant_do_not_make_a_product_that_is():
    (path,) = graph_of(chain_of(of(0.021, 0.01), of(0.021, 0.01), of(0.0, 0.001))).paths
    assert path.indirect.p_value > 0.05
    assert path.missing == ("The product of the two effects cannot be told from none.",)


def test_a_path_is_as_strong_as_its_weaker_arm():
    effects = chain_of(of(0.3, 0.001), of(0.2, 0.001), of(0.06, 0.001))
    weaker = judged(NAMES[1], NAMES[2], of(0.2, 0.001), failed=["Balance: a covariate still differs."])
    (path,) = graph_of([effects[0], weaker, effects[2]]).paths
    assert (path.kind, path.verdict) == ("indirect", "suggestive")


def test_one_event_is_never_two_steps_of_a_path():
    nested = [
        judged("view:bags", "purchase:bags", of(0.1)),
        judged("purchase:bags", "purchase:*", of(0.1)),
        judged("purchase:*", "purchase:*", of(0.1)),
        judged("purchase:*", "purchase:shoes", of(0.1)),
    ]
    assert graph_of(nested).paths == ()


def test_only_confirmed_effects_of_the_horizon_are_drawn():
    effects = chain(100, n=20_000)
    with pytest.raises(QuestionError, match=r"No effect within 1d was confirmed\. .* a graph is not drawn from a scan"):
        effect_graph(effects, horizon="1d", smallest_effect=SMALLEST)


def test_frames_and_words():
    graph = graph_of(chain(100))
    frame, paths = graph.to_frame(), graph.paths_frame()
    assert list(frame["outcome"]) == [NAMES[1], NAMES[2], NAMES[2]]
    assert (frame["ci_low"] < frame["estimate"]).all()
    assert paths.loc[0, "indirect"] == pytest.approx(paths.loc[0, "total"] - paths.loc[0, "direct"])
    assert graph.summary().startswith("Of 3 confirmed pairs within 7d, 3 have an effect (0 of them are stages")
    assert "1 indirect, 0 possible" in graph.summary()
    empty = graph_of([judged("view:bags", "purchase:bags", of(0.0, 0.001))])
    assert empty.nodes == empty.edges == ()
    assert isinstance(empty.to_frame(), pd.DataFrame)
    assert list(empty.paths_frame().columns) == list(paths.columns)


def test_nodes_carry_their_naive_rates():
    first, last = (next(n for n in graph_of(chain(100)).nodes if n.behavior == name) for name in (NAMES[0], NAMES[2]))
    assert first.p_decision == pytest.approx(0.3, abs=0.01)
    assert first.p_follows is None
    assert last.p_follows == pytest.approx(0.05 + 0.05 + BETA * (0.15 + 0.3 * ALPHA), abs=0.01)


def test_the_drawing_shows_sign_size_verdict_and_stage():
    effects = [
        judged("search:boots", "purchase:bags", of(-0.1)),
        judged("view:bags", "purchase:bags", of(0.05)),
        judged("view:boots", "purchase:bags", of(0.05), failed=["Balance: a covariate still differs."]),
        judged("purchase:bags", "purchase:bags", of(0.02)),
    ]
    graph = graph_of(effects)
    lines = [t for t in graph.plot().data if t.hovertext and t.mode == "lines+markers"]
    by_pair = {line.hovertext.partition("</b>")[0].removeprefix("<b>"): line.line for line in lines}
    assert by_pair["search:boots → purchase:bags"].color == LOWERS
    assert by_pair["view:bags → purchase:bags"].color == STAGE
    assert by_pair["view:boots → purchase:bags"].dash == "dot"
    assert by_pair["purchase:bags → purchase:bags"].color == RAISES
    assert by_pair["search:boots → purchase:bags"].width > by_pair["purchase:bags → purchase:bags"].width
    at = places(graph.nodes, graph.edges)
    assert at["search:boots"].x < at["view:bags"].x == at["view:boots"].x < at["purchase:bags"].x
    assert at["view:bags"].y != at["view:boots"].y
    np.testing.assert_allclose(curve(at["view:bags"], at["purchase:bags"])[-1], at["purchase:bags"], atol=0.06)


def test_names_from_the_log_are_escaped_and_many_edges_are_cut():
    effects = [judged(f"view:%3Cb%3E{i}", "purchase:bags", of(0.1)) for i in range(60)]
    figure = graph_of(effects).plot()
    assert sum(t.mode == "lines+markers" for t in figure.data) == MAX_EDGES
    assert not any("<b>0" in str(t.text) for t in figure.data)
    assert any("&lt;b&gt;" in str(t.text) for t in figure.data)
