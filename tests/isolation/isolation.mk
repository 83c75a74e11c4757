# SPDX-License-Identifier: Apache-2.0
# The isolation suite: `make isolation` (ON=bochs or qemu: one backend only). Included by the Makefile. Not a part of `make test`.

.PHONY: isolation
isolation: setup-test ## measure what is guaranteed to each guest: docs/guarantees.md
	@$(MAKE) --no-print-directory all default-guests bench-guest
	@/usr/bin/python3 tests/isolation/isolation.py --build $(BUILD) $(if $(filter command line,$(origin ON)),--on $(ON)) \
	  $(PARTS:%=--part %)
