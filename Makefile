# The project's commands. `make demo` and `make test` set up what they need.
SHELL := bash
.DEFAULT_GOAL := help
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: help setup demo base test test-gate test-slow fault-test cluster-test lint bench-learning bench-method bench-noise-stage bench-model bench-data bench-degradations bench-train bench-serve bench-flow up down fuzz sbom audit lock

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: ## the virtual environment .venv, from requirements.lock
	@infra/setup/install.sh

demo: setup ## train, evaluate, publish and serve a model from the bundled photographs
	@drdd up
	@drdd run

test: setup ## the quick tests: minutes
	@pytest -n 3 --dist worksteal

test-gate: setup ## one test of every joint: pipeline, flow, two workers, kill and resume, browser
	@pytest -m gate --durations=20

test-slow: setup ## all tests that take minutes; includes those of test-gate
	@pytest -m 'slow and not long'

fault-test: setup ## half an hour: stages, runs and nodes killed, S3 disturbed at every request
	@pytest -m long --ignore tests/machines

cluster-test: setup ## a run on seven machines (network namespaces) that lose links, server and store
	@pytest -m long tests/machines

lint: setup ## ruff and mypy
	@ruff check .
	@ruff format --check .
	@mypy drdd flows infra tests benchmarks

bench-learning: setup ## what networks and losses learn in equal CPU seconds
	@python -m benchmarks.learning

bench-method: setup ## DRDD beside its baselines on the prepared data: hours at the default budget
	@python -m benchmarks.method

bench-noise-stage: setup ## what the noise stage is worth: its condition, level, steps, seeds
	@python -m benchmarks.noise_stage

bench-model: setup ## speed of the networks beside a plain implementation of them
	@python -m benchmarks.model

bench-data: setup ## intake beside Pillow alone, memory, the loader's waits, random access
	@python -m benchmarks.data

bench-degradations: setup ## pictures/s that prepare degrades, encodes and stores, for every degradation
	@python -m benchmarks.degradations

bench-train: setup ## what training costs beside its steps: the loop, Ray, checkpoints, the start
	@python -m benchmarks.train

bench-serve: setup ## the service beside the bare model: throughput, latency under load, memory
	@python -m benchmarks.serve

bench-flow: setup ## what orchestration costs: nothing to do, shares, runs at once, 200 in a row
	@python -m benchmarks.flow

base: setup ## train the base that drdd ships, going on from the one that is there: hours
	@python -m infra.base

up: setup ## the local stack: S3, Prefect, Ray, a worker for the flows
	@drdd up

down: setup ## stop it
	@drdd down

fuzz: setup ## strangers' files and requests at every door; FUZZ_SECONDS=600 each, TARGET=name for one
	@python -m tests.fuzz $(TARGET)

sbom: setup ## what is installed, as sbom.json (CycloneDX)
	@infra/setup/tools.sh
	@.venv/tools/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-file sbom.json .venv/bin/python

audit: setup ## known faults of what the locks pin; needs api.osv.dev
	@infra/setup/tools.sh
	@python -m infra.setup.audit

lock: setup ## write the locks anew from pyproject.toml
	@infra/setup/lock.sh
