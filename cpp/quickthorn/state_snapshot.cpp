#include "quickthorn/state_snapshot.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

namespace quickthorn {
namespace {

// Everything from here to begin_snapshot() runs in the copy, where neither the allocator nor any other lock can be
// trusted. CMakeLists.txt keeps the thread sanitizer, whose locks are among them, out of this file.

constexpr std::size_t largest_page_table_window = 4096;  // pages looked up at once

[[noreturn]] void end_copy(int status) {
    for (;;) syscall(SYS_exit_group, status);
}

// Descriptors of the service, its clients' sockets for one, are not to be held open by the copy.
void close_all_but(int file) {
    const auto kept = static_cast<unsigned>(file);
    if (kept > 0) syscall(SYS_close_range, 0u, kept - 1, 0u);
    syscall(SYS_close_range, kept + 1, ~0u, 0u);
}

bool is_zero(const std::byte* block) {
    const auto* words = reinterpret_cast<const std::uint64_t*>(block);
    std::uint64_t any = 0;
    for (std::size_t word = 0; word < snapshot_block_bytes / sizeof(std::uint64_t); word += 8) {
        for (std::size_t lane = 0; lane < 8; ++lane) any |= words[word + lane];
        if (any != 0) return false;
    }
    return true;
}

void write_all(int file, const void* memory, std::size_t bytes) {
    const auto* from = static_cast<const char*>(memory);
    while (bytes > 0) {
        const long count = syscall(SYS_write, file, from, bytes);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) end_copy(count < 0 ? errno : EIO);
        from += count;
        bytes -= static_cast<std::size_t>(count);
    }
}

// Which pages were ever touched, so that the rest need not be looked at: most of what is reserved never is.
class TouchedPages {
public:
    TouchedPages()
        : file_(static_cast<int>(syscall(SYS_openat, AT_FDCWD, "/proc/self/pagemap", O_RDONLY | O_CLOEXEC, 0))) {}

    // Looks at the pages from this address on; the others are asked about afterwards.
    void look(std::uint64_t address, std::size_t pages) {
        known_ = false;
        if (file_ < 0) return;
        const std::size_t bytes = pages * sizeof(std::uint64_t);
        const auto offset = static_cast<off_t>(address / page_bytes_ * sizeof(std::uint64_t));
        known_ = syscall(SYS_pread64, file_, entries_, bytes, offset) == static_cast<long>(bytes);
    }

    // Where nothing is known of a page, it may have been.
    bool touched(std::size_t page) const { return !known_ || (entries_[page] & (present | swapped)) != 0; }

    std::size_t page_bytes() const { return page_bytes_; }

private:
    static constexpr std::uint64_t present = std::uint64_t{1} << 63;
    static constexpr std::uint64_t swapped = std::uint64_t{1} << 62;

    const std::size_t page_bytes_ = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    int file_;
    bool known_ = false;
    std::uint64_t entries_[largest_page_table_window];
};

// Blocks in a row that are to be written, put off until the row ends.
class Run {
public:
    Run(int file, const std::byte* base) : file_(file), base_(base) {}

    void add(std::uint64_t block) {
        if (blocks_ == 0) first_ = block;
        if (++blocks_ == snapshot_run_blocks_most) flush();
    }

    void flush() {
        if (blocks_ == 0) return;
        head(first_, blocks_);
        write_all(file_, base_ + first_ * snapshot_block_bytes, blocks_ * snapshot_block_bytes);
        blocks_ = 0;
    }

    void end(std::uint64_t past_last) {
        flush();
        head(past_last, 0);
    }

private:
    void head(std::uint64_t first, std::uint64_t blocks) {
        const std::uint64_t words[2] = {first, blocks};
        write_all(file_, words, sizeof words);
    }

    int file_;
    const std::byte* base_;
    std::uint64_t first_ = 0;
    std::uint64_t blocks_ = 0;
};

[[noreturn]] void write_copy(const std::byte* base, std::size_t bytes, int file) {
    syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    syscall(SYS_setpriority, PRIO_PROCESS, 0, 10);  // decisions go first
    close_all_but(file);

    TouchedPages pages;
    Run run(file, base);
    const std::uint64_t blocks = (bytes + snapshot_block_bytes - 1) / snapshot_block_bytes;
    const std::uint64_t blocks_per_page = pages.page_bytes() / snapshot_block_bytes;
    const std::uint64_t window = largest_page_table_window * blocks_per_page;
    for (std::uint64_t first = 0; first < blocks; first += window) {
        const std::uint64_t past = first + window < blocks ? first + window : blocks;
        const std::byte* start = base + first * snapshot_block_bytes;
        pages.look(reinterpret_cast<std::uint64_t>(start), (past - first + blocks_per_page - 1) / blocks_per_page);
        for (std::uint64_t block = first; block < past; ++block) {
            const bool kept =
                pages.touched((block - first) / blocks_per_page) && !is_zero(base + block * snapshot_block_bytes);
            if (kept) {
                run.add(block);
            } else {
                run.flush();
            }
        }
    }
    run.end(blocks);
    end_copy(0);
}

}  // namespace

pid_t begin_snapshot(const Region& region, int file) {
    // A signal meant for the service, or for its whole process group, must not run its handlers in the copy.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    // Not fork(): that runs handlers which other libraries left with pthread_atfork, and its child is everybody's.
    const long copied = syscall(SYS_clone, 0, nullptr, nullptr, nullptr, nullptr);
    if (copied == 0) write_copy(region.base(), region.carved(), file);
    const int error = errno;
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return copied < 0 ? -error : static_cast<pid_t>(copied);
}

int finish_snapshot(pid_t writer) {
    int status = 0;
    while (waitpid(writer, &status, __WALL) < 0) {
        if (errno != EINTR) return errno;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}

}  // namespace quickthorn
