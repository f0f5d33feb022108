// The processor's own vector operations, included in one place for all that forests need.
#pragma once

#if defined(__x86_64__)
// GCC 12 takes its own intrinsics' undefined registers for a mistake.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#pragma GCC diagnostic pop
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif
