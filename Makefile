# Everything here needs only `make` and Python 3.11 or newer; `make env` fetches the rest into .venv.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
DEVICE ?= cpu
BUILD_BOOK := $(BIN)/python tools/build_book.py --device $(DEVICE) $(if $(FORCE),--force)

# Where the book is published: make book REPOSITORY=https://github.com/OWNER/NAME SITE=https://OWNER.github.io/NAME/
$(foreach name,REPOSITORY BRANCH JUPYTERHUB SITE,$(if $($(name)),$(eval export QGC_$(name) := $($(name)))))

.DEFAULT_GOAL := help
.PHONY: help env book site offline pdf notebooks test browser peers course course-check gpu-check lint format lock clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-12s %s\n", $$1, $$2 }'

env: ## set up .venv with the locked packages (again only when the lock changed)
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer found: install one, or say make PYTHON=/path/to/python3"; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "PYTHON=$(PYTHON) is no Python 3.11 or newer, which the book needs: name another"; exit 1; }
	@$(BIN)/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || \
		"$(PYTHON)" -m venv --clear $(VENV) || { \
		echo "Could not create $(VENV): on Debian and Ubuntu, install the package python3-venv."; exit 1; }
	@cmp -s requirements.lock $(VENV)/installed.lock || { \
		$(BIN)/python -m pip install --no-deps --require-hashes -r requirements.lock \
		&& cp requirements.lock $(VENV)/installed.lock; }
	@cmp -s pyproject.toml $(VENV)/installed.toml || { \
		$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e . \
		&& cp pyproject.toml $(VENV)/installed.toml; }
	@mkdir -p $(VENV)/etc/jupyter && cp tools/jupyter_server_config.py $(VENV)/etc/jupyter/

book: env ## run the notebooks that changed and build the site; DEVICE=cuda, FORCE=1, REPOSITORY=https://…
	@$(BUILD_BOOK)

site: env ## build the site from the outputs that stand in book/, running nothing
	@$(BUILD_BOOK) --as-committed

offline: site ## one archive of the site, to be read without a network
	@$(BIN)/python tools/offline.py

pdf: site ## the whole book as a PDF; needs Chromium
	@$(BIN)/python tools/pdf.py

notebooks: env ## run the notebooks that changed and write clean outputs back to book/; DEVICE=cuda, FORCE=1
	@$(BUILD_BOOK) --write-back

test: env ## style, layers, site, unit tests and the notebooks' committed outputs
	@$(BIN)/python tools/check.py

browser: env ## only the tests of pages in Chromium, then what each page weighs
	@$(BIN)/python -m pytest -q tests/browser
	@$(BIN)/python tools/site_report.py

# Captum, pytorch-grad-cam, Quantus and transformers, and what only they need. All else is taken from .venv.
PEERS := .venv-peers
PACKAGES := import sysconfig; print(sysconfig.get_path("purelib"))
ALL_ELSE := import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))
define beside # (lock, folder): an environment with a lock of its own beside .venv, from which all else is taken
	@{ cat $(1); $(BIN)/python -VV; } | cmp -s - $(2)/installed.lock || { \
		$(BIN)/python -m venv --clear $(2) \
		&& $(BIN)/python -c '$(ALL_ELSE)' > "$$($(2)/bin/python -c '$(PACKAGES)')/all-else.pth" \
		&& $(2)/bin/python -m pip install --no-deps --no-build-isolation --require-hashes -r $(1) \
		&& { cat $(1); $(BIN)/python -VV; } > $(2)/installed.lock; }
endef

peers: env ## the tests against Captum, pytorch-grad-cam, Quantus and transformers, which are put into .venv-peers
	$(call beside,requirements-peers.lock,$(PEERS))
	@$(PEERS)/bin/python -c 'import captum, pytorch_grad_cam, quantus, transformers' # the tests skip what is not there
	@OMP_NUM_THREADS=2 $(PEERS)/bin/python -m pytest -q tests/lab/bench/test_peers.py tests/module \
		tests/lab/bench/test_reference_peers.py tests/measure/test_localise.py

COURSE := .venv-course
MAKE_COURSE := PYTHONPATH=. $(COURSE)/bin/python tools/course.py $(if $(SEED),--seed $(SEED)) $(if $(OUT),--out "$(OUT)") \
	$(if $(FORMAT),--format $(FORMAT))

course: env ## homework that grades itself, slides and a guide for one school; SEED=7, OUT=folder, FORMAT=nbgrader
	$(call beside,requirements-course.lock,$(COURSE))
	@$(MAKE_COURSE)

course-check: env ## the course packs of two schools, made and graded with Otter-Grader
	$(call beside,requirements-course.lock,$(COURSE))
	@$(COURSE)/bin/python -m pytest -q tests/course

gpu-check: $(if $(WHEELS),,env) ## on a machine with a GPU: speed, exactness, a training step, three notebooks; WHEELS=folder
	@$(if $(WHEELS),$(PYTHON),$(BIN)/python) tools/gpu_check.py $(if $(WHEELS),--wheels "$(WHEELS)")

lint: env ## style and layers only
	@$(BIN)/python tools/check.py lint

format: env ## format and fix what ruff can fix
	@$(BIN)/python -m ruff check --fix .
	@$(BIN)/python -m ruff format .

COMPILE := .venv-lock/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	--no-header --no-emit-index-url --no-annotate --generate-hashes
LOCKS := requirements.lock requirements-peers.lock requirements-course.lock
NEW := NR == FNR { if (/^[a-z]/) have[$$1]; next } /^[a-z]/ { skip = $$1 in have } !skip

# Quantus brings OpenCV without windows; pytorch-grad-cam would bring it once more, with them. Otter would bring a browser.
lock: ## bring the locks in line with pyproject.toml (delete them first to take the newest versions)
	@$(PYTHON) -m venv --clear .venv-lock && .venv-lock/bin/python -m pip install --quiet uv
	@$(COMPILE) --extra book --extra test -o requirements.lock
	@$(COMPILE) --extra peers --constraints requirements.lock --no-emit-package opencv-python -o requirements-peers.lock
	@$(COMPILE) --extra course --constraints requirements.lock --no-emit-package playwright \
		--no-emit-package greenlet -o requirements-course.lock
	@for one in peers course; do awk '$(NEW)' requirements.lock requirements-$$one.lock > lock.part \
		&& mv lock.part requirements-$$one.lock; done
	@rm -rf .venv-lock
	@! grep -nE '://|file:|^-|(^|[[:space:]@])/' $(LOCKS) || { echo "a lock names a place: see above"; exit 1; }

clean: ## remove what was built, but keep .venv
	rm -rf build _build .pytest_cache .ruff_cache .import_linter_cache
