"""What can be read only once, standard input and pipes, for several processes that read all of it."""
import os
import signal
from typing import NoReturn

from sensor.live.processes import spawn
from sensor.sinks import write_all

READ = 1 << 20


class Tee:
    """The names of captures, as each of several processes is to open them.  Made before the processes are; in each of
    them ``names_for`` is called once."""

    def __init__(self, names: list[str], readers: int) -> None:
        self.names = names
        self.ends: dict[str, list[int]] = {name: fan_out(name, readers) for name in names if is_read_once(name)}

    def names_for(self, reader: int) -> list[str]:
        """In the process of this reader; the ends of all others are closed."""
        own = {}
        for name, ends in self.ends.items():
            for number, end in enumerate(ends):
                if number != reader:
                    os.close(end)
            own[name] = name if name == "-" else f"/dev/fd/{ends[reader]}"
            if name == "-":
                os.dup2(ends[reader], 0)
                os.close(ends[reader])
        return [own.get(name, name) for name in self.names]


def is_read_once(name: str) -> bool:
    return name == "-" or (os.path.exists(name) and not os.path.isfile(name) and not os.path.isdir(name))


def fan_out(name: str, readers: int) -> list[int]:
    """Begins a process that reads it; the ends of pipes through which all of it comes."""
    pipes = [os.pipe() for _ in range(readers)]

    def work() -> NoReturn:
        for reads, _ in pipes:
            os.close(reads)
        pour(0 if name == "-" else os.open(name, os.O_RDONLY), [writes for _, writes in pipes])
        os._exit(0)
    spawn("tee", work)
    for _, writes in pipes:
        os.close(writes)
    return [reads for reads, _ in pipes]


def pour(source: int, sinks: list[int]) -> None:
    """All of it into each of them; ends when nobody is left who reads."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)       # who reads ends it
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    files = [os.fdopen(sink, "wb", buffering=0) for sink in sinks]
    while files and (data := os.read(source, READ)):
        for file in files.copy():
            try:
                write_all(file, data)
            except BrokenPipeError:
                files.remove(file)
