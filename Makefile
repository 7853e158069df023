# Everything runs in .venv, which is made from the exact versions in requirements.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup demo test test-slow test-engines test-adapters test-importing test-jax test-jax-extremes lint format bench accelerators docs dist clean

setup: $(READY)

$(READY): requirements.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

demo: $(READY)
	$(BIN)/python examples/digits.py --output out

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist worksteal

# Further cases of what `make test` tests already.
test-slow: $(READY)
	$(BIN)/python -m pytest -n 2 --dist worksteal -m slow

# Jobs on Ray, Beam and SLURM's local stand-in, in an environment of its own.
test-engines: .venv-engines/.ready
	.venv-engines/bin/python -m pytest -m "not slow" tests/test_jobs_engines.py

.venv-engines/.ready: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv-engines
	.venv-engines/bin/python -m pip install --quiet uv
	.venv-engines/bin/uv pip install --quiet --python .venv-engines/bin/python --editable ".[test,slurm,ray,beam]"
	touch $@

# Kernels in tinygp, GPJax, GPyTorch and BoTorch, in an environment of its own.
test-adapters: .venv-adapters/.ready
	.venv-adapters/bin/python -m pytest -m adapters tests/test_adapters.py

.venv-adapters/.ready: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv-adapters
	.venv-adapters/bin/python -m pip install --quiet uv
	.venv-adapters/bin/uv pip install --quiet --python .venv-adapters/bin/python --editable ".[test,adapters]"
	touch $@

# Modules of Flax, Equinox and PyTorch, which it installs in an environment of its own.
test-importing: .venv-importing/.ready
	.venv-importing/bin/python -m pytest -m importing tests/test_importing_libraries.py

.venv-importing/.ready: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv-importing
	.venv-importing/bin/python -m pip install --quiet uv
	.venv-importing/bin/uv pip install --quiet --python .venv-importing/bin/python --requirement requirements.txt flax
	.venv-importing/bin/uv pip install --quiet --python .venv-importing/bin/python --editable ".[torch]"
	touch $@

# Other releases of Python and JAX, as pyproject.toml allows, in environments of their own.
test-jax:
	$(PYTHON) tools/jax_versions.py all

test-jax-extremes:
	$(PYTHON) tools/jax_versions.py extremes

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Neural Tangents, which the benchmarks measure beside ntc, in an environment of its own.
PEER = .venv-peer/bin/python

bench: $(READY) $(PEER)
	NTC_PEER=$(PEER) $(BIN)/python -m benchmarks

# The compilers for GPUs and TPUs, which need no such device, in an environment of their own: what programs for these
# would do, and whether that is within bounds.
ACCELERATORS = .venv-accelerators/bin/python

accelerators: $(ACCELERATORS) $(PEER)
	JAX_PLATFORMS=cpu NTC_PEER=$(PEER) $(ACCELERATORS) -m benchmarks accelerators
	JAX_PLATFORMS=cpu XLA_FLAGS= NTC_PEER=$(PEER) $(ACCELERATORS) -m pytest -m accelerators tests/test_accelerators.py

$(ACCELERATORS): requirements.txt benchmarks/accelerators.txt
	$(PYTHON) -m venv .venv-accelerators
	$(ACCELERATORS) -m pip install --quiet --requirement requirements.txt --requirement benchmarks/accelerators.txt
	$(ACCELERATORS) -m pip install --quiet --no-deps --no-build-isolation --editable .

.venv-peer/bin/python:
	$(PYTHON) -m venv .venv-peer
	.venv-peer/bin/pip install --quiet --requirement benchmarks/peer.txt

# The documentation as a site, in site/, with the tools for it in an environment of its own. Links, code blocks of
# notebooks, and examples of layers that are wrong fail.
docs: .venv-docs/.ready
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/python -m mkdocs build --strict --quiet

.venv-docs/.ready: requirements.txt docs/requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet --requirement requirements.txt --requirement docs/requirements.txt
	.venv-docs/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

# A wheel and a source distribution, which are checked: metadata, files, and the first hour in an empty environment.
dist: $(READY)
	$(BIN)/python tools/distribution.py

clean:
	rm -rf $(VENV) .venv-peer .venv-engines .venv-adapters .venv-importing .venv-accelerators .venv-uv .venv-jax-* .venv-docs out build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
