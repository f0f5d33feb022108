#include "quickthorn/state_snapshot.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <thread>
#include <vector>

#include "check.hpp"
#include "plain_library.hpp"
#include "quickthorn/engine.hpp"

using namespace quickthorn;

namespace {

int anonymous_file() {
    const int file = memfd_create("snapshot", MFD_CLOEXEC);
    CHECK(file >= 0);
    return file;
}

void take(int file, void* into, std::size_t bytes) { CHECK(read(file, into, bytes) == static_cast<ssize_t>(bytes)); }

// Puts what was written into a region; returns how many blocks there were. Runs must rise and fit.
std::uint64_t put_into(Region& region, int file) {
    CHECK(lseek(file, 0, SEEK_SET) == 0);
    const std::uint64_t blocks = (region.carved() + snapshot_block_bytes - 1) / snapshot_block_bytes;
    std::uint64_t written = 0;
    for (std::uint64_t done = 0;;) {
        std::array<std::uint64_t, 2> head;
        take(file, head.data(), sizeof head);
        if (head[1] == 0) {
            CHECK(head[0] == blocks);
            break;
        }
        CHECK(head[0] >= done && head[1] <= snapshot_run_blocks_most && head[0] + head[1] <= blocks);
        take(file, region.base() + head[0] * snapshot_block_bytes, head[1] * snapshot_block_bytes);
        done = head[0] + head[1];
        written += head[1];
    }
    char more = 0;
    CHECK(read(file, &more, 1) == 0);
    return written;
}

void save(const Region& region, int file) {
    const pid_t writer = begin_snapshot(region, file);
    CHECK(writer > 0);
    CHECK(finish_snapshot(writer) == 0);
}

void only_blocks_that_hold_something_are_written() {
    const std::size_t bytes = (std::size_t{40} << 20) + 64;  // more than one look at the page table, and a bit
    Region region(bytes);
    const Region::Offset all = region.carve(bytes);
    for (const std::size_t at :
         {std::size_t{0}, std::size_t{4095}, std::size_t{8192}, std::size_t{33} << 20, bytes - 1}) {
        *region.at<std::byte>(all + at) = std::byte{7};
    }
    *region.at<std::byte>(all + (std::size_t{3} << 20)) = std::byte{0};  // touched, and yet zero
    const int file = anonymous_file();
    save(region, file);
    Region restored(bytes);
    restored.carve(bytes);
    CHECK(put_into(restored, file) == 4);
    CHECK(std::memcmp(region.base(), restored.base(), bytes) == 0);
    close(file);
}

// Longer than one run may be.
void rows_of_blocks_are_split() {
    const std::size_t bytes = (snapshot_run_blocks_most + 3) * snapshot_block_bytes;
    Region region(bytes);
    std::memset(region.at<std::byte>(region.carve(bytes)), 1, bytes);
    const int file = anonymous_file();
    save(region, file);
    Region restored(bytes);
    restored.carve(bytes);
    CHECK(put_into(restored, file) == snapshot_run_blocks_most + 3);
    CHECK(std::memcmp(region.base(), restored.base(), bytes) == 0);
    close(file);
}

// Every word has the number of the last turn, whichever moment it is.
void threads_that_go_on_do_not_change_what_is_written() {
    constexpr std::size_t words = 64 * 512;
    Region region(words * sizeof(std::uint64_t));
    auto* memory = region.at<std::uint64_t>(region.carve(words * sizeof(std::uint64_t)));
    std::mutex turn;
    std::atomic<bool> over{false};
    std::vector<std::thread> running;
    for (int thread = 0; thread < 2; ++thread) {
        running.emplace_back([&] {
            while (!over.load()) {
                const std::lock_guard guard(turn);
                for (std::size_t word = 0; word < words; word += 64) ++memory[word];
            }
        });
    }
    for (int round = 0; round < 10; ++round) {
        const int file = anonymous_file();
        pid_t writer = 0;
        std::uint64_t moment = 0;
        {
            const std::lock_guard guard(turn);
            moment = memory[0];
            writer = begin_snapshot(region, file);
        }
        CHECK(writer > 0 && finish_snapshot(writer) == 0);
        Region restored(words * sizeof(std::uint64_t));
        const auto* found = restored.at<std::uint64_t>(restored.carve(words * sizeof(std::uint64_t)));
        put_into(restored, file);
        for (std::size_t word = 0; word < words; word += 64) CHECK(found[word] == moment);
        close(file);
    }
    over.store(true);
    for (std::thread& thread : running) thread.join();
}

void a_file_that_cannot_be_written_is_reported() {
    Region region(1 << 20);
    *region.at<std::byte>(region.carve(1 << 20)) = std::byte{1};
    const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    CHECK(full >= 0);
    const pid_t writer = begin_snapshot(region, full);
    CHECK(writer > 0 && finish_snapshot(writer) == ENOSPC);
    close(full);
}

void a_killed_writer_is_reported_and_is_nobody_elses_child() {
    Region region(1 << 20);
    std::memset(region.at<std::byte>(region.carve(1 << 20)), 1, 1 << 20);
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    const pid_t writer = begin_snapshot(region, ends[1]);  // a pipe that nobody reads: it waits for ever
    CHECK(writer > 0);
    CHECK(waitpid(-1, nullptr, WNOHANG) < 0 && errno == ECHILD);
    CHECK(kill(writer, SIGKILL) == 0);
    CHECK(finish_snapshot(writer) == EINTR);
    close(ends[0]);
    close(ends[1]);
}

void an_engine_goes_on_from_what_another_saved() {
    EngineLimits limits;
    limits.history.max_keys = 3000;
    limits.history.expire_after_us = plain::day_us;
    limits.history_bytes = 1 << 22;
    limits.remembered_ids = 500;
    const Calibration sigmoid{Link::sigmoid, 1.0};
    const Policy policy;
    const EventSchema schema = plain::schema();
    Engine engine(plain::library, schema, sigmoid, std::nullopt, policy, limits);
    EventRow event(schema);
    const auto run = [&](Engine& one, std::int64_t from, std::int64_t to) {
        double sum = 0;
        for (std::int64_t i = from; i < to; ++i) {
            plain::fill(event, i - (i % 7 == 0), i * 50'000'000 - (i % 5) * 60'000'000, i * i % 2500, i % 900);
            sum += one.decide(event).margin;
        }
        return sum;
    };
    run(engine, 0, 20'000);
    const int file = anonymous_file();
    CHECK(engine.save_state(file) == 0);

    Engine other(plain::library, schema, sigmoid, std::nullopt, policy, limits);
    run(other, 0, 300);
    auto staged = other.new_state();
    staged->region.clear();
    put_into(staged->region, file);
    other.exchange_state(staged);
    CHECK(other.counters().decided == 20'000 && other.keys() == engine.keys());
    CHECK(run(engine, 20'000, 40'000) == run(other, 20'000, 40'000));
    CHECK(engine.counters().reclaimed_keys > 0);
    CHECK(engine.counters().reclaimed_keys == other.counters().reclaimed_keys);
    other.exchange_state(staged);  // what it had comes back
    CHECK(other.counters().decided == 300);
    close(file);
}

}  // namespace

int main() {
    only_blocks_that_hold_something_are_written();
    rows_of_blocks_are_split();
    threads_that_go_on_do_not_change_what_is_written();
    a_file_that_cannot_be_written_is_reported();
    a_killed_writer_is_reported_and_is_nobody_elses_child();
    an_engine_goes_on_from_what_another_saved();
}
