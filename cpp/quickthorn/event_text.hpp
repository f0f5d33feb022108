// Reads the two kinds of text that carry a number: decimal amounts and RFC 3339 times.
#pragma once

#include <cstdint>
#include <string_view>

#include "quickthorn/event_fields.hpp"

namespace quickthorn {

// "59.9" with scale 2 gives 5990. More decimals than the scale are taken only when they are zeros.
Fault parse_money(std::string_view text, int scale, std::int64_t& minor);

// "2026-03-29T01:30:00.25+02:00" gives microseconds since 1970 UTC. A zone is required; digits past the sixth of a
// fraction are dropped.
Fault parse_time(std::string_view text, std::int64_t& time_us);

}  // namespace quickthorn
