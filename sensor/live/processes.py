"""Processes of a live run: what a child does first, and how rights are given up."""
import ctypes
import gc
import os
import pwd
import resource
import signal
import struct
from collections.abc import Callable
from typing import NoReturn

from sensor.errors import LiveError

PR_SET_PDEATHSIG, PR_SET_NAME, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 1, 15, 24, 38, 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
CAPABILITY_VERSION_3 = 0x20080522  # linux/capability.h
FAILED = 70                        # exit code of a process that failed for no reason it knows (sysexits.h)
LIBC = ctypes.CDLL(None, use_errno=True)


def spawn(name: str, work: Callable[[], NoReturn]) -> int:
    """A fork of this process that does the work, as ps names it; its number.  This process must have one thread only.

    Raises OSError where no process is to be had.
    """
    gc.freeze()                    # what is there already is not looked at, and so not copied
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        become(name, parent)
        work()
    return child


def allow_descriptors() -> None:
    """As many open files as this process may have: rings and their spares take a descriptor each."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def become(name: str, parent: int) -> None:
    """The first that a child does: a name for ps, and an end when its parent ends."""
    LIBC.prctl(PR_SET_NAME, f"cmri-{name}".encode()[:15])
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:     # it ended before this was said
        os._exit(0)


def give_up_rights(user: str) -> None:
    """Goes on as ``user`` if this is root, and without any capability; no program that is started gets them back.

    Raises LiveError for a user that there is not.
    """
    if os.geteuid() == 0:
        account = account_of(user)
        os.setgroups([])
        os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
        os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
    LIBC.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    header = struct.pack("=Ii", CAPABILITY_VERSION_3, 0)
    if LIBC.capset(header, struct.pack("=6I", *[0] * 6)) or LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise LiveError(f"cannot give up capabilities: {os.strerror(ctypes.get_errno())}")


def account_of(user: str) -> pwd.struct_passwd:
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        raise LiveError(f"there is no user {user!r} to go on as; choose another with --user, or --stay-root") from None
    if account.pw_uid == 0:
        raise LiveError(f"{user} is root; choose another with --user, or --stay-root")
    return account
