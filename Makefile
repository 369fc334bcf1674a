# Everything runs in .venv, made by the first target that needs it.
PYTHON ?= python3
BIN := .venv/bin
OFFLINE := OMP_NUM_THREADS=1

.PHONY: app lab test quick matrix docs book slides lint bench results gpu gpu-table notebooks wheel lock

app: .venv/ready ## open the dashboard
	$(BIN)/streamlit run app.py

lab: .venv/ready ## open JupyterLab on the first notebook
	$(BIN)/jupyter lab notebooks/00_what_you_need.ipynb

test: .venv/ready lint ## lint, types, tests, notebooks
	$(OFFLINE) $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

# the tests that are done in seconds, without training, pages or browsers
QUICK := tests/test_bank.py tests/test_cli.py tests/test_cli_show.py tests/test_contributing.py tests/test_data.py \
    tests/test_settings.py tests/test_labels.py tests/test_objectives_registry.py \
    tests/test_objectives_terms.py tests/test_report.py tests/test_rooms.py tests/test_runs.py \
    tests/test_transport.py tests/test_views.py

quick: .venv/ready lint ## lint, types and the fast tests, in less than 90 seconds
	$(OFFLINE) $(BIN)/pytest -n 2 --dist loadfile -m "not slow" $(QUICK)

PYTHONS ?= 3.11 3.12 3.13
matrix: .venv/uv ## the suite on each of PYTHONS (versions or paths) and with the lowest versions
	$(BIN)/python tests/matrix.py $(PYTHONS)

docs: .venv/ready ## guides and reference as pages: docs/_build/html/index.html
	$(OFFLINE) $(BIN)/python -m sphinx -E -W --keep-going -q -b html docs docs/_build/html

book: .venv/ready ## the course as pages: course/book/_build/html/index.html
	$(OFFLINE) $(BIN)/python -m course.book.build

slides: .venv/ready ## slides, script and cheat sheet of the lecture: course/slides/_build
	$(OFFLINE) $(BIN)/python -m course.slides.build

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/ready ## time and memory against the published form and POT
	$(OFFLINE) $(BIN)/python -m benchmarks

gpu: .venv/ready ## correctness, speed, short recipe: DATA=file.npz; SMALL=1 tries the command
	$(BIN)/python -m benchmarks.gpu $(if $(SMALL),--small) $(if $(DATA),--data $(DATA))

gpu-table: .venv/ready ## nine arms over 240 epochs: DATA=file.npz; SMALL=1 tries the command
	$(BIN)/python -m benchmarks.table $(if $(SMALL),--small) $(if $(DATA),--data $(DATA))

results: .venv/ready ## run every study of results/ (hours on two cores)
	$(OFFLINE) $(BIN)/python -m studies all

notebooks: .venv/ready ## run every notebook, in place
	$(OFFLINE) $(BIN)/python -m lab.course.execute_notebooks

wheel: .venv/uv ## make the installable file and the source archive, in dist/
	$(BIN)/uv build --quiet --clear -o dist

lock: .venv/uv ## renew requirements.lock from pyproject.toml
	$(BIN)/uv pip compile -q --upgrade pyproject.toml --all-extras --universal \
	    --no-annotate --no-header -o requirements.lock

.venv/uv:
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check uv
	touch $@

.venv/ready: .venv/uv requirements.lock pyproject.toml
	$(BIN)/uv pip sync --quiet requirements.lock
	$(BIN)/uv pip install --quiet --no-deps -e .
	touch $@
