// Times one-row calls at C level: every adapter gives a function of this type, and rows in the form it takes.
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <ctime>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace {

using OneRow = double (*)(const void* row);

// The processor's counter where it has a steady one, fenced so that a call begins and ends between two readings.
std::uint64_t ticks() {
#if defined(__x86_64__)
    unsigned processor;
    _mm_lfence();
    const std::uint64_t now = __rdtscp(&processor);
    _mm_lfence();
    return now;
#else
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return static_cast<std::uint64_t>(std::chrono::nanoseconds(now).count());
#endif
}

// Results go here, so that no call can be left out.
volatile double sink;

double nothing(const void* row) {
    double first;
    std::memcpy(&first, row, sizeof first);
    return first;
}

double processor_ns() {
    timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

}  // namespace

extern "C" OneRow empty_call() { return nothing; }

extern "C" double nanoseconds_per_tick() {
    using Clock = std::chrono::steady_clock;
    const auto begun = Clock::now();
    const std::uint64_t first = ticks();
    while (Clock::now() - begun < std::chrono::milliseconds(20)) {
    }
    const std::uint64_t last = ticks();
    const std::chrono::duration<double, std::nano> passed = Clock::now() - begun;
    return passed.count() / static_cast<double>(last - first);
}

extern "C" void answers(OneRow call, const char* rows, std::size_t stride, std::size_t count, double* out) {
    for (std::size_t row = 0; row < count; ++row) out[row] = call(rows + row * stride);
}

// One row after the other without a look at the clock in between: nanoseconds of processor time per row.
extern "C" double mean_ns(OneRow call, const char* rows, std::size_t stride, std::size_t count) {
    const double begun = processor_ns();
    double sum = 0;
    for (std::size_t row = 0; row < count; ++row) sum += call(rows + row * stride);
    const double passed = processor_ns() - begun;
    sink = sum;
    return passed / static_cast<double>(count);
}

extern "C" void hot(OneRow call, const char* rows, std::size_t stride, std::size_t count, std::uint64_t* taken) {
    for (std::size_t row = 0; row < count; ++row) {
        const std::uint64_t begun = ticks();
        sink = call(rows + row * stride);
        taken[row] = ticks() - begun;
    }
}

// As hot(), but before every call one byte of each cache line of `swept` is read, which leaves nothing else in the caches.
extern "C" void cold(OneRow call, const char* rows, std::size_t stride, std::size_t count, const char* swept,
                     std::size_t swept_bytes, std::uint64_t* taken) {
    for (std::size_t row = 0; row < count; ++row) {
        unsigned sum = 0;
        for (std::size_t byte = 0; byte < swept_bytes; byte += 64) sum += static_cast<unsigned char>(swept[byte]);
        sink = sum;
        const std::uint64_t begun = ticks();
        sink = call(rows + row * stride);
        taken[row] = ticks() - begun;
    }
}
