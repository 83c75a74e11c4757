# SPDX-License-Identifier: Apache-2.0
# The ring-3 programs: $(BUILD)/vmm.elf, console.elf, audit.elf (stripped) and root.bin (flat: the kernel loads it): these go into the image; with
# symbols: $(BUILD)/ring3/NAME.elf.
# What a program is made of is found by wildcard: no list to keep.

LD    ?= ld
STRIP ?= strip

LIB3     := $(sort $(wildcard lib/*.c lib/*/*.c))
VMM3     := $(sort $(wildcard vmm/*.c vmm/*/*.c)) $(LIB3)
ROOT3    := $(sort $(wildcard services/root/*.c config/*.c)) $(LIB3)
CONSOLE3 := $(sort $(wildcard services/console/*.c)) drivers/screen.c drivers/framebuffer.c $(LIB3)
AUDIT3   := $(sort $(wildcard services/audit/*.c)) $(LIB3)

R3  := $(BUILD)/ring3
obj3 = $(patsubst %.c,$(R3)/%.o,$(1)) $(R3)/lib/start.o
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
	set -e; for f in Decoder DecoderData Register SharedData Utils Segment MetaInfo Mnemonic; do \
	  $(CC) $(ZYDIS_FLAGS) -c -o $(R3)/zydis/$$f.o $(ZYDIS)/src/$$f.c; done
	rm -f $@; $(AR) rcs $@ $(R3)/zydis/*.o

$(R3)/vmm/%.o: CFLAGS3 += -isystem $(ZYDIS)/include $(ZYDIS_DEFS)
# (Not by a pattern: one without a recipe would cancel the rule below.)
$(filter $(R3)/vmm/%,$(call obj3,$(VMM3))): | $(ZYDIS)

$(R3)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS3) -MMD -MP -c -o $@ $<

$(R3)/%.o: %.asm
	@mkdir -p $(@D)
	$(NASM) -f elf64 -g -F dwarf -DPROGRAMS='"$(BUILD)"' -o $@ $<

$(R3)/vmm.elf: $(call obj3,$(VMM3)) $(ZYDIS_LIB) lib/ring3.ld
	$(LD) $(LDFLAGS3) -o $@ $(filter %.o %.a,$^)

$(R3)/root.elf: $(call obj3,$(ROOT3)) $(ROOT3_LIBS) lib/ring3.ld
	$(LD) $(LDFLAGS3) -o $@ $(filter %.o %.a,$^)

# The screen is drawn by the kernel until the console takes it over, and by the same source.
$(R3)/drivers/font.o: $(BUILD)/gen/font.bin
$(R3)/console.elf: $(call obj3,$(CONSOLE3)) $(R3)/drivers/font.o lib/ring3.ld
	$(LD) $(LDFLAGS3) -o $@ $(filter %.o %.a,$^)

$(R3)/audit.elf: $(call obj3,$(AUDIT3)) lib/ring3.ld
	$(LD) $(LDFLAGS3) -o $@ $(filter %.o %.a,$^)

$(BUILD)/vmm.elf $(BUILD)/console.elf $(BUILD)/audit.elf: $(BUILD)/%.elf: $(R3)/%.elf
	$(STRIP) --strip-all -o $@ $<

$(BUILD)/root.bin: $(R3)/root.elf
	$(OBJCOPY) -O binary $< $@

.PHONY: ring3
ring3: $(BUILD)/vmm.elf $(BUILD)/root.bin $(BUILD)/console.elf $(BUILD)/audit.elf

-include $(shell find $(R3) -name '*.d' 2>/dev/null)
