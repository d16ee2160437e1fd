"""The fixtures that all tests share, and the choice of the services that they meet."""

import pytest

pytest_plugins = ["testbed.fixtures"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """`make test-real` gives it."""
    parser.addoption("--real", action="store_true", help="meet the real Argo CD instead of its stand-in")
