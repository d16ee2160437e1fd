"""What a run and its repetition have in common: names, numbers and addresses that are new each time get a word."""

from __future__ import annotations

import re

WORDS = (
    (re.compile(r"freeleaps:[0-9a-f]{8}:[0-9a-f]{24}"), "{mark}"),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "{uid}"),
    (re.compile(r"sha256:[0-9a-f]{64}"), "{digest}"),
    (re.compile(r"\b[0-9a-f]{40}\b"), "{commit}"),
    (re.compile(r"\b[0-9a-f]{12}-[0-9a-f]{12}\b"), "{tag}"),
    (re.compile(r"(?<=\{project\}-)[0-9a-f]{10}\b"), "{record}"),
    (re.compile(r"freeleaps-devops-system-[a-z0-9]+"), "{namespace}"),
    (re.compile(r"127\.0\.0\.\d+(?::|%3A)\d+"), "{address}"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)?"), "{time}"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "{hash}"),
    (re.compile(r"\b[0-9a-f]{24}\b"), "{hash}"),
    (re.compile(r"(?<=/)\d+(?=/|$)"), "{number}"),
)


def common(text: str, project: str) -> str:
    """The text without what is new in each run."""
    text = text.replace(project, "{project}")
    for pattern, word in WORDS:
        text = pattern.sub(word, text)
    return text
