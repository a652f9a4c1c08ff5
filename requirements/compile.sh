#!/bin/sh
# Renews the hashed pins from pyproject.toml. One set holds for every supported Python and both architectures.
set -eu
cd "$(dirname "$0")/.."
compile() {
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
		--no-header --no-emit-index-url --no-emit-find-links "$@"
}
compile pyproject.toml --output-file requirements/runtime.txt
compile pyproject.toml --group dev --constraints requirements/runtime.txt --output-file requirements/dev.txt
compile --group build --constraints requirements/dev.txt --output-file requirements/build.txt
