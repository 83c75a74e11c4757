# SPDX-License-Identifier: Apache-2.0
# `make docs` writes docs/abi.md from the headers; `make check` fails if somebody forgot to.
.PHONY: docs docs-check
docs:
	@tools/abi-doc.py
docs-check:
	@tools/abi-doc.py --check
check: docs-check
