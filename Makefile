# SPDX-License-Identifier: Apache-2.0
# Mullion. `make` builds, `make run` boots the default configuration, `make test` checks everything, `make help` lists the rest. See README.md.
# A target that a person may want has its line of `make help` behind `##`.

BUILD   ?= build
# Programs that only tests need (tests/programs) are in the image, unless this is empty: `make run` and `make image`.
TESTS   ?= 1
CC      := gcc
NASM    := nasm
HOSTCC  := gcc
OBJCOPY := objcopy

# The ONE list of what runs in ring 0. `make tcb` counts exactly these and the headers they include.
RING0 := \
  boot/entry.asm boot/multiboot.c boot/ranges.c \
  arch/x86_64/acpi.c arch/x86_64/apic.c arch/x86_64/clock.c arch/x86_64/cpu.c arch/x86_64/entry.asm arch/x86_64/fpu.c arch/x86_64/leftovers.c arch/x86_64/mce.c arch/x86_64/smp.c arch/x86_64/time.c \
  arch/x86_64/speculation.c arch/x86_64/trampoline.asm arch/x86_64/traps.c arch/x86_64/ioapic.c \
  drivers/serial.c drivers/screen.c \
  mm/hostmap.c mm/ledger.c mm/pagetable.c mm/pool.c \
  kernel/main.c kernel/log.c kernel/options.c kernel/format.c kernel/string.c kernel/object.c kernel/grace.c kernel/domain.c kernel/thread.c kernel/event.c kernel/memory.c \
  kernel/space.c kernel/vcpu.c kernel/hardware.c kernel/irq.c kernel/nmi.c kernel/sched.c kernel/syscall.c kernel/root.c \
  $(sort $(wildcard vmx/*.c vmx/*.asm svm/*.c svm/*.asm))

# Warnings stop the build where they are looked for (`make check`, `make test`, CI: WERROR=1), not at a user's newer compiler.
WERROR ?=
STRICT := $(if $(WERROR),-Werror)
WARN   := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes $(STRICT)
COMMON := -std=c17 -O2 -g -ffreestanding -fno-pic -fno-pie -mgeneral-regs-only -fno-asynchronous-unwind-tables -fno-common $(WARN) -I. -Iinclude -I$(BUILD)/gen
# No register but RBP outlives a call in ring 0: what begins with a system call or an exit ends in ring 3 or in a guest, and has no caller to save for.
CALLS  := $(if $(findstring clang,$(CC)),,-fcall-used-rbx -fcall-used-r12 -fcall-used-r13 -fcall-used-r14 -fcall-used-r15)
CFLAGS0 := $(COMMON) $(CALLS) -mno-red-zone -mcmodel=kernel -fstack-protector-strong -mstack-protector-guard=global -fcf-protection=none -DRING0
CFLAGS3 := $(COMMON) -mno-red-zone -fno-stack-protector -fcf-protection=none -ffunction-sections -fdata-sections -DRING3

UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/test_*.c))
# A test's line `// sanitizer: thread` chooses that one.
UNIT_SANITIZER := -fsanitize=address,undefined -fno-sanitize-recover=all
UNIT_SANITIZER_thread := -fsanitize=thread
UNIT_SANITIZER_accesses := -fsanitize=thread
UNIT_FLAGS := -std=c17 -g -O1 -Wall -Wextra -Werror -DUNIT_TEST -I. -Iinclude -Itests/unit -I$(BUILD)/gen

.PHONY: all kernel unit model tcb check format layout run test image clean setup setup-test default-guests
.DELETE_ON_ERROR:
# `make V=1` shows every command.
ifndef V
.SILENT:
endif
all: kernel guests $(BUILD)/check-config ## build the image and the small test guests (V=1 shows every command)

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | sort | awk -F'|' '{ printf "%-22s %s\n", $$1, $$2 }'

# ---- What is made of the list of system calls: see include/mullion/calls.toml.

CALL_LIST := $(addprefix $(BUILD)/gen/,mullion/calls.h calls.inc kernel_calls.h call_stubs.h call_shapes.h)
$(CALL_LIST) &: include/mullion/calls.toml tools/calls.py
	/usr/bin/python3 tools/calls.py $(BUILD)/gen

include ring3.mk
include tests/guests/guests.mk
include tests/bench/bench.mk
include tests/isolation/isolation.mk
include tests/soak/soak.mk
include docs/docs.mk

# ---- The kernel: RING0 -> mullion.elf (64-bit, for debuggers) -> flat binary -> mullion (the bootable 32-bit ELF).

# With it go two files that are data alone.
OBJ0 := $(RING0:%=$(BUILD)/obj/%.o) $(BUILD)/obj/programs.o $(BUILD)/obj/font.o
# As one unit, so that the way of an exit is inlined across files. Not memcpy and its like: the compiler itself calls them, late.
LTO  := $(if $(findstring clang,$(CC)),,-flto -flto-partition=one)
$(BUILD)/obj/kernel/string.c.o: LTO :=

kernel: $(BUILD)/mullion ## build the image alone

$(BUILD)/obj/%.c.o: %.c | $(CALL_LIST)
	@mkdir -p $(@D)
	@echo '  ring 0  $<'
	$(CC) $(CFLAGS0) $(LTO) -MMD -MP -c -o $@ $<

NASM0 := -f elf64 -g -F dwarf -I./ -I$(BUILD)/gen/
# nasm's -MD leaves out what is %included: the dependencies are made by a run of their own.
$(BUILD)/obj/%.asm.o: %.asm | $(CALL_LIST)
	@mkdir -p $(@D)
	$(NASM) $(NASM0) -MT $@ -M $< > $@.d
	$(NASM) $(NASM0) -o $@ $<

# A file as an object: a section that is only read, and a symbol at its start.
as_object = $(OBJCOPY) -I binary -O elf64-x86-64 --set-section-alignment .data=$(3) \
  --rename-section .data=.$(1),alloc,load,readonly,data,contents --strip-all --add-symbol $(2)=.$(1):0,global,object
$(BUILD)/gen/programs.bin: $(PROGRAM_FILES) ring3.mk $(BUILD)/gen/tests.h tools/pack-programs.py
	@mkdir -p $(@D)
	/usr/bin/python3 tools/pack-programs.py $@ $(PROGRAM_FILES)
$(BUILD)/obj/programs.o: $(BUILD)/gen/programs.bin
	@mkdir -p $(@D)
	$(call as_object,programs,programs,4096) $< $@

# The font of the pixel screen, the kernel's and the console's: GNU Unifont, from Debian's grub-common.
$(BUILD)/gen/font.bin: /usr/share/grub/ascii.pf2 tools/make-font.py
	@mkdir -p $(@D)
	/usr/bin/python3 tools/make-font.py $< $@
$(BUILD)/obj/font.o: $(BUILD)/gen/font.bin
	@mkdir -p $(@D)
	$(call as_object,rodata,screen_font,16) $< $@

# The number of a symbol, for the shell.
symbol = 0x$$(nm $(1) | sed -n 's/^\([0-9a-f]*\) . $(2)$$/\1/p')
$(BUILD)/mullion.elf: $(OBJ0) linker.ld
	$(CC) $(CFLAGS0) $(LTO) -nostdlib -static -Wl,-T,linker.ld,-z,max-page-size=4096,-z,noexecstack,--build-id=none \
	  -Wl,--defsym=root_data_bytes=$$(($(call symbol,$(R3)/root.elf,image_end) - $(call symbol,$(R3)/root.elf,data_start))) \
	  -o $@.new $(OBJ0)
	mv $@.new $@

$(BUILD)/mullion.bin: $(BUILD)/mullion.elf
	$(OBJCOPY) -O binary $< $@

kernel_symbol = $(call symbol,$(BUILD)/mullion.elf,$(1))
$(BUILD)/mullion: $(BUILD)/mullion.bin boot/image.asm
	@mkdir -p $(BUILD)/obj/boot
	$(NASM) -f elf32 -DKERNEL_BIN='"$(BUILD)/mullion.bin"' -DBSS_SIZE=$(call kernel_symbol,bss_size) -DENTRY=$(call kernel_symbol,boot_entry) \
	  -o $(BUILD)/obj/boot/image.o boot/image.asm
	ld -m elf_i386 -nostdlib -N -z noexecstack --no-warn-rwx-segments --build-id=none --section-start=.image=0x100000 \
	  --section-start=.bss=$$(printf '%#x' $$(($(call kernel_symbol,image_end) - $(call kernel_symbol,bss_size)))) \
	  -e $(call kernel_symbol,boot_entry) -o $@ $(BUILD)/obj/boot/image.o
	@echo "  image   $@, $$(stat -c %s $@) bytes"
	@grub-file --is-x86-multiboot $@ && grub-file --is-x86-multiboot2 $@ || { echo "$@: a Multiboot header is missing" >&2; exit 1; }

-include $(OBJ0:.o=.d) $(wildcard $(BUILD)/obj/*/*.asm.o.d $(BUILD)/obj/*/*/*.asm.o.d)

# ---- On the developer's machine.

CHECK_CONFIG := tools/check-config.c tools/check-images.c $(wildcard config/*.c vmm/loader/*.c) vmm/memory.c vmm/firmware/e820.c \
  lib/elf.c lib/print.c lib/string.c
$(BUILD)/check-config: $(CHECK_CONFIG) $(wildcard tools/*.h config/*.h lib/*.h lib/proto/*.h vmm/*.h vmm/loader/*.h vmm/firmware/*.h include/mullion/*.h) $(CALL_LIST)
	@mkdir -p $(@D)
	$(HOSTCC) -std=c17 -O1 -g -Wall -Wextra $(STRICT) -I. -Iinclude -I$(BUILD)/gen -DUNIT_TEST -o $@ $(CHECK_CONFIG)

setup: ## install the packages that building and running need
	@tools/setup.sh build
setup-test: ## install the packages that testing needs too
	@tools/setup.sh test

$(BUILD)/guests/versions.txt $(BUILD)/guests/modules &: | setup
	@tools/fetch-kernels.sh $(BUILD)/guests
$(BUILD)/guests/initrd.gz: $(BUILD)/guests/versions.txt $(BUILD)/guests/modules tools/make-initrd.sh tools/initrd-init.sh
	tools/make-initrd.sh $(BUILD)/guests/busybox $(BUILD)/guests/modules $@
default-guests: $(BUILD)/guests/initrd.gz

# Everything from a fresh Debian machine to the default configuration on this terminal.
ON   ?= qemu
CONF ?= mullion.conf
run: setup ## boot the default configuration; ON=bochs or another of docs/machines.md, CONF=FILE
	@$(MAKE) --no-print-directory TESTS= all default-guests
	@./mullion run $(CONF) --on $(ON) --build $(BUILD)

image: setup ## write the default configuration's bootable image, build/mullion.iso
	@$(MAKE) --no-print-directory TESTS= all default-guests
	@./mullion image $(CONF) -o $(BUILD)/mullion.iso --build $(BUILD)

# ---- Tests.

# Their rules are made from the first lines of the tests.
UNIT_GENERATED := $(BUILD)/gen/dsdt.h $(BUILD)/gen/marks.h $(BUILD)/gen/tests.h $(CALL_LIST)
$(BUILD)/unit/rules.mk: tools/unit-rules.py tests/unit/groups.txt $(wildcard tests/unit/test_*.c)
	@/usr/bin/python3 tools/unit-rules.py $(BUILD) $@
ifneq ($(filter unit $(BUILD)/unit/%,$(MAKECMDGOALS)),)
-include $(BUILD)/unit/rules.mk
endif

unit: $(UNIT_TESTS) ## run the unit tests, with sanitizers
	@failed=0; for t in $(UNIT_TESTS); do $$t || failed=1; done; exit $$failed

model: setup-test ## check the models of signal, wait, destroy and kick: all that can come between, and that mistakes are found
	@tests/model/run.py $(BUILD)

tcb: $(CALL_LIST) ## count what runs in ring 0
	@GENERATED=$(BUILD)/gen /usr/bin/python3 tools/tcb.py $(RING0)

check: setup-test ## checks that need no machine: layers, headers, both compilers, cppcheck; CHECKS='gcc clang': these only
	@CFLAGS0='$(CFLAGS0) -Werror' CFLAGS3='$(CFLAGS3) -Werror' tools/check.py $(BUILD) $(CHECKS)

# Everything: builds, unit tests, the system tests on each machine of docs/machines.md that is installed. T=... limits the system tests
# (pytest's -k).
test: setup-test ## run everything: checks, unit tests, system tests; T='default and qemu': these system tests only
	@$(MAKE) --no-print-directory -j$$(nproc) WERROR=1 all default-guests
	@/usr/bin/python3 tools/run-tests.py $(BUILD) $(if $(T),-k '$(T)')

test-short: setup-test ## run a part of it: both compilers, unit tests, the system tests marked `short`
	@$(MAKE) --no-print-directory -j$$(nproc) WERROR=1 all default-guests
	@/usr/bin/python3 tools/run-tests.py $(BUILD) --short

test-busy: setup-test ## run what boots or waits three times beside two busy loops; goes on where it was stopped; T=... as above
	@$(MAKE) --no-print-directory -j$$(nproc) WERROR=1 all default-guests
	@/usr/bin/python3 tools/busy-tests.py $(BUILD) $(if $(T),-k '$(T)')

N       ?= 200
MACHINE ?= q35
boots: setup-test ## boot N=200 times beside two busy loops, and compare the clock rates that are measured; MACHINE=q35,pit=off
	@$(MAKE) --no-print-directory -j$$(nproc) WERROR=1 all
	@/usr/bin/python3 tools/boots.py $(BUILD) $(N) $(MACHINE)

# What a rule of a unit test names, the tool asks of its environment.
SEED  ?= 1
JOBS  ?= 2
AGAIN ?=
mutants: N := 300
mutants: setup-test ## try small changes to the sources, N=300 by SEED=1, and say which no unit test notices; ONLY=vmm/devices; AGAIN=1: the last survivors
	@HOSTCC='$(HOSTCC)' UNIT_FLAGS='$(UNIT_FLAGS)' UNIT_SANITIZER='$(UNIT_SANITIZER)' UNIT_SANITIZER_thread='$(UNIT_SANITIZER_thread)' \
	  UNIT_SANITIZER_accesses='$(UNIT_SANITIZER_accesses)' ONLY='$(ONLY)' \
	  /usr/bin/python3 tools/mutants.py $(BUILD) $(N) $(SEED) $(JOBS) $(if $(AGAIN),again)

test-13: ## run `make test` in a Debian 13 system, made in build/debian13 (as root); T=... as there
	@tools/debian13.sh $(BUILD) test $(if $(T),T='$(T)')

test-13-short: ## run `make test-short` in that system
	@tools/debian13.sh $(BUILD) test-short

layout: ## check that all C is laid out as `make format` does it, the width of Python, the documents
	@tools/check.py $(BUILD) layout columns prose

format: setup-test ## lay out all C as .clang-format says
	@clang-format -i $$(git ls-files '*.c' '*.h')

clean: ## remove all that was built or fetched
	rm -rf $(BUILD)
