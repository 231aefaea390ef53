# Each target works on a fresh clone: it makes .venv first, from Python 3.11 or newer (PYTHON) and a C compiler.
# EXTRAS names what is installed beside the package; `dev,conformance` adds the readers of other tools' formats.
# WORKERS is how many processes `make test` uses.

PYTHON ?= python3
EXTRAS ?= dev
WORKERS ?= 2
VENV := .venv
RUN := $(VENV)/bin
INSTALLED := $(VENV)/installed-$(EXTRAS)
AGENT := $(shell find inprocess/execd_agent -name '*.py') daemon/execd/attach/bytecode.py daemon/execd/attach/text.py
# The agent compiled for each CPython that is found here; targets of other versions compile it themselves.
BYTECODE := $(VENV)/bytecode
NATIVE_SOURCES := $(wildcard inprocess/native/*.c daemon/native/*.c)
NATIVE_HEADERS := $(wildcard inprocess/native/*.h daemon/native/*.h)
C_CHECK := $(CC) -std=gnu11 -Wall -Wextra -Werror -fsyntax-only

export PATH := $(CURDIR)/$(RUN):$(PATH)

.PHONY: demo test sanitize check bench soak proto wheel clean
.DELETE_ON_ERROR:

demo: $(INSTALLED) $(BYTECODE)
	$(RUN)/python tests/demo.py

# Most tests wait for a target or for time, so that several go side by side; a file's share programs and stay together.
test: $(INSTALLED) $(BYTECODE)
	$(RUN)/python -m pytest -q -m "alone and not soak"
	$(RUN)/python -m pytest -q -m "not alone and not soak" -n $(WORKERS) --dist loadscope

# Takes hours, and goes on where it was ended; tests/soak/__main__.py tells of its variables.
soak: $(INSTALLED) $(BYTECODE)
	PYTHONPATH=tests $(RUN)/python -m soak
	$(RUN)/python -m pytest -q -m soak

# Tests of the native code in targets and in the daemon, looked after by AddressSanitizer and UBSan: some minutes, and
# gcc's libasan.
sanitize: $(INSTALLED) $(BYTECODE)
	$(RUN)/python tests/sanitizing.py -n $(WORKERS)
	$(RUN)/python tests/sanitizing_daemon.py

check: $(INSTALLED)
	$(RUN)/ruff check
	$(RUN)/ruff format --check
	$(RUN)/mypy
	@set -e; include=$$($(RUN)/python -c 'import sysconfig; print(sysconfig.get_path("include"))'); \
	for source in $(NATIVE_SOURCES); do echo "$(C_CHECK) $$source"; $(C_CHECK) -I"$$include" "$$source"; done
	$(RUN)/python -m pytest -q tests/test_layering.py tests/test_proto_fresh.py tests/test_shape.py

bench: $(VENV)/installed-dev,bench $(BYTECODE)
	@set -e; for program in benchmarks/bench_*.py; do \
		test -e "$$program" || continue; echo "$$program"; $(RUN)/python "$$program"; \
	done

# Run inside proto/, so that the generated imports read `from execd_api.v1 import ...`.
proto: $(INSTALLED)
	cd proto && python -m grpc_tools.protoc -I. --python_out=. --grpc_python_out=. --mypy_out=. --mypy_grpc_out=. \
		execd_api/v1/*.proto
	cd proto && python -m grpc_tools.protoc -I. --python_out=. --mypy_out=. execd_api/pprof/*.proto

wheel: $(INSTALLED) $(BYTECODE)
	$(RUN)/python -m build

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find client daemon inprocess proto tests benchmarks \
		\( -name __pycache__ -o -name bytecode -o -name '*.egg-info' -o -name '*.so' \) -prune -exec rm -rf {} +

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: set PYTHON")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed-%: pyproject.toml $(NATIVE_SOURCES) $(NATIVE_HEADERS) | $(VENV)/bin/python
	$(RUN)/python -m pip install --quiet --disable-pip-version-check -e '.[$*]'
	touch $@

$(BYTECODE): $(AGENT) | $(INSTALLED)
	$(RUN)/python tests/compile_agent.py
	touch $@
