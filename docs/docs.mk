# SPDX-License-Identifier: Apache-2.0
# Pages that are written from the source. `make check` fails if one is not what would be written.
.PHONY: docs docs-check
SPECULATION_TABLE := tools/speculation-table.c services/root/speculation.c lib/print.c
$(BUILD)/speculation-table: $(SPECULATION_TABLE) services/root/speculation.h include/mullion/boot.h | $(CALL_LIST)
	@mkdir -p $(@D)
	$(HOSTCC) -std=c17 -O1 -Wall -Wextra $(STRICT) -I. -Iinclude -I$(BUILD)/gen -o $@ $(SPECULATION_TABLE)
docs: $(BUILD)/check-config $(BUILD)/speculation-table ## write the generated pages and tables: abi, machines, configuration, memory
	@tools/abi-doc.py
	@tools/machines-doc.py
	@tools/config-doc.py $<
	@tools/speculation-doc.py $(BUILD)/speculation-table
docs-check: $(BUILD)/check-config $(BUILD)/speculation-table
	@tools/abi-doc.py --check
	@tools/machines-doc.py --check
	@tools/config-doc.py $< --check
	@tools/speculation-doc.py $(BUILD)/speculation-table --check
check: docs-check
