#include "quickthorn/event_text.hpp"

namespace quickthorn {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Days since 1970-01-01 in the proleptic Gregorian calendar, counting years from March so that the leap day is last.
std::int64_t days_from_civil(std::int64_t year, int month, int day) {
    const std::int64_t march_year = month <= 2 ? year - 1 : year;
    const std::int64_t era = (march_year >= 0 ? march_year : march_year - 399) / 400;
    const std::int64_t year_of_era = march_year - era * 400;
    const std::int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * 146'097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719'468;
}

int days_in_month(std::int64_t year, int month) {
    constexpr int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

// Takes fixed-width numbers and single characters off the front of a text.
struct Scanner {
    std::string_view rest;
    bool ok = true;

    int number(std::size_t width) {
        int value = 0;
        for (std::size_t i = 0; i < width; ++i) {
            if (i >= rest.size() || !is_digit(rest[i])) {
                ok = false;
                return 0;
            }
            value = value * 10 + (rest[i] - '0');
        }
        rest.remove_prefix(width);
        return value;
    }

    bool accept(char wanted) {
        if (rest.empty() || rest.front() != wanted) return false;
        rest.remove_prefix(1);
        return true;
    }

    void expect(char wanted) { ok = accept(wanted) && ok; }

    std::int64_t fraction_us() {
        std::int64_t value = 0;
        int digits = 0;
        for (; !rest.empty() && is_digit(rest.front()); rest.remove_prefix(1), ++digits) {
            if (digits < 6) value = value * 10 + (rest.front() - '0');
        }
        ok = ok && digits > 0;
        for (; digits < 6; ++digits) value *= 10;
        return value;
    }

    std::int64_t zone_us() {
        if (accept('Z') || accept('z')) return 0;
        const bool east = accept('+');
        if (!east) expect('-');
        const int hours = number(2);
        expect(':');
        const int minutes = number(2);
        ok = ok && hours <= 23 && minutes <= 59;
        const std::int64_t offset = (hours * 60 + minutes) * std::int64_t{60'000'000};
        return east ? offset : -offset;
    }
};

}  // namespace

Fault parse_money(std::string_view text, int scale, std::int64_t& minor) {
    const bool minus = !text.empty() && text.front() == '-';
    if (minus) text.remove_prefix(1);
    std::int64_t value = 0;
    std::size_t digits = 0;
    int decimals = -1;
    bool too_large = false;
    for (const char c : text) {
        if (c == '.' && decimals < 0) {
            decimals = 0;
            continue;
        }
        if (!is_digit(c)) return Fault::not_money;
        ++digits;
        if (decimals >= scale) {
            if (c != '0') return Fault::too_fine;
            ++decimals;
            continue;
        }
        if (decimals >= 0) ++decimals;
        if (value > money_limit) {
            too_large = true;
            continue;
        }
        value = value * 10 + (c - '0');
    }
    if (digits == 0 || decimals == 0) return Fault::not_money;  // ".", "5." and "" are not amounts
    for (int missing = decimals < 0 ? scale : scale - decimals; missing > 0; --missing) {
        if (value > money_limit) too_large = true;
        if (!too_large) value *= 10;
    }
    if (too_large) return Fault::too_large;
    minor = minus ? -value : value;
    return Fault::none;
}

Fault parse_time(std::string_view text, std::int64_t& time_us) {
    Scanner scan{text};
    const int year = scan.number(4);
    scan.expect('-');
    const int month = scan.number(2);
    scan.expect('-');
    const int day = scan.number(2);
    if (!scan.accept('T') && !scan.accept('t')) scan.expect(' ');
    const int hour = scan.number(2);
    scan.expect(':');
    const int minute = scan.number(2);
    scan.expect(':');
    const int second = scan.number(2);
    const std::int64_t fraction_us = scan.accept('.') ? scan.fraction_us() : 0;
    const std::int64_t zone_us = scan.zone_us();
    if (!scan.ok || !scan.rest.empty()) return Fault::not_a_time;
    if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month)) return Fault::not_a_time;
    if (hour > 23 || minute > 59 || second > 59) return Fault::not_a_time;
    const std::int64_t seconds = days_from_civil(year, month, day) * 86'400 + hour * 3'600 + minute * 60 + second;
    time_us = seconds * 1'000'000 + fraction_us - zone_us;
    return Fault::none;
}

}  // namespace quickthorn
