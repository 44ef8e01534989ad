"""Switches callgrind's counting on and off from inside the measured process.

Valgrind recognises a sequence of instructions that do nothing elsewhere and takes a request from it (valgrind.h,
"client requests"; callgrind.h for the numbers).  Written out here for x86-64 so that no compiler is needed.
"""

from __future__ import annotations

import ctypes
import mmap

_START_INSTRUMENTATION = 0x43540004
_STOP_INSTRUMENTATION = 0x43540005

# mov rax, rdi; xor edx, edx; rol rdi by 3, 13, 61 and 51; xchg rbx, rbx; mov rax, rdx; ret
_REQUEST = bytes.fromhex("4889f831d248c1c70348c1c70d48c1c73d48c1c7334887db4889d0c3")


class ValgrindSwitch:
    """``with ValgrindSwitch():`` counts the instructions in between.  Needs ``--instr-atstart=no``."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self._page.write(_REQUEST)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._page))
        self._request = ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_void_p)(address)
        self._start = (ctypes.c_ulong * 6)(_START_INSTRUMENTATION)
        self._stop = (ctypes.c_ulong * 6)(_STOP_INSTRUMENTATION)

    def __enter__(self) -> None:
        self._request(ctypes.addressof(self._start))

    def __exit__(self, *exception: object) -> None:
        self._request(ctypes.addressof(self._stop))
