"""A tornado application on a free port."""

import asyncio
import sys

import tornado.web

LEAK = []


class Home(tornado.web.RequestHandler):
    def get(self):
        self.write("hello")


class Leak(tornado.web.RequestHandler):
    async def get(self):
        LEAK.append(bytearray(b"x" * 100_000))
        self.write("leaked")


class Stream(tornado.web.RequestHandler):
    async def get(self):
        for number in range(5):
            self.write(str(number))
            await self.flush()


class Fail(tornado.web.RequestHandler):
    def get(self):
        raise RuntimeError("planted")


async def main():
    app = tornado.web.Application([("/", Home), ("/leak", Leak), ("/stream", Stream), ("/fail", Fail)])
    server = app.listen(0, "127.0.0.1")
    port = next(iter(server._sockets.values())).getsockname()[1]
    sys.stdout.write(f"port {port}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
