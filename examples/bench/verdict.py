"""The verdict on a load, of the ratios of runs that follow each other."""
import dataclasses
import statistics

from loads import AGENTS, RELAY, Load
from tables import MEMORY, P99, RATE, UNITS, interval, shown

NAMES = UNITS | {RELAY: "processor µs per delivery, relay", AGENTS: "processor µs per delivery, agents"}
LIMIT, WIDE, FEWEST = 1.03, 0.06, 6
TOO_WIDE = "too wide: decide by counts"
HEADER = """| load | measure | base | this | ratio | its 95 % interval | base by itself | rate | base by itself | p99 | base by itself | verdict |
|---|---|---|---|---|---|---|---|---|---|---|---|"""


@dataclasses.dataclass
class Verdict:
    title: str
    row: str
    text: str


def judge(load: Load, judged: str, runs: dict) -> Verdict:
    """Says what the runs of a load say of one measure, for which less is better."""
    base, this = ([run[judged] for run in runs[side]] for side in ("base", "this"))
    ratios = [own / other for own, other in zip(this, base)]
    text = verdict(ratios, "larger" if judged == MEMORY else "slower")
    low, high = interval(ratios)
    cells = [load.title, NAMES[judged], shown(statistics.median(base)), shown(statistics.median(this)),
             f"{statistics.median(ratios):.3f}", f"{low:.3f} to {high:.3f}", by_itself(base),
             *beside(runs, RATE), *beside(runs, P99), text]
    return Verdict(f"{load.title}, {NAMES[judged]}", "| " + " | ".join(cells) + " |", text)


def verdict(ratios: list, worse: str) -> str:
    """Decides by the interval where that is on one side of the limit, and by the median where it is narrow."""
    low, high = interval(ratios)
    if len(ratios) < FEWEST or low <= LIMIT < high and high - low > WIDE:
        return TOO_WIDE
    return f"no {worse}" if statistics.median(ratios) <= LIMIT else worse


def beside(runs: dict, measure: str) -> list:
    """Returns the ratio of a measure that is not judged, and how far the base's runs differ from each other."""
    base, this = ([run[measure] for run in runs[side] if measure in run] for side in ("base", "this"))
    if not base or not all(base):
        return ["", ""]
    return [f"{statistics.median(own / other for own, other in zip(this, base)):.2f}", by_itself(base)]


def by_itself(found: list) -> str:
    """Returns the range of the ratios of runs that follow each other."""
    ratios = [later / earlier for earlier, later in zip(found, found[1:])]
    return f"{min(ratios):.2f} to {max(ratios):.2f}" if ratios else ""
