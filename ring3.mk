# SPDX-License-Identifier: Apache-2.0
# The ring-3 programs. What a program is made of is found by wildcard: no list to keep. They go into the image as
# $(BUILD)/programs/NAME, stripped; with symbols: $(BUILD)/ring3/NAME.elf.

# The ONE list of the programs in the image beside root. A new one: its name here, its sources below as NAME3.
PROGRAMS := vmm console audit $(if $(TESTS),testdev)

LD    ?= ld
STRIP ?= strip

lib3     := $(sort $(wildcard lib/*.c lib/*/*.c))
root3    := $(sort $(wildcard services/root/*.c config/*.c)) $(if $(TESTS),$(sort $(wildcard tests/programs/root_*.c)))
vmm3     := $(filter-out $(if $(TESTS),vmm/notest.c,vmm/test/%),$(sort $(wildcard vmm/*.c vmm/*/*.c vmm/*/*.asm)))
console3 := $(sort $(wildcard services/console/*.c))
audit3   := $(sort $(wildcard services/audit/*.c))
testdev3 := tests/programs/testdev.c

R3  := $(BUILD)/ring3
obj3 = $(patsubst %,$(R3)/%.o,$(basename $($(1)3) $(lib3))) $(R3)/lib/start.o
LDFLAGS3 := -nostdlib -static -T lib/ring3.ld -z max-page-size=4096 -z noexecstack --gc-sections --no-warn-rwx-segments \
  --build-id=none

# Instruction decoding: Zydis from Debian's source package, with the headers of libzycore-dev. No libc, no formatter, no encoder.
ZYDIS       := $(BUILD)/src/zydis
ZYDIS_LIB   := $(BUILD)/lib/libzydis.a
ZYDIS_DEFS  := -DZYAN_NO_LIBC -DZYDIS_STATIC_BUILD -DZYCORE_STATIC_BUILD -DZYDIS_DISABLE_FORMATTER \
  -DZYDIS_DISABLE_ENCODER
ZYDIS_FLAGS := -std=c17 -O2 -ffreestanding -fno-pic -fno-pie -mgeneral-regs-only -fno-asynchronous-unwind-tables -fno-stack-protector \
  -fcf-protection=none -ffunction-sections -fdata-sections -w $(ZYDIS_DEFS) -I$(ZYDIS)/include -I$(ZYDIS)/src

$(ZYDIS): | tools/packages.lock tools/fetch-source.sh
	tools/fetch-source.sh zydis $(BUILD)

# One recursive make, because which files there are is known only after the fetch.
$(ZYDIS_LIB): | $(ZYDIS)
	@mkdir -p $(BUILD)/lib $(R3)/zydis
	set -e; set -- Decoder DecoderData Register SharedData Utils Segment MetaInfo Mnemonic; n=0; for f; do n=$$((n + 1)); \
	  echo "  decoder [$$n/$$#]  $$f.c"; \
	  $(CC) $(ZYDIS_FLAGS) -c -o $(R3)/zydis/$$f.o $(ZYDIS)/src/$$f.c; done
	rm -f $@; $(AR) rcs $@ $(R3)/zydis/*.o

# -Wcast-qual: pointers into guest memory are for reading, and stay so (vmm/memory.h).
$(R3)/vmm/%.o: CFLAGS3 += -Wcast-qual -isystem $(ZYDIS)/include $(ZYDIS_DEFS)
# (Not by a pattern: one without a recipe would cancel the rule below.)
$(filter $(R3)/vmm/%,$(call obj3,vmm)): | $(ZYDIS)

# What guests read of their machine, from ASL. iasl knows no suffixes of C numbers.
$(BUILD)/gen/dsdt.h: vmm/firmware/dsdt.asl vmm/devices/layout.h
	@mkdir -p $(@D)
	$(CC) -E -P -undef -x c -I. $< | sed -E 's/\b(0x[0-9a-fA-F]+|[0-9]+)(ull|u)\b/\1/g' > $(BUILD)/gen/dsdt.asl
	iasl -vw 3144 -vs -we -p $(BUILD)/gen/dsdt $(BUILD)/gen/dsdt.asl > $(BUILD)/gen/dsdt.log || { cat $(BUILD)/gen/dsdt.log >&2; exit 1; }
	{ echo 'static const unsigned char dsdt_aml[] = {'; od -An -v -tx1 $(BUILD)/gen/dsdt.aml | sed 's/ \(..\)/0x\1,/g'; echo '};'; } > $@
$(R3)/vmm/firmware/acpi.o: $(BUILD)/gen/dsdt.h

$(R3)/%.o: %.c | $(CALL_LIST)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS3) -MMD -MP -c -o $@ $<

$(R3)/%.o: %.asm $(CALL_LIST)
	@mkdir -p $(@D)
	$(NASM) -f elf64 -I$(BUILD)/gen/ -g -F dwarf -o $@ $<

$(R3)/vmm.elf: $(ZYDIS_LIB)
$(R3)/console.elf: $(BUILD)/obj/font.o

# Which characters are combining marks, or show nothing.
$(BUILD)/gen/marks.h: tools/make-marks.py
	@mkdir -p $(@D)
	/usr/bin/python3 $< $@
$(R3)/services/console/character.o: $(BUILD)/gen/marks.h

# With TESTS or without: another monitor, another list of programs, and root knows it.
$(BUILD)/gen/tests.h: FORCE
	@mkdir -p $(@D)
	@echo '#define IMAGE_HAS_TESTS $(if $(TESTS),1,0)' > $@.new; cmp -s $@.new $@ && rm $@.new || mv $@.new $@
$(R3)/vmm.elf $(R3)/root.elf: $(BUILD)/gen/tests.h
$(R3)/services/root/guests.o: $(BUILD)/gen/tests.h
.PHONY: FORCE

define program
$(R3)/$(1).elf: $(call obj3,$(1)) lib/ring3.ld
	$$(LD) $$(LDFLAGS3) -o $$@ $$(filter %.o %.a,$$^)
endef
$(foreach p,root $(PROGRAMS),$(eval $(call program,$(p))))

PROGRAM_FILES := $(patsubst %,$(BUILD)/programs/%,root $(PROGRAMS))

# Flat: the kernel loads it.
$(BUILD)/programs/root: $(R3)/root.elf
	@mkdir -p $(@D)
	$(OBJCOPY) -O binary $< $@

$(BUILD)/programs/%: $(R3)/%.elf
	@mkdir -p $(@D)
	$(STRIP) --strip-all -o $@ $<

.PHONY: ring3
ring3: $(PROGRAM_FILES)

-include $(shell find $(R3) -name '*.d' 2>/dev/null)
