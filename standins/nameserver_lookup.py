"""What a zone says about a name, by the rules of DNS: RFC 1034, section 4.3.2, and RFC 4592 for wildcards."""

from __future__ import annotations

from functools import lru_cache

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from .godaddy_zone import Body, Zone

NEGATIVE_TTL = 600
Sets = dict[str, list[Body]]
"""The records of one name by type."""


class Lookup:
    """The records of one zone at one moment, as DNS sees them."""

    def __init__(self, zone: Zone, lag: float) -> None:
        self._zone = zone
        self._origin = dns.name.from_text(zone.name)
        self._serial = zone.serial(lag)
        self._sets: dict[str, Sets] = {}
        for record in zone.as_of(lag):
            self._sets.setdefault(_key_of(record["name"], zone.name), {}).setdefault(record["type"], []).append(record)

    def answer(self, response: dns.message.Message, name: dns.name.Name, rdtype: dns.rdatatype.RdataType) -> None:
        """Fill the sections: an answer, "no such type" (SOA only), "no such name", or a referral."""
        seen: set[dns.name.Name] = set()
        wanted = dns.rdatatype.to_text(rdtype)
        while name.is_subdomain(self._origin) and name not in seen:
            seen.add(name)
            if self._referral(response, name):
                return
            types = self._types(name)
            if types is None:
                response.set_rcode(dns.rcode.NXDOMAIN)
                break
            if wanted in types or (name == self._origin and rdtype == dns.rdatatype.SOA):
                response.answer.append(self._rrset(name, rdtype, types.get(wanted, [])))
                return
            alias = types.get("CNAME")
            if alias is None:
                break
            found = self._rrset(name, dns.rdatatype.CNAME, alias)
            response.answer.append(found)
            name = dns.name.from_text(alias[0]["data"], self._origin if alias[0]["data"] == "@" else dns.name.root)
        if name.is_subdomain(self._origin):
            response.authority.append(self._soa(NEGATIVE_TTL))

    def _types(self, name: dns.name.Name) -> Sets | None:
        """The sets at a name: its own, those of a wildcard, {} for a name that only has names below, else None."""
        own = self._sets.get(_key(name))
        if own is not None:
            return own
        if name == self._origin or self._exists(name):
            return {}
        encloser = name.parent()
        while encloser != self._origin and not self._exists(encloser):
            encloser = encloser.parent()
        return self._sets.get(_key(dns.name.from_text("*", encloser)))

    def _exists(self, name: dns.name.Name) -> bool:
        """Whether there are records at the name, or at one below it."""
        key = _key(name)
        return key in self._sets or any(each.endswith(f".{key}") for each in self._sets)

    def _referral(self, response: dns.message.Message, name: dns.name.Name) -> bool:
        """A name at or below a delegation inside the zone belongs to somebody else."""
        point = name
        while point != self._origin:
            records = self._sets.get(_key(point), {}).get("NS")
            if records:
                response.flags &= ~dns.flags.AA
                response.authority.append(self._rrset(point, dns.rdatatype.NS, records))
                return True
            point = point.parent()
        return False

    def _rrset(self, name: dns.name.Name, rdtype: dns.rdatatype.RdataType, records: list[Body]) -> dns.rrset.RRset:
        if rdtype == dns.rdatatype.SOA:
            return self._soa(3600)
        found = dns.rrset.RRset(name, dns.rdataclass.IN, rdtype)
        for record in records:
            rdata = dns.rdata.from_text(dns.rdataclass.IN, rdtype, _text(record, self._zone.name))
            found.add(rdata, record["ttl"])
        return found

    def _soa(self, ttl: int) -> dns.rrset.RRset:
        first = self._zone.nameservers[0] if self._zone.nameservers else f"ns.{self._zone.name}"
        text = f"{first}. dns.{self._zone.name}. {self._serial} 28800 7200 604800 {NEGATIVE_TTL}"
        return dns.rrset.from_text(self._origin, ttl, "IN", "SOA", text)


def _key(name: dns.name.Name) -> str:
    return name.to_text().lower()


@lru_cache(maxsize=10_000)
def _key_of(name: str, zone: str) -> str:
    """Of a name as the API has it. A zone of many records is looked through at each question."""
    origin = dns.name.from_text(zone)
    return _key(origin if name == "@" else dns.name.from_text(name, origin))


def _text(record: Body, zone: str) -> str:
    """A record of the API in the text form of zone files."""
    kind, data = record["type"], str(record["data"])
    if kind == "TXT":
        return _txt(data)
    if kind in ("CNAME", "NS", "MX", "SRV"):
        data = zone if data == "@" else data.rstrip(".")
        data += "."
    if kind == "MX":
        return f"{record.get('priority', 0)} {data}"
    if kind == "SRV":
        return f"{record.get('priority', 0)} {record.get('weight', 0)} {record.get('port', 0)} {data}"
    return data


def _txt(data: str) -> str:
    """Quotes around the whole are syntax, not text. Long texts go into several strings of at most 255 bytes."""
    text = data[1:-1] if len(data) > 1 and data.startswith('"') and data.endswith('"') else data
    raw = text.encode()
    parts = [raw[start : start + 255] for start in range(0, len(raw), 255)] or [b""]
    escaped = ("".join(_escaped(byte) for byte in part) for part in parts)
    return " ".join(f'"{each}"' for each in escaped)


def _escaped(byte: int) -> str:
    if byte in b'"\\':
        return f"\\{chr(byte)}"
    return chr(byte) if 32 <= byte < 127 else f"\\{byte:03d}"
