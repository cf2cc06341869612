"""Processes of a live run: what a child does first, and how rights are given up."""
import ctypes
import gc
import os
import pwd
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


def spawn(work: Callable[[], NoReturn]) -> int:
    """A fork of this process that does the work; its number.  This process must have one thread only."""
    gc.freeze()                    # what is there already is not looked at, and so not copied
    child = os.fork()
    if child == 0:
        work()
    return child


def become(name: str) -> None:
    """The first that a child does: a name for ps, and an end when its parent ends."""
    LIBC.prctl(PR_SET_NAME, f"cmri-{name}".encode()[:15])
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


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
