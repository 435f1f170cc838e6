"""The benchmark's arithmetic, and that what it compares computes the same; no test asks how fast anything is."""

import numpy as np
import pytest
import torch

from tinydecouple import benchmark, benchmark_report

CPU = torch.device("cpu")


def test_calls_are_timed_in_turn_and_the_first_round_is_not_counted():
    order = []
    seconds = benchmark.alternate({"ours": lambda: order.append("ours"), "peer": lambda: order.append("peer")}, 3)
    assert order == ["ours", "peer"] * 4, f"got {order}: not in turn, so a busy minute would count for one of them only"
    assert [len(taken) for taken in seconds.values()] == [3, 3]


def test_a_ratio_is_of_the_same_round():
    """Both slow down threefold in the second round: the ratio of medians may move, that of the rounds stays 2."""
    result = benchmark.side_by_side({"ours": [1.0, 3.0, 1.0], "peer": [2.0, 6.0, 2.0]}, work=10)
    assert result["ratio"] == {"peer": {"median": 2, "low": 2, "high": 2}}, "above 1: ours is the faster one"
    assert result["per_second"]["ours"]["median"] == 10


@pytest.mark.parametrize("power", [0.5, 1, 2])
def test_the_exponent_of_planted_growth(power):
    sizes = (2, 8, 64)
    assert benchmark_report.exponent(sizes, [3 * size**power for size in sizes]) == pytest.approx(power)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(benchmark, "SHAPE", {"vocabulary": 50, "width": 16, "blocks": 2, "heads": 2})
    for name, value in {"BATCH": 2, "LENGTH": 8, "PROMPT": 4, "NEW": 5}.items():
        monkeypatch.setattr(benchmark, name, value)


def test_the_peer_has_the_same_shape_and_is_causal():
    peer, tokens = benchmark.Encoder(**benchmark.SHAPE).eval(), torch.arange(8)[None]
    changed = torch.where(torch.arange(8) == 7, 3, tokens)
    with torch.no_grad():
        torch.testing.assert_close(peer(tokens)[:, :7], peer(changed)[:, :7])
    ours = sum(p.numel() for p in benchmark.Transformer(**benchmark.SHAPE).parameters())
    theirs = sum(p.numel() for p in peer.parameters())
    assert 0.97 * theirs < ours < 1.03 * theirs, f"{ours} and {theirs} parameters: no equal computation"


def test_both_ways_of_decoding_write_the_same(small):
    assert benchmark.translation(CPU, 1)["same_output"], "a faster cache that changes the output is no cache"


def test_both_probes_reach_the_same_code_length():
    bits = benchmark.probing(1, steps=60)["bits_per_state"]
    assert bits["NumPy"] == pytest.approx(bits["autograd"], abs=0.1), f"{bits}: not the same loss, rate or noise?"


@pytest.mark.slow
def test_training_and_batching_and_decoupling_measure_something(small, corpus, tokenizer):
    for part in (benchmark.training(CPU, 1), benchmark.batching(corpus, tokenizer, CPU, 1)):
        assert all(values["median"] > 0 for values in part["per_second"].values())
    added = benchmark.decoupling(corpus, tokenizer, CPU, 1)
    parts = sum(values["median"] for values in added["percent_of_a_step"].values())
    assert added["percent_in_all"]["median"] == pytest.approx(parts), "with one round medians add up"
    assert np.isfinite(parts)


def test_text_and_picture_hold_every_part(tmp_path):
    values, ratio = {"median": 2.0, "low": 1.0, "high": 3.0}, {"peer": {"median": 1.5, "low": 1.0, "high": 2.0}}
    part = {"per_second": {"ours": values}, "ratio": ratio, "unit": "tokens/s", "bits_per_state": {"NumPy": 0.5},
            "share_of_matrix_products": values}
    sizes = {"tokens_per_second": {"8": 1.0, "16": 2.0}, "seconds": {"8": 1.0, "16": 2.0}, "seconds_exponent": 1.0}
    result = {"machine": {"threads": 1}, "rounds": 1, "training": part, "batching": part, "decoding": part,
              "probe": part, "decoupling": {"percent_of_a_step": {"penalty": values}, "percent_in_all": values},
              "commands": {"seconds": {"help": values}}, "growth": {"step": {"width": sizes}, "refit": {"n": sizes}}}
    said = benchmark_report.text(result)
    for word in ("training, tokens/s", "1.50 (1.00 to 2.00)", "penalty", "help", "step over width", "refit over n"):
        assert word in said, f"the text lacks {word!r}"
    if benchmark_report.draw(tmp_path / "b.png", result):
        assert (tmp_path / "b.png").stat().st_size > 1000
