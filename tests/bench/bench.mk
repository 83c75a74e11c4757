# SPDX-License-Identifier: Apache-2.0
# The benchmark: `make bench` (PEER=kvm: with Linux KVM + QEMU beside it; ON=bochs or qemu: one backend only). Included by
# the Makefile.

BENCH_OBJ  := $(BUILD)/obj/bench
BENCH_SRC  := bench multi linux
BENCH_LIST := $(BENCH_SRC:%=$(BENCH_OBJ)/%.o) $(BENCH_OBJ)/measure.o $(GUEST_OBJ)/64/start64.o $(GUEST_OBJ)/64/guest.o

$(BENCH_OBJ)/%.o: tests/bench/guest/%.c
	@mkdir -p $(@D)
	$(CC) -m64 -mno-red-zone -mcmodel=small $(GUEST_CFLAGS) -MMD -c -o $@ $<
$(BENCH_OBJ)/%.o: tests/bench/guest/%.asm
	@mkdir -p $(@D)
	$(NASM) -f elf64 -o $@ $<

# 64-bit code in a 32-bit ELF file: the only kind that QEMU's -kernel takes, and everybody else takes it too.
$(BUILD)/guests/bench.elf: $(BENCH_LIST) tests/guests/guest.ld
	@mkdir -p $(@D)
	ld -m elf_x86_64 -T tests/guests/guest.ld --no-warn-rwx-segments -z noexecstack -o $(BENCH_OBJ)/bench64.elf $(BENCH_LIST)
	$(OBJCOPY) -O elf32-i386 $(BENCH_OBJ)/bench64.elf $@
$(BUILD)/guests/bench-init: tests/bench/guest/init.asm
	@mkdir -p $(@D)
	$(NASM) -f bin -o $@ $<

.PHONY: bench bench-guest bench-growth bench-profile bench-operations
bench-guest: $(BUILD)/guests/bench.elf $(BUILD)/guests/bench-init
bench: setup-test ## measure what operations cost, in instructions: docs/performance.md
	@$(MAKE) --no-print-directory all default-guests bench-guest
	@RING0='$(RING0)' GENERATED=$(BUILD)/gen /usr/bin/python3 tests/bench/bench.py --build $(BUILD) $(if $(PEER),--peer $(PEER)) \
	  $(if $(filter command line,$(origin ON)),--on $(ON))

bench-growth: setup-test ## measure what grows with guests and memory
	@$(MAKE) --no-print-directory all default-guests bench-guest
	@/usr/bin/python3 tests/bench/growth.py --build $(BUILD)
# Where the instructions of one operation go: make bench-profile OP=pio ON=bochs
OP ?= pio
bench-profile: setup-test ## say where the instructions of one operation go; OP=pio ON=bochs
	@$(MAKE) --no-print-directory all bench-guest
	@/usr/bin/python3 tests/bench/profile.py --build $(BUILD) --on $(ON) $(OP)
# What of it takes many cycles on a CPU: make bench-operations ON=bochs
bench-operations: setup-test ## count the expensive instructions of each operation; ON=bochs OP='pio eoi'
	@$(MAKE) --no-print-directory all bench-guest
	@/usr/bin/python3 tests/bench/profile.py --build $(BUILD) --on $(ON) --operations $(if $(filter command line,$(origin OP)),$(OP))

-include $(wildcard $(BENCH_OBJ)/*.d)
