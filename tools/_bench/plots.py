"""Draws the sweeps."""

from pathlib import Path

from _bench import peers
from _bench.report import Report


def draw(report: Report, folder: Path) -> Path:
    """One SVG, with the spread of the rounds as bars."""
    peers.allow_plots()
    import matplotlib as mpl  # noqa: PLC0415 - installed on demand

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = report.name  # the same figures give the same file
    from matplotlib import pyplot  # noqa: PLC0415

    assert report.plot
    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    for line, points in report.plot.lines.items():
        xs = [x for x, *_ in points]
        medians = [median for _, _, median, _ in points]
        below = [median - low for _, low, median, _ in points]
        above = [high - median for _, _, median, high in points]
        axes.errorbar(xs, medians, yerr=[below, above], marker="o", markersize=3, capsize=2, label=line)
    axes.set_xscale("symlog" if min(xs) == 0 else "log")
    axes.set_yscale("log")
    axes.set_xlabel(report.plot.x_label)
    axes.set_ylabel(report.plot.y_label)
    axes.set_title(report.title, fontsize=10)
    axes.grid(visible=True, which="both", alpha=0.2)
    axes.legend(fontsize=8)
    path = folder / f"{report.name}.svg"
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return path
