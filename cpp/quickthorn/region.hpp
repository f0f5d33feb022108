// The one region of memory that holds everything an engine remembers, addressed by offsets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <stdexcept>
#include <type_traits>

namespace quickthorn {

// The region could not be reserved; what() says how much was asked for.
struct RegionError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Address space is reserved once, at load; the operating system commits a page when it is first written. Nothing is
// allocated afterwards, and an offset means the same in every process that maps the region.
class Region {
public:
    using Offset = std::uint64_t;

    explicit Region(std::size_t bytes);
    ~Region();
    Region(const Region&) = delete;
    Region& operator=(const Region&) = delete;

    // Sets aside `bytes`, aligned to a cache line, zero-filled; for use at load only.
    Offset carve(std::size_t bytes);

    // Sets aside a T, made as T{}; what is kept outside of arrays lives in the region too, so that its bytes are all
    // there is to remember.
    template <class T>
    T* make() {
        static_assert(std::is_trivially_copyable_v<T> && std::has_unique_object_representations_v<T>,
                      "the region is saved and restored byte by byte");
        return new (base_ + carve(sizeof(T))) T{};
    }

    template <class T>
    T* at(Offset offset) {
        return reinterpret_cast<T*>(base_ + offset);
    }

    // Everything is zero again; what was carved stays set aside.
    void clear();

    std::byte* base() const { return base_; }
    std::size_t mapped() const { return bytes_; }
    std::size_t carved() const { return carved_; }  // bytes set aside so far, from the start on

private:
    std::byte* base_ = nullptr;
    std::size_t bytes_ = 0;
    std::size_t carved_ = 0;
};

}  // namespace quickthorn
