"""Byte-pair encoding by sentencepiece, with one tag per variety.

A tag is a control symbol: no text can spell it, it is put in by id. Bytes stand in for characters the
training text lacks, so any text comes back from its pieces unchanged.
"""

from io import BytesIO

import sentencepiece as spm

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.text.corpus import ParallelCorpus
from tinydecouple.text.hygiene import visible

SPACE = "\u2581"  # sentencepiece writes a space so; where a text has the sign itself, it goes in as bytes


class Tokenizer:
    """Pieces and tags to ids and back.

    proto: the serialised sentencepiece model, as train_tokenizer returns it and a checkpoint keeps it.
    source_tag: whether a source's tag stands before it.
    """

    def __init__(self, proto: bytes, source_tag: bool = True):
        self.proto, self.source_tag = proto, source_tag
        self.pieces = spm.SentencePieceProcessor(model_proto=proto)
        self.size: int = self.pieces.get_piece_size()
        self.pad, self.end = self.pieces.pad_id(), self.pieces.eos_id()
        names = {i: self.pieces.id_to_piece(i) for i in range(self.size) if self.pieces.is_control(i)}
        self.tags = {name[2:-2]: i for i, name in names.items() if i not in (self.pad, self.end)}

    def tag(self, variety: str) -> int:
        """Id of a variety's tag. Raises TinyDecoupleError for a variety the model has not seen."""
        if variety not in self.tags:
            raise TinyDecoupleError(f"the model has not seen variety {visible(variety)!r}; it knows: "
                                    f"{', '.join(self.tags)}")
        return self.tags[variety]

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Ids of the pieces of each text, without tags; decode gives the text back."""
        encoded = self.pieces.encode([" " + text for text in texts])
        for i, text in enumerate(texts):
            if SPACE in text:
                sign = [self.pieces.piece_to_id(f"<0x{byte:02X}>") for byte in SPACE.encode("utf-8")]
                first, *rest = (self.pieces.encode(part) for part in (" " + text).split(SPACE))
                encoded[i] = sum(([*sign, *part] for part in rest), first)
        return encoded

    def decode(self, ids: list[list[int]]) -> list[str]:
        """Texts of lists of ids; tags and the end symbol decode to nothing."""
        return [text.removeprefix(" ") for text in self.pieces.decode(ids)]


def train_tokenizer(corpus: ParallelCorpus, vocabulary: int = 1500) -> bytes:
    """Train on the training split of every variety, in memory; returns the serialised model.

    vocabulary: number of pieces, tags and the 256 bytes included; a small corpus gets fewer.
    Raises TinyDecoupleError if the vocabulary has no room for its characters.
    """
    texts = [" " + text for key, row in corpus.texts.items() if corpus.split[key] == "train" for text in row.values()]
    characters = len(set("".join(texts)))
    if vocabulary < (least := 256 + 3 + len(corpus.varieties) + characters):
        raise TinyDecoupleError(f"`vocabulary` {vocabulary} is too small: 256 bytes, 3 symbols, "
                                f"{len(corpus.varieties)} tags and {characters} characters need {least}")
    out = BytesIO()
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=out, model_type="bpe", vocab_size=vocabulary,
        hard_vocab_limit=False, byte_fallback=True, character_coverage=1.0, normalization_rule_name="identity",
        add_dummy_prefix=False, remove_extra_whitespaces=False, max_sentence_length=1 << 20,
        control_symbols=[f"<|{variety}|>" for variety in corpus.varieties], pad_id=0, unk_id=1, bos_id=-1, eos_id=2,
        num_threads=1, minloglevel=2)
    return out.getvalue()
