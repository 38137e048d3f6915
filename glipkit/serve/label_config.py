"""Label interfaces of Label Studio: which words are asked for, and which label each of them is."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

from glipkit.errors import UserError


@dataclass(frozen=True)
class Control:
    """A set of labels for rectangles on one image.

    Args:
        name: ``from_name`` of its regions.
        image: ``to_name`` of its regions.
        key: Key of the image in the data of a task.
        words: Word that is asked for -> label that a region gets.
        threshold: Lowest score; None takes the model's.
    """

    name: str
    image: str
    key: str
    words: Mapping[str, str]
    threshold: float | None = None


def read_label_config(text: str) -> list[Control]:
    """The rectangle labels of a label interface.

    A label is asked for by its ``value``; where it has ``predicted_values``, by these words
    (commas between them). A region gets its ``alias`` where it has one, otherwise its ``value``.
    ``model_score_threshold`` of a control is its threshold; one with ``model_skip`` is left out.

    Args:
        text: The XML of the interface.

    Raises:
        UserError: It is no XML, or holds no rectangle labels of an image.
    """
    # Entities of a document type are the one thing in XML that can do harm.
    if '<!DOCTYPE' in text.upper() or '<!ENTITY' in text.upper():
        raise UserError('a label interface without a document type', 'one with it', 'remove it')
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise UserError('the label interface of a project, as XML', f'other text ({error})',
                        'send label_config (predict) or schema (setup)') from error
    images = {tag.get('name', ''): tag.get('value', '') for tag in root.iter('Image')}
    controls = [control for tag in root.iter('RectangleLabels')
                if (control := _control(tag, images)) is not None]
    if not controls:
        raise UserError('a label interface with RectangleLabels, with a Label or more, for an '
                        'Image', 'none', 'add <RectangleLabels name="label" toName="image">')
    return controls


def _control(tag: ElementTree.Element, images: Mapping[str, str]) -> Control | None:
    """The control of a tag; None where it is for no image, is skipped, or has no labels."""
    name, image = tag.get('name', ''), tag.get('toName', '')
    value = images.get(image, '')
    if not name or not value.startswith('$') or tag.get('model_skip', '').lower() in ('1', 'true'):
        return None
    words: dict[str, str] = {}
    for label in tag.iter('Label'):
        shown = label.get('value', '').strip()
        asked = [word.strip() for word in label.get('predicted_values', '').split(',')]
        for word in [word for word in asked if word] or [shown]:
            # Of two labels for one word the first counts: a region has one.
            if word:
                words.setdefault(word, label.get('alias') or label.get('value', ''))
    return Control(name, image, value[1:], words, _threshold(tag)) if words else None


def _threshold(tag: ElementTree.Element) -> float | None:
    text = tag.get('model_score_threshold') or tag.get('score_threshold')
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.
    if not 0 <= value <= 1:
        raise UserError('a model_score_threshold between 0 and 1', repr(text), 'correct it')
    return value
