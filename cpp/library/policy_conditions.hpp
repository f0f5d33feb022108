// What a policy's emitted conditions are made of: an event's values, and comparisons that are false of missing ones.
#pragma once

#include <stdint.h>

#include <cstring>
#include <limits>

#include "library_abi.h"

namespace quickthorn_policy_conditions {

inline constexpr double missing = std::numeric_limits<double>::quiet_NaN();

inline double real(const quickthorn_slot* slots, uint32_t field) {
    double value;
    std::memcpy(&value, &slots[field], sizeof value);
    return value;
}

inline double money(const quickthorn_slot* slots, uint32_t field, double minor_units) {
    return slots[field] == INT64_MIN ? missing : static_cast<double>(slots[field]) / minor_units;
}

// NaN is unequal to everything in C++; here a comparison with it is false.
inline bool differs(double one, double other) { return one < other || one > other; }

// The truth of a field of booleans; one that is missing does not hold.
inline bool holds(double value) { return value == 1.0; }
inline bool known(double value) { return value == value; }

struct Text {
    const char* bytes;
    int64_t length;  // -1 where missing
};

inline Text text(const quickthorn_slot* slots, uint32_t field) {
    const quickthorn_text& kept = reinterpret_cast<const quickthorn_text*>(slots)[-1 - static_cast<int64_t>(field)];
    return {kept.bytes, kept.length};
}

// Only the first bytes of a long text are kept, and no constant is as long: one that is longer equals none.
inline bool equal(Text one, Text other) {
    return one.length == other.length && one.length >= 0 && one.length <= QUICKTHORN_TEXT_BYTES &&
           std::memcmp(one.bytes, other.bytes, static_cast<size_t>(one.length)) == 0;
}

inline bool differs(Text one, Text other) { return one.length >= 0 && other.length >= 0 && !equal(one, other); }

inline bool among(Text value, const Text* values, uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) {
        if (equal(value, values[i])) return true;
    }
    return false;
}

inline bool among(double value, const double* values, uint32_t count) {
    bool found = false;
    for (uint32_t i = 0; i < count; ++i) found |= value == values[i];
    return found;
}

}  // namespace quickthorn_policy_conditions
