"""The baseline of all comparisons: `websockets` and `json.loads`, without classes or retries."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from protocol import ClientAdapter, Handler, run_adapter


class BaselineAdapter(ClientAdapter):
    package = "websockets"

    async def follow(self, config: dict[str, Any], handler: Handler) -> None:
        from websockets.asyncio.client import connect

        address, headers = f"{config['rest']}/sapi/v1/userListenToken", {"X-MBX-APIKEY": config["key"]}
        with urllib.request.urlopen(urllib.request.Request(address, method="POST", headers=headers)) as response:
            token = json.load(response)["token"]
        async with connect(config["websocket_api"], compression=None) as socket:
            method, parameters = "userDataStream.subscribe.listenToken", {"listenToken": token}
            await socket.send(json.dumps({"id": "1", "method": method, "params": parameters}))
            await socket.recv()
            while True:
                handler.on_raw_event(json.loads(await socket.recv(decode=False))["event"])


if __name__ == "__main__":
    run_adapter(BaselineAdapter())
