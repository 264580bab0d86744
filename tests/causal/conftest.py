import pytest

from tests.causal import steps
from tests.causal.studies import study_of, trained
from whybuy.causal.study import Study


@pytest.fixture(scope="session")
def drawn() -> steps.Steps:
    """The shop of steps, with everything that is true of it."""
    return steps.draw(100)


@pytest.fixture(scope="session")
def stepped(drawn, tmp_path_factory) -> Study:
    """The same shop as a log, with a trained model."""
    return trained(study_of(drawn.events, tmp_path_factory.mktemp("steps"), horizons=[steps.HORIZON]))
