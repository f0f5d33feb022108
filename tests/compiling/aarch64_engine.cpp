// Decides events with a bundle's library: reads records of six 64-bit numbers (id, time, customer, terminal, minor
// units, whether there is a terminal) from standard input, and writes the features and the margin of each as doubles.
#include <cstdio>
#include <fstream>
#include <iterator>
#include <optional>
#include <vector>

#include "quickthorn/engine.hpp"

using namespace quickthorn;

namespace {

FieldSpec field(const char* name, FieldKind kind) {
    FieldSpec spec;
    spec.name = name;
    spec.kind = kind;
    spec.required = kind != FieldKind::entity;
    return spec;
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 2) return 2;
    std::ifstream file(arguments[1], std::ios::binary);
    const std::vector<char> image{std::istreambuf_iterator<char>(file), {}};
    const Library library(std::as_bytes(std::span(image)));
    std::vector<FieldSpec> fields{field("event_id", FieldKind::id), field("at", FieldKind::event_time),
                                  field("customer", FieldKind::entity), field("terminal", FieldKind::entity),
                                  field("amount", FieldKind::money)};
    fields[4].scale = 2;
    const EventSchema schema{std::move(fields), HashKey{1, 2}};
    EngineLimits limits;
    limits.history.max_keys = 1000;
    Engine engine(library.entry(), schema, Calibration{}, std::nullopt, Policy{}, limits);
    std::vector<double> answer(engine.feature_count() + 1);
    std::int64_t given[6];
    while (std::fread(given, sizeof given, 1, stdin) == 1) {
        EventRow row(schema);
        row.set_integer(0, given[0]);
        row.set_time_us(1, given[1]);
        row.set_integer(2, given[2]);
        if (given[5] != 0) row.set_integer(3, given[3]);
        row.set_minor_units(4, given[4]);
        engine.features(row, std::span(answer).first(engine.feature_count()));
        answer.back() = engine.decide(row).margin;
        if (std::fwrite(answer.data(), sizeof(double), answer.size(), stdout) != answer.size()) return 3;
    }
    return 0;
}
