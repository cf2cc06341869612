COUNTERS: tuple[tuple[str, str], ...]
LIVE_COUNTERS: tuple[tuple[str, str], ...]
GAUGES: tuple[tuple[str, str], ...]

class Accounts:
    names: tuple[str, ...]
