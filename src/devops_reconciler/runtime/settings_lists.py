"""Allow-lists of the configuration: what a namespace may use, and which Git hosts may be spoken to."""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

_VALUE = re.compile(r"[a-z0-9*](?:[-a-z0-9*._/]*[a-z0-9*])?")
_NAMESPACE = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_HOST = re.compile(r"[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?|\[[0-9a-f:.]+\]")


@dataclass(frozen=True, slots=True)
class AllowList:
    """Patterns that a value must match, per namespace of the resource that names the value.

    A namespace with an entry of its own is held to that alone; all others share `everywhere`.
    """

    everywhere: tuple[str, ...] | None = None
    by_namespace: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @classmethod
    def parse(cls, text: str) -> "AllowList":
        """From `value,value` (for all) or `namespace=value,value;…`; both may stand side by side.

        Raises `ValueError` with a sentence for people.
        """
        everywhere: tuple[str, ...] | None = None
        by_namespace: dict[str, tuple[str, ...]] = {}
        for part in filter(None, (part.strip() for part in text.split(";"))):
            namespace, equals, values = part.rpartition("=")
            patterns = _patterns(values)
            if not equals:
                everywhere = (everywhere or ()) + patterns
                continue
            namespace = namespace.strip()
            if not _NAMESPACE.fullmatch(namespace):
                raise ValueError(f"'{namespace}' before the = is not a namespace name")
            if namespace in by_namespace:
                raise ValueError(f"namespace '{namespace}' stands in it twice")
            by_namespace[namespace] = patterns
        return cls(everywhere, tuple(by_namespace.items()))

    def for_namespace(self, namespace: str) -> tuple[str, ...] | None:
        """The patterns for resources of this namespace; None where nothing is said about it (the default applies)."""
        return dict(self.by_namespace).get(namespace, self.everywhere)

    def allows(self, namespace: str, value: str) -> bool:
        """Whether a pattern for this namespace matches the value; False where nothing is said about the namespace."""
        return any(fnmatchcase(value, pattern) for pattern in self.for_namespace(namespace) or ())

    def names(self) -> tuple[str, ...]:
        """What stands in it as a name and not as a pattern, each once, what is for all first: what can be asked for."""
        patterns = [*(self.everywhere or ()), *(value for _, values in self.by_namespace for value in values)]
        return tuple(dict.fromkeys(pattern for pattern in patterns if "*" not in pattern))

    def __bool__(self) -> bool:
        return self.everywhere is not None or bool(self.by_namespace)

    def __str__(self) -> str:
        parts = [",".join(self.everywhere)] if self.everywhere is not None else []
        return ";".join(parts + [f"{name}={','.join(values)}" for name, values in self.by_namespace])


def _patterns(text: str) -> tuple[str, ...]:
    """Host names and namespaces are compared in small letters and without a dot at the end."""
    values = tuple(value.strip().lower().rstrip(".") for value in text.split(",") if value.strip())
    for value in values:
        if not _VALUE.fullmatch(value):
            raise ValueError(f"'{value}' is not a name or a pattern of names")
    return values


@dataclass(frozen=True, slots=True)
class GitHost:
    """One place that Git repositories may come from. Plain http only where it is written out."""

    host: str
    port: int
    scheme: str = "https"

    @classmethod
    def parse(cls, text: str) -> "GitHost":
        """From `host`, `host:port` (https) or `http://host[:port]`. Raises `ValueError` with a sentence for people."""
        scheme, separator, rest = text.strip().lower().rpartition("://")
        try:
            port = urlsplit(f"//{rest}").port
        except ValueError:
            raise ValueError("an entry has a port that is not a number up to 65535") from None
        host = re.sub(r":[0-9]*$", "", rest)
        if not _HOST.fullmatch(host) or (separator and scheme not in {"http", "https"}):
            raise ValueError("an entry is not host, host:port or http://host[:port]")
        plain = scheme == "http"
        return cls(host.strip("[]"), port or (80 if plain else 443), "http" if plain else "https")

    def allows(self, scheme: str, host: str, port: int | None) -> bool:
        """Whether a URL of this scheme, host and port (None: the scheme's own) is at this place."""
        actual = port or {"http": 80, "https": 443}.get(scheme)
        return (scheme, host.lower().strip("[]"), actual) == (self.scheme, self.host, self.port)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = 80 if self.scheme == "http" else 443
        return f"{'http://' if self.scheme == 'http' else ''}{host}{'' if self.port == default else f':{self.port}'}"
