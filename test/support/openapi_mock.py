"""A mock of the exchange that connexion serves from the spec: `python openapi_mock.py`. Prints its port.

It checks every request against the spec, unknown parameters and content types included, and responds with the examples.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

SPEC = Path(__file__).parents[2] / "openapi" / "margin-stream.yaml"


def check_api_key(key: str, required_scopes: object = None) -> dict[str, str]:
    """Accept every API key and signature. Without one, connexion responds with 401."""
    return {"sub": "account"}


def main() -> None:
    """Serve on a free port of loopback until the process is killed."""
    import connexion
    import uvicorn
    from connexion.mock import MockResolver
    from connexion.options import SwaggerUIOptions

    class ExampleResolver(MockResolver):
        """Responds with nothing where the spec declares no body; connexion would send a remark."""

        def mock_operation(self, operation, *args, **kwargs):
            response, status = super().mock_operation(operation, *args, **kwargs)
            return (response if operation.responses[str(status)].get("content") else None), status

    os.environ["APIKEYINFO_FUNC"] = "openapi_mock.check_api_key"
    app = connexion.AsyncApp("mock", swagger_ui_options=SwaggerUIOptions(swagger_ui=False))
    app.add_api(SPEC, resolver=ExampleResolver(mock_all=True), strict_validation=True)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        uvicorn.Server(uvicorn.Config(app, log_level="critical")).run(sockets=[listener])


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
