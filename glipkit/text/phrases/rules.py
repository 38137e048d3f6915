"""Noun phrases by rules: no model, no download, no package.

The shape is that of the official demo's grammar: an optional determiner, adjectives, one or more
nouns; widened by counts, 'red and blue ball' and participles ('a parked car'). Instead of a
part-of-speech tagger, small lists hold the closed word classes and the verbs that captions use;
any other word is taken for a noun. Pronouns and relations ('he', 'on the left of') are no phrases.
"""
from __future__ import annotations

from glipkit.text.phrases import word_lists as lists
from glipkit.text.phrases.words import BLANK, BREAK, COMMA, Word, read_words
from glipkit.text.structures import Span

_DESCRIBING = {'adjective', 'either'}
_VERBAL = {'base verb', 's verb', 'past verb', 'ed', 'ing'}
# After these, a bare verb form is a verb: 'they play', 'sits and watches tv'.
_SUBJECTS = {'pronoun', 'and', 'adverb', 'modal', 'relation'}


def rule_spans(caption: str) -> list[Span]:
    """Half-open character spans of the noun phrases of a caption, in reading order."""
    return _Chunker(read_words(caption)).chunk()


class _Chunker:
    """Finds phrases word by word; positions are word indices, ends exclusive."""

    def __init__(self, words: list[Word]) -> None:
        self.words = words
        self.continues = self._find_continuing()

    def chunk(self) -> list[Span]:
        spans: list[Span] = []
        i = last_end = 0
        while i < len(self.words):
            end = self._phrase_end(i, after_noun=bool(spans) and last_end == i)
            if end is None:
                i += 1
                continue
            spans.append((self.words[i].start, self.words[end - 1].end))
            i = last_end = end
        return spans

    def _phrase_end(self, i: int, after_noun: bool) -> int | None:
        """End of the phrase that begins at word ``i``, or None."""
        after_noun = after_noun and self._gap(i) == BLANK
        if after_noun and (self._kind(i) in _VERBAL or self.words[i].text == 'that'):
            return None  # 'a man riding', 'a dog that runs'
        begin = self._skip_determiners(i)
        determined = begin > i
        if not determined and self._is_verb(i):
            return None
        head = self._skip_modifiers(begin, determined, self._is_predicate(i))
        end = self._skip_nouns(i, begin, head)
        if end > head:
            if self._is_predicate(i) and end == i + 1 and not self.words[i].is_plural:
                return None  # 'the dog is shaggy': a single thing would have a determiner
            return end
        return self._last_modifier_as_noun(begin, head, determined, self._is_predicate(i))

    def _skip_determiners(self, i: int) -> int:
        j = i
        while self._kind(j) in ('determiner', 'number') and (j == i or self._gap(j) == BLANK):
            j += 1
            if (self._kind(j) == 'and' and self._gap(j) == self._gap(j + 1) == BLANK
                    and self._kind(j - 1) == self._kind(j + 1) == 'number'):
                j += 1  # 'two or three dogs'
        return j

    def _skip_modifiers(self, begin: int, determined: bool, predicate: bool) -> int:
        """End of the describing words before the noun."""
        j = begin
        while j < len(self.words):
            if (determined or j > begin) and self._gap(j) != BLANK \
                    and (predicate or not self._joins(j, begin, {COMMA})):
                break
            if self._kind(j) == 'and':
                if predicate or not self._coordinates(j, begin):
                    break
            elif not self._modifies(j, determined or j > begin):
                break
            j += 1
        return j

    def _modifies(self, j: int, inside: bool) -> bool:
        """Whether word ``j`` describes the noun to come; ``inside``: the phrase has begun."""
        kind, follows = self._kind(j), self._can_continue(j + 1)
        if kind == 'adjective':
            return True
        if kind == 'either':
            return follows or self._is_first_of_two(j)
        if kind in ('ed', 'place'):
            return follows
        if kind == 'ing':
            return follows and (inside or self._is_ing_pair(j))
        return kind == 'adverb' and inside and self._kind(j + 1) in ('adjective', 'ed', 'ing')

    def _coordinates(self, j: int, begin: int) -> bool:
        """Whether the 'and' at ``j`` joins two describing words: 'red and blue ball'."""
        if not self._joins(j, begin, {BLANK, COMMA}) or self._gap(j + 1) != BLANK:
            return False
        after = j + 1
        while self._gap(after) == BLANK and self._kind(after) in _DESCRIBING | {'ed'} \
                and self._can_continue(after + 1):
            after += 1
        return after > j + 1 and self._gap(after) == BLANK and self._can_be_noun(after)

    def _is_first_of_two(self, j: int) -> bool:
        """'wood and metal bench', 'orange and blue ball'; but 'a glass and red wine' are two."""
        alike = self._kind(j + 2) == 'either' or self.words[j].text in lists.THING_COLOURS
        return self._kind(j + 1) == 'and' and alike and self._coordinates(j + 1, j)

    def _joins(self, j: int, begin: int, gaps: set[str]) -> bool:
        """Whether describing words stand on both sides of a comma or 'and' at ``j``."""
        after = j + 1 if self._kind(j) == 'and' else j
        return (j > begin and self._gap(j) in gaps
                and self._kind(j - 1) in _DESCRIBING | {'ed'}
                and self._kind(after) in _DESCRIBING | {'ed'}
                and self._noun_follows(after))

    def _noun_follows(self, j: int) -> bool:
        while self._kind(j) in _DESCRIBING | {'ed', 'and'}:
            j += 1
        return self._gap(j) == BLANK and self._can_be_noun(j)

    def _skip_nouns(self, i: int, begin: int, head: int) -> int:
        """End of the nouns from ``head``, in a phrase from ``i`` with determiners to ``begin``."""
        j = head
        while j < len(self.words) and (j == i or self._gap(j) == BLANK):
            fits = (self._starts_noun(j, bare=head == i) if j == head
                    else self._extends_noun(i, begin, j))
            if not fits:
                break
            j += 1
            if self.words[j - 1].is_possessive:  # "a girl's red dress"
                after = self._skip_modifiers(j, determined=True, predicate=False)
                j = after if after > j and self._starts_noun(after, bare=False) else j
        return j

    def _starts_noun(self, j: int, bare: bool) -> bool:
        kind = self._kind(j)
        if kind in ('noun', 'either', 's verb', 'base verb'):
            return True  # words used as verbs were sorted out before
        return kind in ('ing', 'past verb', 'place') and not bare

    def _extends_noun(self, i: int, begin: int, j: int) -> bool:
        """Whether word ``j`` continues the nouns of the phrase from ``i``: 'traffic light'."""
        word, before, kind = self.words[j], self.words[j - 1], self._kind(j)
        determiner = self.words[begin - 1].text if begin > i else ''
        single = determiner in lists.SINGULAR_DETERMINERS
        if kind == 'ing':
            return self._is_ing_pair(j)
        if kind == 'ed':
            return word.text in lists.SHAPED and self._can_continue(j + 1)
        if kind == 's verb':  # 'the man watches', but 'two wrist watches'
            counted = determiner not in lists.ARTICLES | lists.SINGULAR_DETERMINERS | {'', 'no'}
            return before.is_possessive or counted
        if kind == 'base verb':  # 'two dogs play', 'a boy and a girl play', but 'a dog park'
            joined = self._kind(i - 1) == 'and'
            return before.is_possessive or not joined and (single or not before.is_plural)
        if kind == 'noun':  # 'a man juggles knives': a singular phrase has no plural noun
            return before.is_possessive or not (
                single and word.is_plural and self._run_ends_plural(j))
        return kind == 'either'

    def _run_ends_plural(self, j: int) -> bool:
        while self._kind(j + 1) in ('noun', 'either') and self._gap(j + 1) == BLANK:
            j += 1
        return self.words[j].is_plural

    def _last_modifier_as_noun(self, begin: int, head: int, determined: bool,
                               predicate: bool) -> int | None:
        """'an orange', 'the running'; not 'the red', not 'is orange'."""
        for j in range(head - 1, begin - 1, -1):
            kind = self._kind(j)
            if kind == 'either' and (determined or not predicate):
                return j + 1
            if kind in ('ing', 'place') and determined:
                return j + 1
        return None

    def _is_verb(self, j: int) -> bool:
        """Whether the words before ``j`` show that the bare verb form there is a verb."""
        kind, before = self._kind(j), self._kind(j - 1)
        if kind in ('base verb', 's verb', 'past verb'):
            return (kind == 'past verb' or before in _SUBJECTS or self._follows(j, 'that')
                    or kind == 'base verb' and self._follows(j, 'to'))
        if kind == 'ed':
            return before in _SUBJECTS and self.words[j].text in lists.REGULAR_PAST \
                or self._is_predicate(j)
        return before == 'modal' and kind == 'noun'

    def _is_predicate(self, i: int) -> bool:
        """Whether word ``i`` follows 'is', 'looks' or the like, maybe with an adverb."""
        j = i - 1
        while self._kind(j) == 'adverb':
            j -= 1
        return self._kind(j) == 'copula'

    def _follows(self, j: int, text: str) -> bool:
        return j > 0 and self.words[j - 1].text == text

    def _is_ing_pair(self, j: int) -> bool:
        return (j + 1 < len(self.words) and self._gap(j + 1) == BLANK
                and self.words[j + 1].text in lists.ING_PAIRS.get(self.words[j].text, '').split())

    def _find_continuing(self) -> list[bool]:
        """For each word whether it can continue a phrase: as a noun, or describing a later one."""
        continues = [False] * (len(self.words) + 1)
        for j in reversed(range(len(self.words))):
            describes = self._kind(j) in ('adjective', 'ed', 'ing', 'adverb') and continues[j + 1]
            continues[j] = self._gap(j) == BLANK and (self._can_be_noun(j) or describes)
        return continues

    def _can_continue(self, j: int) -> bool:
        return j < len(self.words) and self.continues[j]

    def _can_be_noun(self, j: int) -> bool:
        return self._kind(j) in ('noun', 'either', 's verb', 'base verb')

    def _kind(self, j: int) -> str:
        return self.words[j].kind if 0 <= j < len(self.words) else 'none'

    def _gap(self, j: int) -> str:
        return self.words[j].gap if j < len(self.words) else BREAK
