#!/usr/bin/env python3
"""Draws what `benches/soak.rs` saw: soak.py soak.csv soak.png. `make soak` installs what it needs (soak-requirements.txt)."""

import csv
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402  (the backend comes first)

# The part that isn't judged (WARM_UP in soak_verdict.rs), and how far from the median is flat (WITHIN).
WARM_UP = 1 / 3
WITHIN = 0.05

# Of each picture: what is judged, what is shown beside it, and the axis.
PICTURES = [
    ("resident_mb", ["anonymous_mb"], "memory, MB", ["resident", "of it the process's own data"]),
    ("descriptors", ["threads"], "count", ["open descriptors", "threads"]),
    ("store_mb", [], "store, MB", ["the store's files"]),
    (None, ["in_flight"], "events", ["in flight"]),
]


def main(source, target):
    with open(source, newline="", encoding="utf-8") as file:
        rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    minutes = [row["seconds"] / 60 for row in rows]
    warm = rows[-1]["seconds"] * WARM_UP
    figure, axes = plt.subplots(len(PICTURES), 1, sharex=True, figsize=(9, 10), constrained_layout=True)
    for axis, (judged, beside, label, names) in zip(axes, PICTURES):
        for column, name in zip(([judged] if judged else []) + beside, names):
            axis.plot(minutes, [row[column] for row in rows], label=name, linewidth=1)
        if judged:
            rest = sorted(row[judged] for row in rows if row["seconds"] >= warm)
            middle = rest[len(rest) // 2]
            axis.axhspan(middle * (1 - WITHIN), middle * (1 + WITHIN), color="tab:green", alpha=0.15, label="within 5 % of the median")
        axis.axvspan(0, warm / 60, color="grey", alpha=0.1, label="warm-up")
        axis.set_ylabel(label)
        axis.set_ylim(bottom=0)
        axis.legend(loc="lower right", fontsize="small")
        axis.grid(alpha=0.3)
    axes[-1].set_xlabel("minutes")
    axes[0].set_title(f"tieline under mixed load, {rows[-1]['seconds'] / 60:.0f} minutes, {rows[-1]['accepted']:.0f} events")
    figure.savefig(target, dpi=100)


if __name__ == "__main__":
    main(*sys.argv[1:3])
