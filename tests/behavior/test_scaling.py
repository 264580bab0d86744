"""A law that is known is recovered, one that does not hold is seen to fail, and too few runs are refused."""

import numpy as np
import pytest
import torch

from tests.behavior.small_models import TRUNK
from whybuy.behavior.cost import StepSize, training_flops
from whybuy.behavior.model import ModelShape
from whybuy.behavior.scale.ladder import Ladder, trunk_parameters
from whybuy.behavior.scale.law import BEYOND, Run, fit_law
from whybuy.behavior.sizes import RECIPES
from whybuy.behavior.transformer import Trunk, TrunkShape
from whybuy.errors import QuestionError

SIZES = (3_000, 12_000, 98_000, 330_000, 790_000)
AMOUNTS = (25_000, 50_000, 100_000, 200_000, 400_000, 800_000)
SHAPE = ModelShape(
    n_small=9, n_entity_rows=9, n_items=5, n_categories=3, n_behaviors=4, n_outcomes=2, n_wide=30, n_forecasts=2,
    n_horizons=1, n_text=0, trunk=TRUNK,
)  # fmt: skip
STEP = StepSize(rows=4, length=64, decisions=250, events=250, candidates=6)
TRUNKS = [TrunkShape(16, 1, 2), TrunkShape(32, 1, 2), *(recipe.trunk for recipe in RECIPES.values())]


def ladder():
    return Ladder.of(SHAPE, STEP, TRUNKS, tokens_per_event=1.02)


def runs_of(*, E=5.2, A=4.0, B=30.0, alpha=0.4, beta=0.35, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    return [
        Run(n, d, (E + A / n**alpha + B / d**beta) * float(np.exp(noise * rng.standard_normal())))
        for n in SIZES
        for d in AMOUNTS
    ]


def test_a_law_without_noise_is_found_as_it_is():
    law = fit_law(runs_of(), ladder=ladder(), n_draws=3)
    found = dict(zip(["E", "A", "B", "alpha", "beta"], law.to_frame()["estimate"], strict=True))
    assert found == pytest.approx({"E": 5.2, "A": 4.0, "B": 30.0, "alpha": 0.4, "beta": 0.35}, rel=1e-3)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_exponents_lie_inside_their_intervals_and_one_run_astray_does_not_move_them(seed):
    runs = runs_of(noise=5e-4, seed=seed)
    law = fit_law(runs, ladder=ladder(), n_draws=60)
    table = law.to_frame().set_index("coefficient")
    for name, truth in (("alpha", 0.4), ("beta", 0.35), ("E", 5.2)):
        assert table.loc[name, "low"] < truth < table.loc[name, "high"]
    astray = [Run(runs[8].parameters, runs[8].events, runs[8].loss * 1.2), *runs[:8], *runs[9:]]
    moved = fit_law(astray, ladder=ladder(), n_draws=3)
    assert moved.alpha == pytest.approx(law.alpha, abs=0.1)
    assert moved.beta == pytest.approx(law.beta, abs=0.1)


def test_more_noise_widens_the_intervals():
    widths = []
    for noise in (2e-4, 2e-3):
        table = fit_law(runs_of(noise=noise), ladder=ladder(), n_draws=60).to_frame().set_index("coefficient")
        widths.append(table.loc["beta", "high"] - table.loc["beta", "low"])
    assert widths[1] > 2 * widths[0]


def test_runs_held_out_are_foretold_and_the_check_fails_where_the_law_does_not_hold():
    runs = runs_of(noise=3e-4)
    largest = [run for run in runs if run.parameters == SIZES[-1] and run.events >= AMOUNTS[-2]]
    rest = [run for run in runs if run not in largest]
    held = fit_law(rest, ladder=ladder(), held_out=largest, n_draws=60)
    assert held.compared().query("held_out")["inside"].tolist() == [True, True]
    assert "2 larger runs were held out" in held.summary()
    stuck = [Run(run.parameters, run.events, 1.03 * run.loss) for run in largest]
    broken = fit_law(rest, ladder=ladder(), held_out=stuck, n_draws=60).compared().query("held_out")
    assert broken["inside"].tolist() == [False, False]
    assert broken["error"].to_numpy() == pytest.approx(-0.03, abs=0.005)


def test_a_prediction_far_beyond_the_runs_is_marked():
    law = fit_law(runs_of(), ladder=ladder(), n_draws=3)
    most_n, most_d = SIZES[-1], AMOUNTS[-1]
    found = law.predict([most_n, BEYOND * most_n + 1, most_n], [BEYOND * most_d, most_d, BEYOND * most_d + 1])
    assert found["extrapolated"].tolist() == [False, True, True]
    assert law.best_size(1e24).extrapolated
    assert not law.best_size(1e13).extrapolated


def test_the_best_size_has_the_least_loss_of_all_sizes_at_its_price():
    law = fit_law(runs_of(), ladder=ladder(), n_draws=20)
    best = law.best_size(1e16)
    sizes = np.geomspace(3_500, 1e9, 2_000)
    losses = law.predict(sizes, 1e16 / law.ladder.of_size(sizes))["loss"]
    assert best.loss == pytest.approx(losses.min(), rel=1e-6)
    assert best.parameters == pytest.approx(sizes[losses.argmin()], rel=0.05)
    assert best.events * law.ladder.of_size(best.parameters) == pytest.approx(1e16)
    assert best.low <= best.parameters <= best.high


def test_the_size_for_some_events_is_the_best_of_the_budget_it_takes():
    law = fit_law(runs_of(), ladder=ladder(), n_draws=20)
    found = law.size_for(3e7)
    assert found.events == pytest.approx(3e7, rel=0.05)
    assert law.best_size(found.flops).parameters == pytest.approx(found.parameters)
    assert law.size_for(3e8).parameters > found.parameters


def test_a_size_at_the_end_of_the_ladder_is_not_told():
    law = fit_law(runs_of(), ladder=ladder(), n_draws=20)
    assert law.best_size(1e13).told
    assert not law.best_size(1e30).told


def test_an_exponent_that_the_runs_cannot_tell_is_named():
    runs = [Run(run.parameters, run.events, 5.2 + 30 / run.events**0.35) for run in runs_of()]
    noise = np.random.default_rng(0).normal(0, 0.003, len(runs))
    law = fit_law([Run(r.parameters, r.events, r.loss + e) for r, e in zip(runs, noise, strict=True)], ladder=ladder())
    assert law.untold == ("alpha",)
    assert "these runs cannot tell the exponent of the size" in law.summary()
    assert not law.best_size(1e13).told
    assert fit_law(runs_of(noise=5e-4), ladder=ladder(), n_draws=60).untold == ()


def test_an_event_costs_what_is_counted_and_more_on_the_way_up():
    steps = ladder()
    per_token = training_flops(SHAPE, STEP) / (STEP.rows * STEP.length)
    assert TRUNKS[0] == TrunkShape(16, 1, 2)
    assert Ladder.of(SHAPE, STEP, [TRUNK, TRUNKS[-1]], tokens_per_event=2).flops[0] == pytest.approx(2 * per_token)
    assert (np.diff(steps.of_size(np.geomspace(steps.parameters[0], steps.parameters[-1], 200))) > 0).all()


@pytest.mark.parametrize("shape", [TRUNK, TrunkShape(96, 3, 4)])
def test_the_parameters_of_a_trunk_are_those_it_has(shape):
    with torch.device("meta"):
        assert trunk_parameters(shape) == sum(p.numel() for p in Trunk(shape).parameters())


def test_too_few_runs_are_refused():
    with pytest.raises(QuestionError, match=r"7 runs of 2 size\(s\) and 6 amount\(s\).*at least 8 runs.*Train models"):
        fit_law(runs_of()[:7], ladder=ladder())


def test_runs_of_one_size_are_refused():
    with pytest.raises(QuestionError, match=r"12 runs of 1 size\(s\) and 6 amount\(s\) of events. Needed: at least"):
        fit_law([run for run in runs_of() if run.parameters == SIZES[0]] * 2, ladder=ladder())


def test_a_loss_that_is_no_number_is_refused():
    runs = [*runs_of(), Run(SIZES[0], AMOUNTS[0], float("nan"))]
    with pytest.raises(QuestionError, match=r"The loss of 1 run\(s\) is no positive number.*Leave these runs out"):
        fit_law(runs, ladder=ladder())


def test_the_picture_shows_every_run_and_marks_those_held_out():
    runs = runs_of()
    figure = fit_law(runs[:-2], ladder=ladder(), held_out=runs[-2:], n_draws=3).plot()
    marks = [trace for trace in figure.data if trace.mode == "markers"]
    drawn = [(x, y, t.marker.symbol) for t in marks for x, y in zip(t.x, t.y, strict=True) if x]
    assert min(drawn) == (AMOUNTS[0], min(run.loss for run in runs if run.events == AMOUNTS[0]), "circle")
    assert [(x, y) for x, y, symbol in drawn if symbol != "circle"] == [(run.events, run.loss) for run in runs[-2:]]
    assert len(drawn) == len(runs)
    assert figure.layout.xaxis.type == "log"
    assert "not from zero" in figure.layout.yaxis.title.text
