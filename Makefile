# Every target creates .venv when it is missing and needs nothing but python3, its venv and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint bench docs format clean

$(VENV)/runtime: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/dev: $(VENV)/runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "mypy>=1.11" "pytest>=8" "pytest-xdist>=3.5" "ruff>=0.6" types-PyYAML types-jsonschema
	@touch $@

clean:
	rm -rf $(VENV) build dist linter/*.egg-info
