import pytest

from whybuy.errors import WhybuyError


@pytest.mark.parametrize(
    ("needed", "sentence"),
    [
        ("the id of a user", "Needed: the id of a user."),
        ("One table is needed", "One table is needed."),
        ("quality.json is needed", "quality.json is needed."),
    ],
)
def test_the_three_parts_are_three_sentences(needed, sentence):
    error = WhybuyError.of(found="User '42' is not in the log", needed=needed, do="Did you mean '4'?")
    assert str(error) == f"User '42' is not in the log. {sentence} Did you mean '4'?"
