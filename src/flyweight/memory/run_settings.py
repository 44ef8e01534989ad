"""What `flyweight run` was asked for, and how the measured process is told."""

from __future__ import annotations

from flyweight.memory.session import DEFAULT_SAMPLE_INTERVAL_BYTES

SCRIPT, MODULE, CODE = "script", "module", "code"
# Not -m: that would bring runpy into the measured process. The directory that -c puts first on the path must not
# shadow this package.
_BOOTSTRAP = """\
import sys
if not sys.flags.safe_path: del sys.path[0]
from flyweight.memory.run import main
main()
"""


class RunSettings:
    """What `flyweight run` was asked for. It crosses to the measured process as one argument per setting."""

    __slots__ = (
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

    def command(self, program: list[str]) -> list[str]:
        """Arguments for the interpreter that is to run `program`: a script, module or code, then its arguments."""
        values = (getattr(self, name) for name in self.__slots__)
        return ["-c", _BOOTSTRAP, *(str(int(v)) if isinstance(v, int) else v for v in values), *program]

    @classmethod
    def from_arguments(cls, arguments: list[str]) -> RunSettings:
        """The settings that `command` wrote in front of the program, which they are taken off."""
        settings = cls()
        for name in cls.__slots__:
            text, kind = arguments.pop(0), type(getattr(settings, name))
            setattr(settings, name, text if kind is str else kind(int(text)))
        return settings
