"""Draw the pictures of the README from a demo workspace: ``python docs/make_pictures.py WORKSPACE``.

Each picture is a page of its own, with Plotly inside, photographed by headless Chromium at twice the pixels, once in
light and once in dark. Nothing is loaded: the flags let the browser find no host, and its profile is a fresh
folder that goes with it.
"""

import argparse
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from plotly.graph_objects import Figure

from whybuy.report import collect
from whybuy.report.figures import demo_picture
from whybuy.report.html import figure_json, plotly_script
from whybuy.report.payload import EffectsPart

WIDTH, HEADER = 1100, 96
THEMES = {
    "light": {"page": "#ffffff", "ink": "#1b2430", "muted": "#5c6672", "line": "#e3e4df"},
    "dark": {"page": "#0d1117", "ink": "#e6eaee", "muted": "#9ba6b2", "line": "#2c343d"},
}
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--force-device-scale-factor=2",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # Chromium's own calls home survive the flags above, but find no host
)  # fmt: skip
PAGE = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; background: {page}; color: {ink}; font-family: system-ui, "Segoe UI", Roboto, Arial, sans-serif; }}
h1 {{ font-size: 25px; letter-spacing: -.015em; margin: 22px 14px 4px; }}
p {{ font-size: 16px; margin: 0 14px; color: {muted}; }}
</style><h1>{title}</h1>
<p>{lead}</p>
<div id="figure"></div><script>{script}</script><script>
const figure = {figure};
const lines = {{ gridcolor: "{line}", linecolor: "{line}" }};
Object.assign(figure.layout, {{ width: {width}, font: {{ ...figure.layout.font, color: "{ink}" }} }});
for (const axis of Object.keys(figure.layout).filter(key => /^[xy]axis/.test(key)))
  Object.assign(figure.layout[axis], lines);
Plotly.newPlot("figure", figure.data, figure.layout, {{ displayModeBar: false, staticPlot: true }});
</script>
"""
TITLE = "What co-occurrence says, and what is true"
LEAD = "Change in the chance of a purchase within 7 days, in a simulated shop whose true effects are known."


def main() -> None:
    """Draw every picture of the workspace named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", type=Path, help="the workspace of `whybuy demo`")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "images")
    arguments = parser.parse_args()
    effects = collect(arguments.workspace).effects
    if not isinstance(effects, EffectsPart) or effects.n_truths == 0:
        parser.error(f"{arguments.workspace} has no effect whose truth is known: run `whybuy demo --workspace` first")
    arguments.output.mkdir(parents=True, exist_ok=True)
    figure = demo_picture(effects)
    for theme in THEMES:
        photograph(page_of(figure, theme), figure.layout.height + HEADER, arguments.output / f"demo-{theme}.png")


def page_of(figure: Figure, theme: str, *, title: str = TITLE, lead: str = LEAD) -> str:
    """Return the figure as a page of its own."""
    words = {"title": title, "lead": lead, "script": plotly_script(), "figure": figure_json(figure)}
    return PAGE.format(**words, width=WIDTH, **THEMES[theme])


def photograph(page: str, height: int, path: Path) -> None:
    """Write what a browser shows of the page, ``WIDTH`` by ``height`` CSS pixels, as PNG."""
    browser = next((b for b in ("chromium", "chromium-browser", "google-chrome") if shutil.which(b)), None)
    if browser is None:
        message = "No Chromium was found. One is needed to draw the pictures. Run: apt-get install chromium"
        raise SystemExit(message)
    with tempfile.TemporaryDirectory() as folder:
        source, picture = Path(folder) / "page.html", Path(folder) / "picture.png"
        source.write_text(page, encoding="utf-8")
        size, profile = f"--window-size={WIDTH},{height}", f"--user-data-dir={folder}/profile"
        command = [browser, *FLAGS, size, profile, f"--screenshot={picture}", source.as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        shutil.copyfile(picture, path.with_suffix(".part"))
    os.replace(path.with_suffix(".part"), path)


if __name__ == "__main__":
    main()
