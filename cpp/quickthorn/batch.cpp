#include "quickthorn/batch.hpp"

namespace quickthorn {
namespace {

bool scores(Pass pass) { return pass == Pass::decide || pass == Pass::score; }

void append(BatchResult& result, const Verdict& verdict, const std::optional<ReasonMap>& map,
            const Explanation& explanation) {
    for (std::uint32_t i = 0; map && i < map->most; ++i) {
        result.reasons.push_back(i < explanation.count ? static_cast<std::int16_t>(explanation.reasons[i].code)
                                                       : std::int16_t{-1});
    }
    result.scores.push_back(verdict.score);
    result.margins.push_back(verdict.margin);
    result.outcomes.push_back(verdict.outcome);
    result.rules.push_back(verdict.rule);
    result.propensities.push_back(verdict.propensity);
    result.statuses.push_back(static_cast<std::uint8_t>(verdict.status));
}

void append_invalid(Engine& engine, Pass pass, const FeatureColumns& columns, BatchResult& result) {
    if (scores(pass)) {
        append(result, engine.decide_invalid(), engine.reasons(), {});
        return;
    }
    engine.count_invalid();
    if (pass == Pass::replay) columns.put_missing(result.statuses.size());
    result.statuses.push_back(static_cast<std::uint8_t>(Status::invalid));
}

void append_replayed(Engine& engine, const EventRow& event, std::span<double> vector, const FeatureColumns& columns,
                     BatchResult& result) {
    const Status status = engine.replay(event, vector);
    columns.put(result.statuses.size(), 1, vector.data());
    result.statuses.push_back(static_cast<std::uint8_t>(status));
}

}  // namespace

void run(Engine& engine, const ArrowEvents& events, EventRow& event, Pass pass, const Feeds& feeds,
         const FeatureColumns& columns, BatchResult& result) {
    std::vector<double> vector(engine.feature_count());
    for (std::int64_t row = 0; row < events.length(); ++row) {
        engine.give_way();
        const EventFault fault = events.read(row, event);
        if (fault.fault != Fault::none) {
            const auto place = static_cast<std::int64_t>(result.statuses.size());
            result.faults.push_back({place, fault.field, fault.fault, events.shown(row, fault.field)});
            append_invalid(engine, pass, columns, result);
            continue;
        }
        if (feeds.labels != nullptr) feeds.labels->advance(engine, event.time_us());
        if (feeds.signals != nullptr) feeds.signals->advance(engine, event.time_us());
        switch (pass) {
            case Pass::decide: {
                Explanation explanation;
                const Verdict verdict = engine.decide(event, explanation);
                append(result, verdict, engine.reasons(), explanation);
                break;
            }
            case Pass::score: {
                Explanation explanation;
                const Verdict verdict = engine.score(event, explanation);
                append(result, verdict, engine.reasons(), explanation);
                break;
            }
            case Pass::observe: result.statuses.push_back(static_cast<std::uint8_t>(engine.observe(event))); break;
            case Pass::replay: append_replayed(engine, event, vector, columns, result); break;
        }
        if (feeds.labels != nullptr) feeds.labels->stored(engine, event.id());
    }
}

void run(SharedReplay& replay, const ArrowEvents& events, const FeatureColumns& columns, BatchResult& result) {
    const auto count = static_cast<std::size_t>(events.length());
    const std::size_t done = result.statuses.size();
    result.statuses.resize(done + count);
    std::vector<SharedReplay::Refused> refused;
    const auto read = [&](std::int64_t first, std::span<const std::unique_ptr<EventRow>> rows,
                          std::span<EventFault> faults) { events.read(first, rows, faults); };
    replay.run(events.length(), read, columns.from(done), std::span(result.statuses).subspan(done), refused);
    for (const auto& [number, fault] : refused) {
        result.faults.push_back(
            {static_cast<std::int64_t>(done) + number, fault.field, fault.fault, events.shown(number, fault.field)});
    }
}

}  // namespace quickthorn
