from __future__ import annotations

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import ProgrammingError

from aura.kernel.database import Database
from aura.mentalhealth.application.use_cases.search_disorders import SearchDisorders
from aura.mentalhealth.infrastructure.external.icd_10_cm import read_catalogue
from aura.mentalhealth.infrastructure.repositories.disorder_repository import PostgresDisorderRepository
from aura.mentalhealth.infrastructure.tables import disorder_terms


@pytest.fixture
def search(mentalhealth_database: Database) -> SearchDisorders:
    return SearchDisorders(disorders=PostgresDisorderRepository(mentalhealth_database.execute))


async def places(search: SearchDisorders, wanted: list[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Returns at which place each text finds its code, where that is not the first."""
    found = {}
    for text, code in wanted:
        codes = [match.disorder.code for match in await search.execute(text, billable_only=False, limit=10)]
        if codes[:1] != [code]:
            found[text, code] = codes.index(code) + 1 if code in codes else 0
    return found


async def test_every_inclusion_term_finds_its_own_code_first(search: SearchDisorders):
    wanted = [(term, disorder.code) for disorder in read_catalogue() for term in disorder.inclusion_terms]

    assert len(wanted) == 873
    assert await places(search, wanted) == {}


async def test_every_title_finds_its_own_code_among_the_first(search: SearchDisorders):
    missed = await places(search, [(disorder.title, disorder.code) for disorder in read_catalogue()])

    assert set(missed.values()) <= {2, 3}
    assert len(missed) <= 50, "only entries that are titled like the one above them, or in the plural"


async def test_every_code_finds_itself_first(search: SearchDisorders):
    codes = [disorder.code for disorder in read_catalogue()]

    assert await places(search, [(code, code) for code in codes]) == {}
    assert await places(search, [(code.replace(".", "").lower(), code) for code in codes]) == {}


async def test_the_module_cannot_change_the_terms(mentalhealth_database: Database):
    async with mentalhealth_database.read() as connection:
        with pytest.raises(ProgrammingError, match="permission denied"):
            await connection.execute(insert(disorder_terms).from_select(["term_id"], select(disorder_terms.c.term_id)))
