"""Small things that many tests share: a corpus (pseudo-languages), its tokeniser, one complete tiny run."""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")  # tiny arrays: a second thread costs more than it gives

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402

from tinydecouple.model.transformer import Transformer  # noqa: E402
from tinydecouple.text.readers import CorpusOptions, load_corpus  # noqa: E402
from tinydecouple.text.tokenizer import Tokenizer, train_tokenizer  # noqa: E402

TINY_CORPUS = CorpusOptions("family", keys=60, per_variety=10, trickle=2)


LONGEST = ("test_tutorials.py", "test_faults.py", "test_readme.py", "test_study.py")  # a minute or so each


def pytest_collection_modifyitems(items):
    """The longest files first: with several workers, one that is begun late keeps one worker busy after the others."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def corpus():
    return load_corpus(TINY_CORPUS)


@pytest.fixture(scope="session")
def tokenizer(corpus):
    return Tokenizer(train_tokenizer(corpus, 600))


@pytest.fixture
def model(tokenizer):
    """A fresh model of random weights, large enough in spread that its outputs differ from one another."""
    model = Transformer(tokenizer.size, width=32, blocks=2, heads=4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(10)
    return model.eval()


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """A folder with a pretrained run and a fine-tuned one, `pretrained` and `plain`, made by the command line."""
    from tinydecouple.cli import main

    folder = tmp_path_factory.mktemp("runs")
    small = ["--width", "16", "--blocks", "1", "--heads", "2", "--vocabulary", "600", "--epochs", "1"]
    few = ["--corpus", "family", "--keys", "60", "--per-variety", "10", "--trickle", "2", "--varieties", "a1,a2,b1"]
    main(["pretrain", "--run", str(folder / "pretrained"), *few, *small])
    main(["finetune", "--from", str(folder / "pretrained"), "--run", str(folder / "plain"), "--epochs", "1",
          "--layer", "1", "--strength", "0", "--refreshes", "2"])
    return folder
