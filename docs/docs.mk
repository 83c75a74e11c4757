# SPDX-License-Identifier: Apache-2.0
# Pages that are written from the source. `make check` fails if one is not what would be written.
.PHONY: docs docs-check
docs: ## write the generated pages: docs/abi.md, the table of docs/machines.md
	@tools/abi-doc.py
	@tools/machines-doc.py
docs-check:
	@tools/abi-doc.py --check
	@tools/machines-doc.py --check
check: docs-check
