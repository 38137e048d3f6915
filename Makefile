# make check   look for slips in the code (ruff), in the spelling (codespell), and compile all of it
# make test    run the tests; the quick ones alone (two minutes): .venv/bin/pytest -m "not slow"
# make demo    make a world of photographs, train a small model on it (7 minutes), evaluate it, write
#              a report; the photographs come from a package of Debian, which it downloads
#              (make demo WORLD=shapes: the same on drawn shapes, with nothing to download)
# make bench   time it against its peers, rewrite the tables of docs/benchmarks.md (half an hour)
# make docs    build the documentation as a site, in site/
# make setup   only the environment that all of them make for themselves
# make clean   remove the environment, caches and build products
#
# All of it needs Python 3.10-3.13 with pip, and the package index. Nothing is compiled.

WORLD ?= stamps
VENV := .venv
CHECKED := glipkit configs data_prep tools tests setup.py docs README.md
RUN := $(VENV)/bin/python

# The first interpreter that starts, has a version we support, and can make environments. A name
# on the path may be a shim that does not start, so each is asked.
CANDIDATES := python3 python3.12 python3.11 python3.13 python3.10 python
PROBE := import sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))
ifndef PYTHON
PYTHON := $(shell for p in $(CANDIDATES); do \
	$$p -c '$(PROBE)' >/dev/null 2>&1 && { echo $$p; break; }; done)
endif

# Two stamps say what the environment was made for: the interpreter and this folder (another one
# means a new environment), and the files that list what goes in (other contents mean pip again).
KEY := $(firstword $(shell { $(PYTHON) -VV; $(PYTHON) -c 'import sys; print(sys.prefix)'; \
	pwd; } 2>&1 | cksum))
CREATED := $(VENV)/created-$(KEY)
INSTALLED := $(VENV)/installed-$(firstword $(shell cat pyproject.toml setup.py Makefile | cksum))

# Settings from outside that would change what is installed, or from where it is imported.
unexport PYTHONHOME PYTHONPATH VIRTUAL_ENV PIP_NO_BUILD_ISOLATION PIP_TARGET PIP_USER MMCV_WITH_OPS
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: setup check test demo bench docs clean

setup: $(INSTALLED)

check: $(INSTALLED)
	$(RUN) -m ruff check .
	$(RUN) -m codespell_lib $(CHECKED)
	$(RUN) -m compileall -q $(filter-out %.md docs,$(CHECKED))

test: $(INSTALLED)
	$(RUN) -m pytest

demo: $(INSTALLED)
	$(RUN) tools/demo.py --world $(WORLD)

bench: $(INSTALLED)
	$(RUN) -m glipkit.cli.main bench all --out docs/benchmarks --page docs/benchmarks.md

docs: $(INSTALLED)
	$(RUN) -m pip install --quiet --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict

$(CREATED):
	@test -n '$(PYTHON)' || { echo 'expected Python 3.10 to 3.13 with its venv module; found none' \
		'among: $(CANDIDATES). Install one, or name it: make PYTHON=/path/to/python3' >&2; exit 2; }
	rm -rf $(VENV)
	@# Some systems split ensurepip off: there the pip outside installs one inside.
	$(PYTHON) -c 'import ensurepip' 2>/dev/null && $(PYTHON) -m venv $(VENV) \
		|| { $(PYTHON) -m venv --without-pip $(VENV) \
		     && $(PYTHON) -m pip --python $(RUN) install --quiet pip; }
	$(RUN) -m pip install --quiet --upgrade 'pip>=24.2'
	touch $@

$(INSTALLED): | $(CREATED)
	rm -f $(VENV)/installed-*
	$(RUN) -m pip install --editable '.[test]'
	@# The libraries ask for two builds of opencv, and both write to cv2/. The one for screens needs
	@# system libraries that servers and containers lack, so the other one has to come last.
	$(RUN) -m pip install --quiet --no-deps --force-reinstall \
		"opencv-python-headless==$$($(RUN) -c \
		'from importlib.metadata import version; print(version("opencv-python"))')"
	$(RUN) -m pip check
	touch $@

clean:
	rm -rf $(VENV) build dist site *.egg-info .pytest_cache .hypothesis
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
