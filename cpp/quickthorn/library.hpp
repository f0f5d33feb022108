// Maps a bundle's compiled library from the very bytes that were verified.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>

#include "quickthorn/library_abi.h"

namespace quickthorn {

// The library cannot be mapped or does not fit this engine; what() says why.
struct LibraryError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

class Library {
public:
    // Copies the bytes into a sealed anonymous file and loads that: nothing can change between check and use.
    explicit Library(std::span<const std::byte> image);
    ~Library();
    Library(const Library&) = delete;
    Library& operator=(const Library&) = delete;

    const quickthorn_library& entry() const { return *entry_; }

private:
    int file_ = -1;
    void* handle_ = nullptr;
    const quickthorn_library* entry_ = nullptr;
};

// Whether this processor runs code for a target such as "x86-64-v3".
bool processor_supports(const std::string& target);

}  // namespace quickthorn
