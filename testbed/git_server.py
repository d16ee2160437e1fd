"""Git over smart HTTP: git's own ``http-backend`` behind an HTTP server on loopback.

Every repository may ask for credentials of its own (Basic). Demo and tests push through the local path of a repository,
everybody else comes over HTTP.
"""

from __future__ import annotations

import ssl
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from aiohttp import BasicAuth, web

from standins.serve import Server
from testbed.git import environment, git, run_git
from testbed.processes import RunFolder, free_port

HOST = "127.0.0.1"
MAX_BODY_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Credentials:
    """What Basic authentication must carry."""

    username: str
    password: str


@dataclass
class Repository:
    """One bare repository. ``fail_with`` is an HTTP status with which every request is answered while it is set.

    ``readers`` open it too, beside ``credentials``.
    """

    name: str
    path: Path
    url: str
    credentials: Credentials | None = None
    fail_with: int | None = None
    readers: tuple[Credentials, ...] = ()

    def allows(self, authorization: str | None) -> bool:
        """Whether this Authorization header opens the repository."""
        if self.credentials is None:
            return True
        try:
            given = BasicAuth.decode(authorization or "", encoding="utf-8")
        except ValueError:
            return False
        return Credentials(given.login, given.password) in (self.credentials, *self.readers)


class GitServer:
    """Serves repositories at ``http://127.0.0.1:<port>/<name>.git``; ``async with GitServer() as server``.

    With ``tls`` it is ``https``. ``requests`` counts the requests for each ``(repository, service)``, such as
    ``("shop", "git-upload-pack")``.
    """

    def __init__(self, host: str = HOST, port: int | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.host = host
        self._scheme = "https" if tls else "http"
        self.port = free_port(host) if port is None else port
        self.requests: Counter[tuple[str, str]] = Counter()
        self._run = RunFolder("devops-reconciler-git")
        self._repositories: dict[str, Repository] = {}
        application = web.Application(client_max_size=MAX_BODY_BYTES)
        application.router.add_route("*", "/{name}.git/{rest:.*}", self._serve)
        self._server = Server(application, host=host, port=self.port, tls=tls)

    @property
    def folder(self) -> Path:
        """Where the repositories are; free for working copies too."""
        return self._run.path

    @property
    def address(self) -> str:
        """``host:port``, as ``GIT_ALLOWED_HOSTS`` wants it."""
        return f"{self.host}:{self.port}"

    def repository(self, name: str) -> Repository:
        """The repository of this name; KeyError if there is none."""
        return self._repositories[name]

    async def create(self, name: str, credentials: Credentials | None = None) -> Repository:
        """An empty bare repository whose HEAD points at ``main``."""
        path = self.folder / f"{name}.git"
        await git("init", "--quiet", "--bare", "--initial-branch=main", str(path), cwd=self.folder)
        # As the big hosting services: any commit may be fetched by its id, and partial clones work.
        for setting in ("uploadpack.allowAnySHA1InWant", "uploadpack.allowFilter"):
            await git("config", setting, "true", cwd=path)
        repository = Repository(name, path, f"{self._scheme}://{self.address}/{name}.git", credentials)
        self._repositories[name] = repository
        return repository

    async def __aenter__(self) -> GitServer:
        await self._server.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._server.stop()
        self._run.remove()

    async def _serve(self, request: web.Request) -> web.Response:
        repository = self._repositories.get(request.match_info["name"])
        if repository is None:
            return web.Response(status=404, text="Repository not found.\n")
        service = request.query.get("service", request.match_info["rest"])
        self.requests[repository.name, service] += 1
        if repository.fail_with is not None:
            return web.Response(status=repository.fail_with, text="The server is not well.\n")
        if not repository.allows(request.headers.get("Authorization")):
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="Git"'})
        return await self._run_backend(request)

    async def _run_backend(self, request: web.Request) -> web.Response:
        body = await request.read()
        variables = {
            **environment(),
            "GIT_PROJECT_ROOT": str(self.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
            "REQUEST_METHOD": request.method,
            "PATH_INFO": request.path,
            "QUERY_STRING": request.query_string,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            # The body is unpacked already, whatever Content-Encoding it came with.
            "CONTENT_LENGTH": str(len(body)),
        }
        output, errors, code = await run_git(("http-backend",), variables, cwd=self.folder, stdin=body)
        if code != 0 and not output:
            return web.Response(status=500, text=errors.decode(errors="replace"))
        return parse_cgi(output)


def parse_cgi(output: bytes) -> web.Response:
    """The HTTP response that a CGI program describes; its status is 200 unless a ``Status`` header says otherwise."""
    head, _, body = output.partition(b"\r\n\r\n")
    headers: dict[str, str] = {}
    for line in head.decode("latin-1").split("\r\n"):
        name, _, value = line.partition(":")
        headers[name.strip().title()] = value.strip()
    status = int(headers.pop("Status", "200").split()[0])
    headers.pop("Content-Length", None)
    return web.Response(status=status, headers=headers, body=body)
