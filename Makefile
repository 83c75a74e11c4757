# Mullion. `make` builds, `make run` boots the default configuration, `make test` checks everything. See README.md.

BUILD   ?= build
CC      := gcc
NASM    := nasm
HOSTCC  := gcc
OBJCOPY := objcopy

# The ONE list of what runs in ring 0. `make tcb` counts exactly these and the headers they include.
RING0 := \
  boot/entry.asm boot/multiboot.c boot/programs.asm \
  arch/x86_64/acpi.c arch/x86_64/apic.c arch/x86_64/cpu.c arch/x86_64/entry.asm arch/x86_64/fpu.c arch/x86_64/smp.c arch/x86_64/time.c \
  arch/x86_64/trampoline.asm arch/x86_64/traps.c arch/x86_64/ioapic.c \
  drivers/serial.c drivers/screen.c \
  mm/hostmap.c mm/ledger.c mm/pagetable.c mm/pool.c mm/window.c \
  kernel/main.c kernel/log.c kernel/format.c kernel/string.c kernel/object.c kernel/domain.c kernel/thread.c kernel/event.c kernel/memory.c \
  kernel/space.c kernel/vcpu.c kernel/irq.c kernel/sched.c kernel/syscall.c kernel/root.c \
  $(sort $(wildcard vmx/*.c vmx/*.asm svm/*.c svm/*.asm))

WARN   := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Werror
COMMON := -std=c17 -O2 -g -ffreestanding -fno-pic -fno-pie -mgeneral-regs-only -fno-asynchronous-unwind-tables -fno-common $(WARN) -I. -Iinclude -I$(BUILD)/gen
CFLAGS0 := $(COMMON) -mno-red-zone -mcmodel=kernel -fstack-protector-strong -mstack-protector-guard=global -fcf-protection=none -DRING0
CFLAGS3 := $(COMMON) -fno-stack-protector -fcf-protection=none -ffunction-sections -fdata-sections -DRING3

UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/test_*.c))
UNIT_FLAGS := -std=c17 -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -Wall -Wextra -Werror -DUNIT_TEST -I. -Iinclude -Itests/unit -I$(BUILD)/gen

include ring3.mk

.PHONY: all unit
all:

$(BUILD)/unit/%: tests/unit/%.c tests/unit/host_stubs.c
	@mkdir -p $(@D)
	$(HOSTCC) $(UNIT_FLAGS) -MMD -MF $@.d -o $@ $< tests/unit/host_stubs.c $$(sed -n 's,^// sources: ,,p' $<) $$(sed -n 's,^// libs: ,,p' $<) -lcmocka

unit: $(UNIT_TESTS)
	@failed=0; for t in $(UNIT_TESTS); do $$t || failed=1; done; exit $$failed
