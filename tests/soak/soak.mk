# SPDX-License-Identifier: Apache-2.0
# The soak: `make soak` (ON=NAME: a machine of docs/machines.md; FOR=10m, on Bochs FOR=60G). Included by the Makefile. Not a part of `make test`.

$(BUILD)/guests/initrd-soak.gz: $(BUILD)/guests/initrd.gz tests/soak/initrd.sh tests/soak/guest.sh
	tests/soak/initrd.sh $(BUILD)/guests/initrd.gz $@

SOAK = $(if $(filter command line,$(origin ON)),--on $(ON)) $(if $(FOR),--for $(FOR))

.PHONY: soak soak-13
soak: setup-test ## run stress-ng in a Debian with 4 vCPUs, and say what went wrong; ON=bochs FOR=60G; goes on where it was stopped
	@$(MAKE) --no-print-directory all default-guests $(BUILD)/guests/initrd-soak.gz
	@/usr/bin/python3 tests/soak/soak.py --build $(BUILD) $(SOAK)
soak-13: ## the same in the Debian 13 system of `make test-13`: ON=qemu10, bochs3, ryzen, ...
	@tools/debian13.sh $(BUILD) soak $(if $(filter command line,$(origin ON)),ON=$(ON)) $(if $(FOR),FOR=$(FOR))
