"""Ownership of DNS records, marked in TXT records as external-dns does it, so that both can share a zone.

Source: external-dns, `registry/mapper` (names) and `endpoint/labels.go` (values). A record of type T at a host has its
mark in a TXT record at `<prefix><t>-<host><suffix>`, the suffix before the first dot of the host. Where prefix or
suffix contain `%{record_type}`, the type goes there instead. external-dns before 0.12 wrote it without the type.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..api.errors import ValidationError

TYPE_TEMPLATE = "%{record_type}"
HERITAGE = "external-dns"
ADDRESS_TYPES = ("A", "AAAA", "CNAME")
"""Types by which a host is reached."""
LABEL_LIMIT = 63
"""Longest label of a DNS name, in bytes."""
NAME_LIMIT = 253
_LABEL_CHARACTERS = frozenset(map(chr, range(33, 127))) - frozenset('",=\\')


@dataclass(frozen=True)
class TxtNaming:
    """Where marks are: the same three settings as external-dns (`--txt-prefix`, `--txt-suffix`,
    `--txt-wildcard-replacement`). They must not change while there are marks."""

    prefix: str = ""
    suffix: str = ""
    wildcard_replacement: str = ""

    def name(self, host: str, record_type: str) -> str:
        """The full name of the TXT record that marks the records of `record_type` at `host`. Lower case."""
        kind = record_type.lower()
        first, dot, rest = self._split(host)
        if not self._templated:
            first = f"{kind}-{first}"
        return f"{_filled(self.prefix, kind)}{first}{_filled(self.suffix, kind)}{dot}{rest}"

    def legacy_name(self, host: str) -> str:
        """Where old versions of external-dns put the mark, whatever the type: read, never written."""
        first, dot, rest = self._split(host)
        return f"{_filled(self.prefix, '')}{first}{_filled(self.suffix, '')}{dot}{rest}".lstrip(".")

    def claims(self, host: str) -> tuple[str, ...]:
        """All names where somebody's mark on an address or alias at `host` may be: for reading.

        The old name is none of them where it is that of a mark on another host, as external-dns reads it too:
        `a-shop` marks `A shop`. With a template the versions that knew one wrote the type as well.
        """
        typed, old = tuple(self.name(host, each) for each in ADDRESS_TYPES), self.legacy_name(host)
        of_another = old.startswith(tuple(f"{self.prefix.lower()}{each.lower()}-" for each in ADDRESS_TYPES))
        return typed if self._templated or of_another else (*typed, old)

    def problem(self, host: str, zone: str, record_type: str) -> str | None:
        """Why a record at `host` cannot be marked, in words that say what to do, or None when it can.

        At the apex and for wildcards it depends on the settings whether the mark lies inside the zone and has a name
        that DNS allows.
        """
        name, root = self.name(host, record_type), zone.rstrip(".").lower()
        if not name.endswith(f".{root}"):
            return (
                f"the ownership mark of {host} would be {name}, outside zone {root}; "
                f"set DNS_TXT_PREFIX to a text that ends in a dot and contains {TYPE_TEMPLATE}, "
                f"for example 'mark-{TYPE_TEMPLATE}.', or use a host below the zone"
            )
        if "*" in name:
            return (
                f"the ownership mark of {host} would be {name}; set DNS_TXT_WILDCARD_REPLACEMENT, for example to 'any'"
            )
        labels = name.split(".")
        longest = max(labels, key=len)
        if len(longest) > LABEL_LIMIT:
            return (
                f"the ownership mark of {host} would have a label of {len(longest)} characters ({longest}), more than "
                f"{LABEL_LIMIT}; use a shorter host, or set DNS_TXT_PREFIX to '{TYPE_TEMPLATE}.'"
            )
        if len(name) > NAME_LIMIT or not all(labels):
            return f"the ownership mark of {host} would be {name}, which is no DNS name; use another host"
        return None

    def checked_name(self, host: str, zone: str, record_type: str) -> str:
        """Like `name`. Raises ValidationError when there is a `problem`."""
        problem = self.problem(host, zone, record_type)
        if problem is not None:
            raise ValidationError(problem)
        return self.name(host, record_type)

    @property
    def _templated(self) -> bool:
        return TYPE_TEMPLATE in self.prefix.lower() or TYPE_TEMPLATE in self.suffix.lower()

    def _split(self, host: str) -> tuple[str, str, str]:
        first, dot, rest = host.rstrip(".").lower().partition(".")
        if first == "*" and self.wildcard_replacement:
            first = self.wildcard_replacement.lower()
        return first, dot, rest


def _filled(affix: str, kind: str) -> str:
    return affix.lower().replace(TYPE_TEMPLATE, kind)


@dataclass(frozen=True)
class Ownership:
    """What a mark says. `owner` is external-dns's owner id; `resource` is our mark, or `ingress/<namespace>/<name>`."""

    owner: str
    resource: str
    others: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Further labels, by name."""

    def value(self) -> str:
        """The TXT value, in quotes as external-dns writes it, its labels sorted by name."""
        labels = {**self.others, "owner": self.owner, "resource": self.resource}
        for name, content in labels.items():
            if not set(name + content) <= _LABEL_CHARACTERS:
                raise ValidationError(
                    f"label {name!r} of an ownership mark cannot hold {content!r}: "
                    "it takes visible ASCII characters except '\"', ',', '=' and '\\'"
                )
        tokens = [f"{HERITAGE}/{name}={labels[name]}" for name in sorted(labels) if labels[name]]
        return f'"{",".join([f"heritage={HERITAGE}", *tokens])}"'


def ownership_of(value: str) -> Ownership | None:
    """What the TXT value says about ownership, or None when it is no mark.

    Tolerant as external-dns: quotes may be there or not (GoDaddy may strip them), the order does not matter, tokens
    that are no `key=value` are passed over. Another heritage is no mark.
    """
    text = value.strip().replace('\\"', '"').strip('"')
    # A value over 255 bytes comes back as several strings: "…" "…".
    text = text.replace('" "', "")
    labels: dict[str, str] = {}
    heritage = False
    for token in text.split(","):
        key, separator, content = token.strip().partition("=")
        if not separator or "=" in content:
            continue
        if key == "heritage":
            if content != HERITAGE:
                return None
            heritage = True
        elif key.startswith(f"{HERITAGE}/"):
            labels[key.removeprefix(f"{HERITAGE}/")] = content
    if not heritage:
        return None
    return Ownership(owner=labels.pop("owner", ""), resource=labels.pop("resource", ""), others=labels)
