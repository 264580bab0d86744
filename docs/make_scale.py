"""Write the tables and the picture of ``docs/scale.md`` from the measured runs: ``python docs/make_scale.py``.

Every number of the page stands in a table made here, so that a new sweep makes a new page and nothing is left behind.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from benchmarks.scaling import JUDGED, MEASURED, PASSES, SIZES, law_of, no_further, noise_of, speed_of
from make_pictures import HEADER, THEMES, page_of, photograph

from whybuy.behavior.folds import N_TWINS
from whybuy.behavior.model import ModelShape
from whybuy.behavior.scale.growth import GPUS, LogSizes, Machine, advised, cpu, recipes, storage, training
from whybuy.behavior.scale.ladder import Ladder, trunk_parameters
from whybuy.behavior.scale.law import ScalingLaw
from whybuy.behavior.sizes import RECIPES
from whybuy.behavior.transformer import TrunkShape

ROOT = Path(__file__).parents[1]
SHOWN = ("tiny", "small", "xl")
PAGE = ROOT / "docs" / "scale.md"
LOG_EVENTS = (1e6, 1e7, 1e8, 1e9, 1e10)
LATER = 50_000
"""Events of the log from which on a law is fitted once more. Chosen after the runs held out were seen."""
DEFAULT_EVENTS = 600_000
"""What a twin of a default run sees at most: two passes over half of ``[behavior] max_events``."""


def machines_of(record: dict[str, Any]) -> tuple[Machine, ...]:
    """Return the processor of the sweep at its measured rate, and what is assumed of GPUs."""
    widest = speed_of(record).iloc[-1]
    return (cpu(1e9 * widest["gflops"], int(widest["width"])), *GPUS)


def tables(record: dict[str, Any]) -> dict[str, str]:
    """Every table by its name in the page."""
    law, log = law_of(record), record["log"]
    sizes = LogSizes(
        shards=log["bytes_of_shards"] / log["events"],
        sequences=log["bytes_of_sequences"] / log["events"],
        prepared=log["bytes_prepared"] / log["events"],
        tokens=log["tokens_per_event"],
    )
    shape = ModelShape(**{**log["shape"], "trunk": TrunkShape(**log["shape"]["trunk"])})
    return {
        "sweep": sweep_table(record),
        "law": law_lines(record, law),
        "laws": laws_table(record),
        "held out": held_out_table(law),
        "growth": growth_table(law, sizes),
        "time": time_tables(law, record, sizes),
        "storage": storage_table(sizes),
        "recipes": recipes_table(law.ladder, shape),
    }


def sweep_table(record: dict[str, Any]) -> str:
    """Return every measured loss, and what the arithmetic of each size ran at."""
    runs = pd.DataFrame(record["runs"])
    wide = runs.groupby(["log_events", "parameters"])["loss"].mean().unstack()
    speed = speed_of(record).set_index("parameters")
    rows = [[f"{n:,}", *(f"{x:.4f}" for x in wide.loc[n])] for n in wide.index]
    rows.append(["MFLOP per token", *(f"{speed.loc[size, 'flops_per_token'] / 1e6:.2f}" for size in wide.columns)])
    rows.append(["tokens per s of CPU", *(f"{speed.loc[size, 'tokens_per_s']:,.0f}" for size in wide.columns)])
    rows.append(["GFLOP per s of CPU", *(f"{speed.loc[size, 'gflops']:.1f}" for size in wide.columns)])
    named = [f"{w} x {d}: {trunk_parameters(TrunkShape(w, d, h)):,}" for w, d, h in SIZES]
    return table(["events of the log", *named], rows)


def law_lines(record: dict[str, Any], law: ScalingLaw) -> str:
    """Return what the law says of itself, the noise of a run, and what the world's own equations lose."""
    noise, pairs = noise_of(record)
    lines = [
        *law.summary().splitlines(),
        f"a cell trained again on other users and from another start: standard deviation {noise:.4f} nats "
        f"({pairs} pairs, of the smallest amounts)",
        f"the world's own equations lose {record['log']['true_nats']:.4f} nats on action and category of the "
        f"{record['log']['held_out_decisions']:,} decisions judged",
    ]
    return "\n".join(f"- {line}" for line in lines)


def laws_table(record: dict[str, Any]) -> str:
    """Return the laws of all that is judged and of its parts."""
    larger = {**record, "runs": [run for run in record["runs"] if run["log_events"] >= LATER]}
    named = {
        "all that is judged": (record, JUDGED),
        "next event (action and category)": (record, ("action", "category")),
        "purchases within 7 days (outcome)": (record, ("outcome",)),
        f"all that is judged, from {LATER:,} events on": (larger, JUDGED),
    }
    rows = []
    for loss, (fitted, judged) in named.items():
        law = law_of(fitted, judged)
        coefficients = law.to_frame().set_index("coefficient")
        held_out = law.compared().query("held_out")
        known = coefficients.map("{:.3g}".format)
        cells_of = [
            f"{known.loc[x, 'estimate']} ({known.loc[x, 'low']} to {known.loc[x, 'high']})"
            for x in ("E", "alpha", "beta")
        ]
        misses = (held_out["loss"] - held_out["observed"]).abs().mean()
        rows.append(
            [loss, *cells_of, f"{np.exp(law.residuals.std()) - 1:.2%}", f"{misses:.4f}", f"{no_further(law):.4f}"]
        )
    return table(["loss", "E", "alpha", "beta", "residual", "held out: mean error", 'of saying "no better"'], rows)


def held_out_table(law: ScalingLaw) -> str:
    """Return the runs held out beside what was predicted."""
    rows = [
        [
            f"{row['parameters']:,.0f}", f"{row['events']:,.0f}", f"{row['observed']:.4f}", f"{row['loss']:.4f}",
            f"{row['low']:.4f} to {row['high']:.4f}", f"{row['error']:+.2%}", "yes" if row["inside"] else "no",
        ]
        for row in law.compared().query("held_out").to_dict("records")
    ]  # fmt: skip
    return table(["N", "D", "measured", "predicted", "95% interval of a run", "error", "inside"], rows)


def growth_table(law: ScalingLaw, sizes: LogSizes) -> str:
    """Return the size that the law advises by the size of the log, and what it expects of the recipes."""
    rows = []
    for row in advised(law, LOG_EVENTS, passes=PASSES).to_dict("records"):
        between = f"{amount(row['low'])} to {amount(row['high'])}"
        size = f"{amount(row['parameters'])} ({between})" if row["told"] else f"cannot tell ({between})"
        seen = PASSES * row["log_events"] / N_TWINS
        expected = [loss_of(law, name, seen) for name in SHOWN]
        rows.append([power(row["log_events"]), amount(sizes.tokens * PASSES * row["log_events"]), size, *expected])
    default = [amount(N_TWINS * sizes.tokens * DEFAULT_EVENTS), "", loss_of(law, "tiny", DEFAULT_EVENTS)]
    rows.append(["default run", *default, *[""] * (len(SHOWN) - 1)])
    losses = [f"loss of `{name}` (95%)" for name in SHOWN]
    return table(["events", "tokens, both twins", "N by the law (95%)", *losses], rows)


def loss_of(law: ScalingLaw, recipe: str, events: float) -> str:
    """Return what the law expects of a recipe, marked where it is extrapolated."""
    found = law.predict(trunk_parameters(RECIPES[recipe].trunk), events).iloc[0]
    mark = ", extrapolated" if found["extrapolated"] else ""
    return f"{found['loss']:.3f} ({found['low']:.2f} to {found['high']:.2f}{mark})"


def time_tables(law: ScalingLaw, record: dict[str, Any], sizes: LogSizes) -> str:
    """Return arithmetic, hours and energy of training both twins, a table per machine."""
    machines = machines_of(record)
    found = training(law.ladder, machines, LOG_EVENTS, passes=PASSES, tokens_per_event=sizes.tokens)
    found = found.assign(spent=[spent(*row) for row in zip(found["hours"], found["kwh"], strict=True)])
    blocks = [("arithmetic, FLOP", found[found["machine"] == machines[0].name], "flops")]
    blocks += [(machine.name, found[found["machine"] == machine.name], "spent") for machine in machines]
    texts = []
    for name, part, column in blocks:
        wide = part.pivot_table(index="log_events", columns="recipe", values=column, aggfunc="first")[list(RECIPES)]
        cells = wide.map("{:.1e}".format) if column == "flops" else wide
        rows = [[power(n), *cells.loc[n]] for n in cells.index]
        texts.append(table([name, *(f"`{recipe}`" for recipe in RECIPES)], rows))
    return "\n\n".join(texts)


def spent(hours: float, kwh: float) -> str:
    """Write time and energy; a dash where too few steps would be left."""
    return "-" if np.isnan(hours) else f"{duration(hours)}, {energy(kwh)}"


def storage_table(sizes: LogSizes) -> str:
    """Return what a log takes on disk and in memory."""
    rows = [
        [
            power(row["log_events"]), f"{row['shards']:,}", f"{row['events_per_shard']:,.0f}", size_of(row["parquet"]),
            size_of(row["sequences"]), size_of(row["prepared"]), size_of(row["memory"]),
        ]
        for row in storage(sizes, LOG_EVENTS).to_dict("records")
    ]  # fmt: skip
    heads = ["events", "shards", "events a shard", "Parquet", "sequences", "prepared parts", "memory of training"]
    return table(heads, rows)


def recipes_table(ladder: Ladder, shape: ModelShape) -> str:
    """Return parameters, arithmetic and files of the recipes."""
    rows = [
        [
            f"`{row['recipe']}`", f"{row['width']} x {row['depth']}", amount(row["trunk"]), amount(row["embeddings"]),
            amount(row["heads"]), f"{row['flops_per_event'] / 1e6:,.1f}",
            f"{row['flops_per_event'] / (6 * row['trunk']):.1f}", size_of(row["weights"]),
            size_of(row["training_checkpoint"]),
        ]
        for row in recipes(ladder, shape).to_dict("records")
    ]  # fmt: skip
    heads = ["recipe", "width x depth", "trunk", "embeddings", "heads", "MFLOP an event", "times 6 N", "weights",
             "checkpoint of training"]  # fmt: skip
    return table(heads, rows)


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def power(n: float) -> str:
    """Write 1e6 as 10^6."""
    return f"10^{round(np.log10(n))}"


def amount(n: float) -> str:
    """Write 98,880 as 99 thousand."""
    return scaled(n, {1e12: " trillion", 1e9: " billion", 1e6: " million", 1e3: " thousand"})


def size_of(n: float) -> str:
    """Write bytes."""
    return scaled(n, {1e15: " PB", 1e12: " TB", 1e9: " GB", 1e6: " MB", 1e3: " kB"})


def duration(hours: float) -> str:
    """Write hours in the largest unit that fits."""
    return scaled(3600 * hours, {3.156e7: " years", 86400: " days", 3600: " h", 60: " min", 1: " s"})


def energy(kwh: float) -> str:
    """Write kilowatt hours in the largest unit that fits."""
    return scaled(1000 * kwh, {1e6: " MWh", 1e3: " kWh", 1: " Wh"})


def scaled(n: float, units: dict[float, str]) -> str:
    """Write ``n`` in the largest of the units that fits, with two digits."""
    unit = next((u for u in units if n >= u), min(units))
    # Two digits: nothing on these pages is known better.
    return f"{float(f'{n / unit:.2g}'):,g}{units[unit]}"


def refreshed(page: str, found: dict[str, str]) -> str:
    """The page with every table between its marks replaced."""
    for name, text in found.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, rest = page.split(begin)
        page = before + begin + text + "\n" + end + rest.split(end)[1]
    return page


def draw(law: ScalingLaw, folder: Path) -> None:
    """Photograph the law in both themes."""
    figure = law.plot()
    figure.update_layout(font_size=14)
    words = {
        "title": "Held-out loss against events, by the size of the trunk",
        "lead": "Action, category and purchases within 7 days, nats per decision. Curves: the fitted law.",
    }
    for theme in THEMES:
        page = page_of(figure, theme, **words)
        photograph(page, figure.layout.height + HEADER, folder / f"scaling-{theme}.png")


def main() -> None:
    """Make the page anew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measured", type=Path, default=MEASURED)
    parser.add_argument("--no-picture", action="store_true", help="tables alone, where there is no Chromium")
    arguments = parser.parse_args()
    record = json.loads(arguments.measured.read_text(encoding="utf-8"))
    PAGE.write_text(refreshed(PAGE.read_text(encoding="utf-8"), tables(record)), encoding="utf-8")
    if not arguments.no_picture:
        draw(law_of(record), ROOT / "docs" / "images")


if __name__ == "__main__":
    main()
