"""``glipkit models``: the models that have a name, and the weights that are on this machine."""
from __future__ import annotations

import argparse
from typing import Any

from glipkit.cli._command import add_command

DESCRIPTION = '''Lists the models that have a name, and which weights are on this machine. A name
brings its weights: what does not come with glipkit is fetched from the Hugging Face hub on first
use, converted once, and found again without a network. A published file that you put into the
folder of weights by hand is taken as well.'''

EXAMPLES = '''examples:
  glipkit models                         # names, published numbers, licences, what is here
  glipkit models --json                  # the same for programs, with all sources
  glipkit models fetch glip-t            # before you go where there is no network
  glipkit models fetch glip-t --force    # once more
  glipkit models where glip-t            # the file, and nothing else
'''

FETCH_EXAMPLES = '''examples:
  glipkit models fetch glip-t
  glipkit models fetch glip-t --force

A download that breaks goes on from there when the command is repeated.
'''


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = add_command(subparsers, 'models', EXAMPLES, DESCRIPTION)
    parser.add_argument('--json', action='store_true', help='print JSON')
    parser.set_defaults(run=run, name=None)
    actions = parser.add_subparsers(dest='action', metavar='fetch|where')
    fetch = actions.add_parser('fetch', help='have the weights of a model on this machine',
                               epilog=FETCH_EXAMPLES,
                               formatter_class=argparse.RawDescriptionHelpFormatter)
    fetch.add_argument('name', metavar='NAME', help='model name')
    fetch.add_argument('--force', action='store_true', help='fetch and convert them anew')
    where = actions.add_parser('where', help='print the file of its weights; nothing is fetched',
                               epilog='examples:\n  glipkit models where glip-t\n',
                               formatter_class=argparse.RawDescriptionHelpFormatter)
    where.add_argument('name', metavar='NAME', help='model name')


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    import json

    from glipkit.apis.catalogue import catalogue, named, render
    from glipkit.apis.weights import fetch_weights, weights_here
    if args.action == 'fetch':
        print(fetch_weights(named(args.name), args.force))
    elif args.action == 'where':
        print(weights_here(named(args.name)))
    else:
        models: dict[str, Any] = catalogue()
        print(json.dumps(models, indent=2) if args.json else render(models))
    return 0
