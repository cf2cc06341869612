"""Processes that write to one output, one at a time and whole records each."""
import fcntl
import os


class Turns:
    """A lock that several processes hold in turns.  Each needs an opening of its own: a lock belongs to an opening, not
    to a file or a process, so whoever else has that opening can free it when its process has died."""

    def __init__(self, file: int | None = None) -> None:
        self.file = os.memfd_create("cloudmri-outputs", 0) if file is None else file

    def another(self) -> "Turns":
        """The same lock, by another opening."""
        return Turns(os.open(f"/proc/self/fd/{self.file}", os.O_RDWR))

    def __enter__(self) -> None:
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        fcntl.flock(self.file, fcntl.LOCK_UN)

    def free(self) -> None:
        """For a process that died with it."""
        fcntl.flock(self.file, fcntl.LOCK_UN)
