import pytest

from aura.kernel.gateway import BodyLimits, Gateway
from aura.kernel.inprocess import InProcessServer
from tests.gateway import library
from tests.gateway.client import Client

ORIGIN = "https://app.example.org"


@pytest.fixture
async def servicer():
    return library.LibraryServicer()


@pytest.fixture
async def gateway(servicer):
    server = InProcessServer()
    servicer.add_to(server)
    await server.start()
    channel = server.channel()
    yield Gateway(
        [library.service()],
        lambda _: channel,
        limits=BodyLimits(size=100_000, seconds=0.5),
        timeout=5.0,
        forged=("x-aura-",),
        origins=(ORIGIN,),
    )
    await channel.close()
    await server.stop(None)


@pytest.fixture
def client(gateway):
    return Client(gateway)
