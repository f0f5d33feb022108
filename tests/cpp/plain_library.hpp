// A library as a bundle would export it, written by hand: one entity, a count and a sum over one day, two "trees".
// Its windows are scanned anew for every read, so it is also the reference that rings and order are held to.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "quickthorn/event_fields.hpp"
#include "quickthorn/library_abi.h"

namespace plain {

inline constexpr std::int64_t day_us = 86'400'000'000;
inline constexpr std::uint32_t amount_slot = 3;
inline constexpr std::uint32_t row_bytes = 16;

// The calls that tell the state about rows which move or leave.
struct State {
    std::int64_t absorbed;
    std::int64_t released;
};

inline std::int64_t word(const void* rows, std::int64_t mask, std::int64_t position, std::size_t column) {
    std::int64_t value = 0;
    const char* row = static_cast<const char*>(rows) + (position & mask) * std::int64_t{row_bytes};
    std::memcpy(&value, row + 8 * column, sizeof value);
    return value;
}

inline void fill(const quickthorn_slot* slots, const void*, void* row) {
    std::memcpy(static_cast<char*>(row) + 8, &slots[amount_slot], sizeof(quickthorn_slot));
}

inline void read(void*, void*, const void* rows, std::int64_t mask, std::int64_t first, std::int64_t last,
                 std::int64_t now_us, std::int64_t with_current, const quickthorn_slot* slots, const void*,
                 const quickthorn_known_frauds*, double* values) {
    double count = 0;
    double sum = 0;
    for (std::int64_t position = first; position < last; ++position) {
        const std::int64_t at = word(rows, mask, position, 0);
        if (at <= now_us - day_us || at > now_us) continue;
        ++count;
        sum += static_cast<double>(word(rows, mask, position, 1));
    }
    values[0] = count + static_cast<double>(with_current);
    values[1] = sum + static_cast<double>(with_current * slots[amount_slot]);
}

inline void absorb(void* state, const void*, std::int64_t, std::int64_t) { ++static_cast<State*>(state)->absorbed; }

inline void release(void* state, const void*, std::int64_t, std::int64_t) { ++static_cast<State*>(state)->released; }

inline void derive(const quickthorn_slot*, const double* values, double* features) {
    features[0] = values[0];
    features[1] = values[1];
}

inline double margin(const double* features) { return features[0] + features[1] / 1000.0; }

inline void leaves(const double* features, std::int32_t* leaves) {
    leaves[0] = features[0] > 1 ? 1 : 0;
    leaves[1] = features[1] > 1000 ? 1 : 0;
}

inline void margins(const double* features, double* out) { out[0] = margin(features); }

inline void margins_f32(const float* features, double* out) {
    const double widened[] = {features[0], features[1]};
    out[0] = margin(widened);
}

template <class Value>
void each_row(const Value* rows, std::ptrdiff_t row_stride, std::ptrdiff_t feature_stride, std::uint64_t row_count,
              double* out) {
    for (std::uint64_t r = 0; r < row_count; ++r) {
        const Value* row = rows + static_cast<std::ptrdiff_t>(r) * row_stride;
        const double widened[] = {row[0], row[feature_stride]};
        out[r] = margin(widened);
    }
}

inline void batch(const double* rows, std::ptrdiff_t row_stride, std::ptrdiff_t feature_stride, std::uint64_t row_count,
                  double* out) {
    each_row(rows, row_stride, feature_stride, row_count, out);
}

inline void batch_f32(const float* rows, std::ptrdiff_t row_stride, std::ptrdiff_t feature_stride,
                      std::uint64_t row_count, double* out) {
    each_row(rows, row_stride, feature_stride, row_count, out);
}

inline void contributions(const double* features, double* out) {
    out[0] = features[0];
    out[1] = features[1] / 1000.0;
    out[2] = 0;
}

inline constexpr std::uint32_t entities[] = {2};
inline constexpr quickthorn_group groups[] = {{entities, 1, sizeof(State), 0, row_bytes, 0, 2, day_us, fill, read,
                                               absorb, release, nullptr, nullptr, 0, 0, nullptr}};
inline constexpr quickthorn_forest forest = {2,           2,      1,     0,         margin,       margins,
                                             margins_f32, leaves, batch, batch_f32, contributions};
inline constexpr quickthorn_library library = {QUICKTHORN_ABI_VERSION,
                                               sizeof(quickthorn_library),
                                               4,
                                               1,
                                               2,
                                               2,
                                               0,
                                               0,
                                               0,
                                               0,
                                               nullptr,
                                               groups,
                                               nullptr,
                                               nullptr,
                                               nullptr,
                                               derive,
                                               &forest,
                                               nullptr};

inline quickthorn::EventSchema schema() {
    using quickthorn::FieldKind;
    std::vector<quickthorn::FieldSpec> fields(4);
    fields[0].name = "event_id";
    fields[0].kind = FieldKind::id;
    fields[1].name = "at";
    fields[1].kind = FieldKind::event_time;
    fields[2].name = "customer";
    fields[2].kind = FieldKind::entity;
    fields[2].required = false;
    fields[3].name = "amount";
    fields[3].kind = FieldKind::money;
    fields[3].minor_units = true;
    return {fields, quickthorn::HashKey{1, 2}};
}

// Fills a row of the schema above.
inline void fill(quickthorn::EventRow& row, std::int64_t id, std::int64_t at_us, std::int64_t customer,
                 std::int64_t amount) {
    row.set_integer(0, id);
    row.set_time_us(1, at_us);
    row.set_integer(2, customer);
    row.set_minor_units(3, amount);
}

}  // namespace plain
