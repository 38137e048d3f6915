"""The interface of a text encoder's tokenizer, and how a config names one."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from glipkit.errors import UserError
from glipkit.text.structures import TextTokens


class Tokenizer(Protocol):
    """Cuts captions into the tokens that one text encoder reads.

    Every encoder has one as its attribute ``tokenizer``. Whoever counts tokens, cuts captions or
    packs prompts takes it from there, or builds an equal one from the encoder's config.

    Attributes:
        special_tokens: Tokens that the encoder's format adds to every caption.
        vocab_size: Rows that an embedding of its tokens needs.
        config: Config from which `build_tokenizer` makes an equal one.
    """

    special_tokens: int
    vocab_size: int
    config: Mapping[str, Any]

    def __call__(self, captions: Sequence[str], max_tokens: int | None = None,
                 truncate: bool = False) -> TextTokens:
        """Tokens of a batch of captions, special ones included, padded to the longest.

        Args:
            captions: B captions.
            max_tokens: Largest number of tokens of one caption, special ones included; None for
                any.
            truncate: Whether to cut longer captions instead of refusing them.

        Raises:
            UserError: Not a list of strings, or a caption that is too long.
        """

    def count(self, text: str) -> int:
        """Number of tokens of ``text`` without special ones."""

    def length(self, text: str) -> int:
        """Number of tokens of a whole caption, special ones included."""

    def pieces(self, text: str) -> list[str]:
        """Tokens of ``text`` as the vocabulary writes them, without special ones."""


Class = TypeVar('Class', bound=type)
TOKENIZERS: dict[str, type] = {}
DEFAULT = 'BertTokenizer'


def register_tokenizer(tokenizer: Class) -> Class:
    """Makes a tokenizer class known under its name."""
    TOKENIZERS[tokenizer.__name__] = tokenizer
    return tokenizer


def build_tokenizer(config: Mapping[str, Any] | None = None, default: str = DEFAULT) -> Tokenizer:
    """A tokenizer from ``dict(type='BertTokenizer', ...)``.

    Args:
        config: Class and its arguments; None for the default class without arguments.
        default: Name of the class where the config gives none.

    Raises:
        UserError: An unknown class, or arguments that it does not take.
    """
    arguments = dict(config or {})
    name = arguments.pop('type', default)
    build: Callable[..., Tokenizer] | None = TOKENIZERS.get(name)
    if build is None:
        raise UserError(f'a tokenizer ({", ".join(sorted(TOKENIZERS))})', repr(name),
                        'choose one of these')
    try:
        return build(**arguments)
    except TypeError as error:
        raise UserError(f'arguments that {name} takes', f'{arguments!r} ({error})',
                        'remove the unknown ones') from error
