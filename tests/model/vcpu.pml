/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kicks, HLT and an event that is bound to a vCPU, as kernel/vcpu.c and event_signal do them. Run by
 * tests/model/run.py; see event.pml.
 *
 * Three signals, a bit each: two from other CPUs; the third by an interrupt on the vCPU's own CPU, or by a doorbell
 * that its own guest rings. Between its turns the CPU may run another thread. The monitor must get all bits, each once:
 * a guest that runs on, or a vCPU that sleeps, with a bit still to be told is a deadlock, which is an error.
 */
#define WORK_WAKE 1
#define ALL       7

bool locked, kicked, halted, is_current, ipi;
byte bits, work, delivered;

inline lock() { atomic { !locked -> locked = true } }
inline unlock() { locked = false }

inline kick(own_cpu)
{
    atomic { was = kicked; kicked = true }
    if
    :: was
    :: else ->
        if
        :: halted -> work = work | WORK_WAKE
        :: else ->
            if
            :: !(own_cpu) && is_current -> ipi = true
            :: else
            fi
        fi
    fi
}

inline signal(mine, own_cpu)
{
    lock()
    bits = bits | (mine)
    kick(own_cpu)
    unlock()
}

active [2] proctype signaller()
{
    bool was
    signal(1 << _pid, false)
}

active proctype cpu()
{
    byte met, rest = 2 /* how often another thread has its turn, and how often the guest exits for other reasons */
    bool own = true, was, halt, asleep

host: /* cpu_run */
    if
    :: work -> atomic { asleep = asleep && !(work & WORK_WAKE); work = 0 }
    :: else
    fi
    if
    :: asleep -> /* idle, or another thread runs */
        is_current = false
        if
        :: work != 0
        :: own -> own = false; signal(4, true) /* an interrupt of a device */
        fi
        goto host
    :: else
    fi
    if
    :: rest > 0 -> rest--; is_current = false
    :: true
    fi
#ifdef MUTANT_CURRENT_AFTER_KICKED
    was = kicked
    is_current = true
    if
    :: was -> goto run_once
    :: else -> goto guest
    fi
#else
    is_current = true
#endif

enter:
    if
    :: halted || halt -> /* sleep() */
#ifdef MUTANT_HALTED_AFTER_KICKED
        was = kicked
        halted = true
#else
        halted = true
        was = kicked
#endif
        if
        :: !was -> asleep = true; goto host
        :: else
        fi
        halted = false
        atomic { was = kicked; kicked = false }
        if
        :: was -> goto exit_kicked
        :: else -> goto run_once
        fi
    :: else
    fi

run_once:
    if
    :: kicked ->
#ifdef MUTANT_BITS_BEFORE_KICKED
        lock()
        met = bits
        bits = 0
        unlock()
        kicked = false
        goto told
#else
        kicked = false
        goto exit_kicked
#endif
    :: else
    fi
    if
    :: work -> goto host
    :: else
    fi

guest: /* interrupts are held back until it is entered: one that is pending ends its turn at once */
    if
    :: ipi -> ipi = false; goto run_once
    :: rest > 0 -> rest--; halt = true; goto monitor /* HLT, an exit to the monitor, which sleeps in vcpu_run */
    :: own -> own = false
        if
        :: true -> signal(4, true); goto run_once /* an interrupt of a device: handle_host_exit */
        :: true -> /* a doorbell: fastpath_signal, in the backend's loop */
            signal(4, true)
#ifndef MUTANT_DOORBELL_NOT_POSTED
            if
            :: kicked -> work = work | WORK_WAKE
            :: else
            fi
#endif
            if
            :: work -> goto run_once
            :: else -> goto guest
            fi
        fi
    fi

exit_kicked:
    lock()
    met = bits
    bits = 0
    unlock()
#ifdef MUTANT_BITS_BEFORE_KICKED
told:
#endif
    atomic {
        assert(!(delivered & met))
        delivered = delivered | met
    }
    halt = false

monitor:
    if
    :: delivered == ALL -> goto done
    :: else
    fi
    if
    :: own && halt && !kicked -> own = false; signal(4, true) /* the device's interrupt finds it in ring 3 */
    :: true
    fi
    if
    :: work -> goto host
    :: else -> goto enter
    fi
done:
    assert(bits == 0)
}
