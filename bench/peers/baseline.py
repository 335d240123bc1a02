"""What every other figure is compared with: `websockets` and `json.loads`, without a class or a retry."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from protocol import Contestant, Handler, answer


class Bare(Contestant):
    package = "websockets"

    async def follow(self, places: dict[str, Any], handler: Handler) -> None:
        from websockets.asyncio.client import connect

        address, headers = f"{places['rest']}/sapi/v1/userListenToken", {"X-MBX-APIKEY": places["key"]}
        with urllib.request.urlopen(urllib.request.Request(address, method="POST", headers=headers)) as got:
            token = json.load(got)["token"]
        async with connect(places["websocket_api"], compression=None) as socket:
            method, parameters = "userDataStream.subscribe.listenToken", {"listenToken": token}
            await socket.send(json.dumps({"id": "1", "method": method, "params": parameters}))
            await socket.recv()
            while True:
                handler.raw(json.loads(await socket.recv(decode=False))["event"])


if __name__ == "__main__":
    answer(Bare())
