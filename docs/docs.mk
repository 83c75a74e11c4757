# SPDX-License-Identifier: Apache-2.0
# Pages that are written from the source. `make check` fails if one is not what would be written.
.PHONY: docs docs-check
docs: $(BUILD)/check-config ## write the generated pages: docs/abi.md, tables of machines.md and configuration.md
	@tools/abi-doc.py
	@tools/machines-doc.py
	@tools/config-doc.py $<
docs-check: $(BUILD)/check-config
	@tools/abi-doc.py --check
	@tools/machines-doc.py --check
	@tools/config-doc.py $< --check
check: docs-check
