"""Errors as Argo CD's gateway writes them: a gRPC code in the body, and the HTTP status that belongs to it."""

from __future__ import annotations

import json

from aiohttp import web

CANCELED = 1
UNKNOWN = 2
INVALID_ARGUMENT = 3
DEADLINE_EXCEEDED = 4
NOT_FOUND = 5
PERMISSION_DENIED = 7
FAILED_PRECONDITION = 9
ABORTED = 10
INTERNAL = 13
UNAUTHENTICATED = 16

HTTP_STATUS = {1: 408, 2: 500, 3: 400, 4: 504, 5: 404, 6: 409, 7: 403, 8: 429}
HTTP_STATUS |= {9: 400, 10: 409, 11: 400, 12: 501, 13: 500, 14: 503, 15: 500, 16: 401}


class GrpcError(Exception):
    """A refusal with its gRPC code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def status(self) -> int:
        return HTTP_STATUS[self.code]

    def response(self) -> web.Response:
        body = {"error": self.message, "code": self.code, "message": self.message}
        return web.json_response(body, status=self.status)

    def line(self) -> bytes:
        """The same inside of a stream."""
        error = {"grpc_code": self.code, "http_code": self.status, "message": self.message, "http_status": ""}
        return json.dumps({"error": error}).encode() + b"\n"


def denied() -> GrpcError:
    return GrpcError(PERMISSION_DENIED, "permission denied")


def invalid(message: str) -> GrpcError:
    return GrpcError(INVALID_ARGUMENT, message)


def not_found(kind: str, name: str) -> GrpcError:
    return GrpcError(NOT_FOUND, f'{kind}.argoproj.io "{name}" not found')


def stale(kind: str, name: str) -> GrpcError:
    text = "the object has been modified; please apply your changes to the latest version and try again"
    return GrpcError(ABORTED, f'Operation cannot be fulfilled on {kind}.argoproj.io "{name}": {text}')
