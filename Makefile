# make demo  - set up, then train, export, recommend and bench on built-in synthetic data
# make test  - set up, then lint, type-check and test everything
# make fuzz  - fuzz the C core (needs clang), deltas and compact files; RUNS=n says how long
# make android-apk - build, sign and verify the demo app; BUNDLE=folder takes the bundle of your own run
# PIP_ARGS passes options to pip, for example an index that serves CPU builds of PyTorch.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
C_FILES := $(wildcard sparsedevice/runtime/csrc/*.[ch] sparsedevice/sparse/csrc/*.[ch])
FORMATTED = $(shell find sparsedevice exporters android_demo fuzz tests benchmarks -name '*.[ch]' -o -name '*.cpp')
PIP_ARGS ?=

.PHONY: setup build demo test lint types fix clean

setup: $(STAMP) build

PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile

# PyTorch first and alone: packages installed after it then accept the build that is there. What pip would
# compile on one core, tests of packages and all, is compiled on every core, without their tests.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) $(PIP_ARGS) torch==2.13.0
	$(PIP_INSTALL) $(PIP_ARGS) -c constraints.txt -e '.[train,onnx,executorch,web,report,dev]'
	$(BIN)/python -m compileall -qq -j 0 -x '/tests?/' $(VENV)/lib || true
	touch $@

build: $(VENV)/.built

$(VENV)/.built: $(STAMP) setup.py $(C_FILES)
	$(BIN)/python setup.py --quiet build_ext --inplace
	touch $@

demo: export PATH := $(CURDIR)/$(BIN):$(PATH)
demo: setup
	sparsedevice train synthetic --epochs 20 --out demo/run
	sparsedevice export demo/run --target onnx --users --out demo/bundle
	sparsedevice recommend demo/bundle --history 0,6,12 -k 5
	sparsedevice bench demo/bundle --backend core
	sparsedevice bench demo/bundle --backend onnx

test: setup lint types
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror $(FORMATTED)

types: setup
	$(BIN)/mypy

fix: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(FORMATTED)

# Runs of each fuzz target. What CI does is in tests/runtime/test_fuzz.py; docs/results.md has the long run.
RUNS ?= 1000000
FUZZ_CC ?= $(shell command -v clang || command -v clang-14)

fuzz: setup
	mkdir -p build/fuzz
	$(BIN)/python fuzz/make_corpus.py build/fuzz/corpus
	$(FUZZ_CC) -g -O1 -std=c11 -ffp-contract=off -fsanitize=fuzzer,address,undefined \
	    -fno-sanitize-recover=undefined -Isparsedevice/runtime/csrc fuzz/fuzz_core.c \
	    $(filter-out $(wildcard sparsedevice/runtime/csrc/sd_python*.c),$(wildcard sparsedevice/runtime/csrc/*.c)) -o build/fuzz/fuzz_core
	build/fuzz/fuzz_core -runs=$(RUNS) -max_len=8192 -print_final_stats=1 build/fuzz/corpus
	$(FUZZ_CC) -g -O1 -std=c11 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
	    -Isparsedevice/runtime/csrc fuzz/fuzz_streams.c sparsedevice/runtime/csrc/sd_compact.c -o build/fuzz/fuzz_streams
	mkdir -p build/fuzz/streams
	build/fuzz/fuzz_streams -runs=$(RUNS) -max_len=4096 -print_final_stats=1 build/fuzz/streams
	$(BIN)/python fuzz/fuzz_delta.py $$(( $(RUNS) / 100 ))

# Of a run on synthetic data where no bundle is named. The APK lies in build/android.
APK := build/android
BUNDLE ?= $(APK)/bundle

$(APK)/bundle: setup
	$(BIN)/sparsedevice train synthetic --out $(APK)/run
	$(BIN)/sparsedevice export $(APK)/run --target android --out $@

android-apk: $(BUNDLE)
	python3 $(BUNDLE)/android/tools/build_apk.py --work $(APK)/work --out $(APK)/sparsedevice-demo.apk

.PHONY: android-apk

clean:
	rm -rf $(VENV) build demo *.egg-info
