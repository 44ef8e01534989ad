"""What `flyweight run` was asked for, and how the measured process is told."""

from __future__ import annotations

from flyweight.memory.session import DEFAULT_SAMPLE_INTERVAL_BYTES

SCRIPT, MODULE, CODE = "script", "module", "code"
# Not -m: that would bring runpy into the measured process. The directory that -c puts first on the path must not
# shadow this package.
_BOOTSTRAP = """\
import sys
if not sys.flags.safe_path: del sys.path[0]
from flyweight.memory.{} import main
main()
"""


class RunSettings:
    """What `flyweight run` was asked for. It crosses to the measured process as one argument per setting."""

    __slots__ = (
        "control_group",
        "hard_limit",
        "kind",
        "memory_limit",
        "mode",
        "native",
        "native_stacks",
        "output",
        "quiet",
        "sample_interval",
        "stacks",
        "top_n",
    )

    def __init__(
        self,
        kind: str = SCRIPT,
        mode: str = "exact",
        native: bool = True,
        stacks: str = "sampled",
        native_stacks: bool = False,
        sample_interval: int = DEFAULT_SAMPLE_INTERVAL_BYTES,
        memory_limit: int = 0,
        output: str = "",
        top_n: int = 10,
        quiet: bool = False,
        hard_limit: int = 0,
        control_group: str = "",
    ) -> None:
        self.kind = kind
        self.mode = mode
        self.native = native
        self.stacks = stacks
        self.native_stacks = native_stacks
        self.sample_interval = sample_interval
        self.memory_limit = memory_limit
        self.output = output
        self.top_n = top_n
        self.quiet = quiet
        self.hard_limit = hard_limit  # bytes that the system is to keep the process to; 0: none
        self.control_group = control_group  # the group that keeps it; "": none does

    def command(self, program: list[str]) -> list[str]:
        """Arguments for the interpreter that is to run `program`: a script, module or code, then its arguments."""
        return ["-c", _BOOTSTRAP.format("run"), *self._values(), *program]

    def supervised_command(self, interpreter: list[str], program: list[str]) -> list[str]:
        """The same for the process that is to run `interpreter` with `command` and stay its parent."""
        counted = [str(len(interpreter)), *interpreter]
        return ["-c", _BOOTSTRAP.format("supervisor"), *counted, *self._values(), *program]

    def _values(self) -> list[str]:
        values = (getattr(self, name) for name in self.__slots__)
        return [str(int(value)) if isinstance(value, int) else value for value in values]

    @classmethod
    def from_arguments(cls, arguments: list[str]) -> RunSettings:
        """The settings that `command` wrote in front of the program, which they are taken off."""
        settings = cls()
        for name in cls.__slots__:
            text, kind = arguments.pop(0), type(getattr(settings, name))
            setattr(settings, name, text if kind is str else kind(int(text)))
        return settings
