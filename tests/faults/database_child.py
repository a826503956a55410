"""Another process on a database: counts up two rows together (`pairs`), waits in a transaction (`hold`), migrates, or
has many writers at once (`many`), who tell of each number once it is said to be durable."""

import asyncio
import sys

from osler_evals.lost_updates import counter
from sqlalchemy import insert, select, update

from osler.storage.database import SqlDatabase
from osler.storage.migrations import migrate


async def main(what: str, url: str, writes: int) -> None:
    database = SqlDatabase(url)
    if what == "hold":
        async with database.write() as transaction:
            await transaction.connection.execute(select(counter).with_for_update())
            await transaction.connection.execute(update(counter).values(count=77))
            print("holding", flush=True)
            await asyncio.sleep(600)
    if what == "many":

        async def write(first: int) -> None:
            for number in range(first, first + writes):
                async with database.write() as transaction:
                    await transaction.connection.execute(insert(counter).values(id=number, count=number))
                print(number, flush=True)

        await asyncio.gather(*(write(1000 * writer) for writer in range(1, 33)))
        writes = 0
    if what == "migrate":
        await migrate(database)
    for _ in range(writes):
        async with database.write() as transaction:
            for id in (1, 2):
                row = counter.c.id == id
                await transaction.connection.execute(update(counter).where(row).values(count=counter.c.count + 1))
    await database.dispose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
