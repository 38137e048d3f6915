"""What can be wrong with training data: kinds, how bad each is, and a counter of them."""
from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from glipkit.common.visible import visible

SEVERITIES = ('error', 'warning', 'note')
EXAMPLES = 5


@dataclass(frozen=True)
class Kind:
    """A kind of finding.

    Args:
        severity: 'error' makes training impossible, wrong or useless; 'warning' costs something;
            'note' is good to know.
        message: Description, in the plural.
        remedy: Change in a cleaned copy; '' where only a person can correct it.
    """
    severity: str
    message: str
    remedy: str = ''


KINDS = {
    # The file and its records.
    'broken_line': Kind('error', 'lines that are not a JSON object', 'lines left out'),
    'broken_record': Kind('error', 'records without the structure of the format',
                          'records left out'),
    'repeated_key': Kind('warning', 'keys that stand twice in one JSON object; the last one counts',
                         'objects written with the last value'),
    'repeated_list': Kind('error', 'top-level lists that stand twice; all but the last one are '
                          'lost', 'lists kept as the last one of their name'),
    'cut_shard': Kind('error', 'tar shards that are cut off or damaged',
                      'samples after the damage are lost'),
    'half_sample': Kind('error', 'samples of a tar shard without both an image and a json, or '
                        'with one of them twice', 'samples left out'),
    'wrong_count': Kind('error', 'shards with another number of samples than the manifest says'),
    'no_image': Kind('error', 'files without a single image'),
    'no_usable_image': Kind('error', 'files of which no image is left: all are missing or '
                            'unreadable'),
    'many_bad_images': Kind('error', 'files of which half of the images, or more, are missing or '
                            'unreadable'),
    'duplicate_image_id': Kind('error', 'image ids that stand twice', 'second records left out'),
    'orphan': Kind('warning', 'annotations of images that are not listed', 'annotations left out'),
    'crowd': Kind('note', 'crowd boxes, which training leaves out'),
    'empty_image': Kind('note', 'images without boxes, which training uses as negatives'),
    'same_file': Kind('note', 'image files that stand in several records'),
    # Other layouts.
    'bad_line': Kind('error', 'lines with something else than numbers', 'lines left out'),
    'bad_columns': Kind('error', 'lines with a wrong number of columns', 'lines left out'),
    'missing_part': Kind('warning', 'parts of the data set whose folder is not there'),
    'no_label_file': Kind('note', 'images without a label file, which count as images without '
                          'boxes'),
    'unmeasured_image': Kind('warning', 'images whose boxes, parts of their size, are lost: they '
                             'cannot be opened', 'boxes left out'),
    'outline': Kind('note', 'outlines, of which the box around is used'),
    'other_shape': Kind('note', 'shapes without a box, which training leaves out'),
    'foreign_json': Kind('warning', 'json files of another kind, which are left out'),
    # Classes.
    'no_class': Kind('error', 'files without any class'),
    'bad_name': Kind('error', 'classes whose name is missing or no text',
                     'classes left out with their boxes'),
    'no_token': Kind('error', 'classes without a letter or digit to ask for (text in parentheses '
                     'does not count)', 'classes left out with their boxes'),
    'duplicate_name': Kind('error', 'classes that share their name with another id'),
    'same_words': Kind('error', 'classes that differ only in case, blanks or underscores: the '
                       'model reads the same words'),
    'same_prompt': Kind('error', 'different classes that the model reads as the same tokens'),
    'homonym': Kind('warning', 'classes that differ in parentheses only, which prompts leave out'),
    'unknown_word': Kind('warning', 'classes with words that the vocabulary cannot spell; they '
                         'are read as [UNK]'),
    'class_too_long': Kind('error', 'classes longer than a whole prompt'),
    'prompt_too_long': Kind('error', 'class lists longer than a training prompt, in a pipeline '
                            'without SampleClassPrompt'),
    'super_category': Kind('note', 'classes without a box that are the super-category of another, '
                           'which training leaves out'),
    'class_without_box': Kind('warning', 'classes without any box'),
    'bad_category_id': Kind('error', 'category ids that are missing, twice there or no whole '
                            'numbers', 'categories left out'),
    'unknown_category': Kind('error', 'annotations of categories that are not listed',
                             'annotations left out'),
    'foreign_label_map': Kind('error', 'label maps that know no class of their table'),
    'unlisted_class': Kind('warning', 'boxes of classes that the label map lacks, which training '
                           'leaves out'),
    'label_name_differs': Kind('error', 'boxes whose category differs from what the label map '
                               'says of their label', 'boxes left out'),
    'no_label_map': Kind('error', 'files with labels but without a label map'),
    'no_absence_list': Kind('error', 'images of an LVIS file without the lists neg_category_ids '
                            'and not_exhaustive_category_ids', 'empty lists written'),
    # Boxes.
    'bad_box': Kind('error', 'boxes that are not four finite numbers', 'boxes left out'),
    'bad_area': Kind('error', 'areas that are no finite numbers, which evaluation refuses',
                     'areas left out'),
    'empty_mark': Kind('error', 'marks (iscrowd, ignore) that are NaN, as tables write for '
                       'nothing', 'marks left out'),
    'flat_box': Kind('warning', 'boxes with a side of at most one pixel, which training leaves '
                     'out', 'boxes left out'),
    'box_outside': Kind('warning', 'boxes outside their image, which training leaves out',
                        'boxes left out'),
    'box_over_edge': Kind('warning', 'boxes that reach over the edge of their image by more than '
                          'a pixel, which training cuts', 'boxes cut at the edge'),
    'same_box': Kind('warning', 'boxes that stand twice: same image, class and place',
                     'second boxes left out'),
    'all_boxes_lost': Kind('error', 'files of which no box is left in training'),
    'no_box': Kind('error', 'files without a single box'),
    'boxes_are_xyxy': Kind('error', 'files whose boxes look like x1, y1, x2, y2 where the format '
                           'has x, y, width, height'),
    'boxes_are_xywh': Kind('error', 'files whose boxes look like x, y, width, height where the '
                           'format has x1, y1, x2, y2'),
    'boxes_are_fractions': Kind('error', 'files whose boxes are fractions of the image instead of '
                                'pixels'),
    # Captions.
    'no_caption': Kind('error', 'records without a caption', 'records left out'),
    'empty_caption': Kind('warning', 'captions without a letter or digit'),
    'long_caption': Kind('warning', 'captions over the token limit, which training cuts'),
    'bad_span': Kind('error', 'spans that are empty, reversed, outside their caption or no pair '
                     'of whole numbers', 'spans left out'),
    'span_without_word': Kind('warning', 'spans that cover no letter and no digit',
                              'spans left out'),
    'span_cuts_word': Kind('warning', 'spans that begin or end inside a word'),
    'span_beyond_limit': Kind('warning', 'spans that end beyond the token limit: their boxes '
                              'have no words left'),
    'no_phrase': Kind('warning', 'regions whose phrase is not in the caption',
                      'regions left out'),
    'bad_score': Kind('error', 'regions without a score from 0 to 1, or one per box',
                      'regions left out'),
    'low_score': Kind('note', 'boxes that score too low, which training leaves out'),
    'no_span': Kind('warning', 'boxes without any span', 'boxes left out'),
    # Images.
    'bad_image': Kind('warning', 'images that are missing or cannot be read', 'images left out'),
    'bad_size': Kind('error', 'image sizes that are no positive whole numbers',
                     'sizes left out'),
    'no_size': Kind('note', 'images whose size the file does not tell'),
    'missing_image': Kind('warning', 'images that do not exist'),
    'empty_file': Kind('warning', 'image files of zero bytes'),
    'unreadable_image': Kind('warning', 'image files that are cut off, damaged or no image'),
    'size_differs': Kind('warning', 'images whose size differs from what the file says'),
    'most_sizes_differ': Kind('error', 'files that tell another size for half of their images, or '
                              'more: the boxes do not belong to these images'),
    'exif_turns': Kind('error', 'images that their EXIF tag turns on its side, while the file '
                       'tells the size of the unturned image: its boxes are not where training '
                       'sees them (remove the tag, or label the turned image)'),
    'deep_pixels': Kind('warning', 'images of 16 bits per channel, of which the upper 8 are used: '
                        'dark where fewer than 16 hold something'),
    'animated': Kind('note', 'animated images, of which the first frame is used'),
}


@dataclass
class Finding:
    """All findings of one kind.

    Args:
        kind: A key of `KINDS`.
        severity: 'error', 'warning' or 'note'.
        where: The first place: a record of the file, or an image.
        message: Description.
        count: Number of times that it was found.
        examples: The first few, each 'where: what'.
    """
    kind: str
    severity: str
    where: str
    message: str
    count: int = 0
    examples: list[str] = field(default_factory=list)


class Findings:
    """Findings by kind, counted, with their first examples."""

    def __init__(self) -> None:
        self._found: dict[str, Finding] = {}

    def add(self, kind: str, where: str, detail: Any = '', severity: str | None = None) -> None:
        """Counts one.

        Args:
            kind: A key of `KINDS`.
            where: The place, e.g. 'annotations[3]'.
            detail: Value at that place.
            severity: Severity; None takes that of the kind.
        """
        entry = self._found.get(kind)
        if entry is None:
            known = KINDS[kind]
            entry = Finding(kind, severity or known.severity, where, known.message)
            self._found[kind] = entry
        entry.count += 1
        if len(entry.examples) < EXAMPLES:
            text = shorten(detail)
            entry.examples.append(f'{where}: {text}' if text else where)

    def __contains__(self, kind: str) -> bool:
        return kind in self._found

    def count(self, kind: str) -> int:
        """How many of one kind."""
        return self._found[kind].count if kind in self._found else 0

    def sorted(self) -> list[Finding]:
        """The worst first; among equals in the order of `KINDS`."""
        order = list(KINDS)
        return sorted(self._found.values(),
                      key=lambda f: (SEVERITIES.index(f.severity), order.index(f.kind)))

    def errors(self) -> list[Finding]:
        """Those that make training impossible, wrong or useless."""
        return [finding for finding in self.sorted() if finding.severity == 'error']

    def remedies(self) -> list[str]:
        """What a cleaned copy made of the same findings has changed, a line per kind."""
        return [f'{finding.count} {KINDS[finding.kind].remedy} ({finding.message})'
                for finding in self.sorted() if KINDS[finding.kind].remedy]

    def as_dicts(self) -> list[dict]:
        """For a report file."""
        return [asdict(finding) for finding in self.sorted()]


def shorten(value: Any, limit: int = 120) -> str:
    """A value as text of one line, cut where it is long."""
    text = value if isinstance(value, str) else repr(value)
    # Half of a surrogate pair could not be printed.
    text = ' '.join(text.split()).encode('utf-8', 'backslashreplace').decode('utf-8')
    text = visible(text)
    return text if len(text) <= limit else text[:limit - 3] + '...'
