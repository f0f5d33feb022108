#include "quickthorn/batch.hpp"

#include <limits>

namespace quickthorn {
namespace {

constexpr double missing = std::numeric_limits<double>::quiet_NaN();

bool scores(Pass pass) { return pass == Pass::decide || pass == Pass::score; }

void append(BatchResult& result, const Verdict& verdict) {
    result.scores.push_back(verdict.score);
    result.margins.push_back(verdict.margin);
    result.outcomes.push_back(verdict.outcome);
    result.rules.push_back(verdict.rule);
    result.propensities.push_back(verdict.propensity);
    result.statuses.push_back(static_cast<std::uint8_t>(verdict.status));
}

void append_invalid(Engine& engine, Pass pass, BatchResult& result) {
    if (scores(pass)) {
        append(result, engine.decide_invalid());
        return;
    }
    engine.count_invalid();
    result.statuses.push_back(static_cast<std::uint8_t>(Status::invalid));
    if (pass == Pass::replay) {
        result.vectors.insert(result.vectors.end(), engine.feature_count(), missing);
    }
}

void append_replayed(Engine& engine, const EventRow& event, BatchResult& result) {
    const std::size_t begin = result.vectors.size();
    result.vectors.resize(begin + engine.feature_count());
    const Status status = engine.replay(event, std::span(result.vectors).subspan(begin));
    result.statuses.push_back(static_cast<std::uint8_t>(status));
}

}  // namespace

void run(Engine& engine, const ArrowEvents& events, EventRow& event, Pass pass, BatchResult& result) {
    for (std::int64_t row = 0; row < events.length(); ++row) {
        engine.give_way();
        const EventFault fault = events.read(row, event);
        if (fault.fault != Fault::none) {
            const auto place = static_cast<std::int64_t>(result.statuses.size());
            result.faults.push_back({place, fault.field, fault.fault, events.shown(row, fault.field)});
            append_invalid(engine, pass, result);
            continue;
        }
        switch (pass) {
            case Pass::decide: append(result, engine.decide(event)); break;
            case Pass::score: append(result, engine.score(event)); break;
            case Pass::observe: result.statuses.push_back(static_cast<std::uint8_t>(engine.observe(event))); break;
            case Pass::replay: append_replayed(engine, event, result); break;
        }
    }
}

}  // namespace quickthorn
