/* Prints one line of harness/sampling/outside/python/layouts.jsonl for the CPython whose headers it is compiled with.
 * Nothing of Python is linked or run. Called by layouts_python.py. */
#define Py_BUILD_CORE 1
#include <Python.h>
#include <stddef.h>
#include <stdio.h>
#if PY_VERSION_HEX >= 0x03090000
#include "internal/pycore_gc.h"
#include "internal/pycore_interp.h"
#include "internal/pycore_runtime.h"
#else
#include "internal/pycore_pymem.h"
#include "internal/pycore_pystate.h"
#endif
#if PY_VERSION_HEX >= 0x030B0000
#define THREADS threads.head
#else
#define THREADS tstate_head
#endif
#if PY_VERSION_HEX >= 0x030F0000
#error "the statistics of the collector have another form from 3.15 on: the reader has to learn it first"
#endif

typedef struct _gc_runtime_state gc_state;

#define OFFSET(name, type, member) printf(", \"%s\": %zu", name, offsetof(type, member))
#define SIZE(name, type) printf(", \"%s\": %zu", name, sizeof(type))

int main(void) {
    printf("{\"version\": \"%s\", \"hex\": %d", PY_VERSION, (int)PY_VERSION_HEX);
    SIZE("sizeof_runtime", _PyRuntimeState);
    SIZE("sizeof_gc", gc_state);
    OFFSET("runtime.interpreters_head", _PyRuntimeState, interpreters.head);
    OFFSET("interpreter.next", PyInterpreterState, next);
    OFFSET("interpreter.threads", PyInterpreterState, THREADS);
    OFFSET("thread.previous", PyThreadState, prev);
    OFFSET("thread.next", PyThreadState, next);
    OFFSET("thread.interpreter", PyThreadState, interp);
#if PY_VERSION_HEX >= 0x03090000
    OFFSET("interpreter.gc", PyInterpreterState, gc);
#else
    OFFSET("runtime.gc", _PyRuntimeState, gc);
#endif
    OFFSET("gc.enabled", gc_state, enabled);
    OFFSET("gc.generations", gc_state, generations);
    OFFSET("gc.permanent", gc_state, permanent_generation);
    OFFSET("gc.stats", gc_state, generation_stats);
    OFFSET("gc.collecting", gc_state, collecting);
#if PY_VERSION_HEX < 0x030E0000
    OFFSET("gc.generation0", gc_state, generation0);
#endif
#if PY_VERSION_HEX >= 0x030C0000
    OFFSET("interpreter.obmalloc", PyInterpreterState, obmalloc);
    printf(", \"obmalloc.is_pointer\": %d", sizeof(((PyInterpreterState *)0)->obmalloc) == sizeof(void *));
    OFFSET("obmalloc.arenas", struct _obmalloc_state, mgmt.arenas);
    OFFSET("obmalloc.raw_blocks", struct _obmalloc_state, mgmt.raw_allocated_blocks);
    OFFSET("runtime.tracemalloc_tracing", _PyRuntimeState, tracemalloc.config.tracing);
    OFFSET("runtime.tracemalloc_traced", _PyRuntimeState, tracemalloc.traced_memory);
#endif
#if PY_VERSION_HEX >= 0x030D0000
    /* where the target's own _Py_DebugOffsets repeats them */
    OFFSET("debug.runtime.interpreters_head", struct _Py_DebugOffsets, runtime_state.interpreters_head);
    OFFSET("debug.interpreter.next", struct _Py_DebugOffsets, interpreter_state.next);
    OFFSET("debug.interpreter.threads", struct _Py_DebugOffsets, interpreter_state.threads_head);
    OFFSET("debug.interpreter.gc", struct _Py_DebugOffsets, interpreter_state.gc);
    OFFSET("debug.thread.previous", struct _Py_DebugOffsets, thread_state.prev);
    OFFSET("debug.thread.next", struct _Py_DebugOffsets, thread_state.next);
    OFFSET("debug.thread.interpreter", struct _Py_DebugOffsets, thread_state.interp);
    OFFSET("debug.sizeof_gc", struct _Py_DebugOffsets, gc.size);
    OFFSET("debug.gc.collecting", struct _Py_DebugOffsets, gc.collecting);
#endif
    printf("}\n");
    return 0;
}
