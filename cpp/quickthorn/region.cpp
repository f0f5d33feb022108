#include "quickthorn/region.hpp"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace quickthorn {
namespace {

constexpr std::size_t cache_line = 64;
constexpr std::size_t large_page = std::size_t{2} << 20;
constexpr std::size_t small_bytes = large_page / 8;

std::size_t round_up(std::size_t bytes, std::size_t unit) { return (bytes + unit - 1) / unit * unit; }

}  // namespace

Region::Region(std::size_t bytes) : bytes_(round_up(bytes, 4096)) {
    // No reserve: the limits are generous and most deployments touch a small part of them.
    void* mapped = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) {
        throw RegionError("state: expected to reserve " + std::to_string(bytes_) + " bytes of address space, found: " +
                          std::strerror(errno) + "; lower max_keys or max_history_bytes");
    }
    base_ = static_cast<std::byte*>(mapped);
}

Region::~Region() { munmap(base_, bytes_); }

void Region::clear() { madvise(base_, bytes_, MADV_DONTNEED); }

Region::Offset Region::carve(std::size_t bytes) {
    const std::size_t size = round_up(bytes, cache_line);
    if (size > bytes_ - carved_) throw RegionError("state: the region is smaller than its parts");
    const Offset offset = carved_;
    carved_ += size;
    if (size >= 4 * large_page) {
        // A large table is met at random: with large pages, finding where a page lies is no cache miss of its own. What
        // comes first stays in small ones, so that an engine that keeps little takes little. Where the system has no
        // large pages, nothing is lost.
        const std::size_t first = round_up(reinterpret_cast<std::uintptr_t>(base_ + offset) + small_bytes, large_page);
        madvise(reinterpret_cast<void*>(first), size - small_bytes - large_page, MADV_HUGEPAGE);
    }
    return offset;
}

}  // namespace quickthorn
