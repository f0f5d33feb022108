#include "quickthorn/library.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

namespace quickthorn {
namespace {

[[noreturn]] void fail(const std::string& what) { throw LibraryError("library: " + what); }

int sealed_file(std::span<const std::byte> image) {
    const int file = memfd_create("quickthorn-library", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (file < 0) fail(std::string("cannot create an anonymous file: ") + std::strerror(errno));
    for (std::size_t written = 0; written < image.size();) {
        const ssize_t count = write(file, image.data() + written, image.size() - written);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) {
            const int error = errno;
            close(file);
            fail(std::string("cannot fill an anonymous file: ") + std::strerror(error));
        }
        written += static_cast<std::size_t>(count);
    }
    if (fcntl(file, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
        const int error = errno;
        close(file);
        fail(std::string("cannot seal an anonymous file: ") + std::strerror(error));
    }
    return file;
}

void check_forest(const quickthorn_forest& forest, std::uint32_t feature_count) {
    if (forest.margin == nullptr || forest.margins == nullptr || forest.margins_f32 == nullptr ||
        forest.leaves == nullptr || forest.batch == nullptr || forest.batch_f32 == nullptr) {
        fail("its forest functions are missing");
    }
    if (forest.tree_count == 0 || forest.output_count == 0) fail("its forest is empty");
    if (forest.feature_count != feature_count) {
        fail("expected a forest of " + std::to_string(feature_count) + " features, found one of " +
             std::to_string(forest.feature_count));
    }
}

void check(const quickthorn_library& entry) {
    if (entry.abi_version != QUICKTHORN_ABI_VERSION) {
        fail("expected ABI version " + std::to_string(QUICKTHORN_ABI_VERSION) + ", found " +
             std::to_string(entry.abi_version));
    }
    if (entry.struct_bytes != sizeof(quickthorn_library)) {
        fail("expected an entry of " + std::to_string(sizeof(quickthorn_library)) + " bytes, found " +
             std::to_string(entry.struct_bytes));
    }
    const bool needs_features = entry.forest == nullptr || entry.slot_count != 0;
    if ((needs_features && entry.derive == nullptr) || (entry.group_count != 0 && entry.groups == nullptr)) {
        fail("its feature functions are missing");
    }
    if (entry.forest != nullptr) check_forest(*entry.forest, entry.feature_count);
    if (entry.policy != nullptr && entry.policy->match == nullptr) fail("its policy's conditions are missing");
    for (std::uint32_t index = 0; index < entry.hashed_count; ++index) {
        if (entry.hashed_slots == nullptr || entry.hashed_slots[index] >= entry.slot_count) {
            fail("it wants the hash of a field that is not there");
        }
    }
    for (std::uint32_t index = 0; index < entry.group_count; ++index) {
        const quickthorn_group& group = entry.groups[index];
        const bool whole = group.fill != nullptr && group.read != nullptr && group.absorb != nullptr &&
                           group.release != nullptr && group.entity_slots != nullptr && group.entity_count != 0;
        const bool fits = group.row_bytes >= 8 && group.row_bytes % 8 == 0 && group.state_bytes % 8 == 0 &&
                          group.record_bytes <= group.state_bytes && group.horizon_us >= 0 &&
                          std::uint64_t{group.value_first} + group.value_count <= entry.value_count;
        if (!whole || !fits) fail("group " + std::to_string(index) + " is laid out wrongly");
        for (std::uint32_t entity = 0; entity < group.entity_count; ++entity) {
            if (group.entity_slots[entity] >= entry.slot_count) {
                fail("group " + std::to_string(index) + " is kept by a field that is not there");
            }
        }
    }
}

void check_components(const quickthorn_library& entry) {
    if (entry.component_count != 0 && entry.components == nullptr) fail("its components are missing");
    for (std::uint32_t index = 0; index < entry.component_count; ++index) {
        const quickthorn_component& component = entry.components[index];
        const bool whole = component.read != nullptr && component.entity_slots != nullptr;
        const bool fits = component.keeps_labels <= 1 && component.entity_count >= 2 && component.entity_count <= 8 &&
                          component.cap >= 2 &&
                          std::uint64_t{component.value_first} + component.value_count <= entry.value_count;
        if (!whole || !fits) fail("component " + std::to_string(index) + " is laid out wrongly");
        for (std::uint32_t entity = 0; entity < component.entity_count; ++entity) {
            if (component.entity_slots[entity] >= entry.slot_count) {
                fail("component " + std::to_string(index) + " links a field that is not there");
            }
        }
    }
}

void check_fraud_slots(const quickthorn_library& entry) {
    for (std::uint32_t index = 0; index < entry.fraud_count; ++index) {
        if (entry.fraud_slots == nullptr || entry.fraud_slots[index] >= entry.slot_count) {
            fail("it looks up a field that is not there");
        }
    }
}

void check_signals(const quickthorn_library& entry) {
    if (entry.signal_count != 0 && entry.signals == nullptr) fail("its signals are missing");
    std::vector<std::uint32_t> slot_counts;  // of the sources, in the order of their first use
    for (std::uint32_t index = 0; index < entry.signal_count; ++index) {
        const quickthorn_signal& signal = entry.signals[index];
        if (signal.source == slot_counts.size()) slot_counts.push_back(signal.slot_count);
        const bool fits = signal.source < slot_counts.size() && slot_counts[signal.source] == signal.slot_count &&
                          signal.slot_count <= 4096 && signal.read != nullptr &&
                          signal.entity_slot < entry.slot_count &&
                          std::uint64_t{signal.value_first} + signal.value_count <= entry.value_count;
        if (!fits) fail("signal " + std::to_string(index) + " is laid out wrongly");
    }
}

}  // namespace

Library::Library(std::span<const std::byte> image) : file_(sealed_file(image)) {
    // The file stays open as long as the library is mapped: the loader knows libraries by name, and a number that was
    // reused would give back the library that had it before.
    const std::string path = "/proc/self/fd/" + std::to_string(file_);
    handle_ = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle_ == nullptr) {
        const char* reason = dlerror();
        const std::string text = reason != nullptr ? reason : "no reason given";
        close(file_);
        fail("cannot be mapped: " + text);
    }
    entry_ = static_cast<const quickthorn_library*>(dlsym(handle_, "quickthorn_library_entry"));
    try {
        if (entry_ == nullptr) fail("exports no quickthorn_library_entry");
        check(*entry_);
        check_components(*entry_);
        check_fraud_slots(*entry_);
        check_signals(*entry_);
    } catch (...) {
        dlclose(handle_);
        close(file_);
        throw;
    }
}

Library::~Library() {
    dlclose(handle_);
    close(file_);
}

bool processor_supports(const std::string& target) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (target == "x86-64-v2") return __builtin_cpu_supports("x86-64-v2") != 0;
    if (target == "x86-64-v3") return __builtin_cpu_supports("x86-64-v3") != 0;
    if (target == "x86-64-v4") {
        // The byte permutes that make this level worth having came with VBMI, and their counts with BITALG.
        return __builtin_cpu_supports("x86-64-v4") != 0 && __builtin_cpu_supports("avx512vbmi") != 0 &&
               __builtin_cpu_supports("avx512vbmi2") != 0 && __builtin_cpu_supports("avx512bitalg") != 0;
    }
    return false;
#elif defined(__aarch64__)
    return target == "armv8-a";
#else
    return false;
#endif
}

}  // namespace quickthorn
