#include "quickthorn/event_text.hpp"

#include "check.hpp"

using namespace quickthorn;

namespace {

void money(const char* text, int scale, Fault fault, std::int64_t expected = 0) {
    std::int64_t minor = 0;
    const Fault found = parse_money(text, scale, minor);
    if (found != fault || minor != expected) {
        std::fprintf(stderr, "money \"%s\": fault %d, %lld minor units\n", text, static_cast<int>(found),
                     static_cast<long long>(minor));
    }
    CHECK(found == fault && minor == expected);
}

void amounts() {
    money("59.90", 2, Fault::none, 5990);
    money("59.9", 2, Fault::none, 5990);
    money("59", 2, Fault::none, 5900);
    money("0.01", 2, Fault::none, 1);
    money(".5", 2, Fault::none, 50);
    money("-3.10", 2, Fault::none, -310);
    money("59.9000", 2, Fault::none, 5990);
    money("1.2345", 4, Fault::none, 12345);
    money("7", 0, Fault::none, 7);
    money("87960930222.08", 2, Fault::none, 8'796'093'022'208);
    money("59.901", 2, Fault::too_fine);
    money("7.5", 0, Fault::too_fine);
    money("99999999999999999999999999", 2, Fault::too_large);
    money("9999999999999", 6, Fault::too_large);
    for (const char* text :
         {"", "-", ".", "5.", "abc", "1e3", "1,000", " 5", "5 ", "+5", "--5", "1.2.3", "NaN", "inf"}) {
        money(text, 2, Fault::not_money);
    }
}

void time(const char* text, Fault fault, std::int64_t expected_us = 0) {
    std::int64_t time_us = 0;
    const Fault found = parse_time(text, time_us);
    if (found != fault || time_us != expected_us) std::fprintf(stderr, "time \"%s\"\n", text);
    CHECK(found == fault && time_us == expected_us);
}

void times() {
    // Whole seconds as `date -u -d … +%s` gives them.
    time("1970-01-01T00:00:00Z", Fault::none, 0);
    time("2018-04-01T00:00:31Z", Fault::none, 1'522'540'831'000'000);
    time("2024-02-29T23:59:59.5Z", Fault::none, 1'709'251'199'500'000);
    time("2026-03-29T01:30:00.25+02:00", Fault::none, 1'774'740'600'250'000);
    time("2026-03-29 01:30:00-00:30", Fault::none, 1'774'749'600'000'000);
    time("1969-12-31T23:59:59.000001999Z", Fault::none, -999'999);
    time("1900-02-28t12:00:00z", Fault::none, -2'203'934'400'000'000);
    for (const char* text :
         {"", "2026-03-29", "2026-03-29T01:30:00", "2026-02-29T00:00:00Z", "1900-02-29T00:00:00Z",
          "2026-13-01T00:00:00Z", "2026-01-32T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z",
          "2026-01-01T00:00:60Z", "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00+2:00", "2026-01-01T00:00:00+24:00",
          "2026-01-01T00:00:00Zjunk", "26-01-01T00:00:00Z", "2026-00-10T00:00:00Z"}) {
        time(text, Fault::not_a_time);
    }
}

}  // namespace

int main() {
    amounts();
    times();
}
