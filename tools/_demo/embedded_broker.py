"""A broker in Python for machines without Mosquitto: python embedded_broker.py PORT."""

import asyncio
import sys

from amqtt.broker import Broker


async def serve(port: int) -> None:
    listener = {"type": "tcp", "bind": f"127.0.0.1:{port}"}
    anonymous = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    broker = Broker({"listeners": {"default": listener}, "plugins": anonymous})
    await broker.start()
    await asyncio.Event().wait()  # until it is killed


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
