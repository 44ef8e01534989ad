"""Reads the INI dialect of ~/.aws/config and ~/.aws/credentials, as the AWS command line reads it.

Resident: `configparser` would bring `re`, `collections` and `functools`.
"""

from __future__ import annotations

import os

from flyweight.errors import CredentialsError

TYPE_CHECKING = False
if TYPE_CHECKING:
    # A value is text, or the settings of an indented sub-section.
    Settings = dict[str, str | dict[str, str]]

# Settings of this section hold in all others.
_EVERYWHERE = "DEFAULT"


class ConfigFile:
    """The sections of one file, in order.

    path: where it was looked for. fault: why there are no sections: "no such file", "cannot be read: …"; else "".
    """

    __slots__ = ("fault", "path", "sections")

    def __init__(self, path: str) -> None:
        """Raises CredentialsError, with path and line, for a file that is not of this dialect."""
        self.path = os.path.expanduser(os.path.expandvars(path))
        self.sections: dict[str, Settings] = {}
        self.fault = ""
        if not os.path.isfile(self.path):
            self.fault = "no such file"
            return
        try:
            with open(self.path, encoding="utf-8") as file:
                self.sections = _Reader(self.path).read(file.read())
        except OSError as error:
            self.fault = f"cannot be read: {error.strerror}"
        except UnicodeDecodeError:
            raise CredentialsError(f"{self.path} is not UTF-8 text") from None


class _Reader:
    def __init__(self, path: str) -> None:
        self._path = path
        self._everywhere: dict[str, list[str]] = {}
        self._sections: dict[str, dict[str, list[str]]] = {}
        self._last: list[str] | None = None  # lines of the setting that an indented line would go on with

    def read(self, text: str) -> dict[str, Settings]:
        section: dict[str, list[str]] | None = None
        indent = 0
        for number, line in enumerate(text.split("\n"), 1):
            content = line.strip()
            if content.startswith(("#", ";")):
                continue
            if not content:
                if self._last is not None:
                    self._last.append("")
                continue
            margin = len(line) - len(line.lstrip())
            if self._last is not None and margin > indent:
                self._last.append(content)
                continue
            indent = margin
            end = content.rfind("]") if content.startswith("[") else -1
            if end > 1:
                section = self._begin(content[1:end], number)
            elif section is None:
                raise self._fault(number, "a setting before the first [section]")
            else:
                self._set(section, content, number)
        return {name: self._settings(values) for name, values in self._sections.items()}

    def _begin(self, name: str, number: int) -> dict[str, list[str]]:
        self._last = None
        if name == _EVERYWHERE:
            return self._everywhere
        if name in self._sections:
            raise self._fault(number, f"a second section [{name}]")
        return self._sections.setdefault(name, {})

    def _set(self, section: dict[str, list[str]], content: str, number: int) -> None:
        ends = [end for end in (content.find("="), content.find(":")) if end >= 0]
        name = content[: min(ends)].rstrip().lower() if ends else ""
        if not name:
            raise self._fault(number, "neither a [section], a comment nor name = value")
        if name in section:
            raise self._fault(number, f"a second {name} in the same section")
        self._last = section[name] = [content[min(ends) + 1 :].strip()]

    def _settings(self, values: dict[str, list[str]]) -> Settings:
        return {name: self._value(name, lines) for name, lines in {**self._everywhere, **values}.items()}

    def _value(self, name: str, lines: list[str]) -> str | dict[str, str]:
        text = "\n".join(lines).rstrip()
        if not text.startswith("\n"):
            return text
        nested: dict[str, str] = {}
        for line in text.splitlines():
            key, equals, value = line.strip().partition("=")
            if equals:
                nested[key.strip()] = value.strip()
            elif key:
                raise CredentialsError(f"{self._path}: a line below {name} is not name = value")
        return nested

    def _fault(self, number: int, what: str) -> CredentialsError:
        return CredentialsError(f"{self._path}, line {number}: {what}")
