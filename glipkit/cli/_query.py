"""What a command asks: ``--classes`` and what goes with it."""
from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glipkit.text.query import Query

CLASSES = ('class names, separated by commas; one that holds a comma goes in double quotes; or a '
           'file of them (a name a line, a YOLO data.yaml, a COCO json) or a query file (YAML or '
           'JSON: other names, negatives, exclusive groups), also as @FILE')


def add_query_arguments(parser: argparse.ArgumentParser) -> None:
    """``--negative-classes`` and ``--exclusive``."""
    parser.add_argument('--negative-classes', metavar='"A, B"|FILE',
                        help='names that must not be found: what looks more like one of them is '
                             'left out')
    parser.add_argument('--exclusive', action='append', default=[], metavar='"A, B"',
                        help='classes of which one object has one; may be given several times')


def test_query(args: argparse.Namespace) -> Query | None:
    """What a test asks; None for all classes of its data.

    Raises:
        UserError: As `query_arguments`, or something beside no classes.
    """
    asked = query_arguments(args)
    if asked['classes'] is not None:
        return asked['classes'].with_more(asked['negative_classes'], asked['exclusive'])
    if args.negative_classes is not None or args.exclusive:
        from glipkit.errors import UserError
        raise UserError('--classes with --negative-classes and --exclusive', 'none',
                        'name the classes of the data too')
    return None


def query_arguments(args: argparse.Namespace) -> dict[str, Any]:
    """What a predictor's call and an export take: classes, negative_classes and exclusive.

    Raises:
        UserError: A file that cannot be read, or something in it that cannot be asked.
    """
    from glipkit.apis.query_files import read_groups, read_negatives, read_query
    return dict(classes=None if args.classes is None else read_query(args.classes),
                negative_classes=read_negatives(args.negative_classes),
                exclusive=read_groups(args.exclusive))
