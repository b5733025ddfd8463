"""Figures of several runs, as tables have them."""
import math
import statistics

RATE, CPU, P50, P99 = "deliveries_per_second", "processor_us_per_delivery", "p50", "p99"
MEMORY = "kib_per_connection"
UNITS = {RATE: "deliveries/s", CPU: "processor µs per delivery", P50: "p50, ms", P99: "p99, ms",
         MEMORY: "KiB per connection"}


def values(runs: dict, node: str, measure: str) -> list:
    return [run[measure] for run in runs.get(node, [])]


def span(found: list) -> str:
    if not found:
        return ""
    lowest, highest = shown(min(found)), shown(max(found))
    return lowest if lowest == highest else f"{lowest} to {highest}"


def shown(value: float) -> str:
    if value >= 1000:
        digits = len(str(int(value))) - 3
        return f"{round(value, -digits):,.0f}"
    return f"{value:.3g}"


def ratio(ours: list, theirs: list) -> str:
    if not ours or not theirs:
        return ""
    return f"{statistics.median(own / other for own, other in zip(ours, theirs)):.2g}"


def interval(found: list) -> tuple:
    """Returns the bounds of the median, with 95 % confidence where there are six values at least."""
    ordered, count = sorted(found), len(found)
    outside = [2 * sum(math.comb(count, below) for below in range(rank)) / 2 ** count for rank in range(count)]
    rank = max((rank for rank in range(1, count // 2 + 1) if outside[rank] <= 0.05), default=1)
    return ordered[rank - 1], ordered[-rank]
