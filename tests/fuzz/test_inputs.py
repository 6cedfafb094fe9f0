"""A few mutated inputs for every reader, and all that the long runs of `make fuzz` ever found."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.fuzz import mutation, subjects

ROUNDS = 90
FOUND = sorted(path for path in subjects.FOUND.glob("*/*") if path.is_file())


@pytest.mark.parametrize("name", subjects.SUBJECTS)
def test_a_mutated_input_is_read_or_refused(name: str) -> None:
    rnd = random.Random(name)
    seeds = subjects.seeds(name, few=True)
    for _ in range(ROUNDS // 3 if name == "host" else ROUNDS):
        data = mutation.mutate(rnd, rnd.choice(seeds), seeds)
        try:
            subjects.run(subjects.SUBJECTS[name], data)
        except Exception as error:
            error.add_note(f"the input: {data!r}")
            raise


@pytest.mark.parametrize("path", FOUND, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_was_found_stays_fixed(path: Path) -> None:
    subjects.run(subjects.SUBJECTS[path.parent.name], path.read_bytes(), whole=True)


@pytest.mark.parametrize("name", subjects.SUBJECTS)
def test_an_input_is_cut_into_its_files_and_put_together_again(name: str) -> None:
    subject = subjects.SUBJECTS[name]
    files = {place: f"text of {place}\n\udcff" for place in subject.places}
    assert subject.files(subject.pack(files)) == {**subject.beside, **files}
    assert len(subjects.seeds(name, few=True)) > 1
