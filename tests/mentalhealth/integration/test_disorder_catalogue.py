from __future__ import annotations

import sys

import pytest

from aura.kernel.database import Database
from aura.mentalhealth.domain.entities.disorder import DisorderKind
from aura.mentalhealth.domain.errors import DisorderNotFound
from aura.mentalhealth.domain.repositories.disorder_repository import DisorderFilter
from aura.mentalhealth.infrastructure.external.icd_10_cm import read_catalogue
from aura.mentalhealth.infrastructure.repositories.disorder_repository import PostgresDisorderRepository

EVERYTHING = 10_000


@pytest.fixture
def disorders(mentalhealth_database: Database) -> PostgresDisorderRepository:
    return PostgresDisorderRepository(mentalhealth_database.execute)


async def test_holds_the_whole_chapter(disorders: PostgresDisorderRepository):
    entries = await disorders.list(DisorderFilter(), after=-1, limit=EVERYTHING)

    kinds = [entry.kind for entry in entries]
    assert len(entries) == 1 + 11 + 1112
    assert kinds.count(DisorderKind.BLOCK) == 11
    assert kinds.count(DisorderKind.CATEGORY) == 72
    assert sum(entry.billable for entry in entries) == 871
    assert list(entries) == list(read_catalogue())


async def test_every_entry_but_the_chapter_has_its_parent(disorders: PostgresDisorderRepository):
    entries = {entry.code: entry for entry in await disorders.list(DisorderFilter(), after=-1, limit=EVERYTHING)}

    orphans = [code for code, entry in entries.items() if code not in _children_of_parent(entries, entry.parent_code)]

    assert orphans == ["F01-F99"]


def _children_of_parent(entries: dict, parent_code: str) -> tuple[str, ...]:
    return entries[parent_code].child_codes if parent_code else ()


async def test_knows_a_leaf_with_its_synonyms(disorders: PostgresDisorderRepository):
    anxiety = await disorders.get("F41.1")

    assert anxiety.title == "Generalized anxiety disorder"
    assert anxiety.inclusion_terms == ("Anxiety neurosis", "Anxiety reaction", "Anxiety state", "Overanxious disorder")
    assert anxiety.excludes2 == ("neurasthenia (F48.8)",)
    assert (anxiety.kind, anxiety.billable, anxiety.parent_code) == (DisorderKind.SUBCATEGORY, True, "F41")
    assert anxiety.release == "ICD-10-CM April 2026"


async def test_knows_what_is_never_coded_together(disorders: PostgresDisorderRepository):
    recurrent = await disorders.get("F33")

    assert recurrent.excludes1 == ("bipolar disorder (F31.-)", "manic episode (F30.-)")
    assert recurrent.child_codes[:2] == ("F33.0", "F33.1")
    assert not recurrent.billable


async def test_does_not_find_a_code_of_another_chapter(disorders: PostgresDisorderRepository):
    with pytest.raises(DisorderNotFound):
        await disorders.get("G47.63")


def test_reading_the_catalogue_does_not_import_the_package_that_carries_it():
    list(read_catalogue())

    assert "simple_icd_10_cm" not in sys.modules
