"""``--explain N``: what each room made of packet N, in words."""
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from cext.explain import explain
from sensor import captures
from sensor.engine import Options, Replay
from sensor.errors import UsageError
from sensor.networks import address

FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")
ALL = (1 << 64) - 1


def explain_packet(names: list[str], number: int, options: Options) -> str:
    """The story of packet ``number``, counted from 1 over all captures in order of time."""
    run = Replay(names, options)
    left = number
    for source, _ in captures.in_order(names, run.refuse):
        while source.next_time() is not None:
            story = explain(run.worker, source.capture)
            records = b"".join(data for _, data in run.writer.drain())
            left -= 1
            if left == 0 and story is not None:
                return "\n".join(tell(number, story, records))
    raise UsageError(f"there is no packet {number}: the captures hold {number - left}")


def tell(number: int, story: dict[str, Any], records: bytes) -> list[str]:
    """The lines, one room after the other."""
    frame = story["frame"]
    when = datetime.fromtimestamp(frame["ts"] // 10**9, UTC).strftime("%Y-%m-%d %H:%M:%S")
    lines = [f"packet {number}: {when}.{frame['ts'] % 10**9 // 1000:06d} UTC, {frame['captured']} bytes captured, "
             f"link type {frame['link']}",
             "  decap    " + " → ".join(f"{layer} at {offset}" for layer, offset in story["decap"])]
    if "dropped" in story:
        name, doc = story["dropped"]
        return [*lines, f"  dropped  {name}: {doc}"]
    rooms: tuple[Callable[[dict[str, Any]], list[str]], ...] = (envelope, packet, flow, stream, parser)
    for room in rooms:
        lines += [f"  {line}" for line in room(story)]
    lines += [f"  record   {line.decode()}" for line in records.splitlines()]
    return lines


def envelope(story: dict[str, Any]) -> list[str]:
    said = story["envelope"]
    parts = [f"{kind} VNI {said[part]}" for kind, part in (("GENEVE", "geneve_vni"), ("VXLAN", "vxlan_vni"))
             if part in said]
    if "vantage" in said:
        parts.append(f"vantage {address(said['vantage'])}")
    return [f"envelope {', '.join(parts) or 'none: this is no mirrored packet'}"]


def packet(story: dict[str, Any]) -> list[str]:
    p = story["packet"]
    ends = f"{address(p['src'])} port {p['sport']} → {address(p['dst'])} port {p['dport']}, protocol {p['proto']}"
    if p["flags"] is not None:
        ends += f", {' '.join(name for bit, name in enumerate(FLAGS) if p['flags'] >> bit & 1) or 'no flags'}"
    cut = f", of which {p['captured']} were captured" if p["captured"] < p["claimed"] else ""
    return [f"packet   {ends}, {p['claimed']} bytes of payload{cut}"]


def flow(story: dict[str, Any]) -> list[str]:
    before, after = story["before"], story["after"]
    if after is None:
        return ["flow     it ended with this packet"]
    side = "originator" if after["is_orig"] else "responder"
    news = "new, " if before is None or before["uid"] != after["uid"] else ""
    old = (before["history"] if before and not news else "") or "–"
    new = after["history"] or "–"
    history = f"history {old}" if old == new else f"history {old} → {new}"
    twin = "; a twin: another vantage showed it already" if before and after["twins"] > before["twins"] else ""
    return [f"flow     {after['uid']}, {news}packet {after['packets']} of the {side}, {history}{twin}"]


def stream(story: dict[str, Any]) -> list[str]:
    before, after = story["before"], story["after"]
    if after is None or "next" not in after:
        return []
    moved = after["next"] - (before["next"] if before and before["uid"] == after["uid"] and "next" in before else 1)
    held = f", {after['held_bytes']} bytes held out of order" if after["held_bytes"] else ""
    waits = ", waits for what is missing" if after["waits"] else ""
    missed = f", {after['missed']} bytes missed" if after["missed"] else ""
    return [f"stream   {after['state']}, {max(moved, 0)} bytes delivered, next is {after['next']}{held}{waits}{missed}"]


def parser(story: dict[str, Any]) -> list[str]:
    after = story["after"]
    if after is None:
        return []
    parts = [after["parser"] or "not known yet"] if "parser" in after else [after["parsing"]]
    if after.get("skipping"):
        parts.append("skips the rest" if after["skip"] == ALL else f"skips {after['skip']} bytes")
    if after.get("carry"):
        parts.append(f"{after['carry']} bytes carried")
    if after.get("need"):
        parts.append(f"needs {after['need']}")
    return [f"parser   {', '.join(parts)}" + (f"; service {','.join(after['services'])}" if after["services"] else "")]
