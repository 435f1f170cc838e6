"""What intervals cover, on cells with planted luck: of seeds, of templates, of both."""

import numpy as np
import pytest

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.evaluation import coverage
from tinydecouple.evaluation.coverage import main, read_cells, simulate
from tinydecouple.evaluation.significance import difference

JACKKNIFE, SEEDS, ALL, ONE = ("jackknife: seeds and templates", "t over seeds",
                              "paired bootstrap over keys, all seeds", "paired bootstrap over keys, one seed")


def covered(world, rng, studies=200):
    return {c.name: c.covered for c in simulate(*world, rng, studies, resamples=80)}


def test_luck_of_the_seed_escapes_the_bootstrap_over_keys(cells, rng):
    """It resamples sentences and cannot know that another seed would differ; the jackknife and t over seeds do."""
    got = covered(cells(rng, seeds=8, dialects=2, templates=25, gain=0.05, of_seed=0.04), rng)
    assert got[JACKKNIFE] >= 90 and got[SEEDS] >= 90, f"{got}; expected 95"
    assert got[ONE] < 60 and got[ALL] < 60, f"{got}; the bootstrap over keys should miss the truth often"


def test_luck_of_the_template_escapes_whoever_draws_keys_or_seeds(cells, rng):
    """Keys of a template are alike: to draw them one by one is to count them as independent."""
    got = covered(cells(rng, seeds=6, dialects=2, templates=25, gain=0.05, of_template=0.2), rng)
    assert got[JACKKNIFE] >= 89, f"{got}; expected 95 (a few points less with 25 templates of 1 to 6 keys)"
    assert got[ALL] < got[JACKKNIFE] - 5 and got[SEEDS] < 50, f"{got}"


def test_a_template_that_is_drawn_twice_is_two_templates(cells, rng, monkeypatch):
    """Each study has as many seeds and templates as the cells, each template with all its keys."""
    seen = []
    world = cells(rng, seeds=3, dialects=1, templates=6)
    sizes = set(np.bincount(world[2]))
    monkeypatch.setattr(coverage, "difference", lambda a, b, t: seen.append((a, t)) or difference(a, b, t))
    simulate(*world, rng, studies=4, resamples=2)
    for counts, clusters in seen[1:]:
        assert len(counts) == 3 and counts.shape[2] == len(clusters)
        assert len(set(clusters)) == 6 and set(np.bincount(clusters)) <= sizes, f"clusters {clusters}"


def test_widths_and_names(cells, rng):
    found = simulate(*cells(rng, seeds=3, dialects=1, templates=6), rng, studies=5, resamples=20)
    assert [c.name for c in found] == [JACKKNIFE, SEEDS, ALL, ONE]
    assert all(c.width > 0 and c.covered in (0, 20, 40, 60, 80, 100) for c in found)


def test_the_script(cells, rng, tmp_path, capsys):
    first, second, templates = cells(rng, seeds=3, dialects=1, templates=6)
    path = tmp_path / "cells.npz"
    np.savez_compressed(path, first=first, second=second, templates=np.array([f"t{t}" for t in templates]))
    main([str(path), "10"])
    out = capsys.readouterr().out
    assert JACKKNIFE in out and "10 studies" in out and "95.0 ± 13.5" in out
    again = read_cells(path)
    np.testing.assert_array_equal(again[0], first)


@pytest.mark.parametrize("arrays", [{}, {"first": np.zeros((2, 1, 3, 24))}, None])
def test_files_that_hold_no_cells(tmp_path, arrays):
    path = tmp_path / "cells.npz"
    if arrays is None:
        path.write_text("no archive", encoding="utf-8")
    else:
        np.savez(path, **arrays)
    with pytest.raises(TinyDecoupleError, match="cells.npz: no cells.*expected an npz file") as error:
        main([str(path)])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("first, second, templates", [((2, 1, 3, 24), (2, 1, 4, 24), 3), ((2, 1, 3, 24),) * 2 + (4,),
                                                      ((2, 1, 3, 8),) * 2 + (3,), ((2, 3, 24),) * 2 + (3,)])
def test_cells_of_other_shapes(tmp_path, first, second, templates):
    path = tmp_path / "cells.npz"
    np.savez(path, first=np.zeros(first), second=np.zeros(second), templates=np.arange(templates))
    with pytest.raises(TinyDecoupleError, match="expected twice"):
        read_cells(path)


@pytest.mark.parametrize("arguments", [[], ["a.npz", "many"], ["a.npz", "0"], ["a.npz", "1", "2"], ["missing.npz"]])
def test_arguments(arguments):
    with pytest.raises(TinyDecoupleError):
        main(arguments)


def test_one_seed_has_no_interval(cells, rng):
    with pytest.raises(TinyDecoupleError, match="at least 2 seeds"):
        simulate(*cells(rng, seeds=1), rng, studies=1)
