"""Two tasks publish, a third one runs the client."""

import asyncio
import json

import board

board.mount()

from persistmq import PersistClient  # noqa: E402

client = PersistClient("board", cache_path="/flash/cache")
client.connect_async("127.0.0.1", board.options["port"])


async def sensor(name):
    for number in range(board.options["count"] // 2):
        text = "%s-%d" % (name, number)
        client.publish("sensor/" + name, text)
        print("accepted", text)
        await asyncio.sleep_ms(2)


async def main():
    running = asyncio.create_task(client.run())
    await asyncio.gather(sensor("a"), sensor("b"))
    while client.get_status()["waiting"]:
        await asyncio.sleep_ms(5)
    client.stop()
    await running  # ends after stop()


asyncio.run(asyncio.wait_for(main(), 20))
print("figures", json.dumps({"after": client.get_status()}))
