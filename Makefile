# Every target creates .venv when it is missing and needs nothing but python3, its venv and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test same lint bench bench-check fuzz audit docs clean

$(VENV)/runtime: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/dev: $(VENV)/runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "import-linter>=2.3" "linkify-it-py>=2" "markdown-it-py>=3" "mypy>=1.11" "pytest>=8" "pytest-xdist>=3.5" "ruff>=0.6" "setuptools>=77" types-PyYAML types-jsonschema
	@touch $@

# What is read at start in place of the YAML files, while it is made of them.
rules/compiled.json: $(VENV)/runtime $(wildcard rules/*/ rules/*/*.yaml)
	$(BIN)/python -m sslint.engine.compiled

# The quick suite, then the live tests; what this machine cannot run is skipped and says why.
test: $(VENV)/dev rules/compiled.json
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal $(TESTS)

# Whether BASE, a revision, gives the same answers on every tree at hand, on SEEDS generated hosts
# and on the directories of trees that SSLINT_TREES names.
SEEDS ?= 100

same: $(VENV)/dev rules/compiled.json
	$(BIN)/python -m tests.same $(BASE) --seeds $(SEEDS)

lint: $(VENV)/dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy --strict linter/
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m tests.words

# The reports of the examples, as the README shows them.
demo: $(VENV)/runtime rules/compiled.json
	@for host in examples/*/; do \
		printf '\n$$ sslint check %s\n\n' "$$host"; \
		$(BIN)/sslint check "$$host"; \
		code=$$?; [ $$code -le 1 ] || exit $$code; \
	done

# docs/rules/, one page a rule; docs/facts.md and schemas/facts.schema.json, the fields that rules
# may ask for; the manual and the completions in share/.
docs: $(VENV)/runtime rules/compiled.json
	$(BIN)/python -m sslint.reports.markdown docs
	$(BIN)/python -m sslint.reports.manual share

# What sslint costs beside nginx, iptables and nft, into docs/benchmarks.md; `bench-check` fails where
# a ratio is worse by a fifth than there.
bench: $(VENV)/runtime rules/compiled.json
	$(BIN)/python tests/bench.py

bench-check: $(VENV)/runtime rules/compiled.json
	$(BIN)/python tests/bench.py --check

# Random inputs guided by coverage, FUZZ_RUNS for each subject; the next run goes on with the corpus
# in build/fuzz. What is found lies in build/fuzz/found.
FUZZ_RUNS ?= 200000
FUZZ_SUBJECTS ?= nft iptables managers scripts nginx apache postfix dovecot haproxy caddy programs compose documents settings host

fuzz: $(VENV)/dev rules/compiled.json
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "atheris>=3"
	@for subject in $(FUZZ_SUBJECTS); do \
		$(BIN)/python -m tests.fuzz $$subject $(FUZZ_RUNS) || exit; \
	done

# What looks for known weaknesses: in the code (bandit), in the dependencies (pip-audit, which asks
# the registry) and in workflows and actions (zizmor). It is run before a release; `make lint` has
# ruff's form of bandit's rules.
audit: $(VENV)/dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "bandit>=1.8" "pip-audit>=2.7" "zizmor>=1"
	$(BIN)/bandit --quiet --recursive linter --configfile pyproject.toml
	$(BIN)/zizmor --offline --quiet .
	$(BIN)/pip-audit --skip-editable --progress-spinner off

clean:
	rm -rf $(VENV) build dist linter/*.egg-info
