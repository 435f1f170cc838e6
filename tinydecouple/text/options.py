"""Which corpus, in options, and the names that they choose from; the command line reads them without NumPy."""

from dataclasses import dataclass
from pathlib import Path

from tinydecouple.files import real
from tinydecouple.options import option

SPLITS = ("train", "dev", "test")
MADE = ("phrasebook", "family")  # corpora made by rule; any other name is a file or a folder
FORMAT_NAMES = (  # each a module of this name in formats/; a path is taken for the first that recognises it
    "madar",
    "flores",
    "tatoeba",
    "mediawiki",
    "plain",
    "tsv",
)
FOLDERS = (Path(__file__).parents[2] / "data_samples" / "phrasebook", Path(__file__).parent / "phrasebook_tables")
TABLES = next((folder for folder in FOLDERS if folder.is_dir()), FOLDERS[0])  # a checkout's, or an installed package's


@dataclass(frozen=True)
class CorpusOptions:
    corpus: str = option("phrasebook", "phrasebook (25 Arabic cities), family (pseudo-languages), or a path: a TSV "
                         "file, or a folder of MADAR, FLORES, MediaWiki (or several: core,skins), Tatoeba, or of "
                         "aligned plain files (name.de, name.nds)", path=True)
    format: str = option("auto", "format of the text at the path", choices=("auto", *FORMAT_NAMES))
    standard: str | None = option(None, "the dominant variety of text on disk; default: msa for MADAR, arb for FLORES")
    pivot: str | None = option(None, "its variety outside the family, or none; default: English where the format "
                               "has it")
    varieties: str | None = option(None, "only these dialects, such as arz,ary; default: all")
    regions: str | None = option(None, "only dialects of these regions, such as maghreb,nile; default: all")
    lenient: bool = option(False, "skip bad rows and count them, instead of stopping at the first")
    strip_marks: bool = option(False, "remove Arabic tatweel and diacritics")
    per_variety: int = option(1000, "training sentences kept per dialect", least=1)
    trickle: int = option(20, "how many of these pretraining sees", least=0)
    noise: float = option(0.0, "share of source pieces dropped when pretraining copies the standard", least=0,
                          most=0.9)
    held_out: float = option(0.1, "share of keys held out for dev, and as many for test", least=0, most=0.5)
    keys: int = option(3000, "meanings drawn from the phrasebook or the family", least=1, most=10_000_000)
    tables: str | None = option(None, "folder of the phrasebook's tables, such as a copy that you edit; "
                                "default: data_samples/phrasebook", path=True)
    overlap: float = option(0.5, "share of a pseudo-dialect's words that derive from the standard's", least=0, most=1)
    corpus_seed: int = option(1, "seed for drawing, splitting and subsampling", least=0)
    sample_seed: int = option(0, "another seed for subsampling alone; 0: the corpus seed", least=0)

    def __post_init__(self) -> None:
        for name in ("corpus", "tables"):  # so that a run finds its corpus again from another folder
            if (named := getattr(self, name)) not in (*MADE, None):
                object.__setattr__(self, name, ",".join(str(real(path)) for path in listed_paths(named)))
        for name in ("standard", "pivot", "varieties", "regions"):  # cleaned as the corpus's names are
            if (named := getattr(self, name)) is not None:
                from tinydecouple.text.hygiene import clean  # compiles its patterns, which others can do without

                object.__setattr__(self, name, clean(named)[0] or None)

    @property
    def table_folder(self) -> Path:
        return Path(self.tables or TABLES)


def listed_paths(corpus: str) -> list[Path]:
    """The path, or those in a list such as "core/i18n,skins"; a path that has a comma in its name is one path."""
    return [Path(corpus)] if Path(corpus).exists() else [Path(part) for part in corpus.split(",") if part]
