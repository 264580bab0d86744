"""Hidden confounding in whole shops: too weak to matter, caught by its trace, and, as documented, not caught at all."""

import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pytest

from tests.proofs.hidden import STRENGTHS, answers_under_a_wish
from tests.proofs.kept import all_kept
from whybuy.worlds.registry import WORLDS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]

SEEDS = (100,)
NAMES = ("habit", "season")


def one_shop(name: str, seed: int, kind: str) -> pd.DataFrame:
    """Return what is said of the pairs without cause in one shop."""
    with TemporaryDirectory() as folder:
        return answers_under_a_wish(WORLDS[name], seed, kind, Path(folder))


@pytest.fixture(scope="module")
def wished() -> pd.DataFrame:
    """What is said of the pairs without cause, in a shop of two worlds for each kind of wish."""
    asked = [(name, seed, kind) for kind in STRENGTHS for name in NAMES for seed in SEEDS]
    return all_kept({f"{n}-{s}-{k.replace(' ', '_')}": partial(one_shop, n, s, k) for n, s, k in asked})


def test_the_table_of_wishes(wished, capsys):
    table = wished[wished.is_wished].drop(columns=["is_wished", "treatment", "outcome"]).round(4)
    with (
        capsys.disabled(),
        pd.option_context("display.width", 250, "display.max_columns", 20, "display.max_colwidth", 120),
    ):
        sys.stdout.write(f"\n\nPairs that a hidden wish alone ties together\n\n{table}\n")
    assert len(table) == len(STRENGTHS) * len(NAMES) * len(SEEDS)


def test_a_weak_wish_makes_no_strong_effects(wished):
    weak = wished[wished.wish == "weak"]
    assert (weak.verdict == "strong").mean() <= 0.05


def test_a_wish_that_leaves_a_trace_is_caught(wished):
    traced = wished[wished.is_wished & (wished.wish == "with a trace")]
    assert (traced.verdict != "strong").mean() >= 0.75, traced.failed.tolist()


def test_a_wish_without_a_trace_deceives_and_the_docs_say_so(wished):
    hidden = wished[wished.is_wished & (wished.wish == "without a trace")]
    assert (hidden.estimate > 3 * hidden.std_error).mean() > 0.5
    assert hidden.verdict.isin(["strong", "suggestive"]).mean() > 0.5
