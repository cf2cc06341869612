"""Live: a mirror target.  A supervisor opens rings and sockets; workers, a process each, turn packets into records."""
