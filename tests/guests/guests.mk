# SPDX-License-Identifier: Apache-2.0
# The test guests: $(BUILD)/guests/*.elf and realmode.bin. Included by the Makefile.

GUESTS32  := tiny triple ticks wild counter devices privileged shared steps mmio tasks
MEASURING := burner latency workload
GUEST_OUT := $(BUILD)/guests
GUEST_OBJ := $(BUILD)/obj/guests
GUEST_CFLAGS := -std=c17 -O2 -ffreestanding -fno-pic -fno-pie -mgeneral-regs-only -fno-stack-protector -fcf-protection=none \
  -fno-asynchronous-unwind-tables -Wall -Wextra $(STRICT) -I.

TEST_GUESTS := $(GUESTS32:%=$(GUEST_OUT)/%.elf) $(MEASURING:%=$(GUEST_OUT)/%.elf) $(GUEST_OUT)/mb64.elf $(GUEST_OUT)/registers.elf $(GUEST_OUT)/adversary.elf $(GUEST_OUT)/smp.elf \
  $(GUEST_OUT)/modes.elf $(GUEST_OUT)/realmode.bin $(GUEST_OUT)/ffff.bin $(GUEST_OUT)/linux32.gz

$(GUEST_OBJ)/32/%.o: tests/guests/%.c
	@mkdir -p $(@D)
	$(CC) -m32 $(GUEST_CFLAGS) -MMD -c -o $@ $<
$(GUEST_OBJ)/64/%.o: tests/guests/%.c
	@mkdir -p $(@D)
	$(CC) -m64 -mno-red-zone -mcmodel=small $(GUEST_CFLAGS) -MMD -c -o $@ $<
$(GUEST_OBJ)/32/%.o: tests/guests/%.asm
	@mkdir -p $(@D)
	$(NASM) -f elf32 -I $(GUEST_OUT)/ -o $@ $<
$(GUEST_OBJ)/64/%.o: tests/guests/%.asm
	@mkdir -p $(@D)
	$(NASM) -f elf64 -o $@ $<

GUEST_LD = ld -T tests/guests/guest.ld --no-warn-rwx-segments -z noexecstack -o $@ $(filter %.o,$^)

$(GUEST_OUT)/privileged.elf: $(GUEST_OBJ)/32/privileged_rows.o
$(GUESTS32:%=$(GUEST_OUT)/%.elf): $(GUEST_OUT)/%.elf: $(GUEST_OBJ)/32/%.o $(GUEST_OBJ)/32/start32.o $(GUEST_OBJ)/32/guest.o tests/guests/guest.ld
	@mkdir -p $(@D)
	$(GUEST_LD) -m elf_i386
$(GUEST_OUT)/modes.elf: $(GUEST_OBJ)/32/modes.o tests/guests/guest.ld
	$(GUEST_LD) -m elf_i386
$(GUEST_OBJ)/32/modes.o: $(GUEST_OUT)/realmode.bin
$(GUEST_OUT)/mb64.elf $(GUEST_OUT)/registers.elf: $(GUEST_OUT)/%.elf: $(GUEST_OBJ)/64/%.o $(GUEST_OBJ)/64/start64.o $(GUEST_OBJ)/64/guest.o tests/guests/guest.ld
	@mkdir -p $(@D)
	$(GUEST_LD) -m elf_x86_64
$(MEASURING:%=$(GUEST_OUT)/%.elf): $(GUEST_OUT)/%.elf: $(GUEST_OBJ)/64/%.o $(GUEST_OBJ)/64/measure.o $(GUEST_OBJ)/64/start64.o $(GUEST_OBJ)/64/guest.o \
    tests/guests/guest.ld
	@mkdir -p $(@D)
	$(GUEST_LD) -m elf_x86_64
ADVERSARY := adversary adversary_space adversary_cpu adversary_try start64 guest
$(GUEST_OUT)/adversary.elf: $(ADVERSARY:%=$(GUEST_OBJ)/64/%.o) tests/guests/guest.ld
	@mkdir -p $(@D)
	$(GUEST_LD) -m elf_x86_64
$(GUEST_OUT)/smp.elf: $(GUEST_OBJ)/64/smp.o $(GUEST_OBJ)/64/smp_alone.o $(GUEST_OBJ)/64/smp_ap.o $(GUEST_OBJ)/64/start64.o $(GUEST_OBJ)/64/guest.o tests/guests/guest.ld
	@mkdir -p $(@D)
	$(GUEST_LD) -m elf_x86_64
$(GUEST_OUT)/realmode.bin $(GUEST_OUT)/ffff.bin: $(GUEST_OUT)/%.bin: tests/guests/%.asm
	@mkdir -p $(@D)
	$(NASM) -f bin -o $@ $<
# Packed, so that a test sees it unpacked.
$(GUEST_OUT)/linux32.gz: tests/guests/linux32.asm
	@mkdir -p $(@D) $(GUEST_OBJ)/32
	$(NASM) -f bin -o $(GUEST_OBJ)/32/linux32 $<
	gzip -9nc $(GUEST_OBJ)/32/linux32 > $@

.PHONY: guests
guests: $(TEST_GUESTS) ## build the small test guests
-include $(wildcard $(GUEST_OBJ)/*/*.d)
