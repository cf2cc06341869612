"""What a run did, in a few lines for people."""
from cext.layers import DROP_NAMES
from sensor.engine import Totals

NOTES = ("cut_copies", "twin_packets", "gaps", "missed_bytes", "flows_evicted", "reorder_shed", "parsers_shed",
         "records_lost")
MEANINGS: dict[str, str] = dict(DROP_NAMES)


def summary(totals: Totals) -> str:
    """Records by kind, traffic, and every reason why packets were not used."""
    counts, records, weirds = totals
    lines = [f"{counts['packets']:,} packets, {counts['bytes']:,} bytes, {counts['flows']:,} flows"]
    most_first = sorted(records.items(), key=lambda item: (-item[1], item[0]))
    lines += table("records", {kind: (n, "") for kind, n in most_first})
    dropped = {name: (counts[f"drop_{name}"], MEANINGS[name]) for name in MEANINGS if counts[f"drop_{name}"]}
    lines += table("packets not used", dropped)
    notes = {name: (counts[name], "") for name in NOTES if counts[name]}
    lines += table("also", notes)
    lines += table("weird", {name: (n, "") for name, n in sorted(weirds.items())})
    return "\n".join(lines)


def table(title: str, rows: dict[str, tuple[int, str]]) -> list[str]:
    if not rows:
        return []
    wide, digits = max(map(len, rows)), max(len(f"{n:,}") for n, _ in rows.values())
    return [title] + [f"  {name:<{wide}}  {n:>{digits},}  {doc}".rstrip() for name, (n, doc) in rows.items()]
