"""A server that answers huggingface_hub as the Hugging Face Hub does, as far as uploads and downloads need it."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "c" * 40


def name_of(content: bytes) -> str:
    """The name of a content in git."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@contextmanager
def hub_server() -> Iterator[tuple[str, dict[str, dict[str, bytes]]]]:
    """The address of a running server, and the files that each repository was sent, by name."""
    repositories: dict[str, dict[str, bytes]] = {}

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def answer(self, content: bytes, code: int = 200, **headers: str) -> None:
            self.send_response(code)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def tell(self, content: object, code: int = 200, **headers: str) -> None:
            self.answer(json.dumps(content).encode(), code, Content_Type="application/json", **headers)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            place = f"http://{self.headers['Host']}"
            match self.path.split("?")[0].strip("/").split("/"):
                case ["api", "repos", "create"]:
                    asked = json.loads(body)
                    name = f"{asked.get('organization') or 'ada'}/{asked['name']}"
                    repositories.setdefault(name, {})
                    self.tell({"url": f"{place}/{name}", "name": name})
                case ["api", "validate-yaml"]:
                    self.tell({"errors": [], "warnings": []})
                case ["api", "models", owner, name, "preupload", _] if f"{owner}/{name}" in repositories:
                    files = [{"path": file["path"]} for file in json.loads(body)["files"]]
                    self.tell({"files": [file | {"uploadMode": "regular", "shouldIgnore": False} for file in files]})
                case ["api", "models", owner, name, "commit", _] if f"{owner}/{name}" in repositories:
                    for line in map(json.loads, body.splitlines()):
                        if line["key"] == "file":
                            content = base64.b64decode(line["value"]["content"])
                            repositories[f"{owner}/{name}"][line["value"]["path"]] = content
                    address = f"{place}/{owner}/{name}/commit/{COMMIT}"
                    self.tell({"success": True, "commitOid": COMMIT, "commitUrl": address, "pullRequestUrl": None})
                case _:
                    self.missing()

        def do_GET(self) -> None:
            match self.path.split("?")[0].strip("/").split("/"):
                case ["api", "models", owner, name, "tree", *_] if f"{owner}/{name}" in repositories:
                    found = repositories[f"{owner}/{name}"].items()
                    self.tell([{"type": "file", "path": k, "size": len(v), "oid": name_of(v)} for k, v in found])
                case ["api", "models", owner, name, *_] if f"{owner}/{name}" in repositories:
                    files = [{"rfilename": path} for path in repositories[f"{owner}/{name}"]]
                    self.tell({"id": f"{owner}/{name}", "sha": COMMIT, "siblings": files})
                case [owner, name, "resolve", _, path] if path in repositories.get(f"{owner}/{name}", {}):
                    content = repositories[f"{owner}/{name}"][path]
                    self.answer(content, X_Repo_Commit=COMMIT, ETag=f'"{name_of(content)}"')
                case _:
                    self.missing()

        do_HEAD = do_GET  # noqa: N815 - the server's name

        def missing(self) -> None:
            self.tell({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", repositories
        finally:
            server.shutdown()
            thread.join()
