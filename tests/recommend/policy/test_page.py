"""The page's example runs and does what the page says."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "recommendations.md"


def test_the_example_draws_two_slates_within_their_limits():
    text = PAGE.read_text(encoding="utf-8").split("## From scores to slates")[1]
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict = {}
    exec(compile(code.group(1), str(PAGE), "exec"), names)
    frame = names["slates"].to_frame()
    assert frame.groupby("user_id").size().to_dict() == {"anna": 10, "ben": 10}
    assert frame["propensity"].between(0.001, 1).all()
