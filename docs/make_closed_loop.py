"""Draw the figure of the closed loop and keep its figures: ``python docs/make_closed_loop.py``.

The seeds of the proof (``tests/proofs/closed_loop.py``) that are kept are read, the others run. Days and values go to
``benchmarks/measured/closed_loop.json``, pictures to ``docs/images``, the figure of the report into the package;
``--measured`` draws a kept file again.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from make_pictures import HEADER, THEMES, page_of, photograph
from tests.proofs.closed_loop import SEEDS, measured

from whybuy.recommend.closed_loop import ClosedLoop

ROOT = Path(__file__).parents[1]
MEASURED = ROOT / "benchmarks" / "measured" / "closed_loop.json"
REPORT = ROOT / "src" / "whybuy" / "report" / "measured" / "closed-loop.json"
TITLE = "What a policy adds when it learns from what it shows"
LEAD = "All purchases of all users, beyond those under the shop's own policy. {} seeds of parallel worlds, 95% bands."


def draw(loop: ClosedLoop, folder: Path) -> None:
    """Photograph the figure in both themes."""
    figure = loop.plot()
    lead = LEAD.format(loop.rounds["seed"].nunique())
    for theme in THEMES:
        page = page_of(figure, theme, title=TITLE, lead=lead)
        photograph(page, figure.layout.height + HEADER, folder / f"closed-loop-{theme}.png")


def main() -> None:
    """Measure what is missing, keep it, draw it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--measured", type=Path, help="draw this file; nothing is run")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images")
    arguments = parser.parse_args()
    if arguments.measured:
        loop = ClosedLoop.from_json(arguments.measured.read_text(encoding="utf-8"))
    else:
        loop = measured(arguments.seeds)
        MEASURED.write_text(loop.to_json() + "\n", encoding="utf-8")
    REPORT.write_text(loop.plot().to_json() + "\n", encoding="utf-8")
    draw(loop, arguments.output)
    sys.stdout.write(loop.summary() + "\n")


if __name__ == "__main__":
    main()
