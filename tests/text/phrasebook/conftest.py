"""The phrasebook read once per session, and two hundred meanings of it said in every variety."""

import shutil

import numpy as np
import pytest

from tinydecouple.text.phrasebook.meanings import TABLES, generate, phrasebook


@pytest.fixture(scope="session")
def book():
    return phrasebook()


@pytest.fixture(scope="session")
def texts(book):
    """key -> variety -> text, of 200 meanings"""
    return generate(200, np.random.default_rng(1), book)


@pytest.fixture
def tables(tmp_path):
    """A copy of the tables' folder, to edit."""
    shutil.copytree(TABLES, tmp_path / "tables")
    return tmp_path / "tables"
