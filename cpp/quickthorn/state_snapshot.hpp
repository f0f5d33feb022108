// Writes a region to a file as it stands at one moment, while others go on changing it.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "quickthorn/region.hpp"

namespace quickthorn {

// What is written is a sequence of runs, each two uint64 (first block, blocks) and the blocks themselves. Blocks are of
// this many bytes of the region; those of nothing but zeros are left out. A run of no blocks, whose first block is one
// past the last of the region, ends the sequence.
inline constexpr std::size_t snapshot_block_bytes = 4096;
inline constexpr std::uint64_t snapshot_run_blocks_most = 4096;

// The moment: makes a copy of this process, by which the kernel keeps every page as it is until somebody writes to it.
// Nobody may be changing the region meanwhile; afterwards they may, for the copy has memory of its own and writes it to
// `file` by itself. The copy runs nothing but system calls (other threads' locks are as they were, for ever), sends no
// SIGCHLD, is not found by a wait for any child, and dies with the thread that made it. Returns its process id, or
// −errno.
pid_t begin_snapshot(const Region& region, int file);

// Waits until it is written. Returns 0, or the errno of what went wrong; EINTR where the copy was killed.
int finish_snapshot(pid_t writer);

}  // namespace quickthorn
