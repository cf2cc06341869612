#!/usr/bin/env python3
"""Draws what bench/table.py has measured: who reads the trace for how much CPU.

bench/plot.py TABLE.json PICTURE.svg
"""

import json
import sys
from pathlib import Path

from matplotlib import rcParams
from matplotlib.figure import Figure

OURS, OTHERS = "#1769aa", "#b8c4cc"


def draw(readers: dict[str, float], machine: str, picture: Path) -> None:
    """A bar for each reader, the cheapest above."""
    names = sorted(readers, key=lambda name: readers[name], reverse=True)
    rcParams["svg.hashsalt"] = "cloudmri"  # the same picture of the same figures
    figure = Figure(figsize=(8, 0.5 + 0.45 * len(names)), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh(
        names, [readers[name] for name in names], color=[OURS if name == "CloudMRI" else OTHERS for name in names]
    )
    axes.bar_label(bars, fmt="%.2f s", padding=4)
    axes.set_xlabel(f"CPU seconds for a million packets ({machine}, one core)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.12)
    figure.savefig(picture, format="svg", metadata={"Date": None})


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    table = json.loads(Path(sys.argv[1]).read_text())
    if not table["readers"]:
        sys.exit("plot: the table is of no trace; give scripts/bench a capture")
    draw(table["readers"], table["machine"]["processor"], Path(sys.argv[2]))


if __name__ == "__main__":
    main()
